"""Files of a run, written by a thread beside the training from copies of the tensors."""

from __future__ import annotations

import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor

from translate.devices import is_out_of_memory

Save = Callable[[Any], object]


class Writer:
    """Writes files one batch at a time, in a thread of its own, and in the order in which they were asked for.

    `write` copies the tensors of one file into the memory of the host, a tensor of several files once; `start` hands
    the files since the last `start` to the thread. A `write` waits until the batch before has been written, so that
    there is one copy at most. What the thread raises is raised by the next call.

    With `direct` files are written at once, without a copy: at the end of a run there is no training to go on beside.
    """

    def __init__(self) -> None:
        self.direct = False
        self._batch: list[tuple[Save, Any]] = []  # not handed over yet
        self._copies: dict[tuple[Any, ...], tuple[Tensor, Tensor]] = {}  # of this batch: tensor and copy
        self._thread: threading.Thread | None = None
        self._error: BaseException | None = None
        self._seconds = 0.0

    def write(self, save: Save, value: Any) -> None:
        """Have `save(value)` called by the thread, with copies of the tensors in nested dictionaries and lists.

        Raises:
            OSError: of an earlier file, or with `direct` of this one.
        """
        self.wait()
        if not self.direct:
            try:
                self._batch.append((save, self._copied(value)))
            except (RuntimeError, MemoryError) as error:
                if not is_out_of_memory(error):
                    raise
                self.start()  # no room for a copy: what has one goes first
                self.wait()
            else:
                return
        save(value)

    def start(self) -> None:
        """Hand over to the thread what was asked for since the last call."""
        batch, self._batch, copies, self._copies = self._batch, [], self._copies, {}
        if not batch:
            return
        ready = []
        for device in {tensor.device for tensor, _ in copies.values() if tensor.is_cuda}:
            event = torch.cuda.Event()
            event.record(torch.cuda.current_stream(device))
            ready.append(event)
        self._thread = threading.Thread(target=self._work, args=(batch, ready), name="write-run", daemon=True)
        self._thread.start()

    def check(self) -> None:
        """Raise what a finished thread met, if anything. Does not wait."""
        if self._thread is not None and not self._thread.is_alive():
            self.wait()

    def wait(self) -> None:
        """Wait until the files that the thread has are written, and flushed to the disk.

        Raises:
            OSError: one of them could not be written.
        """
        if self._thread is not None:
            self._thread.join()
            self._thread = None
        error, self._error = self._error, None
        if error is not None:
            raise error

    def end(self) -> BaseException | None:
        """Have all files written, wait for it, and return the error of the thread instead of raising it."""
        try:
            self.wait()
            self.start()
            self.wait()
        except Exception as error:
            self._batch, self._copies = [], {}
            return error
        return None

    @contextmanager
    def at_once(self) -> Iterator[None]:
        """Within the block files are written as with `direct`."""
        before, self.direct = self.direct, True
        try:
            yield
        finally:
            self.direct = before

    def processor_seconds(self) -> float:
        """Processor time that the thread has taken since the last call, of finished batches."""
        if self._thread is not None and self._thread.is_alive():
            return 0.0
        seconds, self._seconds = self._seconds, 0.0
        return seconds

    def _work(self, batch: list[tuple[Save, Any]], ready: list[torch.cuda.Event]) -> None:
        begin = time.thread_time()
        try:
            for event in ready:
                event.synchronize()
            batch.reverse()
            while batch:
                save, value = batch.pop()  # its copies are freed once they are written
                save(value)
                del save, value
        except BaseException as error:
            self._error = error
        finally:
            self._seconds += time.thread_time() - begin

    def _copied(self, value: Any) -> Any:
        if isinstance(value, Tensor):
            return self._copied_tensor(value)
        if isinstance(value, OrderedDict):  # a state of modules has their versions as an attribute
            copy = OrderedDict((name, self._copied(item)) for name, item in value.items())
            copy.__dict__.update(vars(value))
            return copy
        if isinstance(value, Mapping):
            return {name: self._copied(item) for name, item in value.items()}
        if type(value) in (list, tuple):
            return type(value)(self._copied(item) for item in value)
        return value

    def _copied_tensor(self, tensor: Tensor) -> Tensor:
        place = tensor.untyped_storage().data_ptr(), tensor.storage_offset()
        key = tensor.device, *place, tensor.shape, tensor.stride(), tensor.dtype
        if key not in self._copies:  # the tensor is kept, so that no other comes to lie there
            self._copies[key] = tensor, _on_host(tensor.detach())
        return self._copies[key][1]


def _on_host(tensor: Tensor) -> Tensor:
    """A copy in the memory of the host, laid out alike; of a CUDA tensor one that is complete later in its stream."""
    if tensor.device.type == "cpu":
        return tensor.clone()
    if not tensor.is_cuda:
        return tensor.cpu()
    try:
        pinned = torch.empty_like(tensor, device="cpu", pin_memory=True)
    except RuntimeError:  # the system gives no more memory that cannot be swapped out
        return tensor.cpu()
    return pinned.copy_(tensor, non_blocking=True)
