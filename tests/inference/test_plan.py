"""Names: which output an input gets, what is left out, and that no input is overwritten."""

from __future__ import annotations

import gc
import random
import tracemalloc
from collections.abc import Callable
from pathlib import Path, PurePath

import pytest

from translate.card import Card
from translate.images import ImageSpec
from translate.inference import names as names_module
from translate.inference.listing import Failure, Listing, walk
from translate.inference.names import name_outputs, output_name
from translate.inference.options import ConvertSettings
from translate.inference.plan import Jobs, make_plan

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
        (["a-b.jpg", "a.bmp", "a.jpg"], ["a-b.png", "a.bmp.png", "a.jpg.png"]),
    ],
)
def test_two_inputs_never_share_an_output(names: list[str], expected: list[str]) -> None:
    made = [output for _, output, _ in name_outputs(names, target=RGB, format="PNG")]
    assert made == expected
    assert len(set(made)) == len(made)


def listed(folder: Path, *, recursive: bool) -> tuple[list[str], int]:
    """Relative paths of all pictures in the order of listing, and the number of ignored files."""
    found = list(walk(folder, recursive=recursive))
    assert not [one for one in found if isinstance(one, Failure)]
    folders = [one for one in found if isinstance(one, Listing)]
    files = [(one.inside / name).as_posix() for one in folders for name in one.pictures]
    return files, sum(one.ignored for one in folders)


def test_listing_mirrors_folders_and_counts_ignored_files(tmp_path: Path) -> None:
    touch(tmp_path, "b.png", "a.JPG", "sub dir/中/c.tif", ".hidden.png", "Thumbs.db", "notes.txt", ".git/d.png")
    (tmp_path / "loop").symlink_to(tmp_path, target_is_directory=True)
    assert listed(tmp_path, recursive=True) == (["a.JPG", "b.png", "sub dir/中/c.tif"], 4)
    assert listed(tmp_path, recursive=False)[0] == ["a.JPG", "b.png"]


def test_thumbnails_of_servers_and_archives_are_not_pictures_to_convert(tmp_path: Path) -> None:
    touch(tmp_path, "a.png", "@eaDir/a.png", "sub/__MACOSX/b.png", "#recycle/c.png")
    assert listed(tmp_path, recursive=True) == (["a.png"], 3)


def test_linked_folders_are_entered(tmp_path: Path) -> None:
    touch(tmp_path, "elsewhere/a.png", "in/b.png")
    (tmp_path / "in" / "link").symlink_to(tmp_path / "elsewhere", target_is_directory=True)
    assert listed(tmp_path / "in", recursive=True)[0] == ["b.png", "link/a.png"]


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
        return next(iter(plan.jobs)).target.relative_to(tmp_path).as_posix()

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


def test_names_are_settled_among_neighbours_as_among_all_of_a_folder() -> None:
    """Only names that begin alike are looked at together. `wanted` is the rule for one name without the others."""
    endings = (".jpg", ".bmp", ".png", ".JPG")
    draw = random.Random(0)
    kept_whole = 0
    for _ in range(1000):
        middles = ("", "", "a", "-", ".", *endings)
        drawn = {f"a{draw.choice(middles)}{draw.choice(middles)}{draw.choice(endings)}" for _ in range(12)}
        names = sorted(name for name in drawn if not name.startswith("."))
        made = list(name_outputs(names, target=RGB, format="PNG"))
        assert made == list(names_module._name_group(names, target=RGB, format="PNG"))
        outputs = [output for _, output, _ in made]
        assert [name for name, _, _ in made] == names
        assert len(set(outputs)) == len(outputs)
        wanted = [name if name.endswith(".png") else str(PurePath(name).with_suffix(".png")) for name in names]
        for name, want, output in zip(names, wanted, outputs, strict=True):
            if want == name or wanted.count(want) == 1:
                assert output == want
            else:
                kept_whole += 1
                assert output.startswith(f"{name}.png")
    assert kept_whole > 1000


def test_jobs_come_back_as_they_were_packed(tmp_path: Path) -> None:
    rows = [(f"sub {n % 3}", (f"é\udcff {n}.jpg", f"{n}.png", "a note" if n % 2 else None)) for n in range(2500)]
    jobs = Jobs(tmp_path / "in", tmp_path / "out", iter(rows))
    assert len(jobs) == 2500
    for _ in range(2):
        for n, job in enumerate(jobs):
            assert job.source == tmp_path / "in" / f"sub {n % 3}" / f"é\udcff {n}.jpg"
            assert job.target == tmp_path / "out" / f"sub {n % 3}" / f"{n}.png"
            assert job.name == f"sub {n % 3}/é\udcff {n}.jpg"
            assert job.note == ("a note" if n % 2 else None)
        assert n == 2499


def planned_bytes(folder: Path, card: Card) -> tuple[int, int]:
    """Bytes that a plan keeps, and the most that making it took."""
    tracemalloc.start()
    try:
        plan = make_plan(folder, folder.parent / "out", card=card, settings=ConvertSettings(format="png"))
        gc.collect()
        return tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
        del plan


@pytest.mark.slow
def test_a_plan_takes_few_bytes_a_picture(tmp_path: Path, card: MakeCard) -> None:
    """What 3,000 more pictures take: in folders, and all of them in one."""
    for count in (1000, 4000):
        for n in range(count):
            if n % 1000 == 0:
                (tmp_path / f"{count}-in-folders" / str(n)).mkdir(parents=True)
                (tmp_path / f"{count}-in-one").mkdir(exist_ok=True)
            (tmp_path / f"{count}-in-folders" / str(n // 1000 * 1000) / f"picture_{n:08}.jpg").touch()
            (tmp_path / f"{count}-in-one" / f"picture_{n:08}.jpg").touch()
    for kind, peak in (("in-folders", 120), ("in-one", 250)):
        kept_few, peak_few = planned_bytes(tmp_path / f"1000-{kind}", card())
        kept_many, peak_many = planned_bytes(tmp_path / f"4000-{kind}", card())
        assert (kept_many - kept_few) / 3000 < 20
        assert (peak_many - peak_few) / 3000 < peak


def test_what_a_killed_process_left_is_found_and_nothing_else(tmp_path: Path, card: MakeCard) -> None:
    long = "x" * 60
    touch(tmp_path, "in/a.jpg", f"in/sub/{long}.png", "in/sub/c.d.png")
    ours = [".a-0123456789ab.jpg", f"sub/.{long[:40]}-0123456789ab.png", "sub/.c.d-ba9876543210.png"]
    others = [".a-0123456789ab.png", ".b-0123456789ab.jpg", ".a-notes.jpg", "a-0123456789ab.jpg", ".a.jpg"]
    touch(tmp_path / "out", *ours, *others, f"sub/{long}.png")
    plan = make_plan(tmp_path / "in", tmp_path / "out", card=card(), settings=DEFAULTS)
    assert {path.relative_to(tmp_path / "out").as_posix() for path in plan.partial_files} == set(ours)
    assert plan.existing == 1
    touch(tmp_path, "out/.b-0123456789ab.png")
    plan = make_plan(tmp_path / "in/a.jpg", tmp_path / "out/b.png", card=card(), settings=DEFAULTS)
    assert [path.name for path in plan.partial_files] == [".b-0123456789ab.png"]
