"""Sources derived from targets: what each keeps and what it takes away."""

import numpy as np
import pytest

from translate.card import Card
from translate.datasets.derive import DERIVATIONS, amount_for, derive, derived_spec
from translate.images import FULL_SCALE, ImageSpec

DTYPES = ("uint8", "uint16", "float32")


def spec_of(channels: int, dtype: str = "uint8") -> ImageSpec:
    return ImageSpec(channels=channels, dtype=dtype, low=0, high=FULL_SCALE[dtype])


def picture(channels: int, dtype: str = "uint8", size: tuple[int, int] = (40, 48)) -> np.ndarray:
    unit = np.random.default_rng(1).random((*size, channels))
    unit[10:30, 10:30] = np.linspace(1, 0, channels)  # something with outlines
    scaled = unit * FULL_SCALE[dtype]
    return scaled.astype(np.float32) if dtype == "float32" else np.rint(scaled).astype(dtype)


def made(name: str, target: np.ndarray, *, seed: int = 0, amount: float | None = None) -> np.ndarray:
    spec = spec_of(target.shape[2], str(target.dtype))
    return derive(name, target, spec=spec, amount=amount, rng=np.random.default_rng(seed))


@pytest.mark.parametrize("name", DERIVATIONS)
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("channels", [1, 2, 3, 4, 5, 8])
def test_every_depth_and_number_of_channels(name: str, dtype: str, channels: int) -> None:
    allowed = DERIVATIONS[name].channels
    if allowed is not None and channels not in allowed:
        with pytest.raises(ValueError, match=f"--derive {name} needs targets of 1 or 3 channels.*{channels}"):
            derived_spec(name, spec_of(channels, dtype))
        return
    target = picture(channels, dtype)
    before = target.copy()
    source, spec = made(name, target), derived_spec(name, spec_of(channels, dtype))
    assert source.shape == (40, 48, spec.channels)
    assert source.dtype == spec.dtype
    assert spec.kind == "image"
    np.testing.assert_array_equal(target, before)
    np.testing.assert_array_equal(source, made(name, target))  # the same seed: the same source


@pytest.mark.parametrize("name", DERIVATIONS)
@pytest.mark.parametrize("size", [(1, 1), (1, 30), (3, 2)])
def test_tiny_and_thin_pictures(name: str, size: tuple[int, int]) -> None:
    assert made(name, picture(3, size=(40, 48))[: size[0], : size[1]]).shape[:2] == size


@pytest.mark.parametrize(("dtype", "low", "high"), [("uint16", 200, 4000), ("float32", -5, 20), ("uint8", 0, 255)])
def test_gray_is_the_luma_of_rec_601(dtype: str, low: float, high: float) -> None:
    spec = ImageSpec(channels=3, dtype=dtype, low=low, high=high)
    target = np.random.default_rng(0).uniform(max(low, 0), high, (6, 7, 3)).astype(dtype)
    gray = derive("gray", target, spec=spec, amount=None, rng=np.random.default_rng(0))
    luma = target.astype(np.float64) @ [0.299, 0.587, 0.114]
    np.testing.assert_allclose(gray[..., 0], luma, atol=1e-3 if dtype == "float32" else 1)
    assert (derived_spec("gray", spec).low, derived_spec("gray", spec).high) == (low, high)


@pytest.mark.parametrize("dtype", DTYPES)
def test_edges_are_dark_lines_where_the_picture_changes(dtype: str) -> None:
    target = np.zeros((40, 48, 3), dtype)
    target[:, 24:, 2] = FULL_SCALE[dtype] * 0.9
    edges = made("edges", target)[..., 0]
    assert set(np.unique(edges)) == {0, 255}
    lines = np.flatnonzero((edges == 0).any(0))
    assert (edges == 0).any(1).all()
    assert set(lines) <= {22, 23, 24, 25}


def test_edges_between_colours_of_equal_brightness() -> None:
    target = np.zeros((40, 48, 3), np.uint8)
    target[:, :24] = (200, 0, 0)
    target[:, 24:] = (0, 102, 0)  # the same luma
    assert (made("edges", target) == 0).any(1).all()


def test_edges_follow_the_range_of_the_values() -> None:
    target = np.full((40, 48, 1), 1000, np.uint16)
    target[:, 24:] = 1900
    dim = ImageSpec(channels=1, dtype="uint16", low=1000, high=2000)
    rng = np.random.default_rng(0)
    assert (derive("edges", target, spec=dim, amount=None, rng=rng) == 0).any()
    assert (made("edges", target) == 255).all()  # at full scale a step of 1 % is no edge


def test_lowres_keeps_no_more_than_the_small_picture() -> None:
    stripes = np.zeros((64, 64, 1), np.uint8)
    stripes[:, ::2] = 255  # finer than a factor of 4 can carry
    assert np.ptp(made("lowres", stripes).astype(int)) <= 1
    assert np.ptp(made("lowres", stripes, amount=1).astype(int)) == 255
    flat = np.full((30, 50, 3), 77, np.uint8)
    np.testing.assert_array_equal(made("lowres", flat, amount=7.5), flat)


@pytest.mark.parametrize("share", [0.1, 0.25, 0.6])
def test_holes_cover_their_share_and_the_last_channel_says_where(share: float) -> None:
    target = np.maximum(picture(3, size=(64, 80)), 1)  # never black, so that black means erased
    shares = []
    for seed in range(40):
        source = made("holes", target, seed=seed, amount=share)
        hidden = source[..., 3] == 0
        assert set(np.unique(source[..., 3])) == {0, 255}
        np.testing.assert_array_equal((source[..., :3] == 0).all(-1), hidden)
        np.testing.assert_array_equal(source[~hidden][:, :3], target[~hidden])
        shares.append(hidden.mean())
    assert abs(np.mean(shares) - share) < 0.25 * share
    assert np.std(shares) > 0


def test_holes_are_the_lowest_value_of_the_network_in_any_range() -> None:
    spec = ImageSpec(channels=1, dtype="float32", low=-5, high=20)
    source = derive("holes", np.zeros((32, 32, 1), np.float32), spec=spec, amount=None, rng=np.random.default_rng(0))
    assert set(np.unique(source[..., 1])) == {-5, 20}


def test_blur_spreads_a_point_by_sigma() -> None:
    point = np.zeros((61, 61, 1), np.float32)
    point[30, 30] = 1
    spread = made("blur", point, amount=4)[..., 0]
    offsets = np.arange(61) - 30
    assert spread.sum() == pytest.approx(1, abs=1e-4)
    assert np.sqrt((spread.sum(0) * offsets**2).sum()) == pytest.approx(4, rel=0.05)


@pytest.mark.parametrize(("dtype", "high"), [("uint8", 100), ("uint16", 4000), ("float32", 0.5)])
def test_noise_has_the_sigma_asked_for_and_stays_in_range(dtype: str, high: float) -> None:
    spec = ImageSpec(channels=1, dtype=dtype, low=0, high=high)
    middle = np.full((200, 200, 1), spec.high / 2).astype(dtype)
    noisy = derive("noise", middle, spec=spec, amount=0.1, rng=np.random.default_rng(0))
    assert (noisy.astype(float) - middle).std() == pytest.approx(0.1 * spec.high, rel=0.03)
    loud = derive("noise", middle, spec=spec, amount=1, rng=np.random.default_rng(0))
    assert loud.min() == 0
    assert loud.max() <= spec.high


def test_a_label_map_is_taken_for_a_picture() -> None:
    labels = ImageSpec(channels=3, kind="labels", palette=((0, 0, 0), (255, 0, 0)), one_hot=True, ignore=(0, 0, 0))
    target = np.zeros((40, 48, 3), np.uint8)
    target[:, 20:] = (255, 0, 0)
    for name in DERIVATIONS:
        spec = derived_spec(name, labels)
        assert (spec.kind, spec.palette, spec.ignore) == ("image", None, None)
        source = derive(name, target, spec=labels, amount=None, rng=np.random.default_rng(0))
        assert source.shape[2] == spec.network_channels


@pytest.mark.parametrize(
    ("name", "amount", "message"),
    [
        ("blurr", None, 'no derivation is called "blurr".*did you mean "blur"'),
        ("gray", 2, "means nothing to --derive gray"),
        ("lowres", 0.5, "factor of shrinking, 1 to 1000, not 0.5"),
        ("holes", 1, "share of the picture erased, 0.001 to 0.9, not 1"),
        ("noise", 10, "sigma as a share of the value range"),
    ],
)
def test_wrong_names_and_amounts(name: str, amount: float | None, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        amount_for(name, amount)


def test_a_card_names_every_derivation():
    """It lists them by itself: it imports nothing of this."""
    for name in DERIVATIONS:
        assert Card(model="pix2pix", source=ImageSpec(channels=3), target=ImageSpec(channels=3), size=8, derive=name)
