"""The command `translate inspect`. Imports no torch."""

from __future__ import annotations

from translate.arguments import Ready, expect_words, flag_values
from translate.console import say
from translate.fields import split

FOUND = 1  # exit code of --strict where something was found


def inspect(*words: str, **flags: str) -> Ready:
    """Look through pictures before training: what they are, what is wrong, and how one would train on them.

    translate inspect DATA [flags]                                  (a folder, as for training)
    translate inspect --source FOLDER --target FOLDER [flags]
    """
    from translate.inspection.command import check_settings, look_through
    from translate.inspection.options import InspectedData, InspectSettings

    if words:
        (folder,) = expect_words(words, ["DATA"])
        if "data" in flags:
            raise ValueError(f"--data {flags['data']} beside {folder}: give the folder once")
        flags["data"] = folder
    values = flag_values(flags, [InspectSettings, InspectedData])
    settings, data = split(values, InspectSettings, InspectedData)
    check_settings(settings, data)

    def run() -> int:
        inspection = look_through(data, settings, say=lambda line: say(line, aside=True), progress=True)
        say(inspection.text(every=settings.all))
        for path in filter(None, (settings.sheet, settings.html, settings.json)):
            say(f"written: {path}", aside=True)
        return FOUND if data.strict and inspection.findings else 0

    return Ready(run)
