"""A step is a pure function of tensors: on a GPU it never waits for the host, so that it can be one graph.

It runs on the meta device, whose tensors have no values, under two modes that see every function and every operation.
Library optimisers are left out: fused Adam refuses that device.
"""

from typing import Any

import pytest
import torch
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from tests.drawn import drawn
from tests.models.test_models import EVERY, SIZE, example_conditions, small_settings, some_conditions, source_of
from tests.parts import slow_but
from translate.batch import RawBatch
from translate.images import ImageSpec
from translate.losses import OBJECTIVES
from translate.models import build, model_class
from translate.networks import GENERATORS
from translate.networks.blocks import NORMS
from translate.training import session
from translate.training.ema import Average
from translate.training.job import new_job
from translate.training.loop import Step
from translate.training.unrolled import RULES

EXHAUSTIVE = pytest.mark.exhaustive  # the same operations as the cases beside them
POLICY = "color,translation,cutout"
META, CPU = torch.device("meta"), torch.device("cpu")
READS = ("item", "tolist", "numpy", "cpu", "__bool__", "__int__", "__float__", "__index__", "__len__")
FROM_PYTHON = (torch.tensor, torch.as_tensor, torch.asarray, torch.from_numpy, torch.Tensor.new_tensor)
WAITING = {
    torch.ops.aten._local_scalar_dense.default: "reads a value",
    torch.ops.aten.is_nonzero.default: "branches on a value",
    torch.ops.aten.equal.default: "reads a value",
    torch.ops.aten.nonzero.default: "has a size that depends on values",
    torch.ops.aten.masked_select.default: "has a size that depends on values",
    torch.ops.aten._unique2.default: "has a size that depends on values",
}


class Found(AssertionError):
    """Something that a GPU would have to wait for."""


class Functions(TorchFunctionMode):
    def __torch_function__(self, func, types, args=(), kwargs=None):
        name = getattr(func, "__name__", "")
        if func in FROM_PYTHON:
            raise Found(f"{name} makes a tensor of Python data")
        if name in READS[:-1] and args and isinstance(args[0], torch.Tensor):
            raise Found(f"{name} reads a value")
        return func(*args, **(kwargs or {}))


class Operations(TorchDispatchMode):
    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        kwargs = kwargs or {}
        if func in WAITING:
            raise Found(f"{func} {WAITING[func]}")
        made = func(*args, **kwargs)
        from_host = any(isinstance(x, torch.Tensor) and not x.is_meta and x.dim() for x in tree_leaves((args, kwargs)))
        if from_host and not kwargs.get("non_blocking"):
            raise Found(f"{func} takes a tensor from the host")
        if any(isinstance(x, torch.Tensor) and not x.is_meta for x in tree_leaves(made)):
            raise Found(f"{func} makes a tensor on the host")
        return made


class Untouched(torch.optim.Optimizer):
    """In place of a library's optimiser."""

    def __init__(self, weights):
        super().__init__(weights, {"lr": 0.1, "betas": (0.5, 0.9), "eps": 1e-8, "weight_decay": 0.1})

    def step(self, closure=None):
        assert all(weight.grad is None or weight.grad.is_meta for weight in self.param_groups[0]["params"])


RED, BLACK, BLUE = (255, 0, 0), (0, 0, 0), (0, 0, 255)
LABELS = ImageSpec(channels=3, kind="labels", palette=(BLACK, RED, BLUE), ignore=BLUE)
BANDS = ImageSpec(channels=3, dtype="uint16", low=0, high=1000, bands=((0, 1000), (10, 900), (20, 800)))
PICTURES = {
    "pictures": {},
    "source labels": {"source": LABELS},
    "one-hot source labels": {"source": LABELS.model_copy(update={"one_hot": True})},
    "target labels": {"target": LABELS},
    "both labels": {"source": LABELS, "target": LABELS.model_copy(update={"one_hot": True})},
    "ranges of bands": {"source": BANDS, "target": BANDS},
    "no data": {
        "source": ImageSpec(channels=3, dtype="float32", low=0, high=1, nodata="nan"),
        "target": ImageSpec(channels=3, nodata=7),
    },
}


def raw_batch(model, name, specs, **changes):
    """As the loader gives it, in the host's memory."""
    generator = torch.Generator().manual_seed(0)
    sides = {"source": SIZE // model.scale, "target": SIZE}
    sides = {side: sides[side] for side in specs}
    pictures = {
        name: torch.randint(0, 256, (2, side, side, specs[name].channels), generator=generator).to(
            getattr(torch, specs[name].dtype)
        )
        for name, side in sides.items()
    }
    return RawBatch(pictures, condition=example_conditions(name, 2, **changes), draws=drawn(model, 2))


def run(name, specs=None, *, iterations=2, spoil=None, **changes):
    """Some iterations, the later ones under the modes: constants are copied to a device once."""
    settings = small_settings(name, **changes)
    usual = {"source": source_of(name), "target": ImageSpec(channels=3)} | (specs or {})
    specs = {side: spec for side, spec in usual.items() if spec is not None}
    conditions = some_conditions(name, **changes)
    model = build(name.split()[0], settings, **usual, size=SIZE, conditions=conditions).to(META)
    parts = {p: [w for s in names for w in model.get_submodule(s).parameters()] for p, names in model.players.items()}
    optimizers = {player: Untouched(weights) for player, weights in parts.items()}
    step = Step(model, optimizers, device=CPU, pace=settings.pace, clip_gradients=settings.clip_gradients)
    step.measuring = True  # as at the lines of the journal
    average = Average(model, decay=0.999)
    raws = [raw_batch(model, name, specs, **changes) for _ in range(step.rounds)]

    def iteration(number):
        seen = step([raw.to(META, specs) for raw in raws], number=number)
        average.update(model)
        return seen

    iteration(0)
    if spoil:
        spoil(model)
        step.generate = model.generate
    with Functions(), Operations():
        for number in range(1, iterations):
            seen = iteration(number)
    assert all(value.is_meta for value in (*seen.values(), *step.gradients.values()))
    assert step.gradients.keys() == model.players.keys() - step.discriminators


@pytest.mark.parametrize("name", EVERY)
@pytest.mark.parametrize("augment", [POLICY, pytest.param(None, marks=EXHAUSTIVE)])
def test_every_model_and_condition(name, augment):
    run(name, augment=augment)


@pytest.mark.parametrize("specs", PICTURES.values(), ids=PICTURES)
def test_every_kind_of_pictures(specs):
    run("pix2pix", specs, dropout=0.5)


@pytest.mark.parametrize("side", ["source", "target"])
def test_balanced_classes(side):
    run("pix2pix", {side: LABELS}, balance_l1=0.5)


@pytest.mark.parametrize(
    "norm", ["batch", *(pytest.param(norm, marks=EXHAUSTIVE) for norm in NORMS if norm != "batch")]
)
@pytest.mark.parametrize("generator", slow_but(["unet", "resnet"], GENERATORS))
def test_every_generator_and_norm(generator, norm):
    run("pix2pix", generator=generator, norm=norm)
    run("cut", generator=generator, norm=norm, blocks=2 if generator == "resnet" else None)


@pytest.mark.parametrize("label_loss", ["projection", "auxiliary", "concat"])
def test_every_way_to_use_a_label(label_loss):
    run("pix2pix label", label_loss=label_loss)


@pytest.mark.parametrize(
    ("name", "changes"),
    [
        ("pix2pix", {"lambda_style": 1.0, "lambda_frequency": 1.0, "noise_planes": 2, "pool": 0}),
        ("cyclegan", {"lambda_content": 1.0, "noise_planes": 2, "pool": 0}),
        ("fastcut", {"lambda_content": 1.0}),
        ("stargan", {"lambda_content": 1.0}),
        ("dcgan", {"semi_supervised": True}),
    ],
)
def test_further_terms_noise_planes_and_few_labels(name, changes):
    run(name, **changes)


# each kind of cost in every run of the tests; the others are made of the same operations
COSTS = ("vanilla", "relativistic-average", "kl", "began")


@pytest.mark.parametrize(
    "objective", [pytest.param(name, marks=[] if name in COSTS else EXHAUSTIVE) for name in OBJECTIVES]
)
def test_every_objective(objective):
    if not OBJECTIVES[objective].energy:  # whose discriminator tells no labels
        run("stargan", objective=objective)
    run("dualgan", objective=objective)


STABILISERS: dict[str, dict] = {
    "adaptive": {"augment": POLICY, "ada": 0.6, "objective": "vanilla"},
    "pool": {"pool": 2},
    "noise": {"instance_noise": 0.1},
    "at once": {"simultaneous": True, "d_steps": 2, "clip_gradients": 1.0},
    "unrolled": {"unroll": 2, "clip_gradients": 1.0, "objective": "wasserstein", "penalty": "clip"},
}


@pytest.mark.parametrize("changes", STABILISERS.values(), ids=STABILISERS)
@pytest.mark.parametrize("name", slow_but(["pix2pix label"], ["pix2pix label", "cyclegan", "dcgan"]))
def test_every_stabiliser(name, changes, monkeypatch):
    monkeypatch.setitem(RULES, Untouched, RULES[torch.optim.Adam])
    run(name, **changes)


@pytest.mark.parametrize("channels_last", [False, True])
def test_all_that_a_session_does_in_a_step(channels_last, tmp_path, monkeypatch):
    """Seed, learning rates, layout, losses of the journal and average, too."""

    def make_optimizers(model, settings, *, device):
        made = {p: Untouched([w for s in names for w in model.get_submodule(s).parameters()]) for p, names in PLAYERS}
        for optimizer in made.values():
            optimizer.param_groups[0]["lr"] = torch.zeros((), device=device)
        return made

    PLAYERS = model_class("pix2pix", allow="").players.items()
    monkeypatch.setattr(session, "make_optimizers", make_optimizers)
    values: dict[str, Any] = {"size": SIZE, "width": 4, "discriminator_width": 4, "patch": 16}
    values |= {"steps": 8, "log_every": 2}
    values |= {"penalty": "r1", "penalty_every": 2, "norm": "instance", "discriminator_norm": "instance"}
    values |= {"data": tmp_path, "out": tmp_path / "run", "channels_last": channels_last}
    rgb = ImageSpec(channels=3)
    specs = {"source": rgb, "target": rgb}
    one = session.Session(new_job("pix2pix", values), source=rgb, target=rgb, examples=8, device=META)
    one.step.device = CPU  # autocast knows no device called meta
    raws = [raw_batch(one.model, "pix2pix", specs) for _ in range(one.batches_a_step)]
    one.advance([raw.to(META, specs) for raw in raws])
    with Functions(), Operations():
        for _ in range(4):
            one.advance([raw.to(META, specs) for raw in raws])
    assert all(value.is_meta for value in one.meter.sums.values())


def reads(model):
    objective = model.objective

    def logged(*args):
        losses, stats = objective(*args)
        return losses, {**stats, "rounded": torch.full((), round(next(iter(losses.values())).item()))}

    model.objective = logged


def branches(model):
    generate = model.generate

    def brighter(*args):
        images = generate(*args)
        return images if images["fake"].mean() > 0 else {"fake": -images["fake"]}

    model.generate = brighter


def makes(model):
    generate = model.generate
    model.generate = lambda *args: {
        name: image * torch.tensor([1.0], device=image.device) for name, image in generate(*args).items()
    }


def draws_on_the_host(model):
    generate = model.generate
    model.generate = lambda *args: {
        name: image + torch.rand(image.shape).to(image.device) for name, image in generate(*args).items()
    }


def selects(model):
    generate = model.generate
    model.generate = lambda *args: {
        name: image[image.mean((1, 2, 3)).nonzero()[:, 0]] for name, image in generate(*args).items()
    }


@pytest.mark.parametrize("spoil", [reads, branches, makes, draws_on_the_host, selects])
def test_whatever_waits_is_found(spoil):
    run("pix2pix")
    with pytest.raises(Found):
        run("pix2pix", spoil=spoil)
