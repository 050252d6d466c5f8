"""Files that are written beside the training: what is written, when, and what becomes of errors."""

from __future__ import annotations

import threading
from typing import Any

import pytest
import torch
from torch import nn

from translate.training import writer as writing
from translate.training.folder import RunFolder
from translate.training.run import train
from translate.training.session import Session
from translate.training.writer import Writer

PATIENCE = 60.0  # seconds until a thread that hangs fails a test


@pytest.fixture
def gate():
    """Opened at the end, so that no thread is left."""
    event = threading.Event()
    yield event
    event.set()


def held(gate, written, name):
    """A way to save that waits for the gate, then notes the name and the value."""

    def save(value):
        assert gate.wait(PATIENCE)
        written.append((name, value))

    return save


def test_a_file_has_the_values_of_the_moment_at_which_it_was_asked_for(gate):
    writer, written = Writer(), list[Any]()
    state = {"weights": torch.arange(3.0), "count": [1, 2], "steps": (torch.tensor(4),), "name": "a"}
    writer.write(held(gate, written, "file"), state)
    writer.start()
    state["weights"] += 1
    state["count"].append(3)
    gate.set()
    writer.wait()
    ((_, found),) = written
    assert torch.equal(found["weights"], torch.arange(3.0))
    assert (found["count"], found["steps"], found["name"]) == ([1, 2], (torch.tensor(4),), "a")


def test_a_tensor_of_several_files_is_copied_once_and_shares_its_memory_as_before():
    writer, written = Writer(), list[Any]()
    whole = torch.arange(6.0)
    for _ in range(2):
        writer.write(written.append, {"all": whole, "again": whole.detach(), "part": whole[2:], "other": whole + 0})
    writer.start()
    writer.wait()
    first, second = written
    assert first["all"] is first["again"] is second["all"]
    assert first["all"].data_ptr() != whole.data_ptr()
    assert first["part"] is second["part"]
    assert torch.equal(first["part"], whole[2:])
    assert first["other"] is not second["other"]  # freed before the second was made, it may lie at the same place


def test_layouts_and_versions_of_modules_are_kept():
    writer, written = Writer(), list[Any]()
    layers = nn.Sequential(nn.Conv2d(3, 4, 2), nn.BatchNorm2d(4)).to(memory_format=torch.channels_last)
    state = layers.state_dict()
    writer.write(written.append, {"model": state})
    writer.start()
    writer.wait()
    (found,) = written
    assert type(found["model"]) is type(state)
    assert found["model"]._metadata == state._metadata
    assert found["model"]["0.weight"].stride() == state["0.weight"].stride()


def test_training_goes_on_while_a_file_is_written_and_the_next_one_waits(gate):
    writer, written = Writer(), list[Any]()
    writer.write(held(gate, written, "first"), 1)
    writer.write(held(gate, written, "of the same batch"), 2)
    writer.start()  # returns though the gate is closed
    writer.check()
    done = threading.Event()

    def next_batch():
        writer.write(held(gate, written, "second"), torch.ones(1))
        writer.start()
        done.set()

    other = threading.Thread(target=next_batch)
    other.start()
    assert not done.wait(0.05)
    assert written == []
    gate.set()
    assert done.wait(PATIENCE)
    other.join()
    writer.wait()
    assert [name for name, _ in written] == ["first", "of the same batch", "second"]


@pytest.mark.parametrize("asked", ["check", "wait", "write"])
def test_an_error_of_the_thread_is_raised_once_and_by_whatever_comes_next(asked):
    writer, written = Writer(), list[Any]()

    def fail(value):
        raise OSError("disk full")

    writer.write(fail, 1)
    writer.write(written.append, 2)
    writer.start()
    writer._thread.join()
    arguments = (written.append, 3) if asked == "write" else ()
    with pytest.raises(OSError, match="disk full"):
        getattr(writer, asked)(*arguments)
    assert written == []  # as a program that writes them one after the other
    writer.wait()
    assert writer.end() is None


def test_the_end_writes_all_and_hands_over_the_error():
    writer, written = Writer(), list[Any]()
    writer.write(written.append, 1)
    assert writer.end() is None
    assert written == [1]
    writer.write(lambda value: int("x"), 2)
    assert isinstance(writer.end(), ValueError)
    assert writer.end() is None


def test_the_last_files_are_written_without_a_copy_and_after_all_others(gate):
    writer, written, tensor = Writer(), list[Any](), torch.ones(2)
    writer.write(held(gate, written, "beside"), 1)
    writer.start()
    threading.Timer(0.05, gate.set).start()
    writer.direct = True
    writer.write(lambda value: written.append(("direct", value)), tensor)
    assert [name for name, _ in written] == ["beside", "direct"]
    assert written[1][1] is tensor


def test_where_there_is_no_memory_for_a_copy_files_are_written_at_once_and_in_order(monkeypatch):
    writer, written = Writer(), list[Any]()
    writer.write(written.append, "first")

    def none(tensor):
        raise RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory: out of memory")

    monkeypatch.setattr(writing, "_on_host", none)
    tensor = torch.ones(1)
    writer.write(written.append, tensor)
    assert written[0] == "first"
    assert written[1] is tensor
    writer.end()


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU that CUDA can use")
def test_copies_from_a_gpu_have_the_values_of_their_moment_though_the_queue_is_long(gate):
    """They are asked for in the stream of the training, and nobody waits for them."""
    writer, written = Writer(), list[Any]()
    weights = torch.zeros(4_000_000, device="cuda")
    busy = torch.ones(4096, 4096, device="cuda")
    for _ in range(50):
        busy = busy @ busy / 4096
    weights += 1
    writer.write(held(gate, written, "file"), {"weights": weights, "moments": weights[::2]})
    writer.start()
    weights += 1
    gate.set()
    writer.wait()
    ((_, found),) = written
    assert found["weights"].device.type == "cpu"
    assert bool((found["weights"] == 1).all())
    assert bool((found["moments"] == 1).all())


def test_steps_are_made_while_a_checkpoint_is_written(fronts, tmp_path, monkeypatch):
    """The write of step 2 ends only once step 3 has been made."""
    third, plain, advance = threading.Event(), RunFolder.save_checkpoint, Session.advance
    beside = []

    def save(folder, step, *args, **kwargs):
        beside.append(third.wait(PATIENCE) and threading.current_thread() is not threading.main_thread())
        plain(folder, step, *args, **kwargs)

    def note(session, batches):
        advance(session, batches)
        if session.done == 3:
            third.set()

    monkeypatch.setattr(RunFolder, "save_checkpoint", save)
    monkeypatch.setattr(Session, "advance", note)
    small: dict[str, Any] = {
        "size": 32,
        "width": 4,
        "discriminator_width": 4,
        "patch": 16,
        "samples": 0,
        "tensorboard": False,
    }
    run = train("pix2pix", data=fronts, out=tmp_path / "run", steps=4, checkpoint_every=2, validate_every=100, **small)
    assert beside == [True, False]  # the last one is written by the main thread
    assert RunFolder(run.path).checkpoint_steps() == [2, 4]
