"""Pictures whose contents are checked while training goes on: the training is the same."""

import shutil
import struct
import zlib

import pytest

from tests.training.test_run import assert_same, final_state, tiny
from translate.datasets import background, batches
from translate.datasets.preparation import looking, scan
from translate.training.guard import TrainingStopped
from translate.training.run import train
from translate.training.session import Session


@pytest.fixture
def started(monkeypatch):
    """The processes that check, none of which comes to an end; and every set is large."""
    monkeypatch.setattr(scan, "MIN_GLANCED", 1)
    monkeypatch.setattr(scan, "DECODED_AT_ONCE", 2)
    monkeypatch.setattr(background, "COMMAND", "import time; time.sleep(1000)")
    found, before = [], background.start

    def start(*given):
        found.append(before(*given))
        return found[-1]

    monkeypatch.setattr(background, "start", start)
    return found


def test_training_is_the_same_and_the_check_ends_with_it(fronts, tmp_path, started, monkeypatch):
    train("pix2pix", **tiny(fronts, tmp_path / "meanwhile", steps=3))
    assert [process.poll() is None for process in started] == [False]
    monkeypatch.setattr(scan, "MIN_GLANCED", 10**6)
    train("pix2pix", **tiny(fronts, tmp_path / "before", steps=3))
    assert len(started) == 1
    assert_same(*(final_state(tmp_path / name) for name in ("meanwhile", "before")))


def test_the_check_ends_with_an_error(fronts, tmp_path, started, monkeypatch):
    before = Session.advance

    def advance(session, batches):
        if session.done == 2:
            raise OSError("no space left")
        before(session, batches)

    monkeypatch.setattr(Session, "advance", advance)
    with pytest.raises(TrainingStopped, match="no space"):
        train("pix2pix", **tiny(fronts, tmp_path / "run"))
    assert [process.poll() is None for process in started] == [False]


def test_a_run_that_goes_on_with_other_pictures_decodes_all_of_them_first(fronts, tmp_path, started):
    train("pix2pix", **tiny(fronts, tmp_path / "run", steps=2))
    train(resume=tmp_path / "run", steps=3)
    assert len(started) == 2
    train(resume=tmp_path / "run", steps=4, accept_changed_data=True)
    assert len(started) == 2


def damage(path):
    """Its pixels, with a checksum that is right: only decoding finds it."""
    data = bytearray(path.read_bytes())
    place = data.index(b"IDAT")
    (length,) = struct.unpack_from(">I", data, place - 4)
    data[place + 6] ^= 6
    data[place + 4 + length : place + 8 + length] = struct.pack(">I", zlib.crc32(data[place : place + 4 + length]))
    path.write_bytes(data)


def test_at_a_damaged_picture_training_stops_and_goes_on_without_it(fronts, tmp_path, started, monkeypatch):
    monkeypatch.setattr(looking, "_chance", lambda wanted: 1)  # none is decoded at once
    monkeypatch.setattr(batches, "RETRIES", ())
    shutil.copytree(fronts, tmp_path / "data")
    damaged = sorted((tmp_path / "data" / "train").iterdir())[3]
    damage(damaged)
    with pytest.raises(ValueError, match=f"--strict: 1 file .*{damaged.name}"):
        train("pix2pix", **tiny(tmp_path / "data", tmp_path / "strict", strict=True))
    with pytest.raises(TrainingStopped, match=f"{damaged.name}: cannot be decoded.*with the state saved"):
        train("pix2pix", **tiny(tmp_path / "data", tmp_path / "run", steps=20, validate_every=100))
    assert train(resume=tmp_path / "run", steps=14, accept_changed_data=True).finished
