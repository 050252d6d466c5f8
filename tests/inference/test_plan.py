"""Names: which output an input gets, what is left out, and that no input is overwritten."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path, PurePath

import pytest

from translate.card import Card
from translate.images import ImageSpec
from translate.inference.options import ConvertSettings
from translate.inference.plan import list_pictures, make_plan, name_outputs, output_name

RGB = ImageSpec(channels=3)
DEEP = ImageSpec(channels=3, dtype="uint16", high=65535)
FLOAT = ImageSpec(channels=1, dtype="float32", high=1)
LABELS = ImageSpec(channels=3, kind="labels", palette=((0, 0, 0), (255, 0, 0)))
DEFAULTS = ConvertSettings()

MakeCard = Callable[..., Card]


def touch(folder: Path, *names: str) -> None:
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).touch()


@pytest.mark.parametrize(
    ("name", "target", "format", "expected"),
    [
        ("a.jpg", RGB, None, "a.jpg"),
        ("A.JPEG", RGB, None, "A.JPEG"),
        ("name with spaces é中#%.png", RGB, None, "name with spaces é中#%.png"),
        ("two.dots.tif", RGB, None, "two.dots.tif"),
        ("a.gif", RGB, None, "a.png"),
        ("a.gif", ImageSpec(channels=1), None, "a.png"),
        ("a.jpg", DEEP, None, "a.png"),
        ("a.png", DEEP, None, "a.png"),
        ("a.png", FLOAT, None, "a.tif"),
        ("a.jpg", LABELS, None, "a.png"),
        ("a.webp", LABELS, None, "a.png"),
        ("a.bmp", LABELS, None, "a.bmp"),
        ("two.dots.jpg", RGB, "PNG", "two.dots.png"),
        ("a.JPG", RGB, "JPEG", "a.JPG"),
        ("noext", RGB, None, "noext.png"),
        ("noext", RGB, "JPEG", "noext.jpg"),
    ],
)
def test_output_names(name: str, target: ImageSpec, format: str | None, expected: str) -> None:
    made, note = output_name(name, target=target, format=format)
    assert made == expected
    assert (note is not None) == (format is None and PurePath(made).suffix != PurePath(name).suffix)


@pytest.mark.parametrize(
    ("names", "expected"),
    [
        (["a.jpg", "b.jpg"], ["a.png", "b.png"]),
        (["a.bmp", "a.jpg"], ["a.bmp.png", "a.jpg.png"]),
        (["a.jpg", "a.png"], ["a.jpg.png", "a.png"]),
        (["a.jpg", "a.jpg.png", "a.png"], ["a.jpg.png.png", "a.jpg.png", "a.png"]),
        (["a.jpg", "sub/a.bmp"], ["a.png", "sub/a.png"]),
    ],
)
def test_two_inputs_never_share_an_output(names: list[str], expected: list[str]) -> None:
    made = [str(path) for path, _ in name_outputs([PurePath(name) for name in names], target=RGB, format="PNG")]
    assert made == expected
    assert len(set(made)) == len(made)


def test_listing_mirrors_folders_and_counts_strays(tmp_path: Path) -> None:
    touch(tmp_path, "b.png", "a.JPG", "sub dir/中/c.tif", ".hidden.png", "Thumbs.db", "notes.txt", ".git/d.png")
    (tmp_path / "loop").symlink_to(tmp_path, target_is_directory=True)
    files, strays, failures = list_pictures(tmp_path, recursive=True)
    assert [file.as_posix() for file in files] == ["a.JPG", "b.png", "sub dir/中/c.tif"]
    assert strays == 4
    assert not failures
    files, _, _ = list_pictures(tmp_path, recursive=False)
    assert [file.name for file in files] == ["a.JPG", "b.png"]


def test_linked_folders_are_entered(tmp_path: Path) -> None:
    touch(tmp_path, "elsewhere/a.png", "in/b.png")
    (tmp_path / "in" / "link").symlink_to(tmp_path / "elsewhere", target_is_directory=True)
    files, _, _ = list_pictures(tmp_path / "in", recursive=True)
    assert [file.as_posix() for file in files] == ["b.png", "link/a.png"]


def test_outputs_inside_the_input_folder_are_not_inputs(tmp_path: Path, card: MakeCard) -> None:
    touch(tmp_path, "a.png", "out/a.png", "out/old.png", "sub/out/b.png")
    (tmp_path / "link").symlink_to(tmp_path / "out", target_is_directory=True)
    for destination in (tmp_path / "out", tmp_path / "sub" / ".." / "out", tmp_path / "link"):
        plan = make_plan(tmp_path, destination, card=card(), settings=DEFAULTS)
        assert [job.name for job in plan.jobs] == ["sub/out/b.png"]
        assert plan.existing == 1


def test_existing_outputs_are_skipped_unless_asked(tmp_path: Path, card: MakeCard) -> None:
    touch(tmp_path, "in/a.png", "in/b.png", "out/a.png")
    plan = make_plan(tmp_path / "in", tmp_path / "out", card=card(), settings=DEFAULTS)
    assert [job.target for job in plan.jobs] == [tmp_path / "out" / "b.png"]
    assert plan.existing == 1
    plan = make_plan(tmp_path / "in", tmp_path / "out", card=card(), settings=ConvertSettings(overwrite=True))
    assert len(plan.jobs) == 2


def test_a_file_goes_to_a_file_or_into_a_folder(tmp_path: Path, card: MakeCard) -> None:
    touch(tmp_path, "a.jpg", "there/x")

    def target(destination: str, **options: object) -> str:
        plan = make_plan(
            tmp_path / "a.jpg",
            f"{tmp_path}/{destination}",
            card=card(),
            settings=ConvertSettings.make(options),
        )
        return plan.jobs[0].target.relative_to(tmp_path).as_posix()

    assert target("there") == "there/a.jpg"
    assert target("new/") == "new/a.jpg"
    assert target("new/b.png") == "new/b.png"
    assert target("new/", format="png") == "new/a.png"
    with pytest.raises(ValueError, match="not the name of a picture"):
        target("new")
    with pytest.raises(ValueError, match="--format asks for JPEG"):
        target("b.png", format="jpg")


@pytest.mark.parametrize("overwrite", [False, True])
def test_inputs_are_never_overwritten_unless_asked(tmp_path: Path, card: MakeCard, overwrite: bool) -> None:
    touch(tmp_path, "in/a.png", "in/sub/a.png")
    (tmp_path / "same").symlink_to(tmp_path / "in", target_is_directory=True)
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "sub").symlink_to(tmp_path / "in" / "sub", target_is_directory=True)
    settings = ConvertSettings(overwrite=overwrite)
    for source, destination in [
        ("in", "in"),
        ("in", "same"),
        ("in", "out"),
        ("in/a.png", "in/a.png"),
        ("in/a.png", "same/a.png"),
        ("in/a.png", "in"),
        ("in/sub", "in/sub/../sub"),
    ]:
        with pytest.raises(ValueError, match="--in-place"):
            make_plan(tmp_path / source, f"{tmp_path}/{destination}", card=card(), settings=settings)


def test_in_place_if_asked_replaces_its_own_input_only(tmp_path: Path, card: MakeCard) -> None:
    touch(tmp_path, "a.png", "b.gif", "b.png")
    plan = make_plan(tmp_path, tmp_path, card=card(), settings=ConvertSettings(in_place=True))
    assert {job.name: job.target.name for job in plan.jobs} == {
        "a.png": "a.png",
        "b.gif": "b.gif.png",
        "b.png": "b.png",
    }


def test_an_output_in_the_place_of_another_input_is_refused(tmp_path: Path, card: MakeCard) -> None:
    touch(tmp_path, "in/a.png", "in/in/a.png")  # into the parent folder: in/in/a.png would become in/a.png
    with pytest.raises(ValueError, match="replace another input"):
        make_plan(tmp_path / "in", tmp_path, card=card(), settings=ConvertSettings(in_place=True, overwrite=True))


def test_what_cannot_start_says_why(tmp_path: Path, card: MakeCard) -> None:
    touch(tmp_path, "in/a.png", "empty/notes.txt", "file.png")
    deep = card(target=DEEP)

    def plan(source: str, destination: str, **options: object) -> None:
        make_plan(tmp_path / source, tmp_path / destination, card=deep, settings=ConvertSettings.make(options))

    with pytest.raises(ValueError, match="no such file or folder"):
        plan("absent", "out")
    with pytest.raises(ValueError, match=r"no pictures found \(1 hidden or other files\); looked for .*\.png"):
        plan("empty", "out")
    with pytest.raises(ValueError, match="this is a file, but the input is a folder"):
        plan("in", "file.png")
    with pytest.raises(ValueError, match="--format jpeg: JPEG cannot hold the model's 16-bit pictures of 3 channels"):
        plan("in", "out", format="jpg")
    with pytest.raises(ValueError, match="JPEG cannot hold the model's label maps without changing their colours: use"):
        make_plan(tmp_path / "in", "out", card=card(target=LABELS), settings=ConvertSettings(format="jpg"))
    with pytest.raises(ValueError, match=r"b\.jpg: JPEG cannot hold"):
        plan("in/a.png", "b.jpg")
    with pytest.raises(ValueError, match=r"--format got 'jpgg'.*did you mean"):
        plan("in", "out", format="jpgg")
