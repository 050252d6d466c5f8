import math

import pytest
import torch

from translate.batch import Batch
from translate.evaluation import metrics
from translate.evaluation.base import Examples
from translate.evaluation.metrics import MS_SSIM_SIDE, PairedFigures, by_group, compare, without_scales
from translate.figures import PAIRED
from translate.images import ImageSpec

RGB = ImageSpec(channels=3)


def network(value, side=16):
    """A flat picture of a value in 0..1, as the network sees it."""
    return torch.full((1, 3, side, side), 2 * value - 1)


def test_flat_pictures_by_hand():
    a, b = 0.3, 0.5
    figures = {name: value.item() for name, value in compare(network(a), network(b)).items()}
    c1 = 0.01**2
    assert figures["l1"] == pytest.approx(0.2, abs=1e-6)
    assert figures["psnr"] == pytest.approx(-10 * math.log10(0.04), abs=1e-4)
    assert figures["ssim"] == pytest.approx((2 * a * b + c1) / (a * a + b * b + c1), abs=1e-4)


def test_ssim_is_the_definition():
    """Wang 2004, eq. 13: an 11 x 11 Gaussian window around every pixel that has one."""
    torch.manual_seed(0)
    x, y = torch.rand(2, 1, 1, 20, 24, dtype=torch.float64)
    y = 0.7 * x + 0.3 * y
    a, b = x[0, 0], y[0, 0]
    g = torch.exp(-((torch.arange(11, dtype=torch.float64) - 5) ** 2) / (2 * 1.5**2))
    window = torch.outer(g, g) / g.sum() ** 2
    c1, c2 = 0.01**2, 0.03**2
    values = []
    for top in range(10):
        for left in range(14):
            p, q = (z[top : top + 11, left : left + 11] for z in (a, b))
            mp, mq = (window * p).sum(), (window * q).sum()
            vp, vq = (window * (p - mp) ** 2).sum(), (window * (q - mq) ** 2).sum()
            cov = (window * (p - mp) * (q - mq)).sum()
            values.append((2 * mp * mq + c1) * (2 * cov + c2) / ((mp**2 + mq**2 + c1) * (vp + vq + c2)))
    assert compare(2 * x - 1, 2 * y - 1)["ssim"].item() == pytest.approx(torch.stack(values).mean().item(), abs=1e-5)


def test_equal_pictures_are_perfect():
    x = torch.rand(2, 3, 20, 20) * 2 - 1
    figures = compare(x, x)
    assert figures["l1"].tolist() == [0, 0]
    assert figures["psnr"].tolist() == pytest.approx([100, 100])
    assert figures["ssim"].tolist() == pytest.approx([1, 1])


def test_each_picture_has_its_own_figures():
    a, b = network(0.3), network(0.5)
    together = compare(torch.cat([a, b]), torch.cat([b, b]))
    assert together["l1"].tolist() == pytest.approx([0.2, 0], abs=1e-6)


def test_pixels_that_do_not_count_are_left_out():
    target = network(0.5)
    output = target.clone()
    output[..., :8] = network(0.3)[..., :8]
    valid = torch.zeros(1, 1, 16, 16, dtype=torch.bool)
    valid[..., 4:] = True
    figures = compare(output, target, valid=valid)
    assert figures["l1"].item() == pytest.approx(0.2 * 4 / 12, abs=1e-6)
    assert figures["psnr"].item() == pytest.approx(-10 * math.log10(0.04 * 4 / 12), abs=1e-3)


@pytest.mark.parametrize("side", [1, 2, 3, 6, 10, 11])
def test_pictures_smaller_than_the_window_have_figures(side):
    figures = compare(network(0.3, side), network(0.5, side))
    assert all(torch.isfinite(value).all() for value in figures.values())
    assert figures.keys() == PAIRED.keys()


def photos(side, seed=0):
    """Smooth pictures, and the same with noise: `[2, 3, side, side + 8]` each."""
    generator = torch.Generator().manual_seed(seed)
    small = torch.randn(2, 3, 12, 12, generator=generator)
    smooth = torch.nn.functional.interpolate(small, (side, side + 8), mode="bicubic").clamp(-1, 1)
    return smooth, (smooth + 0.2 * torch.randn(smooth.shape, generator=generator)).clamp(-1, 1)


def test_ms_ssim_is_that_of_torchmetrics():
    """Which takes 176 pixels and more."""
    from torchmetrics.functional.image import multiscale_structural_similarity_index_measure

    target, output = photos(180)
    theirs = multiscale_structural_similarity_index_measure(
        (output + 1) / 2, (target + 1) / 2, data_range=1.0, reduction="none"
    )
    found = compare(output, target)["ms_ssim"]
    assert found.tolist() == pytest.approx(theirs.tolist(), abs=1e-5)
    assert 0.3 < found.min() < found.max() < 0.99
    assert compare(target, target)["ms_ssim"].tolist() == pytest.approx([1, 1])
    assert compare(output, target, valid=torch.zeros(2, 1, 180, 188).bool())["ms_ssim"].tolist() == pytest.approx(
        [1, 1]
    )


def test_ms_ssim_is_left_out_where_five_scales_do_not_fit():
    measure = PairedFigures(Examples(RGB, RGB))
    for side in (MS_SSIM_SIDE, MS_SSIM_SIDE - 1):
        target, output = photos(side)
        measure.add(Batch(pictures={"target": target}), {"output": output})
        fits = side == MS_SSIM_SIDE
        assert measure.figures().keys() == {*PAIRED, *(["ms_ssim"] if fits else [])}
        assert all(len(values) == (2 if fits else 4) for values in measure.each().values())
    assert measure.left_out() == {"ms_ssim": "it takes pictures of 161 pixels at least, and there are 168x160"}
    assert without_scales(2049, 2048) == "pictures of 2048x2049 pixels are too large for it (more than 4194304)"


@pytest.mark.parametrize(("height", "width", "channels"), [(12, 40, 3), (40, 56, 1), (64, 33, 3)])
def test_psnr_and_ssim_are_those_of_scikit_image(height, width, channels, monkeypatch):
    from skimage.metrics import peak_signal_noise_ratio, structural_similarity

    generator = torch.Generator().manual_seed(height)
    target = torch.rand(3, channels, height, width, generator=generator).cumsum(-1) / width * 2 - 1
    output = (target + 0.1 * torch.randn(target.shape, generator=generator)).clamp(-1, 1)
    pairs = [((x.numpy() + 1) / 2, (y.numpy() + 1) / 2) for x, y in zip(target, output, strict=True)]
    wang = {"gaussian_weights": True, "sigma": 1.5, "use_sample_covariance": False, "data_range": 1.0}
    psnr = [peak_signal_noise_ratio(t, o, data_range=1.0) for t, o in pairs]
    ssim = [structural_similarity(t, o, channel_axis=0, **wang) for t, o in pairs]
    for pixels in (metrics.SSIM_PIXELS, 7 * width):  # whole, and by strips of seven rows
        monkeypatch.setattr(metrics, "SSIM_PIXELS", pixels)
        found = compare(output, target)
        assert found["psnr"].tolist() == pytest.approx(psnr, abs=1e-4)
        assert found["ssim"].tolist() == pytest.approx(ssim, abs=1e-4)


def test_means_of_groups():
    each = {"l1": [0.1, 0.2, 0.6], "psnr": [20.0, 10.0, 30.0]}
    assert by_group(each, ["b", "a", "b"]) == {
        "b": {"l1": pytest.approx(0.35), "psnr": 25},
        "a": {"l1": 0.2, "psnr": 10},
    }
