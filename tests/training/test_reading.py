"""A run of a set that was read otherwise by the version that started it."""

import json

import numpy as np
import pytest
from PIL import Image

from tests.training.test_run import tiny
from translate.training.job import new_job, resumed_job
from translate.training.run import fit, train

RNG = np.random.default_rng(0)


def picture(path):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(RNG.integers(0, 256, (32, 32, 3), dtype=np.uint8)).save(path)


def as_of_the_first_version(run, **data):
    """Rewrite a run's configuration to what the first version would have written."""
    config = json.loads((run / "config.json").read_text())
    for name in ("reading", "held_out"):
        del config["data"][name]
    config["data"] |= data
    (run / "config.json").write_text(json.dumps(config))


def test_splits_inside_the_sides_are_told_as_the_reason(tmp_path):
    data, run = tmp_path / "data", tmp_path / "run"
    for split, stems in (("train", "abc"), ("val", "d"), ("test", "e")):
        for stem in stems:
            for side in "AB":
                picture(data / side / split / f"{stem}.png")
    train("pix2pix", **tiny(data, run, steps=2))
    assert train(resume=run, steps=3).finished
    as_of_the_first_version(run, fingerprint="0" * 64)
    with pytest.raises(ValueError, match=r"reads them otherwise .*A/train/ A/val/ A/test/ are splits now.*--init-from"):
        train(resume=run, steps=4)


def test_a_column_that_changes_no_picture_but_its_split_is_noticed(tmp_path):
    data, run = tmp_path / "data", tmp_path / "run"
    rows = ["file_name,target_file_name,split"]
    for number in range(4):
        for side in "ab":
            picture(data / f"{side}{number}.png")
        rows.append(f"a{number}.png,b{number}.png,{'val' if number == 3 else 'train'}")
    (data / "metadata.csv").write_text("\n".join(rows))
    train("pix2pix", **tiny(data, run, steps=2))
    (data / "metadata.csv").write_text("\n".join([*rows[:3], rows[4], rows[3]]))  # the order means nothing
    assert train(resume=run, steps=3).finished
    (data / "metadata.csv").write_text("\n".join([*rows[:3], rows[3].replace("train", "val"), rows[4]]))
    with pytest.raises(ValueError, match="pictures have changed"):
        train(resume=run, steps=4)
    (data / "metadata.csv").write_text("\n".join(rows))
    as_of_the_first_version(run)
    with pytest.raises(ValueError, match=r"reads them otherwise \(the column split is read"):
        train(resume=run, steps=4)


def test_a_run_of_a_set_that_is_read_as_before_goes_on(tmp_path):
    data, run = tmp_path / "data", tmp_path / "run"
    for split, stems in (("train", "abc"), ("val", "d")):
        for stem in stems:
            for side in "AB":
                picture(data / f"{split}{side}" / f"{stem}.png")
    train("pix2pix", **tiny(data, run, steps=2))
    as_of_the_first_version(run)
    assert train(resume=run, steps=3).finished


def test_a_run_inside_its_own_data_folder_goes_on(tmp_path):
    """Its sample pages are skipped, with a line that names their folder."""
    data = tmp_path / "data"
    for stem in "abcd":
        picture(data / "photos" / f"{stem}.png")
    lines: list[str] = []
    given = tiny(data, data / "runs" / "one", steps=2, derive="gray", layout="single", validate_every=1)
    fit(new_job("pix2pix", given), say=lines.append)
    assert list((data / "runs" / "one" / "samples").iterdir())
    fit(resumed_job(data / "runs" / "one", {"steps": 4}), say=lines.append)
    assert "1 folder of a training skipped, whose pages are not pictures to learn from: runs/one/" in lines
    second = train("pix2pix", **tiny(data, data / "two", steps=2, derive="gray", layout="single"))
    assert second.finished
