"""`translate evaluate` on runs of this software."""

import csv
import json
import re
import shutil
import statistics
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

import translate
from translate.cli import main
from translate.evaluation.features import Features
from translate.evaluation.intervals import Interval, mean_interval
from translate.evaluation.kid import kid
from translate.networks.backbone import Backbone
from translate.training.run import train

SMALL: dict[str, Any] = {
    "size": 32,
    "width": 4,
    "discriminator_width": 4,
    "patch": 16,
    "steps": 2,
    "tensorboard": False,
    "samples": 0,
}


def quiet(line: str) -> None:
    """In place of printing."""


@pytest.fixture(scope="module")
def run(captioned_fronts, tmp_path_factory):
    out = tmp_path_factory.mktemp("evaluate") / "run"
    return train("pix2pix", **SMALL, condition="text", code_width=8, flip=False, data=captioned_fronts, out=out)


def test_the_figures_are_those_of_the_last_validation(run, captioned_fronts, capsys):
    assert main(["evaluate", str(run.path / "last.safetensors"), "--data", str(captioned_fronts)]) == 0
    printed = capsys.readouterr().out
    last = [json.loads(line) for line in (run.path / "metrics.jsonl").read_text().splitlines()][-1]
    best = min(last["validation"].values(), key=lambda figures: figures["l1"])
    assert f"\nL1 {best['l1']:.4f} " in printed
    assert f"\nPSNR {best['psnr']:.2f} dB " in printed
    assert "4 pictures" in printed
    assert "does it listen? L1 " in printed


def test_a_run_folder_knows_its_pictures_and_a_file_does_not(run, captioned_fronts, capsys):
    def printed(*words):
        assert main(["evaluate", str(run.path), "--metrics", "l1,ssim", *words]) == 0
        return re.sub("alone: .*", "", capsys.readouterr().out)  # the model's speed

    assert printed("--data", str(captioned_fronts)) == printed()
    assert main(["evaluate", str(run.path / "last.safetensors")]) == 2
    assert "no pictures given" in capsys.readouterr().err


def test_a_model_of_a_picture_alone_has_figures_alone(fronts, tmp_path, capsys):
    made = train("pix2pix", **SMALL, data=fronts, out=tmp_path / "run")
    assert main(["evaluate", str(made.path), "--data", str(fronts), "--split", "test"]) == 0
    printed = capsys.readouterr().out
    assert "3 pictures" in printed
    assert "SSIM" in printed
    assert "listen" not in printed


POINTLESS = {
    "flip": (["--no-flip"], "--flip changes nothing in an evaluation, where pictures are augmented in training alone"),
    "kind": (["--target-kind", "labels"], "--target-kind changes nothing in an evaluation, where the model's own stay"),
    "size": (["--fit", "none", "--size", "32"], "--size changes nothing with --fit none"),
    "fraction": (["--split", "test", "--val-fraction", "0.1"], "--val-fraction changes nothing with --split test"),
    "held out": (["--val-fraction", "0.1"], "--val-fraction 0.1 changes nothing where there are validation pictures"),
    "alone": (["--sources", "."], "--sources goes with --outputs"),
    "unpaired": (["--unpaired"], "--unpaired goes with --outputs"),
    "half": (["--outputs", "."], "--outputs goes with --targets FOLDER: give both"),
    "two": (["--outputs", ".", "--targets", "."], "--outputs are measured without a model: leave out"),
    "unknown": (["--metrics", "l2"], 'no measure or figure is called "l2" (did you mean "l1"?)'),
    "maps": (["--metrics", "miou"], "--metrics miou needs targets that are label maps"),
    "network": (["--metrics", "kid_lite1"], "--metrics kid_lite1: pictures are judged by lite0"),
    "copies": (
        ["--split", "train", "--memorised", "x.png"],
        "--memorised with --split train: the pictures are compared",
    ),
    "task": (
        ["--split", "train", "--task", "label"],
        "--task with --split train: the pictures are told by a classifier",
    ),
    "none": (
        ["--metrics", "kid", "--features", "none"],
        "--metrics kid needs a pretrained network to judge by (--feat",
    ),
    "features": (["--metrics", "l1", "--features", "x"], "--features changes nothing with --metrics l1"),
    "weights": (["--features-weights", "x.pth"], "--features-weights are those of --features NAME"),
    "table": (["--table", "x.csv"], "--table x.csv: there is no such file"),
    "classes": (["--imagenet-classes", "zebre"], "--imagenet-classes zebre: "),
    "folder": (["--csv", "nowhere/each.csv"], "--csv nowhere/each.csv: name a file in a folder that is there"),
    "sheet": (["--sheet", "page.html"], "what is written there needs a name that ends in .png"),
    "group": (["--group-by", "weather"], "--group-by weather: no such column"),
}


@pytest.mark.parametrize(("words", "message"), POINTLESS.values(), ids=POINTLESS)
def test_flags_that_do_nothing_here_are_refused(words, message, run, capsys):
    assert main(["evaluate", str(run.path), *words]) == 2
    assert message in capsys.readouterr().err


def test_groups_have_figures_of_their_own(run, captioned_fronts, capsys):
    found = translate.evaluate(run.path, metrics="l1", group_by="label", say=quiet)
    labels = found.columns["group"]
    assert labels == found.columns["label"]
    for label, figures in found.groups.items():
        own = [value for value, other in zip(found.each["l1"], labels, strict=True) if other == label]
        assert figures == {"count": len(own), "l1": pytest.approx(statistics.mean(own))}
    assert sum(figures["count"] for figures in found.groups.values()) == 4
    assert "\ngroup " in found.describe()


def test_a_model_is_not_judged_by_the_features_that_it_trains_on(fronts, tmp_path):
    made = train("pix2pix", **SMALL, lambda_perceptual=1.0, data=fronts, out=tmp_path / "run")
    found = translate.evaluate(made.path, metrics="perceptual", say=quiet)
    assert found.figures.keys() == {"perceptual_lite1"}


def test_wrong_use_is_one_line(run, captioned_fronts, fronts, tmp_path, capsys):
    for words, message in (
        ([str(run.path), "--data", str(fronts)], "no training picture has one"),
        ([str(run.path), "--data", str(tmp_path / "nowhere")], "nowhere"),
        ([str(run.path), "--data", str(captioned_fronts), "--split", "test"], "no test folder"),
        ([str(run.path), "--data", str(captioned_fronts), "--splitt", "test"], '(did you mean "--split"?)'),
        (["nowhere"], "nowhere: no such model file"),
    ):
        assert main(["evaluate", *words]) == 2, words
        assert message in capsys.readouterr().err


def test_each_picture_has_a_line_in_the_table_and_json_has_the_means(run, tmp_path, capsys):
    table = tmp_path / "each.csv"
    assert main(["evaluate", str(run.path), "--metrics", "l1,psnr", "--csv", str(table), "--json"]) == 0
    captured = capsys.readouterr()
    found = json.loads(captured.out)
    assert "pairs" in captured.err
    assert f"written: {table}" in captured.err
    rows = table_of(table)
    assert [*rows[0]] == ["name", "l1", "psnr", "label", "text"]
    assert len({row["name"] for row in rows}) == found["count"] == 4
    assert all(row["label"] and row["text"] for row in rows)
    for name in ("l1", "psnr"):
        values = [float(row[name]) for row in rows]
        reported = found["figures"][name]
        assert reported["value"] == pytest.approx(statistics.mean(values))
        assert reported["spread"] == pytest.approx(statistics.stdev(values))
        assert Interval(reported["low"], reported["high"]) == mean_interval(values)
    assert sorted((row["name"] for row in rows), key=lambda name: float(by_name(rows, name)["l1"])) == found["best"]
    assert found["worst"] == found["best"][::-1]
    assert found["pictures_per_second"] > 0


def table_of(file):
    with file.open(encoding="utf-8", newline="") as lines:
        return list(csv.DictReader(lines))


def by_name(rows, name):
    return next(row for row in rows if row["name"] == name)


def test_the_source_itself_is_measured_beside_and_compared_picture_by_picture(run, captioned_fronts):
    found = translate.evaluate(run.path, metrics="l1", say=quiet)
    source = found.baselines["the source itself"]["l1"]
    sides = [np.asarray(Image.open(path)).astype(float) / 255 for path in sides_of(captioned_fronts)]
    expected = statistics.mean(np.abs(a - b).mean() for a, b in zip(sides[::2], sides[1::2], strict=True))
    assert source == pytest.approx(expected, abs=1e-6)
    low, high = found.differences["the source itself"]["l1"]
    assert low < found.figures["l1"] - source < high
    known = ("the source itself", "the mean target", "the nearest training target", "the best recolouring")
    assert {*found.baselines} == {*found.differences} == {*known}
    for words in known:
        assert found.baselines[words].keys() == {"l1"}
        low, high = found.differences[words]["l1"]
        assert low < found.figures["l1"] - found.baselines[words]["l1"] < high


def sides_of(folder):
    rows = table_of(folder / "val" / "metadata.csv")
    return [folder / "val" / row[name] for row in rows for name in ("file_name", "target_file_name")]


@pytest.fixture(scope="module")
def halves(fronts, tmp_path_factory):
    """Label maps and fronts of the validation pairs, a file each, and outputs: the fronts, one far and one less off."""
    folder = tmp_path_factory.mktemp("halves")
    for name in ("sources", "targets", "outputs/inner"):
        (folder / name).mkdir(parents=True)
    (folder / "targets" / "inner").mkdir()
    for number, path in enumerate(sorted((fronts / "val").iterdir())):
        pixels = np.asarray(Image.open(path).convert("RGB"))
        source, target = pixels[:, :32], pixels[:, 32:]
        Image.fromarray(source).save(folder / "sources" / f"{path.stem}.png")
        inner = "inner/" if number == 3 else ""
        Image.fromarray(target).save(folder / "targets" / f"{inner}{path.stem}.png")
        off = np.minimum(target.astype(int) + 20 * number, 255).astype(np.uint8)
        Image.fromarray(off).save(folder / "outputs" / f"{inner}{path.stem}.bmp")
    return folder


def folders(halves, *words):
    return ["evaluate", "--outputs", str(halves / "outputs"), "--targets", str(halves / "targets"), *words]


def test_two_folders_are_compared_by_name_at_their_own_sizes(halves, tmp_path, capsys):
    table = tmp_path / "each.csv"
    assert main(folders(halves, "--metrics", "l1", "--csv", str(table))) == 0
    printed = capsys.readouterr().out
    rows = table_of(table)
    for row in rows:
        made, truth = (
            np.asarray(Image.open(halves / side / (row["name"] + suffix))).astype(float) / 255
            for side, suffix in (("outputs", ".bmp"), ("targets", ".png"))
        )
        assert float(row["l1"]) == pytest.approx(np.abs(made - truth).mean(), abs=1e-6)
    assert f"L1 {statistics.mean(float(row['l1']) for row in rows):.4f} " in printed
    assert "4 pictures are few: other pictures may give figures" in printed
    assert "alone" not in printed  # there is no model
    assert "for validation" not in printed


def test_the_sheet_has_the_worst_first_and_the_best_below(halves, tmp_path):
    page = tmp_path / "page.png"
    assert main(folders(halves, "--metrics", "l1", "--sheet", str(page))) == 0
    targets = sorted((halves / "targets").rglob("*.png"), key=lambda path: path.name)
    shown = np.asarray(Image.open(page))
    column = [shown[20 + line * 196 :][:192, 200:][:, :192] for line in range(4)]  # of the targets
    expected = [targets[place] for place in (3, 2, 0, 1)]
    for cell, path in zip(column, expected, strict=True):
        assert np.array_equal(cell[::6, ::6], np.asarray(Image.open(path)))


def test_two_sets_without_partners(halves, capsys, tmp_path):
    only = tmp_path / "targets"
    only.mkdir()
    for path in sorted((halves / "targets").rglob("*.png"))[:3]:
        shutil.copy(path, only / f"other-{path.name}")
    words = ["evaluate", "--outputs", str(halves / "outputs"), "--targets", str(only)]
    assert main(words) == 2
    assert "two sets without partners are for --unpaired" in capsys.readouterr().err
    found = translate.evaluate(outputs=halves / "outputs", targets=only, unpaired=True, metrics="kid", say=quiet)
    features = Features(Backbone())
    sets = (
        torch.stack([torch.from_numpy(np.array(Image.open(path))).permute(2, 0, 1) / 127.5 - 1 for path in side])
        for side in (sorted((halves / "outputs").rglob("*.bmp")), sorted(only.iterdir()))
    )
    expected = kid(*map(features.pooled, sets))
    assert found.figures == pytest.approx({"kid_lite0": expected.value})
    assert found.errors == pytest.approx({"kid_lite0": expected.error})
    assert found.describe().startswith("4 outputs beside 3 targets\nKID (lite0) ")
    assert main([*words, "--unpaired", "--metrics", "l1"]) == 2
    assert "--metrics l1 needs true pairs to validate on (--unpaired takes two sets)" in capsys.readouterr().err


def test_the_middles_of_two_sets_are_measured_in_batches(halves, tmp_path):
    """Of whatever size the pictures are, some of them smaller than the middle: the batch changes no figure."""
    (tmp_path / "targets").mkdir()
    for number, path in enumerate(sorted((halves / "targets").rglob("*.png"))):
        Image.open(path).resize((20 + 10 * number, 40)).save(tmp_path / "targets" / f"other-{path.name}")
    given = {"outputs": halves / "outputs", "targets": tmp_path / "targets", "unpaired": True, "metrics": "kid"}
    given |= {"fit": "none", "val_crop": True, "size": 24}
    one, many = (translate.evaluate(**given, batch_size=size, say=quiet).figures for size in (1, 3))
    assert one == pytest.approx(many, abs=1e-5)


def test_files_of_folders_that_cannot_be_compared_are_named(halves, tmp_path, capsys):
    spoiled = tmp_path / "outputs"
    shutil.copytree(halves / "outputs", spoiled)
    first, second, third, _ = sorted(spoiled.rglob("*.bmp"), key=lambda path: path.name)
    words = ["evaluate", "--outputs", str(spoiled), "--targets", str(halves / "targets"), "--metrics", "l1"]
    first.rename(first.with_name("nobody.bmp"))
    assert main(words) == 2
    reported = capsys.readouterr().err
    assert f"{spoiled}/nobody.bmp: no file of this stem" in reported
    assert f"{first.stem}.png: no file of this stem in {spoiled}" in reported
    first.with_name("nobody.bmp").rename(first)
    second.write_bytes(second.read_bytes()[:50])
    Image.open(third).resize((30, 32)).save(third)
    assert main(words) == 2
    reported = capsys.readouterr().err
    assert f"{second.name}: cannot be decoded" in reported
    second.unlink()
    shutil.copy(halves / "outputs" / second.name, second)
    assert main(words) == 2
    assert "2 files cannot" not in (reported := capsys.readouterr().err)
    assert f"{third.stem}.png: " in reported
    assert main([*words, "--size", "32"]) == 0  # brought to one size


@pytest.fixture(scope="module")
def unpaired_run(unpaired_fronts, tmp_path_factory):
    out = tmp_path_factory.mktemp("unpaired-run") / "run"
    return train("fastcut", **SMALL, blocks=1, data=unpaired_fronts, out=out)


def test_pictures_without_pairs_are_measured_as_sets(unpaired_run, tmp_path):
    found = translate.evaluate(unpaired_run.path, split="train", metrics="sets", say=quiet)
    assert (found.count, found.targets) == (12, 12)
    assert found.errors["kid_lite0"] > 0
    assert found.baselines["the source itself"]["kid_lite0"] != found.figures["kid_lite0"]
    assert not found.each
    fitted = translate.evaluate(unpaired_run.path, split="train", metrics="target_share", say=quiet)
    assert fitted.baselines["real targets"] == {"target_share_lite0": 1}  # the classifier knows them
    assert "fitted on these very pictures, as --split train has it" in fitted.describe()
    for given, message in (
        (
            {"csv": tmp_path / "each.csv"},
            "--csv has a line for each picture, and pictures have no figures of their own",
        ),
        ({"sheet": tmp_path / "page.png"}, "--sheet shows pictures by their distance"),
        ({"metrics": "l1"}, "--metrics l1 needs true pairs"),
    ):
        with pytest.raises(ValueError, match=message):
            translate.evaluate(unpaired_run.path, **{"metrics": "kid", **given}, say=quiet)


@pytest.mark.slow
def test_pictures_of_many_domains_are_measured_by_the_label_asked_for(domains, tmp_path):
    made = train("stargan", **SMALL, blocks=1, condition="label", data=domains, out=tmp_path / "run")
    found = translate.evaluate(made.path, say=quiet)
    assert found.figures.keys() == {"obeyed_lite0"}
    assert len(found.each["obeyed_lite0"]) == found.count == 3
    assert found.baselines["real targets"].keys() == {"obeyed_lite0"}
    assert found.columns.keys() == {"label", "text"}
    with pytest.raises(
        ValueError, match="--metrics kid: in a set of many domains a source given back unchanged would be"
    ):
        translate.evaluate(made.path, metrics="kid", say=quiet)


@pytest.mark.slow
def test_training_pictures_tell_domains_apart_do_a_task_and_show_copies(unpaired_run, unpaired_fronts, tmp_path):
    data = tmp_path / "data"  # training pictures stand for those that are tested
    for side in "AB":
        for part in ("train", "test"):
            shutil.copytree(unpaired_fronts / f"train{side}", data / f"{part}{side}")
    files = sorted(path for side in "AB" for path in (data / f"train{side}").iterdir())
    table = tmp_path / "kinds.csv"
    kinds = {path.name: ("even", "odd")[place % 2] for place, path in enumerate(files)}
    table.write_text("file_name,kind\n" + "".join(f"{name},{kind}\n" for name, kind in kinds.items()))
    given = {"metrics": "target_share", "task": "kind", "table": table, "memorised": tmp_path / "near.png"}
    found = translate.evaluate(unpaired_run.path, **given, data=data, split="test", say=quiet)
    (name,) = found.figures
    assert name == "target_share_lite0"
    assert found.baselines["the source itself"][name] == 0  # the classifier has seen these very pictures
    assert found.baselines["real targets"][name] == 1
    assert found.task is not None
    assert found.task.targets.count == 12
    assert found.task.targets.value == 1  # the same
    assert "task" in found.as_json()
    assert "labels of 12 real targets, told by a classifier" in found.describe()
    assert "memorised? " in found.describe()
    with Image.open(tmp_path / "near.png") as page:
        assert page.size == (2 * (32 + 4) + 4, 4 + 3 * 12 + 8 * (32 + 4) + 4)  # a title of three lines


def test_a_judge_of_the_other_direction_finds_the_labels_in_photos(fronts, tmp_path):
    made, judge = (
        train("pix2pix", **SMALL, data=fronts, direction=way, out=tmp_path / way).path for way in ("AtoB", "BtoA")
    )
    found = translate.evaluate(made, judge=judge, metrics="fcn_miou", say=quiet)
    assert found.figures.keys() == {"fcn_miou"}
    ceiling = found.baselines["the judge on the real targets"]["fcn_miou"]
    assert 0 <= found.figures["fcn_miou"] <= 1
    assert 0 <= ceiling <= 1
    assert found.errors.keys() >= {"fcn_miou"}
    with pytest.raises(ValueError, match="--judge changes nothing with --metrics l1"):
        translate.evaluate(made, judge=judge, metrics="l1", say=quiet)


def test_pictures_of_noise_are_measured_as_sets(fronts, tmp_path):
    made = train("dcgan", **{k: v for k, v in SMALL.items() if k != "patch"}, data=fronts, out=tmp_path / "run")
    found = translate.evaluate(made.path, split="train", metrics="kid", say=quiet)
    assert found.figures.keys() == {"kid_lite0"}
    assert found.pictures_per_second
