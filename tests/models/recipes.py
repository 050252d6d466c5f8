"""What comparisons with by-hand versions of published recipes share: our step, its rate, how far weights are apart."""

import copy

import torch

from translate.models.game import Game
from translate.networks import Discriminator, Shown
from translate.training.loop import Step, make_optimizers, rate_factor


def make_step(model, settings):
    """Our step, on the CPU."""
    cpu = torch.device("cpu")
    return Step(model, make_optimizers(model, settings, device=cpu), device=cpu, pace=settings.pace)


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


class Plain(Discriminator):
    """A discriminator as a function of a picture alone, with the logits first in its answer."""

    def forward(self, image):  # type: ignore[override]
        ((scores,),) = super().forward(Shown(image))
        return scores.logits, scores.features, scores.classes


def copy_of(network):
    """A network as the by-hand recipes call it."""
    twin = copy.deepcopy(network)
    if isinstance(twin, Discriminator):
        twin.__class__ = Plain
    return twin


def furthest_of_parts(model, networks, *, parts):
    """`furthest_apart` for the submodules of a model, which are these and no others."""
    assert {name for name, part in model.named_children() if not isinstance(part, Game)} == set(parts)
    return furthest_apart(zip(map(model.get_submodule, parts), networks, strict=True))


def pass_on(model):
    """Draw weights that pass on what they get; those of the start say next to nothing of a picture."""
    with torch.no_grad():
        for weight in model.parameters():
            if weight.dim() > 1:
                weight.normal_(0, (2 / weight[0].numel()) ** 0.5)
