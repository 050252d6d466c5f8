"""Reference and virtual batch norm (Salimans 2016): by hand, and that examples do not affect each other."""

import copy

import pytest
import torch
from torch import nn

from tests.drawn import with_draws
from tests.models.test_models import SIZE, small_model, small_settings, small_step, some_batch, some_conditions
from translate.batch import Batch
from translate.card import Card
from translate.images import ImageSpec
from translate.models import deployed_state, load_for_inference
from translate.models.game_settings import GameSettings
from translate.models.parts import make_discriminator
from translate.models.pix2pix import Pix2PixSettings
from translate.networks import DISCRIMINATORS, GENERATORS
from translate.networks.blocks import NORMS, REFERRED, ReferredNorm2d, mixes_batch
from translate.networks.discriminator import Discriminator, Shown
from translate.networks.reference import check_references, measure, refer, refer_calls, references_of
from translate.sizes import Size
from translate.training.ema import Average
from translate.training.job import new_job

MADE_OF = {"pix2pix": ("source",), "dcgan": ("z",), "bicyclegan": ("source", "z_drawn")}
"""A model, and what a picture of its generator depends on."""


def norm_of(name, references, channels=1):
    norm = NORMS[name](channels, per_image=False).double().train()
    norm.references = references
    return norm


def referred(name, norm, **changes):
    """A model whose reference is of chosen numbers, with weights that let it be seen."""
    changes = {"norm": norm, "reference_batch": 3, "dropout": 0.0, "batch": 2, "pool": 0} | changes
    model = small_model(name, **{key: value for key, value in changes.items() if key in fields(name)}).train()
    generator = torch.Generator().manual_seed(3)
    with torch.no_grad():
        for weight in model.parameters():
            if weight.dim() > 1:
                weight.normal_(0, (1.5 / weight[0].numel()) ** 0.5, generator=generator)
        for part in references_of(model).values():
            for kept in part.buffers():
                kept.uniform_(-1, 1, generator=generator)
    return model


def fields(name):
    return type(small_settings(name)).every_field()


def four_examples(name):
    generator = torch.Generator().manual_seed(4)
    shapes = {"source": (1, SIZE, SIZE), "z": (100,), "z_drawn": (8,)}
    return [torch.rand(4, *shapes[each], generator=generator) * 2 - 1 for each in MADE_OF[name]]


def test_an_example_is_normed_as_by_hand():
    """References 1 and 3, mean 2 and variance 1; with 6 as one more, mean 10/3 and mean square 46/3."""
    x = torch.tensor([1.0, 3.0, 6.0], dtype=torch.float64)[:, None, None, None]
    made = {name: norm_of(name, 2)(x).flatten() for name in REFERRED}
    eps = 1e-5
    assert made["reference"][2].item() == pytest.approx(4 / (1 + eps) ** 0.5, rel=1e-12)
    assert made["virtual"][2].item() == pytest.approx((6 - 10 / 3) / (46 / 3 - 100 / 9 + eps) ** 0.5, rel=1e-12)
    for name in REFERRED:
        assert made[name][:2].tolist() == pytest.approx([-1 / (1 + eps) ** 0.5, 1 / (1 + eps) ** 0.5], rel=1e-12)


@pytest.mark.parametrize("name", REFERRED)
def test_means_and_mean_squares_are_joined_over_whole_maps(name):
    x = torch.randn(5, 2, 3, 4, dtype=torch.float64) + 7
    norm = norm_of(name, 3, channels=2)
    nn.init.uniform_(norm.weight)
    nn.init.uniform_(norm.bias)
    made = norm(x)
    for i in range(5):
        weights = [1 / 3] * 3 + [0, 0] if name == "reference" or i < 3 else [1 / 4] * 3 + [float(i == 3), float(i == 4)]
        weights = [w / 4 if w == 1 else w for w in weights]
        for channel in range(2):
            mean = sum(w * x[j, channel].mean() for j, w in enumerate(weights))
            square = sum(w * x[j, channel].square().mean() for j, w in enumerate(weights))
            expected = (x[i, channel] - mean) / (square - mean**2 + norm.eps).sqrt()
            expected = expected * norm.weight[channel] + norm.bias[channel]
            torch.testing.assert_close(made[i, channel], expected, rtol=0, atol=1e-10)


@pytest.mark.parametrize("name", REFERRED)
def test_gradients_and_those_of_gradients_are_finite_differences(name):
    norm = norm_of(name, 2, channels=2)
    x = torch.randn(4, 2, 2, 2, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(norm, x)
    assert torch.autograd.gradgradcheck(norm, x)


@pytest.mark.parametrize("name", REFERRED)
def test_the_constants_of_inference_give_what_training_gives(name):
    x = torch.randn(5, 3, 4, 6, dtype=torch.float64) * 3 + 2
    norm = norm_of(name, 3, channels=3)
    expected = norm(x)[3:]
    norm.eval().measuring = True
    norm(x[:3])
    norm.measuring = False
    torch.testing.assert_close(norm(x[3:]), expected, rtol=0, atol=1e-12)
    assert norm.mean.tolist() == pytest.approx(x[:3].mean((0, 2, 3)).tolist())
    laid = x[3:].float().contiguous(memory_format=torch.channels_last)
    with torch.inference_mode():  # goes another way there
        torch.testing.assert_close(norm.float()(laid).double(), expected, rtol=0, atol=1e-5)


@pytest.mark.parametrize("norm", REFERRED)
@pytest.mark.parametrize("name", MADE_OF)
def test_an_example_does_not_depend_on_its_batch(name, norm):
    """Neither its picture nor the gradients of weights and inputs that come from it."""
    generator = referred(name, norm).double().generator
    inputs = [x.double().requires_grad_() for x in four_examples(name)]
    others = [torch.cat([x[:1], -x[1:].flip(0)]) for x in inputs]
    alone = [x[:1] for x in inputs]
    found = []
    for given in (inputs, others, alone):
        made = generator(*given)
        assert len(made) == len(given[0])
        loss = (made[0] * torch.linspace(0, 1, made[0].numel(), dtype=torch.float64).view_as(made[0])).sum()
        gradients = torch.autograd.grad(loss, [*inputs, *generator.parameters()], allow_unused=True)
        found.append([made[0], *(x[0] for x in gradients[: len(inputs)]), *gradients[len(inputs) :]])
        assert not any(x[1:].any() for x in gradients[: len(inputs)])
    for one, other, lone in zip(*found, strict=True):
        torch.testing.assert_close(other, one, rtol=1e-9, atol=1e-12)
        torch.testing.assert_close(lone, one, rtol=1e-9, atol=1e-12)
    kept = references_of(generator)["reference"]
    with torch.no_grad():
        kept.inputs[0].neg_()
        assert (generator(*alone) - found[0][0]).abs().max() > 0.01, "the reference matters"


@pytest.mark.parametrize("norm", REFERRED)
@pytest.mark.parametrize("name", MADE_OF)
def test_inference_is_training_without_dropout(name, norm):
    model = referred(name, norm).double()
    inputs = [x.double() for x in four_examples(name)]
    expected = model.generator(*inputs)
    measure(model)
    assert model.training
    torch.testing.assert_close(model.eval().generator(*inputs), expected, rtol=0, atol=1e-9)


@pytest.mark.parametrize("norm", REFERRED)
@pytest.mark.parametrize("name", DISCRIMINATORS)
def test_a_discriminator_sees_each_picture_by_itself(name, norm):
    torch.manual_seed(0)
    if "norm" not in DISCRIMINATORS[name].settings.model_fields:
        pytest.skip("it has no choice of norm")
    takes = DISCRIMINATORS[name].takes
    choices = {"patch": 16} if "patch" in takes else {}
    choices |= {"spatial": 1} if "spatial" in takes else {}
    choices |= {"segments": 2} if "segments" in takes else {}
    network = DISCRIMINATORS[name](4, size=32, width=4, norm=norm, **choices)
    if not any(isinstance(layer, ReferredNorm2d) for layer in network.modules()):
        pytest.skip("so small a one has no norm")
    discriminator = Discriminator(network)
    refer(network, discriminator, {"source": (1, 32, 32), "target": (3, 32, 32)}, count=3)
    for kept in discriminator.reference.buffers():
        kept.uniform_(-1, 1)
    discriminator.double().train()
    assert not discriminator.mixes_batch
    real, fake = (
        Shown(torch.rand(2, 3, 32, 32, dtype=torch.float64), torch.rand(2, 1, 32, 32, dtype=torch.float64))
        for _ in range(2)
    )
    apart = [scores for each in discriminator(real, fake) for scores in each]
    joined = [scores for each in discriminator(real, fake, together=True) for scores in each]
    first = [scores for (each,) in [discriminator(Shown(real.image[:1], real.spatial[:1]))] for scores in each]
    for one, other in zip(apart, joined, strict=True):
        torch.testing.assert_close(one.logits, other.logits, rtol=0, atol=1e-9)
        assert len(one.features) == len(other.features)
        assert all(len(each) == 2 for each in one.features)
    for one, lone in zip(apart[: len(first)], first, strict=True):
        torch.testing.assert_close(one.logits[:1], lone.logits, rtol=0, atol=1e-9)


@pytest.mark.parametrize("norm", REFERRED)
@pytest.mark.parametrize("penalty", ["gp", "r1r2"])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_penalties_go_through_in_every_precision(norm, penalty, dtype):
    model = referred("pix2pix", norm, penalty=penalty)
    batch = some_batch("pix2pix", penalty=penalty, pool=0)
    with torch.autocast("cpu", dtype=dtype, enabled=dtype != torch.float32):
        images = {name: made.detach() for name, made in model.generate(batch, ["discriminator"]).items()}
        losses, _ = model.objective("discriminator", batch, images)
    losses["d_penalty"].backward()
    weights = [p for p in model.discriminator.parameters() if p.dim() > 1]
    assert all(p.grad is not None and p.grad.isfinite().all() and p.grad.abs().sum() > 0 for p in weights)


@pytest.mark.parametrize("norm", REFERRED)
def test_spectral_norm_composes(norm):
    model = referred("pix2pix", norm)
    for layer in list(model.discriminator.network.modules()):
        if isinstance(layer, nn.Conv2d):
            nn.utils.parametrizations.spectral_norm(layer)
    step = small_step("pix2pix", model, norm=norm)
    values = step(some_batch("pix2pix", pool=0))
    assert all(value.isfinite() for value in values.values())
    model.discriminator.network.requires_grad_(False)
    for layer in model.discriminator.network.modules():
        if isinstance(layer, nn.utils.parametrizations._SpectralNorm):
            layer.eval()
    source = torch.rand(2, 1, SIZE, SIZE)
    picture = torch.rand(2, 3, SIZE, SIZE)
    ((both,),) = model.discriminator(Shown(picture, source))
    ((lone,),) = model.discriminator(Shown(picture[:1], source[:1]))
    torch.testing.assert_close(both.logits[:1], lone.logits, rtol=0, atol=1e-4)


@pytest.mark.parametrize("norm", REFERRED)
@pytest.mark.parametrize("name", ["pix2pix", "cyclegan", "cut", "fastcut", "bicyclegan", "dcgan"])
def test_every_method_makes_two_steps(name, norm):
    model = referred(name, norm)
    before = copy.deepcopy(model.state_dict())
    step = small_step(name, model, norm=norm)
    for _ in range(2):
        values = step(some_batch(name, norm=norm, pool=0))
    assert all(value.isfinite() for value in values.values())
    changed = {name for name, value in model.state_dict().items() if not torch.equal(value, before[name])}
    assert not any(".reference." in name or name.endswith((".mean", ".variance")) for name in changed)
    assert not mixes_batch(model)


@pytest.mark.parametrize("generator", GENERATORS)
def test_the_encoder_of_cut_drops_the_reference(generator):
    model = referred("cut", "virtual", generator=generator, blocks=2 if generator == "resnet" else None)
    picture = torch.rand(2, 3, SIZE, SIZE)
    made, of_input, of_output = model._pass(picture)
    assert {len(made), *map(len, of_input), *map(len, of_output)} == {2}
    for one, other in zip(of_input, model._pass(picture[:1]).of_input, strict=True):
        torch.testing.assert_close(one[:1], other, rtol=0, atol=1e-4)
    assert torch.equal(of_input[0], picture)


@pytest.mark.parametrize("norm", REFERRED)
def test_the_average_has_constants_of_its_own_and_the_same_reference(norm):
    model = referred("pix2pix", norm)
    average = Average(model, decay=0.5)
    with torch.no_grad():
        for weight in model.parameters():
            weight.add_(0.1)
    average.update(model)
    for each in (model, average.model):
        measure(each)
    raw, averaged = model.state_dict(), average.model.state_dict()
    assert not torch.allclose(averaged["generator.down.1.norm.mean"], raw["generator.down.1.norm.mean"])
    mine, theirs = (references_of(each)["generator.reference"] for each in (model, average.model))
    assert mine.source.data_ptr() == theirs.source.data_ptr()
    assert mine.training, "that the average is in eval mode changes nothing of the raw model"


@pytest.mark.parametrize("norm", REFERRED)
def test_a_model_file_has_constants_and_no_pictures(norm):
    model = referred("pix2pix", norm)
    measure(model)
    tensors = deployed_state(model)
    assert not any("reference" in name for name in tensors)
    settings = small_settings("pix2pix", norm=norm, reference_batch=3, dropout=0.0)
    card = Card(
        model="pix2pix",
        settings=settings.as_json(),
        source=ImageSpec(channels=1),
        target=ImageSpec(channels=3),
        size=SIZE,
    )
    loaded = load_for_inference(card, tensors)
    picture = torch.rand(2, 1, 40, 24) * 2 - 1
    with torch.no_grad():
        assert torch.equal(loaded(picture), model.eval()(picture))
        torch.testing.assert_close(loaded(picture)[:1], loaded(picture[:1]), rtol=0, atol=1e-5)
    assert not references_of(loaded)


def test_the_first_examples_are_kept():
    model = referred("bicyclegan", "virtual")
    batch = with_draws(Batch({"source": torch.rand(5, 1, SIZE, SIZE), "target": torch.rand(5, 3, SIZE, SIZE)}), model)
    for part in references_of(model).values():
        part.keep({**batch.pictures, **batch.draws})
    assert torch.equal(model.generator.reference.source, batch.source[:3])
    assert torch.equal(model.generator.reference.z_drawn, batch.draws["z_drawn"][:3].to(torch.float32))
    assert torch.equal(model.discriminator.reference.target, batch.target[:3])


@pytest.mark.parametrize(
    ("model", "changes", "message"),
    [
        (
            "pix2pix",
            {"norm": "reference", "condition": "label"},
            "--norm reference of a generator.*leave out labels, texts",
        ),
        (
            "dcgan",
            {"norm": "virtual", "condition": "text", "batch": 2},
            "--norm virtual of a generator.*labels, texts and codes",
        ),
        ("dcgan", {"norm": "virtual", "condition": "label", "code_width": 100}, "--norm virtual of a generator"),
        ("stargan", {"norm": "reference"}, "--norm reference of a generator"),
        ("pix2pix", {"reference_batch": 8}, "--reference-batch 8 changes nothing without --norm reference or virtual"),
        ("pix2pix", {"norm": "reference", "reference_batch": 1}, "--reference-batch got 1: must be greater than"),
        ("pix2pix", {"norm": "virtual", "inference_norm": "image"}, "--inference-norm image is for --norm batch"),
    ],
)
def test_what_cannot_be_is_refused_before_training(model, changes, message, fronts, tmp_path):
    with pytest.raises(ValueError, match=message):
        new_job(model, {"data": fronts, "out": tmp_path / "run", "size": 32} | changes)


def test_a_network_of_a_model_that_was_given_none_is_found():
    model = referred("pix2pix", "virtual")
    check_references(model)
    model.encoder = nn.Sequential(nn.Conv2d(3, 4, 1), NORMS["reference"](4, per_image=False))
    with pytest.raises(ValueError, match="encoder of this model is a network without a reference batch"):
        check_references(model)


def test_a_discriminator_with_codes_at_its_input_has_no_reference():
    settings = small_settings("pix2pix", norm="reference")
    with pytest.raises(ValueError, match=r"--label-loss concat gives labels and texts .* use --label-loss projection"):
        make_discriminator(settings, 3, size=Size(SIZE, SIZE), code=4, join="concat")
    assert make_discriminator(settings, 3, size=Size(SIZE, SIZE), code=4, join="projection").reference is not None


def test_a_generator_that_is_a_chain_of_layers_cannot_hold_a_reference():
    with pytest.raises(ValueError, match=r"torch\.nn\.Sequential cannot hold a reference batch"):
        refer_calls(nn.Sequential(NORMS["virtual"](3, per_image=False)), {"source": (3, 8, 8)}, count=2)


def test_every_norm_that_needs_one_is_listed():
    found = [name for name, make in NORMS.items() if isinstance(make(4, per_image=False), ReferredNorm2d)]
    assert tuple(found) == REFERRED
    assert Pix2PixSettings.make({}).reference_batch == GameSettings.model_fields["reference_batch"].default
    assert some_conditions("pix2pix").labels == ()
