"""Small files that would take gigabytes or minutes are refused, in a process whose memory and time are watched."""

from __future__ import annotations

import io
import json
import struct
import subprocess
import sys
from pathlib import Path

import pytest

from tests.hostile_files import FILES, HARMLESS, MIB, chunk, jpeg_with_exif, small_png
from translate.images import ImageError, read
from translate.images.exif import PREFIX, is_bomb

ROOM = 200  # MB above what the process had before
SECONDS = 2  # of processor time: the machine may be busy with more

WATCHED = """
import gc, json, sys, time, warnings
from pathlib import Path
from translate.images import ImageError, read
warnings.simplefilter("ignore")
clear, status = Path("/proc/self/clear_refs"), Path("/proc/self/status")
def memory(line):
    return int(next(text for text in status.read_text().splitlines() if text.startswith(line)).split()[1]) / 1024
folder = Path(sys.argv[1])
try: read(folder / "warm")
except ImageError: pass
for path in sorted(folder.iterdir()):
    gc.collect()
    before = memory("VmRSS:")
    clear.write_text("5")  # the peak begins anew
    start = time.process_time()
    try: told = f"read: {read(path).pixels.shape}"
    except ImageError as error: told = str(error).split(": ", 1)[1]
    print(json.dumps([path.name, told, memory("VmHWM:") - before, time.process_time() - start]), flush=True)
"""


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/clear_refs").exists(), reason="memory is watched through Linux's /proc")
def test_each_is_refused_within_little_memory_and_time(tmp_path: Path) -> None:
    for name, make in (FILES | HARMLESS).items():
        (tmp_path / name).write_bytes(make())
    with (tmp_path / "long.webp").open("wb") as long:  # with a hole in it, which takes no room on the disk
        long.write(HARMLESS["webp"]())
        long.truncate(3 * 2**30)
    done = subprocess.run(
        [sys.executable, "-c", WATCHED, str(tmp_path)], capture_output=True, text=True, timeout=100, check=False
    )
    assert done.stderr == ""
    found = {name: rest for name, *rest in map(json.loads, done.stdout.splitlines())}
    assert found.keys() == {*FILES, *HARMLESS, "long.webp"}
    too_much = {name: rest for name, rest in found.items() if rest[1] > ROOM or rest[2] > SECONDS}
    assert not too_much
    decoded = {name: told for name, (told, _, _) in found.items() if told.startswith("read") and name not in HARMLESS}
    assert not decoded
    assert {told.split(": ")[0] for name, (told, _, _) in found.items() if name in HARMLESS} == {"read"}
    assert not [told for told, _, _ in found.values() if "not enough memory" in told]


@pytest.mark.parametrize("name", HARMLESS)
def test_a_bomb_that_is_no_pixels_is_passed_over(name: str, tmp_path: Path) -> None:
    """Metadata that would take gigabytes: the picture is read, and they are left out."""
    path = tmp_path / "picture"
    path.write_bytes(HARMLESS[name]())
    picture = read(path)
    assert picture.pixels.size
    assert picture.icc is None
    assert picture.exif is None or not is_bomb(io.BytesIO(picture.exif.removeprefix(PREFIX)))


def test_the_limit_counts_bytes(tmp_path: Path) -> None:
    """16 for each of `max_pixels`, whatever has the most of them: bands, or what a band takes."""
    from tests.hostile_files import LONG, one_page

    path = tmp_path / "bands.tif"
    path.write_bytes(one_page(bytes(8 * 8 * 64), 8, 8, bands=64, compression=1))
    assert read(path, max_pixels=8 * 8 * 4).pixels.shape == (8, 8, 64)
    with pytest.raises(ImageError, match=r"8x8 pixels of 64 bytes take 4,096 bytes, over the limit of 4,080"):
        read(path, max_pixels=8 * 8 * 4 - 1)
    path.write_bytes(one_page(bytes(8 * 8 * 64), 8, 8, compression=1, t32997=(LONG, [64])))
    with pytest.raises(ImageError, match="a volume 64 deep"):
        read(path)


def test_a_block_with_a_broken_tag_still_says_which_way_up(tmp_path: Path) -> None:
    """A value that lies beyond the block's end is not counted, and takes nothing from the others."""
    tags = struct.pack("<HHHIIHHII", 2, 0x0112, 3, 1, 6, 0x927C, 7, 2**31, 8) + bytes(4)
    block = (b"II*\0\x08\0\0\0" + tags).ljust(40_000, b"\0")
    path = tmp_path / "a.jpg"
    path.write_bytes(jpeg_with_exif(block, "RGB"))
    picture = read(path)
    assert picture.pixels.shape == (64, 48, 3)
    assert picture.exif is not None


def test_small_pictures_are_read_however_few_pixels_are_allowed(tmp_path: Path) -> None:
    path = tmp_path / "a.png"
    path.write_bytes(small_png(chunk(b"tEXt", b"x\0" + bytes(MIB))))
    assert read(path, max_pixels=64).pixels.shape == (8, 8, 1)
