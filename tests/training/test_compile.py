"""`--compile`: the generators' pass and each player's objective are one graph each, whatever the method.

The graph is run as it was traced; how a compiler would fuse it is left out, as that takes a minute a model.
"""

import pytest
import torch

from tests.models.test_models import EVERY, small_model, small_settings, some_batch
from translate.training.loop import Step, make_optimizers

FEW = ("cyclegan", "cut")
EXHAUSTIVE = pytest.mark.exhaustive
CPU = torch.device("cpu")


@pytest.mark.parametrize(
    "name",
    [
        name if name == "pix2pix" else pytest.param(name, marks=pytest.mark.slow if name in FEW else EXHAUSTIVE)
        for name in EVERY
    ],
)
def test_a_compiled_step_is_the_plain_one_without_a_break(name, monkeypatch):
    torch._dynamo.reset()
    whole = not name.startswith("stargan")  # its penalty takes a gradient, around which a graph ends
    compiler = torch.compile
    monkeypatch.setattr(torch, "compile", lambda function: compiler(function, backend="eager", fullgraph=whole))
    monkeypatch.setattr(
        torch.nn.Module,
        "compile",
        lambda self: setattr(self, "_compiled_call_impl", compiler(self._call_impl, backend="eager", fullgraph=whole)),
    )
    changes = {"augment": "color,translation,cutout", "dropout": 0.0}
    batch, found = some_batch(name, **changes), []
    for compiled in (False, True):
        model = small_model(name, **changes)
        settings = small_settings(name, **changes)
        step = Step(model, make_optimizers(model, settings, device=CPU), device=CPU, pace=settings.pace)
        if compiled:
            step.compile()
        for number in range(2):
            figures = step([batch] * step.rounds, number=number)
        found.append((figures, model.state_dict()))
    (figures, weights), (others, other_weights) = found
    assert figures.keys() == others.keys()
    for key, value in figures.items():
        torch.testing.assert_close(value, others[key], rtol=1e-3, atol=1e-5, msg=key)
    for key, value in weights.items():
        if value.dim() > 1:  # a bias before a norm has no gradient but rounding, of which Adam makes whole steps
            torch.testing.assert_close(value, other_weights[key], rtol=1e-3, atol=1e-3, msg=key)
