"""InfoGAN: what the codes in the noise are, what it costs to read them wrong, and that they are found again."""

import itertools
import math

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from translate.batch import Batch
from translate.codes import Codes, parsed_code
from translate.conditions import Conditions
from translate.images import ImageSpec
from translate.losses import gaussian_cost
from translate.models import build
from translate.models.dcgan import DCGANSettings
from translate.models.info import as_codes, info_costs
from translate.networks.discriminator import Scores, Shown
from translate.training.loop import Step, make_optimizers

CPU = torch.device("cpu")
GRAY = ImageSpec(channels=1)
CODES = Codes(categorical=(3, 2), continuous=2)


def made(size=8, **changes):
    """A small model, and its settings."""
    settings = DCGANSettings.make({"width": 4, "discriminator_width": 4, "z": 3, "norm": "instance", **changes})
    needs = settings.data_needs
    conditions = Conditions(z=needs.z, codes=needs.codes)
    torch.manual_seed(0)
    return build("dcgan", settings, source=None, target=GRAY, size=size, conditions=conditions), settings


def some_batch(model, count, size=8):
    generator = torch.Generator().manual_seed(1)
    pictures = torch.rand(count, 1, size, size, generator=generator) * 2 - 1
    return Batch({"target": pictures}, draws={"z": torch.randn(count, model.numbers, generator=generator)})


def test_codes_of_normal_noise_are_uniform():
    z = torch.randn(20_000, CODES.numbers + 1, generator=torch.Generator().manual_seed(0))
    first, second, continuous, noise = as_codes(z, CODES).split([3, 2, 2, 1], 1)
    for code in (first, second):
        assert code.sum(1).eq(1).all()
        assert code.mean(0).sub(1 / code.shape[1]).abs().max() < 0.015
    assert continuous.abs().max() < 1
    for share in (0.25, 0.5, 0.75):  # below the quantile of a uniform distribution
        assert abs(float(continuous.lt(2 * share - 1).float().mean()) - share) < 0.015
    assert torch.equal(noise, z[:, -1:])
    assert as_codes(z, Codes()) is z


def test_a_code_that_is_set_is_the_one_that_the_generator_gets():
    z = np.random.default_rng(0).standard_normal(CODES.numbers + 4).astype(np.float32)
    for values in ([2, 1, -0.5, 0.9], [0, None, None, -1], [1], [None, 0, 1.0]):
        put = CODES.put(z, values)
        first, second, continuous, noise = as_codes(torch.from_numpy(put)[None], CODES).split([3, 2, 2, 4], 1)
        before = as_codes(torch.from_numpy(z)[None], CODES).split([3, 2, 2, 4], 1)
        values = [*values, *[None] * (4 - len(values))]
        for code, old, value in zip((first, second), before[:2], values[:2], strict=True):
            assert int(code.argmax()) == (int(old.argmax()) if value is None else value)
        for place, value in enumerate(values[2:]):
            expected = float(before[2][0, place]) if value is None else value
            assert float(continuous[0, place]) == pytest.approx(expected, abs=2e-4)
        assert torch.equal(noise, before[3])
        assert np.array_equal(np.sort(put[:5]), np.sort(z[:5]))  # still as likely as what was drawn
    assert int(as_codes(torch.from_numpy(CODES.put(np.zeros(7), [2]))[None], CODES)[0, :3].argmax()) == 2


def test_values_that_a_code_does_not_have_are_refused():
    z = np.zeros(CODES.numbers)
    for values, message in (
        ([3], "value 1 is a whole number from 0 to 2, not 3"),
        ([0.5], "value 1 is a whole number from 0 to 2"),
        ([0, 0, 1.5], "value 3 is a number from -1 to 1"),
        ([0, 0, True], "value 3 is a number"),
        ([0] * 5, "5 values, and the model has a categorical code of 3 values"),
    ):
        with pytest.raises(ValueError, match=message):
            CODES.put(z, values)
    with pytest.raises(ValueError, match="no codes of its own: train with --info-categorical"):
        Codes().put(z, [1])
    assert parsed_code("3, any,-0.5") == [3, None, -0.5]
    with pytest.raises(ValueError, match="give numbers with commas"):
        parsed_code("3;4")


@pytest.mark.parametrize(
    ("given", "codes"), [("10", (10,)), (10, (10,)), ("10, 4", (10, 4)), ([3, 2], (3, 2)), (None, ()), ("none", ())]
)
def test_sizes_of_codes_are_numbers_with_commas(given, codes):
    settings = DCGANSettings.make({"info_categorical": given, "info_continuous": 2})
    assert settings.codes == Codes(categorical=codes, continuous=2)
    assert settings.data_needs.z == 100 + sum(codes) + 2


@pytest.mark.parametrize("given", ["1", "ten", "10,,4", "5000", -3])
def test_other_sizes_of_codes_are_refused(given):
    with pytest.raises(ValueError, match=r"--info-categorical got .* give how many values each code has"):
        DCGANSettings.make({"info_categorical": given})


def test_a_weight_of_codes_that_there_are_none_of_changes_nothing():
    with pytest.raises(ValueError, match=r"--lambda-info 2.0 changes nothing without --info-categorical"):
        DCGANSettings.make({"lambda_info": 2, "info_continuous": 1}).refuse_unused()
    with pytest.raises(ValueError, match=r"--lambda-info-continuous 2.0 changes nothing without --info-continuous"):
        DCGANSettings.make({"lambda_info_continuous": 2, "info_categorical": 4}).refuse_unused()


@pytest.mark.parametrize("count", [1, 5])
def test_the_gaussian_cost_is_its_log_likelihood(count):
    mean, logvar, value = torch.randn(3, count, 4, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    mean = mean.float().requires_grad_()
    normal = torch.distributions.Normal(mean, (0.5 * logvar).exp())
    expected = -normal.log_prob(value).sum(1).mean()
    cost = gaussian_cost(mean, logvar, value)
    torch.testing.assert_close(cost, expected.float(), rtol=1e-5, atol=1e-6)
    (gradient,) = torch.autograd.grad(cost, mean)
    by_hand = (mean.double() - value) * (-logvar).exp() / count
    torch.testing.assert_close(gradient, by_hand.float(), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("count", [1, 3])
def test_what_reading_costs_by_hand(count):
    """A cross-entropy for each categorical code, the likelihood of the others, and the mean over two branches."""
    generator = torch.Generator().manual_seed(0)
    z = torch.randn(count, 9, generator=generator)
    scores = [Scores(torch.zeros(count, 1, 1, 1), read=torch.randn(count, 9, generator=generator)) for _ in range(2)]
    found = info_costs(scores, z, CODES)
    categorical = continuous = 0.0
    for branch in scores:
        for row, read in zip(z.tolist(), branch.read.tolist(), strict=True):
            for start, end in ((0, 3), (3, 5)):
                numbers, logits = row[start:end], read[start:end]
                categorical += math.log(sum(map(math.exp, logits))) - logits[numbers.index(max(numbers))]
            for i in range(2):
                value, mean, logvar = math.erf(row[5 + i] / math.sqrt(2)), read[5 + i], read[7 + i]
                continuous += 0.5 * ((value - mean) ** 2 / math.exp(logvar) + logvar + math.log(2 * math.pi))
    assert found["info"].item() == pytest.approx(categorical / count / 2, rel=1e-5)
    assert found["info_continuous"].item() == pytest.approx(continuous / count / 2, rel=1e-5)


@pytest.mark.parametrize("count", [1, 3])
def test_both_players_are_paid_for_codes_that_are_found(count):
    model, _ = made(info_categorical="3,2", info_continuous=2, lambda_info=2, lambda_info_continuous=0.5)
    batch = some_batch(model, count)
    images = model.generate(batch, tuple(model.players))
    fake = images["fake"].detach().requires_grad_()
    (scores,) = model.discriminator(Shown(fake))
    expected = info_costs(scores, batch.draws["z"], model.codes)
    for player in ("discriminator", "generator"):
        losses, _ = model.objective(player, batch, images)
        torch.testing.assert_close(losses[f"{player[0]}_info"], 2 * expected["info"])
        torch.testing.assert_close(losses[f"{player[0]}_info_continuous"], 0.5 * expected["info_continuous"])
        model.zero_grad()
        losses[f"{player[0]}_info"].backward(retain_graph=True)
        body = model.discriminator.network[0].weight.grad
        assert body is not None
        assert body.abs().sum() > 0
        reached = [weight.grad is not None for weight in model.generator.parameters()]
        assert all(reached) if player == "generator" else not any(reached)
    assert (
        "d_info"
        not in made()[0].objective(
            "discriminator", some_batch(made()[0], 2), made()[0].generate(some_batch(made()[0], 2), ["discriminator"])
        )[0]
    )


KINDS = 4  # places of a block


def blocks(count, generator):
    """Pictures `[count, 1, 8, 8]` of a block in one of four places, of some brightness, and both."""
    kind = torch.randint(KINDS, (count,), generator=generator)
    light = torch.rand(count, generator=generator)
    pictures = torch.full((count, 1, 8, 8), -1.0)
    for i, (place, brightness) in enumerate(zip(kind.tolist(), light.tolist(), strict=True)):
        row, column = divmod(place, 2)
        pictures[i, 0, 4 * row : 4 * row + 4, 4 * column : 4 * column + 4] = 2 * (0.35 + 0.65 * brightness) - 1
    return pictures


@pytest.mark.slow
def test_the_codes_are_found_again_as_what_differs():
    """On blocks in four places the categorical code is the place, one to one, and the continuous one the brightness.

    Instance noise lets the generator move a code from one place to another while it still can.
    """
    steps, batch = 500, 64
    model, settings = made(
        **{"info_categorical": KINDS, "info_continuous": 1, "z": 1, "width": 8, "discriminator_width": 16},
        **{"batch": batch, "lr": 1e-3, "norm": "batch", "instance_noise": 2.0},
    )
    step = Step(model, make_optimizers(model, settings, device=CPU), device=CPU)
    generator = torch.Generator().manual_seed(0)
    for i in range(steps):
        draws = {"z": torch.randn(batch, model.numbers, generator=generator)}
        step([Batch({"target": blocks(batch, generator)}, draws=draws)], number=i, progress=i / steps)
    z = torch.randn(256, model.numbers, generator=generator)
    with torch.no_grad():
        pictures = model.eval()(z=z)
    quarters = F.avg_pool2d(pictures, 4).flatten(1)  # [256, 4]
    kind, code = quarters.argmax(1), z[:, :KINDS].argmax(1)
    right = max(
        sum(int(((code == a) & (kind == b)).sum()) for a, b in enumerate(order))
        for order in itertools.permutations(range(KINDS))
    )
    assert right > 0.9 * len(z)  # under the best assignment
    table = torch.bincount(KINDS * code + kind, minlength=KINDS**2).view(KINDS, KINDS) / len(z)
    independent = table.sum(1, keepdim=True) * table.sum(0, keepdim=True)
    bits = float((table * (table / independent).clamp(min=1e-9).log2()).sum())
    assert bits > 1.5  # of 2
    light, told = quarters.amax(1), torch.erf(z[:, KINDS] / 2**0.5)
    within = [torch.corrcoef(torch.stack([told[code == k], light[code == k]]))[0, 1] for k in range(KINDS)]
    assert float(torch.stack(within).abs().mean()) > 0.75
