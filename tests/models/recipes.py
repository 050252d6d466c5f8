"""What comparisons with by-hand versions of published recipes share: our step, its rate, how far weights are apart."""

import torch

from translate.training.loop import Step, make_optimizers, rate_factor


def make_step(model, settings):
    """Our step, on the CPU."""
    cpu = torch.device("cpu")
    return Step(model, make_optimizers(model, settings, device=cpu), device=cpu)


def set_rate(step, settings, number, *, steps):
    """The learning rate of step `number` of `steps`."""
    factor = rate_factor(number, steps=steps, schedule=settings.schedule, decay_start=settings.decay_start)
    for optimizer in step.optimizers.values():
        optimizer.param_groups[0]["lr"] = settings.lr * factor


def furthest_apart(matched):
    """The largest difference between any weight or running statistic of our parts and of their by-hand twins."""
    return max(
        (value - theirs.state_dict()[key]).abs().max().item()
        for ours, theirs in matched
        for key, value in ours.state_dict().items()
    )
