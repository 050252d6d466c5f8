import pytest
import torch

from translate.networks import DiffAugment, Discriminator, Shown, patchgan
from translate.networks.augment import NUMBERS, POLICIES


def seeded(augment, x, *, channels, seed=0):
    torch.manual_seed(seed)
    return augment(x, torch.rand(len(x), NUMBERS), channels=channels)


@pytest.mark.parametrize("policy", ["translation", "cutout", "translation,cutout"])
def test_the_condition_is_moved_and_cut_with_its_picture(policy):
    image = torch.rand(4, 3, 32, 24) + 1
    output = seeded(DiffAugment(policy), torch.cat([image, image], 1), channels=3)
    assert torch.equal(output[:, :3], output[:, 3:])
    assert not torch.equal(output[:, 3:], image)


def test_colour_is_the_pictures_alone():
    x = torch.rand(4, 5, 16, 16)
    output = seeded(DiffAugment("color"), x, channels=3)
    assert torch.equal(output[:, :2], x[:, :2])
    assert not torch.isclose(output[:, 2:], x[:, 2:]).all(1).any(0).all()


def test_colour_by_hand():
    x = torch.rand(2, 3, 4, 4) * 2 - 1
    output = seeded(DiffAugment("color"), x, channels=3)
    torch.manual_seed(0)
    for image, result, (b, s, c, *_) in zip(x, output, torch.rand(2, NUMBERS).tolist(), strict=True):
        brighter = image + b - 0.5
        gray = brighter.mean(0)
        colourful = gray + 2 * s * (brighter - gray)
        mean = colourful.mean()
        torch.testing.assert_close(result, mean + (c + 0.5) * (colourful - mean))


def test_translation_moves_whole_pixels_and_uncovers_zeros():
    """Each picture is shifted by up to an eighth of its sides; its pixels are numbered, which tells how far."""
    height, width = 32, 16
    x = (torch.arange(height * width).float() + 1).reshape(1, 1, height, width).repeat(64, 1, 1, 1)
    shifts = set()
    for result in seeded(DiffAugment("translation"), x, channels=1):
        number = int(result[0, height // 2, width // 2]) - 1
        down, right = height // 2 - number // width, width // 2 - number % width
        shifts.add((down, right))
        padded = torch.zeros(height + 2 * abs(down), width + 2 * abs(right))
        padded[abs(down) : abs(down) + height, abs(right) : abs(right) + width] = x[0, 0]
        top, left = abs(down) - down, abs(right) - right
        assert torch.equal(result[0], padded[top : top + height, left : left + width])
    assert {down for down, _ in shifts} == set(range(-4, 5))
    assert {right for _, right in shifts} == set(range(-2, 3))


def test_cutout_is_a_square_of_half_the_side():
    for result in seeded(DiffAugment("cutout"), torch.ones(8, 2, 32, 32), channels=2):
        assert torch.equal(result[0], result[1])
        rows, columns = (result[0] == 0).any(1), (result[0] == 0).any(0)
        assert rows.sum() == columns.sum() == 16
        assert (result[0] == 0).sum() == 256


@pytest.mark.parametrize("size", [(16, 64), (64, 16), (24, 60)])
def test_cutout_takes_half_of_each_side_of_a_rectangle(size):
    for seed in range(10):
        result = seeded(DiffAugment("cutout"), torch.ones(1, 1, *size), channels=1, seed=seed)
        rows, columns = ((result[0, 0] == 0).any(side).sum() for side in (1, 0))
        assert (rows, columns) == (size[0] // 2, size[1] // 2)


@pytest.mark.parametrize("policy", [*POLICIES, ",".join(POLICIES)])
def test_seeds_repeat_and_gradients_flow(policy):
    augment = DiffAugment(policy)
    x = torch.rand(2, 3, 32, 32).requires_grad_()
    output = seeded(augment, x, channels=3)
    assert torch.equal(output, seeded(augment, x, channels=3))
    assert not torch.equal(output, seeded(augment, x, channels=3, seed=1))
    output.square().sum().backward()
    assert x.grad.abs().sum() > 0


@pytest.mark.parametrize("channels", [1, 2, 4, 5])
@pytest.mark.parametrize("size", [(1, 1), (5, 3), (17, 40)])
def test_any_number_of_channels_and_any_size(channels, size):
    x = torch.rand(2, channels, *size) * 2 - 1
    output = seeded(DiffAugment(",".join(POLICIES)), x, channels=channels)
    assert output.shape == x.shape
    assert output.isfinite().all()


def test_a_discriminator_augments_only_when_asked():
    network = patchgan(4, width=4, patch=16, norm="none")
    image, source, numbers = torch.rand(1, 3, 32, 32), torch.rand(1, 1, 32, 32), torch.rand(1, NUMBERS)
    plain = network(torch.cat([source, image], 1))
    assert torch.equal(Discriminator(network)(Shown(image, source))[0][0].logits, plain)
    augment = DiffAugment("color,cutout")
    logits = Discriminator(network, augment=augment)(Shown(image, source, augment=numbers))[0][0].logits
    assert torch.equal(logits, network(augment(torch.cat([source, image], 1), numbers, channels=3)))
    assert not torch.equal(logits, plain)


def test_every_shift_and_cut_is_as_likely():
    """Numbers in order give each place as often; the extremes are reached, and none lies beyond."""
    count = 9 * 17
    numbers = torch.zeros(count, NUMBERS)
    numbers[:, 3] = numbers[:, 5] = torch.arange(count) / count
    x = (torch.arange(32.0) + 1)[None, None, :, None].expand(count, 1, 32, 32)
    shifted = DiffAugment("translation")(x, numbers, channels=1)[:, 0, 16, 16]
    assert shifted.unique(return_counts=True)[1].tolist() == [17] * 9
    cut = (DiffAugment("cutout")(x, numbers, channels=1)[:, 0, :, 0] == 0).float().argmax(1)
    assert cut.unique(return_counts=True)[1].tolist() == [9] * 17


@pytest.mark.parametrize(
    ("policy", "message"), [("colour", 'did you mean "color"'), ("cutout,cutout", "twice"), ("", "there is color")]
)
def test_wrong_policies_are_refused(policy, message):
    with pytest.raises(ValueError, match=message):
        DiffAugment(policy)


def test_the_order_is_the_papers():
    assert DiffAugment("cutout, color").names == ("color", "cutout")
