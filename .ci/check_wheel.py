"""Build the distribution as a release would, look into it, install it in a fresh environment, and use it.

Run from anywhere with an environment that has `build`: `python .ci/check_wheel.py`.
"""

import os
import runpy
import subprocess
import sys
import tempfile
import zipfile
from email.parser import BytesParser
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
FOLDERS = {
    "translate": "translate",
    "datasets": "translate/datasets",
    "export": "translate/export",
}  # of the checkout -> of the wheel
SYMLINK = "120000"  # git's mode of the links that let an uninstalled clone find the folders as they are imported
DECLARED = {"Name": "translate-gan", "License-Expression": "Apache-2.0", "Requires-Python": ">=3.11"}
DEMO = ["demo", "--steps", "4", "--size", "32", "--pairs", "8", "--width", "4", "--out", "demo"]


def run(*command: str | Path, cwd: Path) -> str:
    """The standard output of a command that succeeded; otherwise everything it wrote, and the end.

    Raises:
        SystemExit: the command failed.
    """
    # What surrounds us must not help the installed package.
    environment = {k: v for k, v in os.environ.items() if k not in ("PYTHONPATH", "VIRTUAL_ENV", "PYTHONHOME")}
    words = [str(word) for word in command]
    done = subprocess.run(words, cwd=cwd, env=environment, stdin=subprocess.DEVNULL, capture_output=True, text=True)
    if done.returncode:
        raise SystemExit(f"{' '.join(words)}\n{done.stdout}{done.stderr}\nended with exit code {done.returncode}")
    return done.stdout


def tracked() -> dict[str, Path]:
    """Each tracked file of the library: where it has to be in the wheel, and where it is in the checkout."""
    # A checkout that belongs to another user is refused by git unless it is named.
    listing = run("git", "-c", f"safe.directory={ROOT}", "ls-files", "--stage", "-z", "--", *FOLDERS, cwd=ROOT)
    found = {}
    for entry in listing.rstrip("\0").split("\0"):
        attributes, _, path = entry.partition("\t")
        if not attributes.startswith(SYMLINK):
            top, _, rest = path.partition("/")
            found[f"{FOLDERS[top]}/{rest}"] = ROOT / path
    return found


def check_contents(wheel: Path, *, version: str) -> list[str]:
    """What is wrong with the wheel's contents, a line each."""
    expected = tracked()
    with zipfile.ZipFile(wheel) as archive:
        names = archive.namelist()
        (info,) = {name.partition("/")[0] for name in names if ".dist-info/" in name}
        metadata = BytesParser().parsebytes(archive.read(f"{info}/METADATA"))
        files = {name: archive.read(name) for name in names if not name.startswith(info)}
    wrong = [f"{name}: twice in the wheel" for name in sorted({n for n in names if names.count(n) > 1})]
    wrong += [f"{name}: tracked, but not in the wheel" for name in sorted(expected.keys() - files)]
    wrong += [f"{name}: in the wheel, but not tracked" for name in sorted(files.keys() - expected)]
    for name in sorted(files.keys() & expected):
        if files[name] != expected[name].read_bytes():
            wrong.append(f"{name}: differs from {expected[name].relative_to(ROOT)}")
    wrong += [f"{name}: missing" for name in ("translate/py.typed", f"{info}/licenses/LICENSE") if name not in names]
    for key, value in {**DECLARED, "Version": version}.items():
        if metadata[key] != value:
            wrong.append(f"{info}/METADATA: {key} is {metadata[key]} instead of {value}")
    return wrong


def check_installed(wheel: Path, folder: Path, *, version: str) -> None:
    """Install the wheel with what it declares to need, no more, and call it from a folder of its own."""
    environment, elsewhere = folder / "environment", folder / "elsewhere"
    elsewhere.mkdir()
    run(sys.executable, "-m", "venv", environment, cwd=folder)
    programs = environment / ("Scripts" if os.name == "nt" else "bin")
    python, translate = programs / "python", programs / "translate"
    run(python, "-m", "pip", "install", f"{wheel}[features]", cwd=folder)  # whose weights the demo needs
    run(python, "-m", "pip", "check", cwd=folder)
    shown = run(translate, "--version", cwd=elsewhere)
    if version not in shown:
        raise SystemExit(f"translate --version says {shown.strip()!r}, the wheel is version {version}")
    where = run(python, "-c", "import translate; print(translate.__file__)", cwd=elsewhere).strip()
    if environment.resolve() not in Path(where).resolve().parents:
        raise SystemExit(f"import translate finds {where}, not the installed package")
    run(
        python,
        "-c",
        "import translate.datasets, translate.export, translate.houses, importlib.util as u\n"
        "assert u.find_spec('datasets') is None and u.find_spec('export') is None",
        cwd=elsewhere,
    )
    run(translate, "models", cwd=elsewhere)
    run(translate, *DEMO, cwd=elsewhere)


def main() -> None:
    version = runpy.run_path(str(ROOT / "translate" / "version.py"))["__version__"]
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        # The wheel is made from the source archive: this proves both, and keeps the rest of an old build/ out
        run(sys.executable, "-m", "build", "--outdir", folder / "dist", ROOT, cwd=folder)
        (wheel,) = (folder / "dist").glob("*.whl")
        wrong = check_contents(wheel, version=version)
        if wrong:
            raise SystemExit("\n".join([f"{wheel.name} is not what is tracked:", *wrong]))
        print(f"{wheel.name} holds the tracked files")
        check_installed(wheel, folder, version=version)
        print("the installed `translate` works from another folder")


if __name__ == "__main__":
    main()
