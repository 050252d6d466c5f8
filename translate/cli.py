"""The command line: Fire splits the words, the settings check the types, and each command is one call.

Fire calls a function before it complains about words that are left over. So a command only checks its words and returns
a `Ready`, which runs once Fire has used all of them.
"""

from __future__ import annotations

import io
import json
import os
import signal
import sys
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from translate.allow import OwnClass, look_here
from translate.arguments import NO_VALUE, STREAM, Ready, expect_words, flag_values, normalised, pop_value, refuse_flags
from translate.cli_inspect import inspect
from translate.cli_pages import compare, merge_reports, report
from translate.command_help import asks_for_help, help_text
from translate.command_settings import training_classes
from translate.command_table import catalogue, check_training, known_to_any, switches
from translate.console import keep_printing, say, terminal_width
from translate.errors import is_for_users, report_error
from translate.fields import check_names
from translate.signals import end_by_second_signal
from translate.tables import closest
from translate.tuning import collector_off, keep_freed_memory, wait_briefly
from translate.version import __version__

if TYPE_CHECKING:
    from translate.training.run import Run

SIGNALLED = 128  # and the signal's number: exit code


def train(*words: str, **flags: str) -> Ready:
    """Train a model on a folder of pictures, or go on with a run.

    translate train MODEL --data FOLDER [--out RUN] [flags]
    translate train MODEL --source FOLDER --target FOLDER
    translate train MODEL --config FILE [flags]
    translate train --resume RUN [--steps N]
    torchrun --nproc-per-node N -m translate train ...    (N GPUs; or accelerate launch)
    """
    from translate.config import check_config, overridden, read_config

    resume, config, allow = pop_value(flags, "resume"), pop_value(flags, "config"), _allowed(flags)
    model, named = read_config(Path(config)) if config else (None, {})
    if resume:
        if words or config:
            raise ValueError("--resume takes model and settings from the run: leave out the model's name and --config")
        from translate.training.folder import RunFolder
        from translate.training.job import resumed_job

        folder = RunFolder(Path(resume))
        classes = training_classes(folder.read_config()["model"], allow=allow, file=folder.config)
        job = resumed_job(folder.path, flag_values(flags, classes), allow=allow)
    else:
        if model is None and not words:  # a setting that no model has is reported first
            check_names(named, known_to_any(), where=f"--config {config}: ")
            check_names(flag_values(flags, []), known_to_any())
        (model,) = expect_words(words, ["MODEL"], optional=model)
        check_training(model, flags)
        if words:  # named on the command line, not by a file
            allow = model
            look_here(allow)
        classes = training_classes(model, allow=allow, file=f"--config {config}")
        from translate.training.job import new_job

        if config:
            check_config(config, named, classes)
        job = new_job(model, overridden(named, flag_values(flags, classes)), allow=allow)

    def run() -> int:
        with collector_off():
            from translate.training.run import fit

        return _report_run(fit(job, say=say))

    return Ready(run)


def convert(*words: str, **flags: str) -> Ready:
    """Translate a picture, or a folder of pictures with its sub-folders.

    translate convert MODEL IN OUT [flags]            (MODEL: a run folder or a model file)
    translate convert MODEL IN IN ... OUT             (several pictures or folders, into the folder OUT)
    translate convert MODEL - - < IN > OUT            (- for IN: standard input; for OUT: standard output)
    translate convert MODEL OUT --data FOLDER         (the sources of a set as for training)
    """
    from translate.fields import split
    from translate.inference.convert import convert as convert_all
    from translate.inference.listing import inputs, pixels_of
    from translate.inference.options import ConvertSettings, LoadSettings
    from translate.inference.process import short_turns, stoppable
    from translate.inference.stream import convert_stream
    from translate.inference.translator import load

    sources: list[str] = []
    if "data" in flags:
        model, destination = expect_words(words, ["MODEL", "OUT"])
    else:
        model, *sources, destination = expect_words(words, ["MODEL", "IN", "OUT", *words[3:]])
    loading, settings = split(flag_values(flags, [LoadSettings, ConvertSettings]), LoadSettings, ConvertSettings)
    look_here(loading.allow)
    source = None if "data" in flags else inputs(sources)
    streamed = "data" not in flags and (source is None or destination == STREAM)
    if destination == STREAM and ("data" in flags or isinstance(source, list)):
        raise ValueError("standard output takes one picture: name a folder for the outputs of several inputs")
    pixels = pixels_of(source) if settings.one_output else None
    translator = load(model, **dict(loading), pixels=pixels, say=lambda line: say(line, aside=True))

    def run() -> int:
        with stoppable(), short_turns():
            if streamed:
                assert not isinstance(source, list)
                out = None if destination == STREAM else Path(destination)
                ends = {"stdin": sys.stdin, "stdout": sys.stdout}
                report = convert_stream(translator, source, out, settings=settings, **ends)
            else:
                report = convert_all(translator, source, destination, settings=settings, progress=True, say=say)
        say(report.summary(), aside=destination == STREAM)
        return report.exit_code

    return Ready(run)


def sample(*words: str, **flags: str) -> Ready:
    """Generate pictures from noise, with a model such as dcgan.

    translate sample MODEL OUT [--count 64] [--seed 0] [flags]        (MODEL: a run folder or a model file)
    """
    from translate.fields import split
    from translate.inference.options import LoadSettings
    from translate.inference.sample import SampleSettings, write_samples
    from translate.inference.translator import load

    model, out = expect_words(words, ["MODEL", "OUT"])
    loading, settings = split(flag_values(flags, [LoadSettings, SampleSettings]), LoadSettings, SampleSettings)
    look_here(loading.allow)
    translator = load(model, **dict(loading), say=say)

    def run() -> int:
        say(f"{len(write_samples(translator, Path(out), settings))} files written to {out}")
        return 0

    return Ready(run)


def export(*words: str, **flags: str) -> Ready:
    """Write a model as one ONNX file that takes and gives pixels, checked against PyTorch before it is kept.

    translate export MODEL OUT.onnx [flags]        (MODEL: a run folder or a model file)
    translate export MODEL FOLDER --triton         (FOLDER: a model repository of NVIDIA Triton)
    """
    from translate.export.options import ExportSettings
    from translate.inference.translator import load

    allow = _allowed(flags)
    settings = ExportSettings.make(flag_values(flags, [ExportSettings]))
    model, out = expect_words(words, ["MODEL", "FOLDER" if settings.triton else "OUT.onnx"])
    translator = load(model, device="cpu", direction=settings.direction, step=settings.step, allow=allow)

    def run() -> int:
        say(f"exporting {model} and checking it against PyTorch: it takes from 5 s to half a minute")
        report = translator.export(out, **dict(settings))
        say(report.describe())
        verb = "convert {} IN OUT" if translator.card.source else "sample {} OUT"
        try_it = f"translate {verb.format(out)}" if settings.layout == "nhwc-pixels" else f"translate info {out}"
        if settings.triton:
            try_it = f"tritonserver --model-repository={out}"
        say(f"exported: {report.path} (try: {try_it})")
        return 0

    return Ready(run)


def info(*words: str, **flags: str) -> Ready:
    """Print what is stored about a model: kind of pictures, settings, figures.

    translate info MODEL [--json] [--step N]        (N: of a run folder, one of its snapshots or checkpoints)
    """
    from translate.export.report import how_made
    from translate.inference.translator import model_file, read_card

    asked = pop_value(flags, "step")
    if asked is not None and not asked.isdecimal():
        raise ValueError(f"--step got {asked!r}: it is a number of steps")
    step = None if asked is None else int(asked)
    _allowed(flags)  # accepted as by the other commands; a card is read without the class
    as_json = flags.pop("json", "false") in (NO_VALUE, "true", "True")
    refuse_flags("info", flags)
    (model,) = expect_words(words, ["MODEL"])
    card = read_card(model, step=step)
    made = how_made(model_file(model, step=step))

    def run() -> int:
        # json.dumps gives ASCII; escapes of `visible` would change the text
        if as_json:
            print(json.dumps(card.model_dump(mode="json"), indent=2))
        else:
            print(card.describe(width=terminal_width(), exported=made.describe() if made else ""))
        return 0

    return Ready(run)


def import_(*words: str, **flags: str) -> Ready:
    """Make a run of a checkpoint of the reference code of pix2pix, CycleGAN or CUT.

    translate import SOURCE [--out RUN] [flags]        (SOURCE: a generator's .pth, or a folder of checkpoints)
    """
    from translate.importing.options import ImportSettings

    (source,) = expect_words(words, ["SOURCE"])
    settings = ImportSettings.make(flag_values(flags, [ImportSettings]))
    look_here(settings.model)

    def run() -> int:
        from translate.importing.command import import_checkpoint
        from translate.training.folder import RunFolder

        path = import_checkpoint(Path(source), settings, say=say)
        say(f"imported: {path} (try: {RunFolder(path, model=settings.model).convert})")
        return 0

    return Ready(run)


def models(*words: str, **flags: str) -> Ready:
    """List the models, and the layouts of folders that they can be trained on.

    translate models
    """
    refuse_flags("models", flags)
    expect_words(words, [])

    def run() -> int:
        print(catalogue())
        return 0

    return Ready(run)


def evaluate(*words: str, **flags: str) -> Ready:
    """Measure a model, or a folder of outputs.

    translate evaluate RUN [flags]        (a run knows its pictures)
    translate evaluate MODEL --data FOLDER [flags]
    translate evaluate --outputs FOLDER --targets FOLDER [flags]
    translate evaluate ... --json         (notes go to standard error)
    """
    from translate.settings import DataSettings
    from translate.training.evaluate import EvaluateSettings, new_evaluation

    as_json = flags.pop("json", "false") in (NO_VALUE, "true", "True")
    values = flag_values(flags, [EvaluateSettings, DataSettings])
    (model,) = expect_words(words, ["MODEL"]) if words else (None,)
    job = new_evaluation(model, values)
    look_here(job.settings.allow)

    def run() -> int:
        found = job.run(say=lambda text: say(text, aside=as_json))
        print(json.dumps(found.as_json(), indent=2)) if as_json else say(found.describe(width=terminal_width()))
        for path in filter(None, (job.settings.csv, job.settings.sheet, job.settings.memorised)):
            say(f"written: {path}", aside=True)
        return 0

    return Ready(run)


def demo(*words: str, **flags: str) -> Ready:
    """Train pix2pix on drawn house fronts and show what it learned: no download, no GPU, about three minutes.

    translate demo [--out FOLDER] [flags]
    """
    from translate.demo import DemoSettings, run_demo

    expect_words(words, [])
    settings = DemoSettings.make(flag_values(flags, [DemoSettings]))
    return Ready(lambda: run_demo(settings, say=say))


COMMANDS: dict[str, Callable[..., Ready]] = {
    "train": train,
    "convert": convert,
    "merge-reports": merge_reports,
    "sample": sample,
    "export": export,
    "info": info,
    "evaluate": evaluate,
    "inspect": inspect,
    "report": report,
    "compare": compare,
    "import": import_,
    "models": models,
    "demo": demo,
}


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line; returns the exit code."""
    if argv is None:  # this is the whole process
        end_by_second_signal()
        wait_briefly(os.environ)
        keep_freed_memory()
    places = list(sys.path)
    try:
        with keep_printing():
            return _main(list(sys.argv[1:] if argv is None else argv), whole_process=argv is None)
    finally:
        sys.path[:] = places


def _main(words: list[str], *, whole_process: bool) -> int:
    warnings.filterwarnings("ignore", module=r"PIL\.")  # damaged tags of pictures whose pixels are fine
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper) and stream.errors == "strict":
            stream.reconfigure(errors="backslashreplace")  # a file's name may hold characters that the terminal lacks
    try:
        if words in (["--version"], ["version"]):
            print(f"translate {__version__}")
            return 0
        if not words or asks_for_help(words):
            print(help_text(words, {name: command.__doc__ or "" for name, command in COMMANDS.items()}))
            return 0
        with collector_off(for_good=whole_process):
            ready = _parse(words)
        return ready.run()
    except (ValueError, OSError, RuntimeError, MemoryError) as error:
        if os.environ.get("TRANSLATE_TRACEBACK") or not is_for_users(error):
            raise
        return report_error(error, words)
    except KeyboardInterrupt as stop:
        print(f"translate: {str(stop) or 'stopped'}", file=sys.stderr)
        return SIGNALLED + getattr(stop, "number", signal.SIGINT)


def _parse(words: Sequence[str]) -> Ready:
    import fire
    from fire.decorators import SetParseFn

    if words[0] not in COMMANDS:
        raise ValueError(
            f'no command is called "{words[0]}"{closest(words[0], COMMANDS)}: there is {", ".join(COMMANDS)}'
        )
    commands = {name: SetParseFn(str)(command) for name, command in COMMANDS.items()}
    ready = fire.Fire(
        commands, command=normalised(words, switches=switches(words)), name="translate", serialize=lambda _: None
    )
    assert isinstance(ready, Ready), f"words left over: {words}"
    return ready


def _allowed(flags: dict[str, str]) -> str | None:
    """The class that `--allow` names, whose module may lie in the working folder."""
    allow = OwnClass.make({"allow": pop_value(flags, "allow")}).allow
    look_here(allow)
    return allow


def _report_run(run: Run) -> int:
    if run.interrupted:
        return SIGNALLED + run.interrupted
    if os.environ.get("RANK", "0") == "0":
        from translate.pages.runs import REPORT
        from translate.training.folder import RunFolder

        say(f"finished: {run.path} (try: {RunFolder(run.path, model=run.model).convert}; look at {run.path / REPORT})")
    return 0


if __name__ == "__main__":
    sys.exit(main())
