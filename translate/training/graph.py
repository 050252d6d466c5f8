"""A training step as CUDA graphs, recorded once and replayed with one launch. `Step` and models know nothing of it.

A graph reads and writes at the addresses of its recording, and what Python decided then stays decided. So each kind of
step has a graph of its own, batches are copied into buffers, results are copied out, and what depends on the number of
the step (`Step.begin`, learning rates, the average) is done outside. Random numbers come from the device's generator,
whose seed a replay reads: seeded before each step, it gives what the eager step is given.
"""

from __future__ import annotations

import time
import warnings
from collections import Counter
from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

import torch
from torch import Tensor

from translate.allow import is_class
from translate.batch import Batch
from translate.devices import is_out_of_memory
from translate.training.group import Group
from translate.training.guard import TrainingStopped

if TYPE_CHECKING:
    from translate.training.job import Job
    from translate.training.loop import Step

T = TypeVar("T")
Signature = tuple[Hashable, ...]
Say = Callable[[str], object]

WARM_UP = 3  # eager steps of a kind before it is recorded: libraries choose kernels, optimisers make their state
MOST_GRAPHS = 8  # kinds of steps; each further one runs eagerly
NOT_PROVEN = "no GPU run has shown yet that graphs give the same weights; --step graph uses them"


class Capture(Protocol):
    """What records work as a graph."""

    def eager(self, work: Callable[[], T]) -> T:
        """Do the work now, where later recordings of it are made."""
        ...

    def record(self, work: Callable[[], T]) -> tuple[T, Callable[[], None]]:
        """Record the work without doing it. Returns its tensors, which hold nothing yet, and what does it."""
        ...


class CudaCapture:
    """CUDA's graphs, all of them in one pool of memory: none needs what another one has left there."""

    def __init__(self, device: torch.device) -> None:
        self.device = torch.device("cuda", torch.cuda.current_device() if device.index is None else device.index)
        self.stream = torch.cuda.Stream(self.device)
        self.pool: Any = None

    def eager(self, work: Callable[[], T]) -> T:
        """On the stream of the recordings, whose libraries then have their workspaces."""
        with torch.cuda.device(self.device), warnings.catch_warnings():
            warnings.filterwarnings("ignore", message=".*capturable=True")  # not recorded yet, as it has to be
            current = torch.cuda.current_stream()
            self.stream.wait_stream(current)
            with torch.cuda.stream(self.stream):
                done = work()
            current.wait_stream(self.stream)
        return done

    def record(self, work: Callable[[], T]) -> tuple[T, Callable[[], None]]:
        """See `Capture`. Threads that read pictures may use CUDA meanwhile."""
        graph = torch.cuda.CUDAGraph()
        with (
            torch.cuda.device(self.device),
            torch.cuda.graph(graph, pool=self.pool, stream=self.stream, capture_error_mode="thread_local"),
        ):
            made = work()
        self.pool = self.pool or graph.pool()

        def replay() -> None:
            with torch.cuda.device(self.device):
                graph.replay()

        return made, replay


@dataclass(frozen=True)
class _Recorded:
    """A kind of step: buffers that it reads, the names and values of what it gives, and what runs it."""

    inputs: list[Tensor]
    losses: tuple[str, ...]
    gradients: tuple[str, ...]
    values: Tensor  # [losses + gradients]
    replay: Callable[[], None]


class GraphStep:
    """`Step`, called alike, as graphs: one for each kind of step, after `WARM_UP` eager ones of this kind.

    Kinds differ in what Python decides: whether a penalty is due, whether gradients are measured, and the number,
    shapes and types of the batches' tensors. Every call makes one iteration, whether it is recorded in it or not.
    """

    def __init__(
        self,
        step: Step,
        *,
        make_capture: Callable[[], Capture] | None = None,
        say: Say | None = None,
    ) -> None:
        """
        Args:
            make_capture: what records; by default CUDA.
            say: is told when a kind was recorded, after how many eager steps, and which steps stay eager.
        """
        self.step, self.say = step, say or (lambda line: None)
        self._make_capture = make_capture or (lambda: CudaCapture(step.device))
        for optimizer in step.optimizers.values():
            for group in optimizer.param_groups:
                if step.device.type == "cuda" and "capturable" in group:  # those of other devices refuse it
                    group["capturable"] = True
        self.eager_steps, self._told = 0, False
        self.forget()

    @property
    def rounds(self) -> int:
        """As of the step."""
        return self.step.rounds

    def forget(self) -> None:
        """Drop all graphs: optimisers or pools have other tensors from now on, as after a checkpoint was loaded."""
        self._capture = self._make_capture()
        self._recorded: dict[Signature, _Recorded] = {}
        self._seen: Counter[Signature] = Counter()

    def __call__(self, batches: Sequence[Batch], *, number: int = 0, progress: float = 0.0) -> dict[str, Tensor]:
        """See `Step`.

        Raises:
            TrainingStopped: a step cannot be recorded.
        """
        self.step.begin(number, progress)
        kind = self._kind(batches)
        recorded = self._recorded.get(kind)
        if recorded is None:
            if len(self._recorded) == MOST_GRAPHS or self._seen[kind] < WARM_UP:
                return self._eagerly(kind, batches)
            recorded = self._record(batches, number=number)
            self._recorded[kind] = recorded
        torch._foreach_copy_(recorded.inputs, _tensors(batches))
        recorded.replay()
        values = recorded.values.clone().unbind()  # the next replay writes over them
        count = len(recorded.losses)
        self.step.gradients.update(zip(recorded.gradients, values[count:], strict=True))
        return dict(zip(recorded.losses, values[:count], strict=True))

    def _eagerly(self, kind: Signature, batches: Sequence[Batch]) -> dict[str, Tensor]:
        if len(self._recorded) == MOST_GRAPHS and not self._told:
            self._told = True
            self.say(f"--step graph: there are more than {MOST_GRAPHS} kinds of steps; those of other kinds stay eager")
        if kind in self._seen or len(self._seen) < 8 * MOST_GRAPHS:  # kinds without end are not counted without end
            self._seen[kind] += 1
        self.eager_steps += 1
        return self._capture.eager(lambda: self.step.iterate(batches))

    def _record(self, batches: Sequence[Batch], *, number: int) -> _Recorded:
        begin = time.perf_counter()
        inputs = [torch.empty_like(tensor).copy_(tensor) for tensor in _tensors(batches)]
        static = _with_tensors(batches, inputs)
        earlier, self.step.gradients = self.step.gradients, {}

        def work() -> tuple[tuple[str, ...], tuple[str, ...], Tensor]:
            seen = self.step.iterate(static)
            norms = self.step.gradients
            return tuple(seen), tuple(norms), torch.stack([*seen.values(), *norms.values()])

        places = _places(self.step)
        try:
            (losses, gradients, values), replay = self._capture.record(work)
        except (RuntimeError, ValueError) as problem:
            error: BaseException = problem
            if is_out_of_memory(error):
                raise
            while error.__context__ is not None:  # what went wrong first: ending a spoilt recording fails, too
                error = error.__context__
            reason = (str(error).strip() or type(error).__name__).splitlines()[0]
            raise TrainingStopped(
                f"--step graph: step {number + 1} cannot be recorded as a CUDA graph: {reason}: use --step eager"
            ) from problem
        finally:
            self.step.gradients = earlier
        assert places == _places(self.step), "a step changes weights, moments and pools in place"
        first = not self._recorded
        which = f"after {self.eager_steps} eager steps of warm-up" if first else f"graph {len(self._recorded) + 1}"
        seconds = time.perf_counter() - begin
        self.say(f"--step graph: one CUDA graph from step {number + 1} on, {which}, recorded in {seconds:.1f} s")
        return _Recorded(inputs, losses, gradients, values, replay)

    def _kind(self, batches: Sequence[Batch]) -> Signature:
        games = tuple(game.penalty_due for game in self.step.model.games)
        shapes = tuple((tensor.shape, tensor.stride(), tensor.dtype) for tensor in _tensors(batches))
        named = tuple((*_names(batch), batch.class_count) for batch in batches)
        return games, self.step.measuring, self.step.model.training, named, shapes


def check_graph(job: Job, *, device: torch.device, group: Group) -> None:
    """
    Raises:
        ValueError: `--step graph` was asked for, and this run cannot have it.
    """
    if job.run.step != "graph":
        return
    if device.type != "cuda":
        raise ValueError(f"--step graph is for CUDA, and the device is {device}: use --step eager or compile")
    if group.size > 1:
        raise ValueError(f"--step graph is for one process, and {group.size} train together: use --step eager")
    if job.run.precision == "float16":
        raise ValueError(
            "--step graph reads no value, as --precision float16 does for the scale of its gradients: use bfloat16 or "
            "float32"
        )
    if is_class(job.model):
        raise ValueError(
            f"--step graph is for models whose steps are known to be functions of tensors, and {job.model} is a class "
            "of your own: use --step eager or compile"
        )


def step_as_asked(mode: str, step: Step, *, device: torch.device, say: Say) -> Step | GraphStep:
    """The step in the way of `--step`, which `check_graph` has accepted."""
    if mode == "graph":
        return GraphStep(step, say=say)
    if mode == "compile":
        step.compile()
    if mode == "auto" and device.type == "cuda":
        say(f"--step auto: eager, since {NOT_PROVEN}")
    return step


def _named(batch: Batch) -> dict[tuple[str, str], Tensor]:
    """All tensors of a batch, by field and name."""
    single: Mapping[str, Tensor | None] = {"valid": batch.valid, "classes": batch.classes}
    many = {"pictures": batch.pictures, "condition": batch.condition, "draws": batch.draws}
    found = {(field, name): tensor for field, named in many.items() for name, tensor in named.items()}
    return found | {("", name): tensor for name, tensor in single.items() if tensor is not None}


def _names(batch: Batch) -> tuple[tuple[str, str], ...]:
    return tuple(_named(batch))


def _tensors(batches: Sequence[Batch]) -> list[Tensor]:
    return [tensor for batch in batches for tensor in _named(batch).values()]


def _with_tensors(batches: Sequence[Batch], tensors: Sequence[Tensor]) -> list[Batch]:
    """The batches with other tensors, which are in the order of `_tensors`."""
    rest, made = iter(tensors), []
    for batch in batches:
        own = {key: next(rest) for key in _named(batch)}
        pictures, condition, draws = (
            {name: tensor for (field, name), tensor in own.items() if field == of}
            for of in ("pictures", "condition", "draws")
        )
        valid, classes = own.get(("", "valid")), own.get(("", "classes"))
        same = replace(batch, pictures=pictures, condition=condition, draws=draws, valid=valid, classes=classes)
        made.append(same)
    return made


def _places(step: Step) -> list[int]:
    """Addresses of all that a step changes and keeps."""
    states = [state for optimizer in step.optimizers.values() for state in optimizer.state.values()]
    kept = [value for state in states for value in state.values() if isinstance(value, Tensor)]
    pools = [tensor for game in step.model.games if game.pool is not None for tensor in game.pool.tensors]
    return [tensor.data_ptr() for tensor in (*step.model.parameters(), *step.model.buffers(), *kept, *pools)]
