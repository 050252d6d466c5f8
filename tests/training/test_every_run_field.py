"""Every setting of a run changes what it computes, does or leaves behind, or is refused by name.

A new field is tested by existing, by the values of `tried` or of `VALUES`.
"""

import hashlib
import json
import re
from pathlib import Path
from typing import Any

import pytest
import torch

from tests.training.test_every_field import tried
from translate.fields import flag
from translate.settings import RunSettings
from translate.training import loader
from translate.training.job import new_job
from translate.training.run import fit
from translate.training.session import Session

SMALL = {"size": 16, "width": 2, "discriminator_width": 2, "device": "cpu", "workers": 0} | {
    "patch": 16,
    "tensorboard": False,
}
COURSE = {"steps": 6, "log_every": 3, "validate_every": 3, "checkpoint_every": 3, "samples": 1}
VALUES: dict[str, tuple[Any, ...]] = {
    "recipe": ("sharp",),
    "steps": (5,),
    "step": ("compile", "graph"),  # auto is eager
    "init_step": (1,),
    "device": ("auto",),
    "precision": ("bfloat16",),
    "threads": (2,),
    "workers": (1,),
    "validate_every": (2,),
    "checkpoint_every": (2,),
    "checkpoint_minutes": (1e-9,),
    "keep": (1,),
    "samples": (0, 2),
    "snapshot_budget": (0,),
    "best": ("last",),
    "log_to": ("tensorboard",),
    "metric_features": ("auto",),
    "keep_best": ("psnr",),
    "patience": (1,),
}
NOTHING_HERE = {
    "out": "the folder itself, which all of these runs have for themselves",
    "device": "auto is the processor where there is no other",
    "patience": "this run improves to its end: tests/training/test_choice.py has one that does not",
}
JUDGING = ("best", "keep_best", "samples", "validate_every", "snapshot_budget")
BASES: dict[str, dict[str, Any]] = {
    "figures": {"model": "pix2pix"},
    "no pictures to validate on": {"model": "pix2pix", "val_fraction": 0},
    "no pairs to validate on": {"model": "cyclegan", "blocks": 1},
}


def what_a_run_does(values: dict[str, Any], out: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """Its files, with their contents where these do not tell the time, and how its first step was made.

    Raises:
        ValueError: settings that are refused.
    """
    values = dict(values)
    how: dict[str, Any] = {}
    plain, reading = Session.advance, loader._workers

    def advance(session: Session, batches: Any) -> None:
        how["threads"] = torch.get_num_threads()
        how["deterministic"] = torch.are_deterministic_algorithms_enabled()
        how["layout"] = session.format
        how["compiled"] = any(
            objective._compiled_call_impl is not None for objective in session.step.objectives.values()
        )
        plain(session, batches)

    def workers(asked: int | None, *, device: torch.device) -> int:
        how["workers"] = reading(asked, device=device)
        return 0

    with monkeypatch.context() as patch:
        patch.setattr(Session, "advance", advance)
        patch.setattr(loader, "_workers", workers)
        patch.setattr(torch, "compile", lambda function, **options: function)
        printed: list[str] = []
        fit(new_job(values.pop("model"), values | {"out": out}), say=printed.append)
    how["json"] = any(line.startswith("{") for line in printed)
    files = {str(path.relative_to(out)): path for path in sorted(out.rglob("*")) if path.is_file()}
    names = [re.sub(r"tfevents\..*", "tfevents", name) for name in files]
    pictures = {name: hashlib.sha256(path.read_bytes()).hexdigest() for name, path in files.items() if ".png" in name}
    journal = [json.loads(line) for line in (out / "metrics.jsonl").read_text().splitlines()]
    for record in journal:
        for name in ("examples_per_second", "care_share"):
            record.pop(name, None)
    weights = hashlib.sha256((out / "model.safetensors").read_bytes()[-200:]).hexdigest()  # behind the header
    return {"how": how, "files": names, "pictures": pictures, "journal": journal, "weights": weights}


@pytest.mark.slow
@pytest.mark.parametrize("base", BASES)
def test_every_field_of_a_run_changes_what_it_does_or_is_refused_by_name(
    base, fronts, unpaired_fronts, tmp_path, monkeypatch
):
    folder = tmp_path / "set"
    folder.mkdir()
    (folder / "train").symlink_to(fronts / "train", target_is_directory=True)
    folders = {"figures": fronts, "no pairs to validate on": unpaired_fronts}
    values = SMALL | COURSE | BASES[base] | {"data": folders.get(base, folder)}
    if base == "no pictures to validate on":
        del values["samples"]
    earlier = tmp_path / "earlier"
    usual = what_a_run_does(values, earlier, monkeypatch)
    assert usual == what_a_run_does(values, tmp_path / "again", monkeypatch), "it is a function of the settings"
    fields = {name: field for name, field in RunSettings.model_fields.items() if name not in NOTHING_HERE}
    if base != "figures":
        fields = {name: fields[name] for name in JUDGING}
    silent = []
    for name, field in fields.items():
        choices = (earlier,) if name == "init_from" else VALUES.get(name) or tried(name, field)
        if base != "figures":
            choices = {"best": ("psnr", "ssim"), "samples": (2,)}.get(name, choices)
        for number, value in enumerate(choices):
            if values.get(name, field.default) == value:
                continue
            try:
                changed = what_a_run_does(values | {name: value}, tmp_path / f"{name}-{number}", monkeypatch)
            except ValueError as error:
                if not re.search(rf"{flag(name)}\b", str(error)):
                    silent.append(f"{flag(name)} {value} is refused as: {error}")
                continue
            if usual == changed:
                silent.append(f"{flag(name)} {value} changes nothing")
    assert not silent, "\n".join(silent)
