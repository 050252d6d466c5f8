"""How the commands and calls that the documents show are made quick, or why one is not run."""

from typing import Any

ALONE: dict[str, int | str | float] = {
    "size": 32,
    "width": 4,
    "steps": 2,
    "workers": 0,
    "tensorboard": False,
    "metric_features": "none",  # which take seconds of a process
}
TINY: dict[str, int | str | float] = {**ALONE, "discriminator_width": 4}
QUICK: dict[str, dict[str, int | str | float]] = {
    "translate demo": {"size": 32, "width": 4, "steps": 2, "pairs": 4},
    "translate train pix2pix": TINY,
    "translate train pix2pix --size 64x256": {**TINY, "size": "24x48"},
    "translate train cyclegan": {**TINY, "blocks": 1},
    "translate train discogan": {**TINY, "batch": 2},
    **{f"translate train {name}": TINY for name in ("dualgan", "cut --generator unet", "my_models:Sharp")},
    "translate train cut": {**TINY, "blocks": 1},
    "translate train fastcut": {**TINY, "blocks": 1},
    "translate sample": {},
    "translate train my_models_plain:Plain": ALONE,
    "translate train --config": TINY,
    **{f"translate train {name} --help": {} for name in ("pix2pix", "cyclegan")},
    "translate train --resume": {"steps": 4},  # its run has gone its two steps already
    "translate train stargan": {**TINY, "blocks": 1, "batch": 2},
    "translate train dcgan": {**TINY, "batch": 2},
    "translate train bicyclegan": {**TINY, "encoder_width": 4},
    "translate train srresnet": {**ALONE, "blocks": 1, "batch": 2},
    "translate inspect": {"try_steps": 0},
    **{f"translate {name}": {} for name in ("convert", "evaluate", "export", "import", "info", "models", "--version")},
    **{f"translate {name}": {} for name in ("report", "compare", "merge-reports")},
    **{f"python -m benchmarks.{name} --help": {} for name in ("train", "convert", "methods", "infer", "tiles")},
    "python -m benchmarks.table": {"quick": "true", "rows": "reading"},
    "python -m benchmarks.growth": {"only": "batch", "batches": "1,2", "rounds": 1},
    "python -m benchmarks.recipes": {"size": 32, "width": 4, "steps": 2, "hold_back": 1, "seeds": "0"},
    "python -m benchmarks.captions": {},
    "python -m benchmarks.combinations": {"models": "cut", "discriminators": "patchgan"},
    "python -m benchmarks.inspection --help": {},
    "python -m benchmarks.game": {"only": "spiral", "share": 0.01},
    "python -m benchmarks.game --only pictures": {"only": "gradients"},  # without the pictures
    "python -m benchmarks.train": {"size": 64, "width": 4, "rounds": 1, "batch": 1},
    "python -m benchmarks.convert": {"size": 16, "width": 4, "rounds": 1, "images": 4},
    "python -m benchmarks.convert --match": {"size": 16, "rounds": 1, "images": 2},
    "python -m benchmarks.methods": {"size": 32, "width": 4, "rounds": 1, "models": "cyclegan,cut"},
    "python -m benchmarks.infer": {"width": 4, "size": 16, "batch": 1, "rounds": 1, "threads": 1},
    "python -m benchmarks.reading --help": {},
    "python -m benchmarks.start": {"rounds": 1, "size": 16},
    "python -m benchmarks.gpu": {"only": "checks", "device": "cpu", "isolate": "false"},
    "python -m benchmarks.gpu.carry": {"size": 16},
    "python -m benchmarks.tiles": {"size": 96, "width": 2, "tile": 512},
}
"""Beginning of a command -> flags it is given besides, or in place of those shown. The longest one counts."""

QUICK_CALLS: dict[str, dict[str, Any]] = {
    "translate.train": TINY,
    "translate.inspect": {"try_steps": 0},
    "write_unpaired": {"count_train": 4, "count_val": 2, "size": 32},
    "write_paired": {"count_train": 8, "count_val": 2, "count_test": 2, "size": 32},
}
"""The same for the calls in Python blocks."""

LAUNCHERS = {"torchrun": "--nproc-per-node", "accelerate": "--num_processes"}
"""Programs that start several processes -> the flag that says how many; here they are two, on this CPU."""

NOT_RUN = {
    **dict.fromkeys(("python3 -m venv .venv", ". .venv/bin/activate"), "the tests run in such an environment"),
    "pytest": "it is what runs this",
    "python3 -m http.server --directory examples/web": "serves until it is stopped; tests/examples opens the page",
}
"""Commands that are shown and not run, and why."""
