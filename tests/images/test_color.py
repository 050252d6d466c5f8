"""ICC profiles against colour science worked out here, not against littlecms."""

from __future__ import annotations

import struct
from pathlib import Path

import imagecodecs
import numpy as np
import pytest
import tifffile
from PIL import Image, ImageCms

from translate.images import read, write

GAMMA = 2.19921875  # of Adobe RGB (1998)
TO_XYZ = {  # linear colour to XYZ under D65, as published by Adobe and in IEC 61966-2-1
    "adobe": [[0.57667, 0.18556, 0.18823], [0.29734, 0.62736, 0.07529], [0.02703, 0.07069, 0.99134]],
    "srgb": [[0.41246, 0.35758, 0.18044], [0.21267, 0.71515, 0.07218], [0.01933, 0.11919, 0.95030]],
}


def srgb_curve(light: np.ndarray) -> np.ndarray:
    light = np.clip(light, 0, 1)
    return np.where(light <= 0.0031308, 12.92 * light, 1.055 * light ** (1 / 2.4) - 0.055)


def by_hand(shares: np.ndarray) -> np.ndarray:
    """Adobe RGB -> sRGB, both 0 to 1."""
    matrix = np.linalg.inv(TO_XYZ["srgb"]) @ np.array(TO_XYZ["adobe"])
    return srgb_curve(shares**GAMMA @ matrix.T)


@pytest.fixture(scope="module")
def adobe() -> bytes:
    return imagecodecs.cms_profile(
        "rgb",
        whitepoint=[0.3127, 0.3290, 1.0],
        primaries=[0.64, 0.33, 1, 0.21, 0.71, 1, 0.15, 0.06, 1],
        gamma=GAMMA,
    )


@pytest.fixture(scope="module")
def gray18() -> bytes:
    return imagecodecs.cms_profile("gray", gamma=1.8)


@pytest.fixture(scope="module")
def muted() -> np.ndarray:
    """`[24, 32, 3]` in 0 to 1 whose colours lie within sRGB in either space."""
    y, x = np.mgrid[:24, :32]
    return np.stack([0.3 + x / 80, 0.35 + y / 60, 0.3 + (x + y) / 140], -1)


def test_colour_of_8_bits(adobe: bytes, muted: np.ndarray, tmp_path: Path) -> None:
    stored = np.rint(muted * 255).astype(np.uint8)
    Image.fromarray(stored).save(tmp_path / "a.png", icc_profile=adobe)
    picture = read(tmp_path / "a.png")
    expected = by_hand(stored / 255) * 255
    assert np.abs(expected - stored).max() > 5  # the profile matters
    assert np.abs(picture.pixels - expected).max() < 1.1
    assert picture.icc == adobe


@pytest.mark.parametrize("suffix", [".png", ".tif"])
def test_colour_of_16_bits(suffix: str, adobe: bytes, muted: np.ndarray, tmp_path: Path) -> None:
    stored = np.rint(muted * 65535).astype(np.uint16)
    tifffile.imwrite(tmp_path / "a.tif", stored, photometric="rgb", iccprofile=adobe)
    if suffix == ".png":
        picture = read(tmp_path / "a.tif")
        write(tmp_path / "a.png", picture.pixels, icc=picture.icc)
    pixels = read(tmp_path / f"a{suffix}").pixels
    assert np.abs(pixels - by_hand(stored / 65535) * 65535).max() < 200  # of 65535: eight bits could not


def test_gray(gray18: bytes, tmp_path: Path) -> None:
    ramp = np.arange(256, dtype=np.uint8).reshape(16, 16)
    Image.fromarray(ramp).save(tmp_path / "a.png", icc_profile=gray18)
    expected = srgb_curve((ramp / 255) ** 1.8)
    picture = read(tmp_path / "a.png")
    assert picture.pixels.shape == (16, 16, 1)
    assert np.abs(picture.pixels[..., 0] - expected * 255).max() < 1.1
    tifffile.imwrite(tmp_path / "a.tif", ramp.astype(np.uint16) * 257, iccprofile=gray18)
    assert np.abs(read(tmp_path / "a.tif").pixels[..., 0] - expected * 65535).max() < 200


@pytest.mark.parametrize("suffix", [".png", ".jpg", ".webp", ".tif"])
def test_look_and_profile_survive(suffix: str, adobe: bytes, muted: np.ndarray, tmp_path: Path) -> None:
    srgb = np.rint(muted * 255).astype(np.uint8)
    write(tmp_path / f"a{suffix}", srgb, icc=adobe, quality=100)
    with Image.open(tmp_path / f"a{suffix}") as image:
        assert image.info["icc_profile"] == adobe
        stored = np.array(image)
    assert np.abs(by_hand(stored / 255) * 255 - srgb).mean() < (3 if suffix == ".webp" else 1.5)
    again = read(tmp_path / f"a{suffix}").pixels
    assert np.abs(again.astype(int) - srgb).mean() < (3 if suffix == ".webp" else 1.5)


@pytest.mark.parametrize("dtype", ["uint8", "uint16"])
def test_gray_profile_survives(dtype: str, gray18: bytes, tmp_path: Path) -> None:
    ramp = np.linspace(0, np.iinfo(dtype).max, 256).astype(dtype).reshape(16, 16, 1)
    write(tmp_path / "a.png", ramp, icc=gray18)
    picture = read(tmp_path / "a.png")
    assert picture.icc == gray18
    assert np.abs(picture.pixels.astype(int) - ramp).max() <= 2 * np.iinfo(dtype).max // 255


def test_srgbs_own_profile_changes_nothing(photo: np.ndarray, tmp_path: Path) -> None:
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    write(tmp_path / "a.png", photo, icc=profile)
    picture = read(tmp_path / "a.png")
    np.testing.assert_array_equal(picture.pixels, photo)
    assert picture.icc == profile


@pytest.mark.parametrize("kind", ["broken", "gray for colour", "none at all"])
def test_an_unfit_profile_is_left_out(kind: str, gray18: bytes, photo: np.ndarray, tmp_path: Path) -> None:
    profile = {"broken": b"x" * 200, "gray for colour": gray18, "none at all": b""}[kind]
    Image.fromarray(photo).save(tmp_path / "a.png", icc_profile=profile)
    picture = read(tmp_path / "a.png")
    np.testing.assert_array_equal(picture.pixels, photo)
    assert picture.icc is None
    write(tmp_path / "b.png", photo, icc=profile)
    with Image.open(tmp_path / "b.png") as image:
        assert "icc_profile" not in image.info
        np.testing.assert_array_equal(np.array(image), photo)


def test_floats_are_measurements(adobe: bytes, muted: np.ndarray, tmp_path: Path) -> None:
    values = (muted * 40 - 7).astype(np.float32)
    tifffile.imwrite(tmp_path / "a.tif", values, photometric="rgb", iccprofile=adobe)
    picture = read(tmp_path / "a.tif")
    np.testing.assert_array_equal(picture.pixels, values)
    assert picture.icc is None


def test_palette_follows_the_profile(adobe: bytes, muted: np.ndarray, tmp_path: Path) -> None:
    image = Image.fromarray(np.rint(muted * 255).astype(np.uint8)).quantize(16)
    stored = np.array(image.convert("RGB"))
    image.save(tmp_path / "a.png", icc_profile=adobe)
    picture = read(tmp_path / "a.png")
    assert np.abs(picture.pixels - by_hand(stored / 255) * 255).max() < 1.1
    assert picture.palette is not None
    assert {tuple(c) for c in picture.pixels.reshape(-1, 3)} <= {tuple(c) for c in picture.palette}


def cmyk_profile() -> bytes:
    """A press whose cyan prints red, so that only the profile explains the result. ICC.1:2001, lut8Type."""
    red, white, black = (136, 208, 195), (255, 128, 128), (0, 128, 128)  # Lab in 8 bits
    corners = [black if k else red if c else white for c in (0, 1) for _ in range(4) for k in (0, 1)]
    identity = struct.pack(">9i", *(65536 if i % 4 == 0 else 0 for i in range(9)))
    ramp = bytes(range(256))
    table = b"mft1" + bytes(4) + bytes([4, 3, 2, 0]) + identity + ramp * 4
    table += bytes(v for corner in corners for v in corner) + ramp * 3
    tags = {
        b"desc": b"desc" + bytes(4) + struct.pack(">I", 5) + b"test\0" + bytes(78),
        b"cprt": b"text" + bytes(4) + b"none\0",
        b"wtpt": b"XYZ " + bytes(4) + struct.pack(">3i", 63190, 65536, 54061),
        b"A2B0": table,
    }
    index, body = struct.pack(">I", len(tags)), b""
    for name, data in tags.items():
        index += name + struct.pack(">II", 128 + 4 + 12 * len(tags) + len(body), len(data))
        body += data + bytes(-len(data) % 4)
    header = struct.pack(">I4sI4s4s4s", 0, bytes(4), 0x02400000, b"prtr", b"CMYK", b"Lab ") + bytes(12) + b"acsp"
    header += bytes(28) + struct.pack(">3i", 63190, 65536, 54061) + bytes(48)
    whole = header + index + body
    return struct.pack(">I", len(whole)) + whole[4:]


@pytest.mark.parametrize("suffix", [".jpg", ".tif"])
def test_cmyk_with_and_without_a_profile(suffix: str, tmp_path: Path) -> None:
    cyan = Image.new("CMYK", (32, 32), (255, 0, 0, 0))
    cyan.save(tmp_path / f"plain{suffix}", quality=100)
    plain = read(tmp_path / f"plain{suffix}")
    assert plain.pixels.shape == (32, 32, 3)
    assert np.abs(plain.pixels.astype(int) - (0, 255, 255)).max() <= 2
    cyan.save(tmp_path / f"press{suffix}", quality=100, icc_profile=cmyk_profile())
    press = read(tmp_path / f"press{suffix}")
    red, green, blue = press.pixels[16, 16].tolist()
    assert red > 200
    assert green < 60
    assert blue < 60
    assert press.icc is None  # it cannot describe the RGB pixels that are written


def test_cmyk_formula_is_pillows(photo: np.ndarray, tmp_path: Path) -> None:
    inks = np.random.default_rng(0).integers(0, 256, (20, 30, 4), dtype=np.uint8)
    image = Image.frombytes("CMYK", (30, 20), inks.tobytes())
    image.save(tmp_path / "a.tif")
    expected = np.array(image.convert("RGB")).astype(int)
    assert np.abs(read(tmp_path / "a.tif").pixels - expected).max() <= 1
    tifffile.imwrite(tmp_path / "b.tif", inks.astype(np.uint16) * 257, photometric="separated")
    assert np.abs(read(tmp_path / "b.tif").pixels / 257 - expected).max() <= 1
