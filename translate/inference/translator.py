"""A trained model, loaded once and called with pictures. Imports no torch at module level."""

from __future__ import annotations

import warnings
from collections import defaultdict
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from translate.conditions import Arrays
from translate.export.sample_conditions import drawn
from translate.inference.backend import batch_for
from translate.inference.earlier import CHECKPOINTS, SNAPSHOTS
from translate.inference.like import code_of, with_codes
from translate.inference.model import LoadedModel
from translate.inference.model_file import model_file, read_card, type_of
from translate.inference.options import ConvertSettings, LoadSettings
from translate.inference.picture_types import Accepted, Item, Result, accept, as_pil
from translate.inference.pieces import PieceReport, Tile, run_in_pieces
from translate.inference.requests import Requests, cut_short, encode
from translate.inference.torch_backend import TorchBackend

__all__ = ["Translator", "load", "model_file", "read_card"]

if TYPE_CHECKING:
    from PIL import Image

    from translate.export.report import Report as Exported
    from translate.inference.report import Report


def load(
    path: str | Path,
    *,
    device: str = "auto",
    backend: str | None = None,
    speed: str | None = None,
    precision: str | None = None,
    direction: str | None = None,
    step: int | None = None,
    batch: int | None = None,
    engines: str | Path | None = None,
    tile: Tile = "auto",
    allow: str | None = None,
    pixels: int | None = None,
    say: Callable[[str], object] | None = None,
) -> Translator:
    """The model in a run folder or a model file, ready to be called.

    Args:
        path: a run folder (its `model.safetensors` is used), a `.safetensors` file, or an exported `.onnx` file, which
            ONNX Runtime runs without PyTorch.
        device: `auto` (CUDA, then MPS, then CPU), `cpu`, `cuda`, `cuda:1` or `mps`; of an `.onnx` file no `mps`, but
            also `tensorrt` or `tensorrt:1`, which `auto` never takes.
        backend: what runs the network: `torch`, or of an `.onnx` file `onnxruntime` (default) or `openvino`.
        speed: `exact` (default) is float32, and `fast` bfloat16 where the processor has it: pictures of 8 bits are then
            55 dB or more from the exact ones. Of an `.onnx` file the export decides, and OpenVINO may compute the rest
            in bfloat16.
        precision: autocast type of the network, `float32`, `bfloat16` or `float16`; it decides where `speed` is given,
            too (not for `.onnx`).
        direction: `AtoB` or `BtoA`, for models that were trained both ways; by default the way that its training
            had as source and target.
        step: of a run folder, to use its weights after this step, as kept in `snapshots/` or `checkpoints/`.
        batch: pictures of one size in one pass of the network (default: up to 16, fewer if large).
        engines: with `device="tensorrt"`, the folder in which it keeps its engines (default: `$TRANSLATE_ENGINES`,
            or `translate-gan/tensorrt` in the user's cache folder).
        tile: for pictures that do not fit in memory: `auto` cuts them into the largest pieces that fit, a number cuts
            all larger pictures into tiles of so many pixels a side, and None (or `none`) cuts none.
        allow: a custom model class, `module:Class`, that the file may name. It is imported, which runs its module; no
            other class that a file names is imported.
        pixels: where one picture is translated and no more, how many it has: in float32 on the CPU a large network is
            ready sooner then and takes less memory, and every further picture takes a little longer. Values may be
            rounded otherwise: some in 10,000 come out one level of 255 apart.
        say: called with a line on what the chosen speed could not or should not be; by default it is a warning.

    Raises:
        NotAllowed: its model class is in no table and is not `allow`.
        ValueError: there is no such file, it is not a model of ours, the device cannot be used, the model
            has no such direction, or its pictures cannot be cut into such tiles.
    """
    settings = LoadSettings.make(
        {
            "device": device,
            "backend": backend,
            "speed": speed,
            "precision": precision,
            "direction": direction,
            "step": step,
            "engines": engines,
            "tile": tile,
            "allow": allow,
        }
    )
    file = model_file(path, step=settings.step)
    opened = type_of(file, step=settings.step).open(file, settings, pixels=pixels)
    if note := getattr(opened, "note", None):
        warnings.warn(note, stacklevel=2) if say is None else say(note)
    return Translator(opened, batch=batch, tile=settings.tile, file=file)


class Translator(LoadedModel):
    """A loaded model. Calling it changes nothing in it, so that several threads may call it at once.

    It can be pickled and copied with all weights, so that a process without the file gives the same pictures. (We read
    no pickles; loading one from somebody else runs their code.)
    """

    def __repr__(self) -> str:
        return f"Translator({self.card.model}, {self.card.step} steps, on {self.device})"

    def __call__(
        self,
        image: Any,
        *,
        label: Any = None,
        text: str | Sequence[str] | None = None,
        z: Any = None,
        seed: int | None = None,
        samples: int | None = None,
        like: Any = None,
        keep_alpha: bool = True,
        max_pixels: int = 100_000_000,
    ) -> Any:
        """Translate a picture, or a list of pictures, and give back the same kind.

        A result has the size of its picture times `card.scale`, and the channels and depth of the target that
        the model was trained on. Transparency is laid on the model's background for the network and carried
        over to the result. Gray, colour and depth of the input are converted as for files.

        | given                                    | given back                                                |
        |------------------------------------------|-----------------------------------------------------------|
        | path                                     | PIL image; array where PIL has no mode (16-bit colour)    |
        | PIL image                                | as for a path; its EXIF orientation is applied            |
        | array `[H, W]`, `[H, W, C]` of integers  | array of the target's depth; `[H, W]` only for `[H, W]`   |
        | array of floats                          | array of the same dtype                                   |
        | tensor `[C, H, W]` or `[B, C, H, W]`     | tensor on the same device, of the same kind, no gradients |
        | list or tuple of these                   | list                                                      |

        Floats are shares of full scale, white being 1; of a model for float pictures they have its own units.
        `card.conditions` say what a model is conditioned on. Of pictures in a list `label`, `text` and `z` are one for
        all, or a list of one for each; without any, a picture has no label, no text, and the middle of the codes.

        Args:
            image: the picture or pictures; those of one size go through the network together.
            label: a class that the model knows, a list of them where pictures have several, or shares of classes,
                such as `{"summer": 0.5, "winter": 0.5}`.
            text: a description in words. Warns if it is longer than the model reads.
            z: a latent code, `[Z]` numbers.
            seed: number of the code that is drawn in place of `z`, or of noise planes (default: 0) or dropout (default:
                off), which are the same for a pixel in any batch and tiles.
            samples: give a list of so many results for each picture, of the seeds `seed`, `seed + 1` and so on
                (0, 1, ... without a seed).
            like: in place of `z`: a picture whose code is used, of a model whose file has an encoder (bicyclegan); or
                with a list of pictures a list of one for each.
            keep_alpha: carry an alpha channel of the input over.
            max_pixels: files with more pixels are refused before they are decoded.

        Raises:
            ValueError: a type, shape, dtype, channel count or value that the model cannot take, a file that cannot be
                read, or a condition that the model does not take or know.
            MemoryError: a picture does not fit on the device.
            NotFinite: a `ValueError` too: the output for a picture holds NaN or infinity.
        """
        several = isinstance(image, (list, tuple))
        requests = Requests(label=label, text=text, z=z, seed=seed, samples=samples)
        accepted, made = self._translated(image, requests, like=like, keep_alpha=keep_alpha, max_pixels=max_pixels)
        answers = [[value.give_back(results) for results in each] for value, each in zip(accepted, made, strict=True)]
        given = answers if samples is not None else [answer for (answer,) in answers]
        return given if several else given[0]

    def grid(self, images: Any, *, columns: Sequence[str] | None = None, **conditions: Any) -> Image.Image:
        """The pictures beside what the model makes of them: a row for each, 8-bit colour, to be looked at.

        Args:
            images: one, or a list of them, of any type and size that a call takes.
            columns: titles of the outputs, of which `samples` gives several (default: output, or their numbers).
            **conditions: as for a call: `label`, `text`, `z`, `seed`, `samples`, `like`.

        Raises:
            ValueError: as a call, no pictures, or another number of titles than of outputs.
        """
        from translate.inference.grid import grid_of

        like = conditions.pop("like", None)
        accepted, made = self._translated(images, Requests(**conditions), like=like)
        return grid_of(self.card, accepted, made, columns=columns)

    def _translated(
        self,
        image: Any,
        requested: Requests,
        *,
        like: Any = None,
        keep_alpha: bool = True,
        max_pixels: int = 100_000_000,
    ) -> tuple[list[Accepted], list[list[list[Result]]]]:
        """Each picture as it was accepted, and of each, for each of its conditions, the results."""
        _ = self.card.taken  # a model of noise says to use `sample`
        several = isinstance(image, (list, tuple))
        values = list(image) if several else [image]
        known = self.card.conditions
        requested = with_codes(self, requested, like, several=several)
        wanted = requested.of_each(known, len(values), several=several)
        encoded = [[encode(known, request) for request in each] for each in wanted]
        for text_cut in dict.fromkeys(cut_short(known, request) for each in wanted for request in each):
            if text_cut:
                warnings.warn(text_cut, stacklevel=3)
        accepted = [
            accept(
                value,
                card=self.card,
                name=f"image {index}" if several else "image",
                keep_alpha=keep_alpha,
                max_pixels=max_pixels,
            )
            for index, value in enumerate(values)
        ]
        runs = [
            (item, condition)
            for value, conditions in zip(accepted, encoded, strict=True)
            for condition in conditions
            for item in value.items
        ]
        made, reports = self._run([item for item, _ in runs], [condition for _, condition in runs])
        for text in dict.fromkeys(piece.text for piece in reports if not piece.exact):
            warnings.warn(text, stacklevel=3)  # only what changes pixels
        results = (Result(pixels, item.alpha) for pixels, (item, _) in zip(made, runs, strict=True))
        return accepted, [
            [[next(results) for _ in value.items] for _ in conditions]
            for value, conditions in zip(accepted, encoded, strict=True)
        ]

    def code_of(self, picture: Any) -> np.ndarray:
        """The code `[Z]` that makes a picture such as this: `z` for calls and `sample`, also of an exported file.

        Args:
            picture: of any type that a call takes; it is resized to the size that the model was trained at.

        Raises:
            ValueError: the file has no encoder (bicyclegan and `dcgan --invert` have one), or it is no such picture.
        """
        return code_of(self, picture, name="picture")

    def sample(
        self,
        count: int,
        *,
        seed: int = 0,
        label: Any = None,
        text: Any = None,
        z: Any = None,
        like: Any = None,
        near: float | None = None,
        code: Any = None,
    ) -> list[Any]:
        """Generate pictures from noise: PIL images, or arrays `[H, W, C]` where PIL has no mode.

        Args:
            count: how many. Picture i follows from `seed` and i, however many there are.
            seed: of the noise.
            label, text: what the model is conditioned on, as for a call: one for all, or a list of one for each.
            z: the codes themselves in place of `seed`: `[Z]` numbers, or `[count, Z]`.
            like: a picture whose code the first picture is made of, of a model trained with `--invert`; the others are
                of codes near it.
            near: with `like`, how near: their share of the way to a drawn code (default 0.3).
            code: of a model with InfoGAN's codes: the value of the first, or a list of values, None being drawn.

        Raises:
            ValueError: the model takes pictures, or a condition that it does not take or know.
        """
        from translate.inference.sample import sample

        made = sample(self, count, seed=seed, label=label, text=text, z=z, like=like, near=near, code=code)
        return [as_pil(Result(pixels)) for pixels in made]

    def _run(self, items: Sequence[Item], conditions: Sequence[Arrays]) -> tuple[list[np.ndarray], list[PieceReport]]:
        """Pictures of any sizes -> `[H*s, W*s, Ct]` each, in the order given; and reports of those in pieces."""
        sizes: dict[tuple[int, ...], list[int]] = defaultdict(list)
        for index, item in enumerate(items):
            sizes[item.pixels.shape].append(index)
        results: dict[int, np.ndarray] = {}
        reports: list[PieceReport] = []
        for (height, width, *_), indices in sizes.items():
            together = batch_for(height, width, device=self.device, requested=self.batch)
            for start in range(0, len(indices), together):
                chunk = indices[start : start + together]
                pieces: dict[int, PieceReport] = {}
                pixels = [items[i].pixels for i in chunk]
                conditioned = [conditions[i] for i in chunk]
                made = run_in_pieces(self.backend, pixels, conditioned, tile=self.tile, on_piece=pieces.__setitem__)
                reports += pieces.values()
                for index, result in zip(chunk, made, strict=True):
                    if not isinstance(result, np.ndarray):
                        raise type(result)(f"{items[index].name}: {result}")
                    results[index] = result
        return [results[index] for index in range(len(items))], reports

    def warm_up(self, height: int, width: int, *, batch: int = 1) -> None:
        """Run a blank batch of a size, so that the first real pictures of it are as fast as later ones.

        The first pass takes milliseconds more on a CPU (memory, choice of kernels), up to seconds on CUDA (loading
        kernels), and minutes with TensorRT, which builds an engine unless `engines` has it. With TensorRT call it for
        the smallest and the largest batch to come: its engine then covers all between. Calling it is optional.

        Args:
            height: of the pictures, in pixels.
            width: of the pictures, in pixels.
            batch: pictures that go through together.

        Raises:
            ValueError: a height, width or batch below 1.
            MemoryError: they do not fit on the device.
        """
        for name, value in (("height", height), ("width", width), ("batch", batch)):
            if value < 1:
                raise ValueError(f"{name} is at least 1, not {value}")
        source = self.card.taken
        pictures = np.full((batch, height, width, source.channels), source.low, source.dtype)
        self.backend(pictures, drawn(self.card.conditions, np.random.default_rng(0), batch))

    def convert(
        self,
        source: str | Path | Sequence[str | Path] | None,
        destination: str | Path,
        *,
        progress: bool = False,
        **options: Any,
    ) -> Report:
        """Convert pictures to `destination`; see `translate.inference.convert.convert`.

        Args:
            source: a picture, a folder whose pictures are converted, or a list of these; None with `data`, a set as for
                training.
            destination: the file or folder to write; of a list a folder.
            progress: show a progress bar on a terminal.
            **options: fields of `ConvertSettings`, such as `format="png"`, `overwrite=True` or `batch=4`.

        Raises:
            ValueError: a wrong option or path. Pictures that cannot be converted are listed in the report.
        """
        from translate.inference.convert import convert

        return convert(self, source, destination, settings=ConvertSettings.make(options), progress=progress)

    def export(self, path: str | Path, **options: Any) -> Exported:
        """Write the model as one ONNX file that takes and gives pixels, checked against PyTorch before it is kept.

        Args:
            path: the `.onnx` file to write, one that is there already being replaced; with `triton=True` the folder of
                a model repository.
            **options: fields of `ExportSettings`, such as `precision="fp16"`, `layout="nchw-float"` or `opset=17`.

        Returns:
            How close the file is to the network; also stored in the file.

        Raises:
            ValueError: a wrong option or path, a missing library, or a model that is exported already.
            translate.export.verify.NotTheSame: the file would not give the same pixels. Nothing is written.
        """
        from translate.export.options import ExportSettings

        settings = ExportSettings.make(options)
        if not isinstance(self.backend, TorchBackend):
            raise ValueError("this model is exported already: export from the run or .safetensors file it was made of")
        if settings.direction not in (None, self.card.direction):
            raise ValueError(
                f"this model goes {self.card.direction}: give direction={settings.direction!r} to translate.load, "
                "where it is chosen"
            )
        if settings.step not in (None, self.card.step):
            raise ValueError(
                f"these are the weights after step {self.card.step}: give step={settings.step} to translate.load, "
                "where they are chosen"
            )
        from translate.export.write import export_model

        card = self.card
        if card.source is not None:
            card = card.model_copy(update={"footprint": self.backend.strips.footprint})
        file = self.file
        if file is not None and file.parent.name in (SNAPSHOTS, CHECKPOINTS):
            file = file.parent.parent / "model.safetensors"  # the run's: gives the name, and pictures to check with
        return export_model(self.backend.exportable(), card, Path(path), settings=settings, model=file)
