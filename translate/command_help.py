"""Help of the command and of each of its commands: what everyone needs by `--help`, all by `--help-all`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from textwrap import shorten
from typing import Any, NamedTuple

from translate.allow import look_here
from translate.arguments import normalised
from translate.command_table import described, switches, table
from translate.console import terminal_width, wrapped
from translate.fields import flag
from translate.help import Rows, describe
from translate.recipes import PUBLISHED, with_recipe

Sections = list[tuple[str, Rows]]

SHORT, ALL = ("--help", "-h"), "--help-all"


class CommandHelp(NamedTuple):
    """What the help of a command shows beside its usage and its settings."""

    examples: tuple[str, ...]
    first: tuple[str, ...] = ()
    """The settings that everyone needs, which `--help` explains; without any it explains all."""


HELP: dict[str, CommandHelp] = {
    "train": CommandHelp(
        (
            "translate train pix2pix --data facades --direction BtoA",
            "translate train cyclegan --data horse2zebra --size 128",
        ),
        ("data", "source", "target", "size", "batch", "epochs", "recipe", "out", "device", "precision"),
    ),
    "convert": CommandHelp(
        ("translate convert runs/facades labels fronts", "translate convert runs/facades one.png front.png"),
        ("format", "overwrite", "resize", "device", "speed", "direction"),
    ),
    "merge-reports": CommandHelp(("translate merge-reports fronts", "translate merge-reports fronts --json")),
    "sample": CommandHelp(
        ("translate sample runs/made pictures --count 16 --grid", "translate sample runs/made others --seed 1"),
        ("count", "seed", "label", "text", "grid", "interpolate", "overwrite", "device", "precision", "step"),
    ),
    "export": CommandHelp(
        ("translate export runs/facades facades.onnx", "translate export runs/facades small.onnx --precision fp16"),
        ("layout", "precision", "calibration", "images", "direction", "step", "triton"),
    ),
    "info": CommandHelp(("translate info runs/facades", "translate info runs/facades --json")),
    "evaluate": CommandHelp(
        ("translate evaluate runs/facades --split test", "translate evaluate --outputs fronts --targets truth"),
        ("split", "metrics", "csv", "sheet", "outputs", "targets", "data", "device"),
    ),
    "inspect": CommandHelp(
        ("translate inspect facades", "translate inspect facades --html facades.html"),
        ("html", "json", "sheet", "all", "strict", "try_steps", "layout", "direction", "kind", "size"),
    ),
    "report": CommandHelp(("translate report runs/facades", "translate report --all runs")),
    "compare": CommandHelp(
        ("translate compare runs/one runs/other", "translate compare runs/one runs/other --ab choose.html"),
        ("out", "ab", "data", "split", "count", "device"),
    ),
    "import": CommandHelp(
        ("translate import checkpoints/horse2zebra --out runs/zebra", "translate import latest_net_G.pth --model cut"),
    ),
    "models": CommandHelp(("translate models", "translate train cyclegan --help")),
    "demo": CommandHelp(("translate demo", "translate demo --out quick --steps 300")),
}
"""By command. One that is not here has all of its settings explained by `--help`."""


def asks_for_help(words: Sequence[str]) -> bool:
    """Whether the words of a command line ask for help."""
    return any(word in (*SHORT, ALL) for word in words)


def help_text(words: Sequence[str], docs: Mapping[str, str]) -> str:
    """Help for all commands, or for the one in `words`, as wide as the terminal.

    Defaults of `train` are those of its `--recipe`.

    Args:
        docs: command -> what it does in one line, and how it is called.
    """
    width = terminal_width()
    given = normalised([word for word in words if word not in (*SHORT, ALL)], switches=switches(words))
    recipe = next((word.partition("=")[2] for word in given if word.startswith("--recipe=")), PUBLISHED)
    command, model, *_ = *(word for word in given if not word.startswith("-")), None, None
    model = model if command == "train" else None
    if command is None or command not in docs:
        return _overview(docs, width=width)
    look_here(model)
    settings = described(command, model)
    first = HELP.get(command, CommandHelp(())).first if ALL not in words else ()
    parts = [_usage(command, docs[command], width=width)]
    more = " ".join(filter(None, ["translate", command, model or "", ALL]))
    unknown = command == "train" and model is None
    if unknown:
        parts.append(_models(width=width))
    if unknown and first:
        flags = ", ".join(map(flag, first))
        ends = [f"The flags that everyone needs first, which `translate train MODEL --help` explains: {flags}."]
        ends += [f"All that models have in common: {more}"]
    else:
        defaults: dict[str, Any] = with_recipe(model, {"recipe": recipe}) if model else {}
        text = describe(_by_need(settings, first), width=width, only=first or None, defaults=defaults)
        rest = {name for _, fields in settings for name in fields}.difference(first)
        ends = [f"These and {len(rest)} more: {more}"] if first and rest else []
        ends += ["A BOOL may stand alone, and --no-NAME turns it off."] if " BOOL" in text else []
        parts += [text] if text else []
    parts += ["\n".join(wrapped(line, width=width) for line in ends)] if ends else []
    return "\n\n".join(parts)


def _by_need(settings: Sections, first: tuple[str, ...]) -> Sections:
    """The sections in the order of what is needed first."""
    places = {name: place for place, name in enumerate(first)}
    last = len(places)
    return sorted(settings, key=lambda section: min((places.get(n, last) for n in section[1]), default=last))


def _overview(docs: Mapping[str, str], *, width: int) -> str:
    indent = max(map(len, docs)) + 4
    lines = [
        wrapped(doc.strip().splitlines()[0], width=width, first=f"  {name}".ljust(indent), rest=" " * indent)
        for name, doc in docs.items()
    ]
    ends = "translate: turn one kind of picture into another", "translate COMMAND --help lists its flags."
    return "\n".join([ends[0], "", *lines, "", ends[1]])


def _usage(command: str, doc: str, *, width: int) -> str:
    """What a command does, examples, and how it is called."""
    what, *usage = (line.strip() for line in doc.strip().splitlines() if line.strip())
    parts = [wrapped(what, width=width)]
    for title, lines in (("Examples", HELP.get(command, CommandHelp(())).examples), ("Usage", usage)):
        shown = [_call(line, width=width) for line in lines]
        parts += ["\n".join([f"{title}:", *shown])] if shown else []
    return "\n\n".join(parts)


def _call(line: str, *, width: int) -> str:
    """A call, and behind a gap what is to be said of it: in the same line if both fit there."""
    if len(line) + 2 <= width:
        return f"  {line}"
    call, _, note = line.partition("   ")
    lines = [wrapped(call, width=width, first="  ", rest=" " * 6)]
    lines += [wrapped(note.strip(), width=width, first=" " * 6, rest=" " * 7)] if note else []
    return "\n".join(lines)


def _models(*, width: int) -> str:
    """The models, in a line each: each has flags of its own."""
    lines = [
        f"  {name.ljust(10)} {shorten(summary, width - 13, placeholder=' ...')}"
        for name, summary in table().models.items()
    ]
    title = "Models differ in flags and defaults. `translate train pix2pix --help` shows those of pix2pix; there are:"
    return "\n".join([wrapped(title, width=width), *lines])
