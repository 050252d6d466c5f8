"""The commands that look back on what was done: `report` and `compare` write pages, `merge-reports` adds up."""

from __future__ import annotations

import json
from pathlib import Path

from translate.allow import look_here
from translate.arguments import NO_VALUE, Ready, expect_words, flag_values, refuse_flags
from translate.console import say


def report(*words: str, **flags: str) -> Ready:
    """Write what a training did as one HTML file: samples, curves, figures beside baselines, alarms, settings.

    translate report RUN [--out FILE.html]
    translate report --all FOLDER [--out FILE.html]      (a table of the runs in a folder)
    """
    from translate.pages.report import ReportSettings, overview, write_report

    settings = ReportSettings.make(flag_values(flags, [ReportSettings]))
    (path,) = expect_words(words, [] if settings.all else ["RUN"]) or [""]

    def run() -> int:
        if settings.all is not None:
            page, count = overview(settings.all, settings.out, say=say)
            say(f"{count} run{'s' * (count > 1)}: look at {page}")
        else:
            say(f"look at {write_report(Path(path), settings.out, say=say)}")
        return 0

    return Ready(run)


def compare(*words: str, **flags: str) -> Ready:
    """Compare runs on the same pictures: settings, curves, figures with intervals, a sheet; and by eye, unseeing.

    translate compare RUN RUN ... [--out FILE.html] [flags]
    translate compare RUN RUN --ab FILE.html                (a page to choose the better one of two, picture by picture)
    """
    from translate.training.compare import CompareSettings, compare_runs

    settings = CompareSettings.make(flag_values(flags, [CompareSettings]))
    paths = [Path(word) for word in expect_words(words, ["RUN", "RUN", *words[2:]])]
    look_here(settings.allow)

    def run() -> int:
        say(compare_runs(paths, settings, say=say))
        return 0

    return Ready(run)


def merge_reports(*words: str, **flags: str) -> Ready:
    """Add up the reports of the shards of a conversion: what was converted, what failed, which shards are missing.

    translate merge-reports OUT [--json]            (OUT: the folder that translate convert --shard I/N wrote to)
    translate merge-reports REPORT.json ... [--json]
    """
    from translate.inference.shard_reports import merge_reports as merged

    as_json = flags.pop("json", "false") in (NO_VALUE, "true", "True")
    refuse_flags("merge-reports", flags)
    report = merged(expect_words(words, ["OUT", *words[1:]]))

    def run() -> int:
        if as_json:
            print(json.dumps(report.as_json(), indent=2))
        else:
            say(report.summary())
        return report.exit_code

    return Ready(run)
