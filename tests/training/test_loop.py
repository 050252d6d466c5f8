import copy
import math
from itertools import pairwise

import pytest
import torch

from tests.drawn import with_draws
from tests.models.test_models import alone, example_conditions, model_of, small_model, small_settings, source_of
from translate.batch import Batch
from translate.images import ImageSpec
from translate.models import MODELS, build, deployed_state
from translate.models.pix2pix import Pix2PixSettings
from translate.training.ema import Average
from translate.training.loop import Step, make_optimizers, rate_factor
from translate.training.session import Meter

CPU = torch.device("cpu")
GRAY = ImageSpec(channels=1)
SETTINGS = {"width": 4, "discriminator_width": 4, "patch": 16, "dropout": 0.0}


def make(**changes):
    torch.manual_seed(0)
    settings = Pix2PixSettings.make(SETTINGS | changes)
    model = build("pix2pix", settings, source=GRAY, target=GRAY, size=32)
    return model, make_optimizers(model, settings, device=CPU)


def batch(count, seed=1):
    torch.manual_seed(seed)
    return Batch({name: torch.rand(count, 1, 32, 32) * 2 - 1 for name in ("source", "target")})


def step_of(model, optimizers, **changes):
    return Step(model, optimizers, device=CPU, **changes)


ACCUMULATED = [("pix2pix", {"norm": norm}) for norm in ("none", "group")] + [
    # but for DiscoGAN's mean features, which are those of a batch
    (name, {"norm": alone(name), "lambda_features": 0.0})
    for name in MODELS
]


@pytest.mark.parametrize(("name", "changes"), ACCUMULATED, ids=str)
def test_accumulated_batches_equal_one_large_batch(name, changes, monkeypatch):
    """With norms that do not look across the batch. In float64 throughout: Adam makes whole steps of mere rounding."""
    monkeypatch.setattr(torch.Tensor, "float", lambda self: self)
    models = [small_model(name, dropout=0.0, pool=0, **changes).double() for _ in range(2)]
    settings = small_settings(name, dropout=0.0, pool=0, **changes)
    one, two = (step_of(model, make_optimizers(model, settings, device=CPU), pace=settings.pace) for model in models)
    start = [p.detach().clone() for p in models[0].parameters()]
    for i in range(2):
        seeds = [10 * i + k for k in range(one.rounds)]
        whole = [with_draws(double_batch(name, seed=seed), one.model, first=100 * seed) for seed in seeds]
        parts = [part_of(b, slice(j, j + 2)) for b in whole for j in (0, 2)]
        a, b = one(whole), two(parts)
        assert a.keys() == b.keys()
        for figure in a:
            assert a[figure].item() == pytest.approx(b[figure].item(), rel=1e-9, abs=1e-12), figure
    for p, q, before in zip(models[0].parameters(), models[1].parameters(), start, strict=True):
        torch.testing.assert_close(p, q, rtol=0, atol=1e-7)  # of steps of 1e-4
        assert p.dim() == 1 or (p - before).abs().max() > 1e-5


def double_batch(name, *, seed):
    """Four examples in float64, each with random numbers of its own."""
    torch.manual_seed(seed)
    small = 32 // model_of(name).enlarges(small_settings(name))
    spec = source_of(name)
    shapes = ({"source": (spec.channels, small, small)} if spec else {}) | {"target": (3, 32, 32)}
    pictures = {side: torch.rand(4, *shape, dtype=torch.float64) * 2 - 1 for side, shape in shapes.items()}
    condition = {k: v.double() if v.is_floating_point() else v for k, v in example_conditions(name, 4).items()}
    return Batch(pictures, condition=condition)


def part_of(whole, part):
    pictures, condition, draws = (
        {name: tensor[part] for name, tensor in named.items()}
        for named in (whole.pictures, whole.condition, whole.draws)
    )
    return Batch(pictures, condition=condition, draws=draws)


def test_bfloat16_computes_the_same_losses_and_gradients():
    gradients = {}
    for precision in ("float32", "bfloat16"):
        model, optimizers = make(norm="instance")
        step = step_of(model, optimizers, precision=precision)
        with step.autocast():
            losses, _ = model.objective("generator", batch(2), model.generate(batch(2), ["generator"]))
        sum(losses.values()).backward()
        gradients[precision] = torch.cat([p.grad.flatten() for p in model.generator.parameters()])
        assert all(v.dtype == torch.float32 for v in losses.values())
    similarity = torch.cosine_similarity(gradients["float32"], gradients["bfloat16"], dim=0)
    assert similarity > 0.99


@pytest.mark.parametrize("layout", [torch.channels_last])
def test_memory_layout_changes_nothing_but_rounding(layout):
    plain, laid = make(), make()
    laid[0].to(memory_format=layout)
    b = batch(2)
    laid_out = Batch({name: pixels.contiguous(memory_format=layout) for name, pixels in b.pictures.items()})
    a, c = step_of(*plain)([b]), step_of(*laid)([laid_out])
    for name in a:
        assert a[name].item() == pytest.approx(c[name].item(), rel=1e-4)


def test_fused_adam_is_adam():
    fused, by_hand = make(), make()
    plain = {
        k: torch.optim.Adam(o.param_groups[0]["params"], lr=2e-4, betas=(0.5, 0.999)) for k, o in by_hand[1].items()
    }
    for i in range(3):
        step_of(*fused)([batch(2, i)])
        step_of(by_hand[0], plain)([batch(2, i)])
    for p, q in zip(fused[0].parameters(), by_hand[0].parameters(), strict=True):
        torch.testing.assert_close(p, q, rtol=0, atol=1e-6)


def test_schedules():
    def course(schedule):
        return [rate_factor(s, steps=100, schedule=schedule, decay_start=0.5) for s in range(100)]

    assert course("constant") == [1.0] * 100
    for schedule in ("linear", "cosine"):
        values = course(schedule)
        assert values[:50] == [1.0] * 50
        assert values[75] == pytest.approx(0.5)
        assert all(a >= b for a, b in pairwise(values))
        assert 0 < values[-1] < 0.03
    assert course("cosine")[60] == pytest.approx(0.5 * (1 + math.cos(math.pi * 0.2)))


def test_average_follows_its_warm_up_and_copies_statistics():
    model, _ = make()
    average = Average(model, decay=0.999)
    name = "generator.down.1.conv.weight"
    expected = model.state_dict()[name].clone()
    for n in range(1, 6):
        with torch.no_grad():
            for p in model.parameters():
                p.add_(torch.randn_like(p))
        model.generator.down[1].norm.running_mean.fill_(n)
        average.update(model)
        decay = (1 + n) / (10 + n)
        expected = decay * expected + (1 - decay) * model.state_dict()[name]
    torch.testing.assert_close(average.model.state_dict()[name], expected)
    assert average.model.generator.down[1].norm.running_mean.eq(5).all()
    assert not hasattr(average.model, "discriminator")
    assert hasattr(model, "discriminator")
    assert not any(p.requires_grad for p in average.model.parameters())


@pytest.mark.parametrize("name", MODELS)
def test_the_average_is_of_all_that_is_deployed(name):
    """Both generators, where there are two; each weight after (1 + n) / (10 + n) of the way that was, n = 1, 2."""
    model = small_model(name)
    average = Average(model, decay=0.999)
    raw = [copy.deepcopy(deployed_state(model))]
    for _ in range(2):
        with torch.no_grad():
            for p in model.parameters():
                p.add_(torch.randn_like(p))
        raw.append(copy.deepcopy(deployed_state(model)))
        average.update(model)
    averaged = average.model.state_dict()
    assert averaged.keys() == raw[0].keys()
    assert {key.split(".")[0] for key in averaged} == set(model.deployed)
    assert ("generator_back" in model.deployed) == model.reversible
    for key in dict(average.model.named_parameters()):
        expected = 3 / 12 * (2 / 11 * raw[0][key] + 9 / 11 * raw[1][key]) + 9 / 12 * raw[2][key]
        torch.testing.assert_close(averaged[key], expected, rtol=1e-5, atol=1e-6)
    spec = source_of(name)
    given = [torch.rand(1, spec.channels, 32, 32)] if spec else []
    conditions = {key: value for key, value in example_conditions(name, 1).items() if key in model.inputs}
    assert not torch.equal(average.model(*given, **conditions), model.eval()(*given, **conditions))
    if model.reversible:
        image = torch.rand(1, 3, 32, 32)
        assert not torch.equal(average.model.reverse()(image), model.reverse()(image))


def test_average_reaches_its_full_decay():
    model, _ = make()
    average = Average(model, decay=0.5)
    average.updates = 1000
    before = copy.deepcopy(average.model.state_dict())
    with torch.no_grad():
        for p in model.parameters():
            p.add_(1.0)
    average.update(model)
    name = "generator.up.0.conv.bias"
    torch.testing.assert_close(average.model.state_dict()[name], before[name] + 0.5)


def test_meter_means_and_the_first_bad_step():
    meter = Meter()
    meter.add(1, {"a": torch.tensor(1.0), "b": torch.tensor(2.0)})
    meter.add(2, {"a": torch.tensor(3.0), "b": torch.tensor(2.0)})
    assert meter.means() == {"a": 2.0, "b": 2.0}
    assert meter.bad_step() is None
    continued = Meter()
    continued.load_state_dict(meter.state_dict(), device=CPU)
    for m in (meter, continued):
        m.add(3, {"a": torch.tensor(float("nan")), "b": torch.tensor(2.0)})
        m.add(4, {"a": torch.tensor(1.0), "b": torch.tensor(float("inf"))})
        assert m.bad_step() == 3
        assert m.means()["b"] == float("inf")
    meter.reset()
    assert meter.bad_step() is None
    assert meter.means() == {}
