"""Help of the command and of each of its commands, as text."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from translate.allow import look_here
from translate.arguments import normalised
from translate.command_settings import sections, switches
from translate.help import describe
from translate.recipes import PUBLISHED, with_recipe

WORDS = ("--help", "-h")


def asks_for_help(words: Sequence[str]) -> bool:
    """Whether the words of a command line ask for help."""
    return any(word in WORDS for word in words)


def help_text(words: Sequence[str], docs: Mapping[str, str]) -> str:
    """Help for all commands, or for the one in `words`; defaults of `train` are those of its `--recipe`.

    Args:
        docs: command -> what it does in one line, and how it is called.
    """
    words = normalised([word for word in words if word not in WORDS], switches=switches(words))
    recipe = next((word.partition("=")[2] for word in words if word.startswith("--recipe=")), PUBLISHED)
    words = [word for word in words if not word.startswith("-")]
    if not words or words[0] not in docs:
        lines = [f"  {name.ljust(9)} {doc.strip().splitlines()[0]}" for name, doc in docs.items()]
        ends = "translate: turn one kind of picture into another", "translate COMMAND --help lists its flags."
        return "\n".join([ends[0], "", *lines, "", ends[1]])
    doc = docs[words[0]].strip().splitlines()
    text = "\n".join([doc[0], "", *(f"  {line.strip()}" for line in doc[1:] if line.strip())])
    model = words[1] if len(words) > 1 else "pix2pix"
    look_here(model)
    listed = sections(words[0], model)
    defaults = with_recipe(model, {"recipe": recipe}) if words[0] == "train" else {}
    if not listed:
        return text
    described = describe(listed, defaults=defaults)
    hint = "\n\nA BOOL may stand alone, and --no-NAME turns it off." if " BOOL" in described else ""
    return f"{text}\n\n{described}{hint}"
