"""Folders in, folders out: names, formats, what is carried over and skipped, and what happens on failure."""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from PIL import Image, ImageCms

from translate.images import ImageSpec, read
from translate.inference.files import Decoded, decode
from translate.inference.listing import RECORD, Failure
from translate.inference.process import Interrupted
from translate.inference.translator import Translator

Make = Callable[..., Any]


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    """Eight pictures of two sizes in a small tree, lossless so that results can be compared exactly."""
    folder = tmp_path / "in"
    (folder / "sub dir é中#%").mkdir(parents=True)
    rng = np.random.default_rng(1)
    for n in range(8):
        size = (20, 30) if n % 2 else (16, 16)
        name = f"sub dir é中#%/name {n}.png" if n > 4 else f"{n}.png"
        Image.fromarray(rng.integers(0, 256, (*size, 3), dtype=np.uint8)).save(folder / name)
    return folder


def opened(path: Path) -> Image.Image:
    with Image.open(path) as image:
        image.load()
        return image


def workers() -> list[str]:
    """Threads of conversions that are alive."""
    return [thread.name for thread in threading.enumerate() if thread.name.startswith("translate-convert")]


def pixels(folder: Path) -> dict[str, np.ndarray]:
    return {p.relative_to(folder).as_posix(): np.asarray(opened(p)) for p in folder.rglob("[!.]*") if p.is_file()}


def test_tree_names_and_pixels(inverter: Make, photos: Path, tmp_path: Path) -> None:
    report = Translator(inverter()).convert(photos, tmp_path / "out")
    inputs, outputs = pixels(photos), pixels(tmp_path / "out")
    assert inputs.keys() == outputs.keys()
    assert all(np.array_equal(outputs[name], 255 - inputs[name]) for name in inputs)
    assert (report.converted, report.existing, report.exit_code) == (8, 0, 0)
    assert report.rate > 0
    assert "converted 8 pictures" in report.summary()


@pytest.mark.parametrize("batch", [2, 3, 50])
def test_batches_of_any_size_give_the_same_files(inverter: Make, photos: Path, tmp_path: Path, batch: int) -> None:
    backend = inverter()
    Translator(inverter()).convert(photos, tmp_path / "one", batch=1, threads=1)
    Translator(backend).convert(photos, tmp_path / "many", batch=batch, threads=4)
    assert max(shape[0] for shape in backend.batches) == min(batch, 4)
    one, many = pixels(tmp_path / "one"), pixels(tmp_path / "many")
    assert one.keys() == many.keys()
    assert all(np.array_equal(one[name], many[name]) for name in one)


def test_the_next_pass_is_decoded_during_this_one(
    inverter: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """All of it, however many threads there are: the network must not wait for what could have been read before."""
    count, batch = 30, 10
    (tmp_path / "in").mkdir()
    for n in range(count):
        Image.new("RGB", (4, 4), (n, n, n)).save(tmp_path / "in" / f"{n:02}.png")
    decoded: list[Decoded | Failure] = []

    def watched(*args: Any, **options: Any) -> Decoded | Failure:
        decoded.append(decode(*args, **options))
        return decoded[-1]

    ready: list[bool] = []

    def before_the_pass_ends(passes: int) -> None:
        deadline = time.monotonic() + 10
        while len(decoded) < min(count, batch * (passes + 1)) and time.monotonic() < deadline:
            time.sleep(0.001)
        ready.append(time.monotonic() < deadline)

    monkeypatch.setattr("translate.inference.convert.decode", watched)
    backend = inverter(after=before_the_pass_ends)
    Translator(backend).convert(tmp_path / "in", tmp_path / "out", batch=batch, threads=2)
    assert [shape[0] for shape in backend.batches] == [batch] * 3
    assert ready == [True] * 3


@pytest.fixture
def heeds_ctrl_c() -> Iterator[None]:
    """What a shell starts in the background, these tests perhaps among it, ignores Ctrl-C."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.usefixtures("heeds_ctrl_c")
def test_an_interrupted_conversion_continues(inverter: Make, photos: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"

    def press(passes: int) -> None:
        if passes == 3:
            for _ in range(500):  # the first is being written meanwhile
                if list(out.glob("*.png")):
                    break
                time.sleep(0.01)
            signal.raise_signal(signal.SIGINT)

    with pytest.raises(Interrupted, match=r"stopped after \d of 8 pictures; the same command continues") as stopped:
        Translator(inverter(after=press)).convert(photos, out, batch=1)
    assert str(stopped.value).startswith(f"stopped after {len(pixels(out))} of")
    assert not workers()
    done = {name: (out / name).stat().st_mtime_ns for name in pixels(out)}
    assert 0 < len(done) <= 3
    report = Translator(inverter()).convert(photos, out)
    assert (report.existing, report.converted) == (len(done), 8 - len(done))
    assert all((out / name).stat().st_mtime_ns == when for name, when in done.items())
    assert pixels(out).keys() == pixels(photos).keys()
    assert "skipped" in report.summary()


def test_overwrite_replaces_outputs(inverter: Make, photos: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    out.mkdir()
    (out / "0.png").write_text("old")
    assert Translator(inverter()).convert(photos, out).existing == 1
    assert (out / "0.png").read_text() == "old"
    assert Translator(inverter()).convert(photos, out, overwrite=True).converted == 8
    assert opened(out / "0.png").size == (16, 16)


def test_in_place_if_asked(inverter: Make, photos: Path) -> None:
    before = pixels(photos)
    with pytest.raises(ValueError, match="--in-place"):
        Translator(inverter()).convert(photos, photos)
    assert all(np.array_equal(before[name], array) for name, array in pixels(photos).items())
    Translator(inverter()).convert(photos, photos, in_place=True)
    assert all(np.array_equal(255 - before[name], array) for name, array in pixels(photos).items())


def test_failures_are_listed_and_the_rest_is_done(inverter: Make, photos: Path, tmp_path: Path) -> None:
    (photos / "empty.jpg").touch()
    (photos / "text.png").write_text("no picture")
    (photos / "link.png").symlink_to("nowhere.png")
    (tmp_path / "out" / "3.png").mkdir(parents=True)  # in the way of an output
    report = Translator(inverter()).convert(photos, tmp_path / "out")
    assert report.converted == 7
    assert report.exit_code == 1
    assert {failure.path.name for failure in report.failures} == {
        "empty.jpg",
        "text.png",
        "link.png",
        "3.png",
    }
    for failure in report.failures:
        assert str(failure.path) in failure.reason
        assert failure.reason in report.summary()
    assert {p.name for p in (tmp_path / "out").rglob(".*")} == {RECORD}


def test_too_large_pictures_are_refused(inverter: Make, photos: Path, tmp_path: Path) -> None:
    report = Translator(inverter()).convert(photos, tmp_path / "out", max_pixels=300)
    assert report.converted == 4
    assert "--max-pixels" in report.failures[0].reason


def test_what_does_not_fit_in_memory_is_a_failure_of_that_picture(inverter: Make, photos: Path, tmp_path: Path) -> None:
    backend = inverter(fits=16 * 16)
    report = Translator(backend).convert(photos, tmp_path / "out", batch=4)
    assert report.converted == 4  # the small ones, though not together
    assert len(report.failures) == 4
    assert "30x20 pixels do not fit in the memory of cpu" in report.failures[0].reason


def test_a_folder_that_cannot_be_written(inverter: Make, photos: Path, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(ValueError, match="cannot be written to"):
        Translator(inverter()).convert(photos, tmp_path / "file" / "out")


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs a device that is always full")
def test_a_full_disk_stops_with_one_clear_line(
    inverter: Make, photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened = Path.open

    def full(path: Path, mode: str = "r", **options: Any) -> Any:
        if path.name.startswith(".2"):  # the disk fills up at the third picture, with a true error of the system
            return opened(Path("/dev/full"), "wb")
        return opened(path, mode, **options)

    monkeypatch.setattr(Path, "open", full)
    out = tmp_path / "out"
    with pytest.raises(ValueError, match=r"2\.png: cannot be written: No space left.*continues"):
        Translator(inverter()).convert(photos, out)
    monkeypatch.undo()
    assert "2.png" not in pixels(out)
    assert {p.name for p in out.rglob(".*")} == {RECORD}
    assert Translator(inverter()).convert(photos, out).exit_code == 0
    assert pixels(out).keys() == pixels(photos).keys()


def test_formats_that_cannot_hold_the_target(inverter: Make, tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    for name in ("a.jpg", "b.bmp", "c.png", "d.tif", "a.gif"):
        Image.new("RGB", (8, 8), "gray").save(tmp_path / "in" / name)
    report = Translator(inverter((3, "uint8"), (3, "uint16"))).convert(tmp_path / "in", tmp_path / "out")
    names = sorted(p.name for p in (tmp_path / "out").glob("[!.]*"))
    assert names == ["a.gif.png", "a.jpg.png", "b.png", "c.png", "d.tif"]
    for name in names:
        assert read(tmp_path / "out" / name).pixels.dtype == np.uint16
    assert {note.text.split()[0]: note.count for note in report.notes} == {"JPEG": 1, "BMP": 1, "GIF": 1}
    assert "JPEG cannot hold 16-bit pictures of 3 channels: written as PNG (1 picture, first a.jpg)" in report.summary()


@pytest.mark.parametrize(
    "target", [(1, "uint8"), (3, "uint8"), (4, "uint8"), (1, "uint16"), (3, "float32"), (5, "uint16")]
)
def test_outputs_have_the_channels_and_depth_of_the_target(
    inverter: Make, tmp_path: Path, target: tuple[int, str]
) -> None:
    Image.new("RGBA", (9, 7), (255, 255, 255, 128)).save(tmp_path / "a.png")
    report = Translator(inverter((3, "uint8"), target)).convert(tmp_path / "a.png", f"{tmp_path}/out/")
    (made,) = [read(path) for path in (tmp_path / "out").glob("[!.]*")]
    full = {"uint8": 255, "uint16": 65535, "float32": 1}[target[1]]
    assert made.pixels.dtype == target[1]
    if target[0] == 5:
        assert made.pixels.shape == (7, 9, 5)
        assert "transparency left out: the outputs are 5 bands" in [note.text for note in report.notes]
        return
    assert made.pixels.shape == (7, 9, 3 if target[0] == 4 else target[0])
    expected = 0 if target[0] == 4 else 128 / 255 * full  # a target with alpha makes its own: the inverse of white
    assert made.alpha is not None
    assert np.abs(made.alpha.astype(float) - expected).max() <= 0.5


def test_sixteen_bits_in_and_out_are_exact(inverter: Make, tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    deep = np.random.default_rng(2).integers(0, 65536, (12, 10), dtype=np.uint16)
    colour = np.random.default_rng(3).integers(0, 65536, (12, 10, 3), dtype=np.uint16)
    for suffix in ("png", "tif"):
        cv2.imwrite(str(tmp_path / "in" / f"gray.{suffix}"), deep)
        cv2.imwrite(str(tmp_path / "in" / f"colour.{suffix}"), colour)
    Translator(inverter((3, "uint16"), (3, "uint16"))).convert(tmp_path / "in", tmp_path / "out")
    for suffix in ("png", "tif"):
        gray: Any = cv2.imread(str(tmp_path / "out" / f"gray.{suffix}"), cv2.IMREAD_UNCHANGED)
        assert np.array_equal(gray, 65535 - np.repeat(deep[..., None], 3, 2))
        made: Any = cv2.imread(str(tmp_path / "out" / f"colour.{suffix}"), cv2.IMREAD_UNCHANGED)
        assert np.array_equal(made, 65535 - colour)


def test_metadata_is_carried_and_orientation_reset(inverter: Make, tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    exif = Image.Exif()
    exif[0x0112], exif[0x010F] = 6, "Maker"
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    for name in ("a.jpg", "a.png", "a.webp"):
        Image.new("RGB", (8, 4), "red").save(tmp_path / "in" / name, exif=exif, icc_profile=profile)
    t = Translator(inverter())
    t.convert(tmp_path / "in", tmp_path / "out")
    t.convert(tmp_path / "in", tmp_path / "bare", keep_metadata=False)
    for name in ("a.jpg", "a.png", "a.webp"):
        made = opened(tmp_path / "out" / name)
        assert made.size == (4, 8)
        assert made.getexif()[0x0112] == 1
        assert made.getexif()[0x010F] == "Maker"
        assert made.info["icc_profile"] == profile
        bare = opened(tmp_path / "bare" / name)
        assert bare.size == (4, 8)
        assert not dict(bare.getexif())
        assert "icc_profile" not in bare.info


def test_what_a_format_cannot_hold_is_said(inverter: Make, tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x010F] = "Maker"
    Image.new("RGBA", (8, 4), (255, 0, 0, 100)).save(tmp_path / "a.png", exif=exif)
    frames = [Image.new("L", (8, 4), value) for value in (0, 255)]
    frames[0].save(tmp_path / "b.webp", save_all=True, append_images=frames[1:])

    def notes(name: str, destination: str) -> list[str]:
        report = Translator(inverter()).convert(tmp_path / name, tmp_path / destination)
        return [note.text for note in report.notes]

    assert notes("a.png", "a.jpg") == ["transparency left out: JPEG cannot hold it"]
    assert opened(tmp_path / "a.jpg").mode == "RGB"
    assert notes("a.png", "a.bmp") == [
        "EXIF and colour profile left out: BMP cannot hold them (colours are sRGB)",
        "transparency left out: BMP cannot hold it",
    ]
    assert notes("b.webp", "b.png") == ["an animation or several pages: the first was converted"]
    assert opened(tmp_path / "b.png").getpixel((0, 0)) == (255, 255, 255)
    (tmp_path / "c.jpg").write_bytes((tmp_path / "b.png").read_bytes())
    assert notes("c.jpg", "d.jpg") == ["PNG under the name of another type: written as JPEG"]


def test_label_maps_keep_their_exact_colours(inverter: Make, card: Make, tmp_path: Path) -> None:
    """Neither a profile nor the noise of a lossy format may change colours that are codes."""
    palette = ((0, 0, 0), (255, 255, 255), (10, 200, 30))
    labels = ImageSpec(channels=3, kind="labels", palette=palette)
    backend = inverter(card=card(target=labels))
    swapped = bytearray(ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes())
    red, green = swapped.index(b"rXYZ"), swapped.index(b"gXYZ")
    swapped[red : red + 4], swapped[green : green + 4] = b"gXYZ", b"rXYZ"  # a profile that is far from sRGB
    Image.new("RGB", (8, 4), "white").save(tmp_path / "a.png", icc_profile=bytes(swapped))
    Translator(backend).convert(tmp_path / "a.png", tmp_path / "b.png")
    assert opened(tmp_path / "b.png").getpixel((0, 0)) == (0, 0, 0)
    assert "icc_profile" not in opened(tmp_path / "b.png").info
    noise = np.random.default_rng(0).integers(0, 2, (16, 16, 1), dtype=np.uint8).repeat(3, -1) * 255
    (tmp_path / "in").mkdir()
    Image.fromarray(noise).save(tmp_path / "in" / "c.jpg", quality=100)
    report = Translator(backend).convert(tmp_path / "in", tmp_path / "out")
    assert [note.text for note in report.notes if "JPEG" in note.text] == [
        "JPEG cannot hold label maps without changing their colours: written as PNG"
    ]
    assert set(pixels(tmp_path / "out")) == {"c.png"}


def test_scale_enlarges_outputs(inverter: Make, photos: Path, tmp_path: Path) -> None:
    Translator(inverter(scale=2)).convert(photos / "0.png", tmp_path / "big.png")
    assert opened(tmp_path / "big.png").size == (32, 32)


def test_derive_makes_the_source_as_training_did(inverter: Make, card: Make, tmp_path: Path) -> None:
    """Also where it is drawn at random: the same for a file whatever is converted beside it."""
    (tmp_path / "in").mkdir()
    photo = np.random.default_rng(5).integers(0, 256, (24, 20, 3), dtype=np.uint8)
    for name in ("a.png", "b.png"):
        Image.fromarray(photo).save(tmp_path / "in" / name)
    gray = Translator(inverter((1, "uint8"), (3, "uint8"), derive="gray"))
    gray.convert(tmp_path / "in" / "a.png", tmp_path / "gray.png", derive=True)
    expected = 255 - np.asarray(Image.fromarray(photo).convert("L")).astype(int)
    assert np.abs(np.asarray(opened(tmp_path / "gray.png"))[..., 0] - expected).max() <= 1
    holes = Translator(inverter((4, "uint8"), (3, "uint8"), derive="holes", derive_amount=0.3))
    holes.convert(tmp_path / "in", tmp_path / "all", derive=True)
    holes.convert(tmp_path / "in" / "b.png", tmp_path / "one.png", derive=True)
    made = pixels(tmp_path / "all")
    assert np.array_equal(made["b.png"], np.asarray(opened(tmp_path / "one.png")))
    assert not np.array_equal(made["a.png"], made["b.png"])


def test_quality(inverter: Make, tmp_path: Path) -> None:
    noise = np.random.default_rng(4).integers(0, 256, (64, 64, 3), dtype=np.uint8)
    Image.fromarray(noise).save(tmp_path / "a.png")
    t = Translator(inverter())
    t.convert(tmp_path / "a.png", tmp_path / "fine.jpg")
    t.convert(tmp_path / "a.png", tmp_path / "coarse.jpg", quality=10)
    assert (tmp_path / "coarse.jpg").stat().st_size < (tmp_path / "fine.jpg").stat().st_size / 2


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"qualty": 3}, "did you mean"),
        ({"quality": 101}, "--quality got 101"),
        ({"batch": 0}, "--batch got 0"),
        ({"derive": True}, "--derive"),
        ({"device": "cpu"}, "--device"),
    ],
)
def test_wrong_options_start_nothing(
    inverter: Make, photos: Path, tmp_path: Path, options: dict[str, Any], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        Translator(inverter()).convert(photos, tmp_path / "out", **options)
    assert not (tmp_path / "out").exists()
