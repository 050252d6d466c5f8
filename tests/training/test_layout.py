"""Training in the memory layout of `--channels-last` is the same training."""

import copy
from dataclasses import replace

import pytest
import torch

from tests.drawn import with_draws
from tests.models.test_models import EVERY, FEW, small_model
from tests.parts import slow_but
from tests.training.test_loop import double_batch, part_of
from translate.images import ImageSpec
from translate.training.job import new_job
from translate.training.loop import OPTIMIZERS, Step
from translate.training.session import Session

CPU = torch.device("cpu")
RGB = ImageSpec(channels=3)


def gradients_of_a_step(model, batch, *, layout):
    """Gradients of every weight, in each of its steps."""
    model = copy.deepcopy(model).to(memory_format=layout)
    found: dict[str, list[torch.Tensor]] = {}
    for name, weight in model.named_parameters():
        weight.register_hook(lambda gradient, name=name: found.setdefault(name, []).append(gradient.clone()))
    optimizers = {
        player: torch.optim.SGD([p for part in parts for p in model.get_submodule(part).parameters()], lr=1e-3)
        for player, parts in model.players.items()
    }
    step = Step(model, optimizers, device=CPU)
    pictures = {side: picture.contiguous(memory_format=layout) for side, picture in batch.pictures.items()}
    batch = replace(batch, pictures=pictures)
    torch.manual_seed(0)
    step([batch] * step.rounds)
    return found


@pytest.mark.slow
@pytest.mark.parametrize("count", [1, 2])
@pytest.mark.parametrize("norm", ["instance", "batch", "group", "none"])
@pytest.mark.parametrize("name", slow_but(FEW, EVERY))
def test_every_gradient_of_a_step_is_the_same_in_either_layout(name, norm, count, monkeypatch):
    """In float64, where there is next to no rounding."""
    if name == "srresnet" and norm in ("instance", "group"):
        pytest.skip("it has no such norm")
    monkeypatch.setattr(torch.Tensor, "float", lambda self: self)
    model = small_model(name, norm=norm).double()
    for weight in model.parameters():
        if weight.dim() > 1:  # far from the start, where without a norm all pictures are nearly gray
            torch.nn.init.normal_(weight, 0, 0.2)
    whole = with_draws(double_batch(name, seed=3), model)
    plain, laid = (
        gradients_of_a_step(model, part_of(whole, slice(0, count)), layout=layout)
        for layout in (torch.contiguous_format, torch.channels_last)
    )
    assert plain.keys() == laid.keys()
    for weight, gradients in plain.items():
        for one, other in zip(gradients, laid[weight], strict=True):
            assert (one - other).norm() <= 1e-9 * (1 + one.norm()), weight


@pytest.mark.parametrize("name", OPTIMIZERS)
@pytest.mark.parametrize("channels_last", [False, True])
@pytest.mark.parametrize("stored", [torch.contiguous_format, torch.channels_last])
def test_moments_that_were_stored_in_another_layout_are_those_of_the_same_weights(
    name, channels_last, stored, fronts, tmp_path
):
    """The fused optimisers ask for no layout: they would give a weight the moments of another."""
    flags = {"width": 4, "discriminator_width": 4, "patch": 16, "size": 32, "device": "cpu", "steps": 9}
    flags |= {"optimizer": name, "data": fronts, "out": tmp_path / "run"}

    def session(laid):
        job = new_job("pix2pix", flags | {"channels_last": laid})
        return Session(job, source=RGB, target=RGB, examples=4, device=CPU)

    def step_with(trained, step):
        generator = torch.Generator().manual_seed(step)
        for optimizer in trained.optimizers.values():
            for group in optimizer.param_groups:
                for weight in group["params"]:
                    drawn = torch.randn(weight.shape, generator=generator)
                    weight.grad = torch.empty_like(weight).copy_(drawn)
            optimizer.step()

    one, other = session(False), session(channels_last)
    for step in range(2):
        step_with(one, step)
    state = copy.deepcopy(one.state_dict())
    for optimizer in state["optimizers"].values():
        for kept in optimizer["state"].values():
            for key, moment in kept.items():
                kept[key] = moment.contiguous(memory_format=stored) if moment.dim() == 4 else moment
    other.load_state_dict(state)
    for trained in (one, other):
        step_with(trained, 3)
    for weight, same in zip(one.model.parameters(), other.model.parameters(), strict=True):
        torch.testing.assert_close(weight, same, rtol=0, atol=1e-6)
