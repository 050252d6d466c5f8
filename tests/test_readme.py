"""Every command that the documents show is run, those of a document in order, made quick by the tables below.

The first command and the first block of Python in README run as they stand, in processes of their own, and so does what
starts several. The others run in this process, where torch is imported once.
"""

from __future__ import annotations

import ast
import contextlib
import importlib
import itertools
import os
import re
import shlex
import subprocess
import sys
import tomllib
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
import torch
from PIL import Image
from torch import nn

from byhand import reference_networks as reference
from tests.shown_commands import LAUNCHERS, NOT_RUN, QUICK, QUICK_CALLS
from translate.cli import main
from translate.houses import write_paired

ROOT = Path(__file__).resolve().parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
EXTRAS = PROJECT["optional-dependencies"]
DOCUMENTS = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").glob("*.md"))]

SHELL = ("sh", "bash")
FENCES = {*SHELL, "python", "js", "text", "json", "toml", "csv"}  # no other name for what would then not be run


@dataclass(frozen=True)
class Block:
    """A fenced block of a document."""

    place: str  # file:line
    language: str
    file: str  # what the text calls it: to be saved under this name rather than run; empty for the others
    text: str


def blocks(document: str, *, name: str) -> Iterator[Block]:
    """The fenced blocks of a Markdown text, in order."""
    for match in re.finditer(r"^( *)```(\S*) *([^\n]*)\n(.*?)^\1```$", document, re.MULTILINE | re.DOTALL):
        line = document.count("\n", 0, match.start()) + 1
        yield Block(f"{name}:{line}", match[2], match[3], match[4])


def commands(text: str) -> Iterator[list[str]]:
    """The words of each command of a shell block: continued lines joined, comments gone."""
    for line in text.replace("\\\n", " ").splitlines():
        words = shlex.split(line, comments=True)
        if words[:3] == ["python", "-m", "translate"]:
            words = words[2:]
        if words:
            yield words


def quick(words: list[str]) -> list[str]:
    """The command as it is run here.

    Raises:
        LookupError: no table knows the command.
    """
    if words[0] in LAUNCHERS:
        return quick_launch(words)
    shown = " ".join(words)
    known = [start for start in QUICK if (shown + " ").startswith(start + " ")]
    if not known:
        raise LookupError(f"`{shown}` is shown, but no table of this test says how to run it quickly")
    changes = QUICK[max(known, key=len)]
    for name in [*changes, *(["epochs"] if "steps" in changes else [])]:
        flag = f"--{name.replace('_', '-')}"
        if flag in words:
            words = [*words[: words.index(flag)], *words[words.index(flag) + 2 :]]
        words = [*words, flag, str(changes[name])] if name in changes else words
    return words


def quick_launch(words: list[str]) -> list[str]:
    """The same for a command by which a launcher starts several processes of `-m translate`."""
    start = words.index("-m") + 1
    launcher, flag = words[:start], LAUNCHERS[words[0]]
    assert flag in launcher, f"{' '.join(words)}: {flag} has to say how many processes"
    launcher[launcher.index(flag) + 1] = "2"
    if words[0] == "accelerate" and "--multi_gpu" not in launcher:
        launcher.insert(2, "--multi_gpu")  # taken for granted where there are GPUs; without one it is one process
    return [*launcher, *quick(words[start:]), "--device", "cpu"]


class _QuickCalls(ast.NodeTransformer):
    def visit_Call(self, node: ast.Call) -> ast.AST:
        self.generic_visit(node)
        changes = QUICK_CALLS.get(ast.unparse(node.func), {})
        replaced = {*changes, *(["epochs"] if "steps" in changes else [])}
        node.keywords = [keyword for keyword in node.keywords if keyword.arg not in replaced]
        node.keywords += [ast.keyword(name, ast.Constant(value)) for name, value in changes.items()]
        return node


def quick_python(text: str) -> str:
    """A Python block as it is run here."""
    return ast.unparse(_QuickCalls().visit(ast.parse(text)))


def check_make(words: list[str]) -> None:
    """The targets exist; what they do is `make`'s to say, and CI runs them."""
    done = subprocess.run(["make", "-n", *words[1:]], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"{' '.join(words)}: {done.stderr}"


def check_pip(words: list[str]) -> None:
    """`pip install` of this folder, with extras that it has, or of a package that it declares."""
    assert words[1] == "install", f"{' '.join(words)}: only `pip install` is known here"
    lines = itertools.chain(PROJECT["dependencies"], *EXTRAS.values())
    declared = {re.split(r"\W", line.replace("-", "_"))[0] for line in lines}
    for word in [w for w in words[2:] if w not in ("-e", "--editable") and w.replace("-", "_") not in declared]:
        match = re.fullmatch(r"(\.|translate-gan)(?:\[([\w,-]+)\])?", word)
        assert match, f"{' '.join(words)}: {word} is not this package"
        for extra in filter(None, (match[2] or "").split(",")):
            assert extra in EXTRAS, f"{' '.join(words)}: there is no extra called {extra}"


def check_npm(words: list[str]) -> None:
    """`npm ci` of a folder that says which packages it wants, to the last digit."""
    assert words[:3] == ["npm", "ci", "--prefix"], f"{' '.join(words)}: only `npm ci --prefix FOLDER` is known here"
    assert (ROOT / words[3] / "package-lock.json").is_file(), f"{' '.join(words)}: no package-lock.json is there"


def check_node(words: list[str]) -> None:
    """A client of ours."""
    assert (ROOT / words[1]).is_file(), f"{' '.join(words)}: there is no such file"


CHECKED: dict[str, Callable[[list[str]], None]] = {
    "make": check_make,
    "pip": check_pip,
    "npm": check_npm,
    "node": check_node,
}
"""Programs whose commands are checked rather than run, since they install or run this, or tests/examples runs them."""


def draw(path: Path, *, size: tuple[int, int]) -> None:
    """A picture with something in it that is different for each path."""
    rng = np.random.default_rng(zlib.crc32(path.as_posix().encode()))
    coarse = Image.fromarray(rng.integers(0, 256, (4, 4, 3), dtype=np.uint8))
    path.parent.mkdir(parents=True, exist_ok=True)
    coarse.resize(size).save(path)


def make_pictures(folder: Path) -> None:
    """The folders that the documents take for granted."""
    for name in ("1", "2", "3"):
        draw(folder / "facades" / "train" / f"{name}.jpg", size=(48, 24))  # side by side
        draw(folder / "facades" / "val" / f"{name}.jpg", size=(48, 24))
        draw(folder / "more" / f"{name}.jpg", size=(48, 24))
        draw(folder / "photos" / f"{name}.jpg", size=(30, 20))
        for side in ("truth", "label-maps"):  # of the validation pairs of `facades`, a file each
            draw(folder / side / f"{name}.png", size=(24, 24))
        for split in ("train", "val"):
            draw(folder / "sketches" / split / "A" / f"{name}.png", size=(24, 24))
            draw(folder / "sketches" / split / "B" / f"{name}.jpg", size=(24, 24))
        for side in ("trainA", "trainB", "testA", "testB"):
            draw(folder / "horse2zebra" / side / f"{side}-{name}.jpg", size=(30, 24))
        for season in ("train/summer", "train/winter", "val/summer", "val/winter"):
            draw(folder / "seasons" / season / f"{name}.jpg", size=(30, 24))
        draw(folder / "streets" / "trainB" / f"{name}.jpg", size=(24, 24))
        draw(folder / "fields" / "trainB" / f"{name}.png", size=(24, 24))
        make_rare_kinds(folder, name)
    for name in ("outlines/0001.png", "photos/red.jpg", "outlines/0002.png", "photos/boot.jpg"):
        draw(folder / "shoes" / name, size=(24, 24))
    write_paired(folder / "captioned", **QUICK_CALLS["write_paired"], layout="metadata", colours="free")
    draw(folder / "labels" / "one.png", size=(24, 24))
    draw(folder / "labels" / "deeper" / "two.jpg", size=(21, 33))


def make_checkpoints(folder: Path) -> None:
    """What the reference code of pix2pix and CycleGAN would have left."""
    torch.manual_seed(0)
    networks: dict[str, nn.Module] = {
        "facades_label2photo/latest_net_G": reference.UNet(3, 3, depth=5, width=4, norm=reference.batch),
        "facades_label2photo/latest_net_D": reference.PatchGAN(6, layers=3, width=4, norm=reference.batch),
    }
    for side in ("A", "B"):
        networks |= {
            f"horse2zebra/latest_net_G_{side}": reference.ResNet(3, 3, blocks=1, width=4, norm=reference.instance),
            f"horse2zebra/latest_net_D_{side}": reference.PatchGAN(3, layers=3, width=4, norm=reference.instance),
        }
    for name, network in networks.items():
        path = folder / "checkpoints" / f"{name}.pth"
        path.parent.mkdir(parents=True, exist_ok=True)
        torch.save(network.state_dict(), path)


def make_rare_kinds(folder: Path, name: str) -> None:
    """Cells of 12 bits, fields of six bands, heights, streets of four classes and a photo with a hole."""
    rng = np.random.default_rng(int(name))
    for path in ("phase", "stain", "radar", "height", "fields/trainA", "streets/trainA", "erased"):
        (folder / path).mkdir(parents=True, exist_ok=True)
    for path in ("phase", "stain"):
        tifffile.imwrite(folder / path / f"{name}.tif", rng.integers(100, 4096, (24, 24), dtype=np.uint16))
    for path in ("radar", "height"):
        tifffile.imwrite(folder / path / f"{name}.tif", rng.uniform(0, 900, (24, 24)).astype(np.float32))
    bands = rng.integers(0, 10_000, (24, 24, 6), dtype=np.uint16)
    field = folder / "fields" / "trainA" / f"{name}.tif"
    tifffile.imwrite(field, bands, photometric="minisblack", planarconfig="contig")
    classes = rng.integers(0, 4, (6, 6), dtype=np.uint8).repeat(4, 0).repeat(4, 1)
    Image.fromarray(classes).save(folder / "streets" / "trainA" / f"{name}.png")
    photo = rng.integers(1, 256, (24, 24, 4), dtype=np.uint8)
    photo[..., 3] = 255
    photo[8:16, 8:16, 3] = 0
    Image.fromarray(photo).save(folder / "erased" / f"{name}.png")


def run(words: list[str], *, place: str, folder: Path) -> None:
    """Run a command in `folder`, with the programs of the environment that runs the tests."""
    programs = f"{Path(sys.executable).parent}{os.pathsep}{os.environ.get('PATH', '')}"
    how: dict[str, Any] = {"stdin": subprocess.DEVNULL, "capture_output": True, "text": True, "timeout": 300}
    done = subprocess.run(words, cwd=folder, env={**os.environ, "PATH": programs}, check=False, **how)
    assert done.returncode == 0, f"{place}: {shlex.join(words)}: exit {done.returncode}\n{done.stdout}{done.stderr}"


def run_here(words: list[str], *, place: str) -> None:
    """The same in this process and in the current folder."""
    if words[0] == sys.executable:
        exec(compile(words[2], place, "exec"), {"__name__": place})
        return
    if words[:2] == ["python", "-m"] and words[2].startswith("benchmarks."):
        code = importlib.import_module(words[2]).main(words[3:])
    else:
        assert words[0] == "translate", f"{place}: {words[0]} is no command that is known here"
        code = main(words[1:])
    assert code == 0, f"{place}: {shlex.join(words)}: exit {code}"


@pytest.mark.parametrize(
    ("document", "several"),
    [(DOCUMENTS[0], (False,)), pytest.param(DOCUMENTS[0], (True,), marks=pytest.mark.slow)]
    + [pytest.param(path, (False, True), marks=pytest.mark.slow) for path in DOCUMENTS[1:]],
    ids=lambda value: getattr(value, "name", "several" if value == (True,) else ""),
)
def test_every_command_shown_works(
    document: Path, several: tuple[bool, ...], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Those that start several processes, and those that do not, as `several` says."""
    make_pictures(tmp_path)
    make_checkpoints(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)  # as `python -m` does
    started: set[str] = set()

    def do(words: list[str], *, place: str) -> None:
        launched = words[0] in LAUNCHERS
        if launched in several and (launched or (document.name == "README.md" and words[0] not in started)):
            started.add(words[0])
            run(words, place=place, folder=tmp_path)
        elif launched in several:
            run_here(words, place=place)

    for block in blocks(document.read_text(encoding="utf-8"), name=document.name):
        assert block.language in FENCES, f"{block.place}: a block of {block.language or 'no language'}"
        with contextlib.chdir(tmp_path):
            if block.language == "js":
                assert block.text in (ROOT / block.file).read_text(encoding="utf-8"), f"{block.place}: {block.file}"
            elif block.file:
                Path(block.file).write_text(block.text, encoding="utf-8")
            elif block.language == "python":
                do([sys.executable, "-c", quick_python(block.text)], place=block.place)
            for words in commands(block.text) if block.language in SHELL else ():
                if words[0] in CHECKED:
                    CHECKED[words[0]](words)
                elif " ".join(words) not in NOT_RUN:
                    do(quick(words), place=block.place)


def test_readme_shows_the_two_commands_and_ci_runs_the_same_tests() -> None:
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    shown = [
        words for block in blocks(readme, name="README.md") for words in commands(block.text) if block.language == "sh"
    ]
    assert ["make", "demo"] in shown
    assert ["make", "test"] in shown
    assert "make test" in [line.split(" || ")[0] for line in (ROOT / ".ci" / "run").read_text().splitlines()]


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_links_lead_somewhere(document: Path) -> None:
    targets = re.findall(r"\]\(([^)\s]+)\)", document.read_text(encoding="utf-8"))
    local = [target.partition("#")[0] for target in targets if "://" not in target and not target.startswith("#")]
    missing = [target for target in local if not (document.parent / target).exists()]
    assert not missing, f"{document.name} leads to {missing}"


def test_a_command_that_no_table_knows_is_refused() -> None:
    for shown in ("translate frobnicate", "translate demonstrate", "curl example.org"):
        with pytest.raises(LookupError, match=shown):
            quick(shlex.split(shown))
    with pytest.raises(AssertionError, match="nonsense"):
        check_make(["make", "nonsense"])
    with pytest.raises(AssertionError, match="no extra called nonsense"):
        check_pip(["pip", "install", "-e", ".[nonsense]"])
    with pytest.raises(AssertionError, match="nonsense is not this package"):
        check_pip(["pip", "install", "nonsense"])
    check_pip(["pip", "install", "accelerate"])


def test_blocks_and_commands_are_found_and_made_quick() -> None:
    shown = "# a remark\ntranslate train pix2pix \\\n    --steps 900 --data 'my facades'   # go\n"
    text = f"Words.\n\n```sh\n{shown}```\n"
    (block,) = blocks(text, name="some.md")
    assert (block.place, block.language, block.file) == ("some.md:3", "sh", "")
    (saved,) = blocks("```toml some.toml\nsize = 1\n```\n", name="some.md")
    assert (saved.language, saved.file, saved.text) == ("toml", "some.toml", "size = 1\n")
    (words,) = commands(block.text)
    assert quick(words)[:5] == ["translate", "train", "pix2pix", "--data", "my facades"]
    assert "900" not in quick(words)
    assert quick(words).count("--steps") == 1
    changed = quick_python("run = translate.train('pix2pix', steps=900, out='x')")
    assert changed.startswith("run = translate.train('pix2pix', out='x', ")
    assert "steps=2" in changed


def test_processes_are_two_on_this_cpu_whatever_is_shown() -> None:
    shown = "torchrun --nproc-per-node 8 -m translate train cyclegan --data horse2zebra --steps 900"
    words = quick(shlex.split(shown))
    assert words[:7] == ["torchrun", "--nproc-per-node", "2", "-m", "translate", "train", "cyclegan"]
    assert "900" not in words
    assert words[-2:] == ["--device", "cpu"]
    words = quick(shlex.split(shown.replace("torchrun --nproc-per-node", "accelerate launch --num_processes")))
    assert words[:5] == ["accelerate", "launch", "--multi_gpu", "--num_processes", "2"]
    with pytest.raises(AssertionError, match="--nproc-per-node has to say"):
        quick(shlex.split(shown.replace("--nproc-per-node 8", "")))
