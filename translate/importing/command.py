"""`translate import`: a checkpoint of the reference code of pix2pix, CycleGAN or CUT becomes an ordinary run."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from translate.card import Card
from translate.fields import flag
from translate.files import free
from translate.images import ImageSpec
from translate.importing.fitting import fit
from translate.importing.options import ImportSettings
from translate.importing.reading import few, find_files, read_state
from translate.importing.reference import Layout, discriminator_layout, generator_layout, heads_layout
from translate.locks import locked
from translate.models import MODELS, Model, build, model_class
from translate.networks import GENERATORS
from translate.networks.patchgan import smallest_size
from translate.outside import visible
from translate.settings import ModelSettings
from translate.sizes import Size
from translate.training.folder import FORMAT, RunFolder, save_model, versions
from translate.training.job import check_unused

LAYOUTS: dict[str, Callable[[dict[str, Tensor]], Layout | None]] = {
    "generator": generator_layout,
    "discriminator": discriminator_layout,
    "generator_back": generator_layout,
    "discriminator_back": discriminator_layout,
    "heads": heads_layout,
}
EXPECTED = {
    "generator": "a U-Net (model.model.0.weight, ...) or a ResNet (model.1.weight, model.10.conv_block.1.weight, ...)",
    "discriminator": "a PatchGAN (model.0.weight, model.2.weight, ...) or a PixelGAN (net.0.weight, ...)",
    "heads": "projection heads (mlp_0.0.weight, mlp_0.2.weight, ...)",
}


@dataclass(frozen=True)
class Part:
    """One network of a checkpoint."""

    role: str  # the submodule it becomes
    path: Path
    state: dict[str, Tensor]
    layout: Layout


def import_checkpoint(source: Path, settings: ImportSettings, *, say: Callable[[str], None]) -> Path:
    """Make a run folder of `source`: a generator's `.pth`, or a folder of the reference code's checkpoints.

    The folder converts and is loaded like any other; training goes on from it with `--init-from`, since the reference
    code keeps neither the optimisers nor the place in the data. Nothing is written before all of it is known to fit.

    Returns the run folder.

    Raises:
        ValueError: a file that cannot be read safely or fits no network of the reference code, networks that do not
            belong together, a flag that does not fit them, or an output folder in use.
    """
    files = find_files(source, settings)
    parts = {role: _part(role, path) for role, path in asdict(files).items() if path is not None}
    name = _model_name(settings.model, parts)
    cls = model_class(name, allow=settings.model)  # the caller has named it
    if cls.settings_class.parts.get("generator") is not GENERATORS:
        raise ValueError(f"--model {name} has a generator of its own, which no imported network fits")
    science, size = _science(cls, name, parts, settings)
    if cls.data_needs(science):
        raise ValueError(f"--model {name} is conditioned on labels, text or a code, which no imported network takes")
    channels = parts["generator"].layout
    source_spec, target_spec = ImageSpec(channels=channels.inputs), ImageSpec(channels=channels.outputs)
    with torch.device("meta"):  # no memory and no random numbers: every tensor comes from the files
        model = build(cls, science, source=source_spec, target=target_spec, size=size)
    tensors: dict[str, Tensor] = {}
    for part in parts.values():
        tensors |= _fitted(part, model, name, say=say)

    folder = RunFolder(_out(settings.out, name, source))
    origin = {part.role: part.path.name for part in parts.values()}
    card = Card(
        model=name,
        settings=science.as_json(),
        source=source_spec,
        target=target_spec,
        size=size,
        scale=model.scale,
        inputs=model.inputs,
        reversible=model.reversible,
        versions=versions(),
        run={"imported_from": ", ".join(origin.values())},
    )
    model.load_state_dict(tensors, strict=False, assign=True)
    with locked(folder.lock, what=f"the run folder {folder.path}", say=say):
        check_unused(folder)
        for path in (folder.last, folder.model):
            save_model(path, model, card)
        folder.save_checkpoint(0, {"step": 0, "model": tensors}, keep=1)
        folder.write_config(  # last: what has one is a run
            {
                "format": FORMAT,
                "model": name,
                "imported": origin,
                "settings": {
                    **science.as_json(),
                    "size": size,
                    "source_channels": channels.inputs,
                    "target_channels": channels.outputs,
                },
                "source": source_spec.model_dump(mode="json"),
                "target": target_spec.model_dump(mode="json"),
                "data": {},
                "versions": card.versions,
            }
        )
    return folder.path


def _part(role: str, path: Path) -> Part:
    state = read_state(path)
    try:
        layout = LAYOUTS[role](state)
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from None
    if layout is None:
        raise ValueError(
            f"{path} fits no {role.removesuffix('_back')} of the reference code: expected "
            f"{EXPECTED[role.removesuffix('_back')]}, found {few(list(state))}"
        )
    return Part(role, path, state, layout)


def _model_name(asked: str, parts: dict[str, Part]) -> str:
    """The model of these networks: the one asked for, or the one that their layout determines.

    Raises:
        ValueError: it has no room for a network there is, or needs one that there is not.
    """
    name = asked
    generator, discriminator = parts["generator"].layout, parts.get("discriminator")
    if asked == "auto":
        if discriminator is not None:  # pix2pix's sees source and target together
            paired = discriminator.layout.inputs == generator.inputs + generator.outputs
        else:
            paired = generator.settings.get("downsample") != "antialiased"
        name = "cyclegan" if "generator_back" in parts else "pix2pix" if paired and "heads" not in parts else "cut"
    cls = model_class(name, allow=asked)
    if cls.reversible and "generator_back" not in parts:
        ways = [other for other, entry in MODELS.items() if not entry.reversible]
        raise ValueError(
            f"--model {name} translates both ways: name the second generator with --back, "
            f"or choose among --model {', '.join(ways)}"
        )
    if not cls.reversible:
        for role, given in (("generator_back", "--back"), ("discriminator_back", "--back-discriminator")):
            if role in parts:
                raise ValueError(f"--model {name} translates one way: it has no use for {given}")
    return name


def _science(
    cls: type[Model], name: str, parts: dict[str, Part], settings: ImportSettings
) -> tuple[ModelSettings, Size]:
    """The model's settings and the size of its training crops.

    Raises:
        ValueError: networks that disagree in a setting that they share, or settings that do not fit together.
    """
    values: dict[str, Any] = {}
    owner: dict[str, Part] = {}
    for part in parts.values():
        for key, value in part.layout.settings.items():
            if values.setdefault(key, value) != value:
                raise ValueError(
                    f"{part.path} has {key.replace('_', ' ')} {value}, but {owner[key].path.name} has {values[key]}, "
                    f"and the networks of one {name} share this setting: import the generator's file alone"
                )
            owner.setdefault(key, part)
    if settings.dropout is not None:
        values["dropout"] = settings.dropout
    if values["norm"] == "batch":
        values["inference_norm"] = settings.inference_norm
    elif "inference_norm" in settings.model_fields_set:
        raise ValueError(f"--inference-norm is for batch norm, and this is {values['norm']} norm: leave it out")
    if cls.settings_class.parts.get("generator") is not GENERATORS:
        raise ValueError(f"--model {name} has a generator of its own, which none of these files is: use another model")
    unknown = [key for key in values if key not in cls.settings_class.every_field()]
    if unknown:
        raise ValueError(f"--model {name} has no setting {flag(unknown[0])}, which {owner[unknown[0]].path} needs")
    science = cls.settings_class.make(values)
    usual = 2 ** values["depth"] if values["generator"] == "unet" else 256
    return science, settings.size or Size.of(max(usual, smallest_size(getattr(science, "patch", 1))))


def _fitted(part: Part, model: Model, name: str, *, say: Callable[[str], None]) -> dict[str, Tensor]:
    """The tensors of one network, under the names of the whole model's."""
    network: nn.Module | None = getattr(model, part.role, None)
    file = part.path.name
    if network is None:
        assert part.role == "heads", "the other roles have been checked"
        raise ValueError(f"{part.path} holds projection heads, and {name} has none: import the generator's file alone")
    try:
        tensors, notes = fit(part.layout, part.state, network)
    except ValueError as error:
        if part.role != "heads":
            raise ValueError(f"{part.path}: {error}") from None
        say(visible(f"{file}: left out, further training begins with new heads ({error})"))
        return {}
    message = (
        f"{part.layout.kind}, {part.layout.inputs} to {part.layout.outputs} channels"
        if part.layout.inputs
        else (part.layout.kind)
    )
    say(visible("; ".join([f"{file}: {message}", *notes])))
    return {f"{part.role}.{key}": tensor for key, tensor in tensors.items()}


def _out(out: Path | None, name: str, source: Path) -> Path:
    """The folder asked for, or a free one called runs/MODEL-SOURCE.

    Raises:
        ValueError: the one asked for is in use.
    """
    if out is not None:
        if out.is_file() or (out.is_dir() and any(out.iterdir())):
            raise ValueError(f"--out {out} is not empty: choose another folder")
        return out
    return free(Path("runs") / f"{name}-{source.resolve().name.removesuffix('.pth')}")
