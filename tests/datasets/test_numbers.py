"""What training makes of the numbers in the files is what their maker meant; what looks otherwise is reported.

Sets are drawn with values of every depth and number of bands, with and without a value that means "nothing here", and
with ranges asked for in every way. The maker knows what the network should see of each value, and what counts.
"""

from pathlib import Path
from typing import Any, Literal

import numpy as np
import pytest
import tifffile
import torch
from PIL import Image

from translate.batch import Batch
from translate.datasets.batches import make_dataset, ordered_batches
from translate.datasets.prepare import Prepared, prepare
from translate.settings import DataSettings

SIDE = 12
LIMITS = {"uint8": (0, 255), "uint16": (0, 65535), "float32": (-2000, 5000)}


def save(path: Path, pixels: np.ndarray) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    tifffile.imwrite(path, pixels, photometric="minisblack", planarconfig="contig" if pixels.shape[-1] > 1 else None)


def prepared(root: Path, **given: Any) -> tuple[Prepared, DataSettings, str]:
    lines: list[str] = []
    values = {"source": root / "A", "target": root / "B", "size": SIDE, "fit": "none", "val_fraction": 0.5}
    settings = DataSettings.make({**values, **given})
    return prepare(settings, say=lines.append), settings, "\n".join(lines)


def batch_of(data: Prepared, settings: DataSettings, part: Literal["train", "val"]) -> tuple[Batch, tuple[str, ...]]:
    dataset = make_dataset(data, settings=settings, part=part, seed=0)
    (raw,) = ordered_batches(dataset, batch=len(dataset))
    return raw.to(torch.device("cpu"), {"source": data.specs["source"], "target": data.target}), raw.names


class Maker:
    """Draws the pictures of one side, and knows what they mean."""

    def __init__(self, rng: np.random.Generator) -> None:
        self.dtype = str(rng.choice([*LIMITS]))
        self.bands = int(rng.choice([1, 2, 3, 4, 5]))
        least, most = LIMITS[self.dtype]
        ends = np.sort(rng.integers(least + 1, most, (self.bands, 2)), -1)
        self.ends = ends + np.array([0, 1])  # of each band
        self.nodata: float | str | None = None
        if rng.random() < 0.7:
            beyond: dict[str, list[Any]] = {"uint8": [0, 255], "uint16": [0, 65535]}
            beyond["float32"] = [-9999, -3.4028235e38, 1e20, "nan"]
            inside = int(self.ends[0].mean())  # it may lie among the others
            self.nodata = [*beyond[self.dtype], inside][int(rng.integers(1 + len(beyond[self.dtype])))]
        self.way = str(rng.choice(["percentile", "bands", "list", "one"]))

    def draw(self, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
        """`[SIDE, SIDE, bands]`, and where something was measured, of the same shape."""
        low, high = self.ends[:, 0], self.ends[:, 1]
        share = rng.random((SIDE, SIDE, self.bands))
        values = low + share * (high - low)
        values = values.astype(np.float32) if self.dtype == "float32" else np.rint(values).astype(self.dtype)
        there = np.ones(values.shape, bool)
        if self.nodata is not None:
            there = values != np.float32(self.nodata) if self.nodata != "nan" else there
            for _ in range(int(rng.integers(4))):
                top, left = rng.integers(SIDE, size=2)
                band = slice(None) if rng.random() < 0.5 else int(rng.integers(self.bands))
                there[top : top + 4, left : left + 5, band] = False
            values[~there] = np.float32(self.nodata)
        return values, there

    def settings(self, role: str) -> dict[str, Any]:
        given: dict[str, Any] = {f"{role}_nodata": self.nodata}
        if self.bands in (1, 3):  # else it would be for the report alone to say
            given[f"{role}_channels"] = self.bands
        if self.way in ("percentile", "bands"):
            given[f"{role}_range"] = self.way
        elif self.way == "list":
            given[f"{role}_range"] = ",".join(f"{low - 1},{high + 3}" for low, high in self.ends)
        else:
            given[f"{role}_range"] = f"{self.ends.min()},{self.ends.max()}"
        return given

    def ranges(self, trained: list[tuple[np.ndarray, np.ndarray]]) -> np.ndarray:
        """Low and high of each band, `[bands, 2]`, from what was measured in the training pictures."""
        if self.way == "list":
            return self.ends + np.array([-1, 3])
        if self.way == "one":
            return np.tile([self.ends.min(), self.ends.max()], (self.bands, 1))
        bands = [
            np.concatenate([values[..., c][there[..., c]] for values, there in trained]) for c in range(self.bands)
        ]
        groups = bands if self.way == "bands" else [np.concatenate(bands)] * self.bands
        found = np.array([np.percentile(group, (0.01, 99.99)) for group in groups])
        return found if self.dtype == "float32" else np.stack([np.floor(found[:, 0]), np.ceil(found[:, 1])], -1)

    def seen(self, values: np.ndarray, there: np.ndarray, ranges: np.ndarray) -> np.ndarray:
        """What the network should see, `[bands, SIDE, SIDE]`."""
        low, high = ranges[:, 0], ranges[:, 1]
        shares = (np.where(there, values, low).astype(np.float64) - low) / (high - low)
        return np.where(there, np.clip(2 * shares - 1, -1, 1), 0).transpose(2, 0, 1)


@pytest.mark.parametrize("seed", range(40))
def test_the_network_sees_what_was_meant_and_only_what_was_measured_counts(tmp_path, seed):
    rng = np.random.default_rng(seed)
    makers = {"A": Maker(rng), "B": Maker(rng)}
    made: dict[str, dict[str, tuple[np.ndarray, np.ndarray]]] = {"A": {}, "B": {}}
    for side, maker in makers.items():
        for index in range(6):
            made[side][str(index)] = maker.draw(rng)
            save(tmp_path / side / f"{index}.tif", made[side][str(index)][0])
    given = makers["A"].settings("source") | makers["B"].settings("target")
    data, settings, report = prepared(tmp_path, **given)
    assert data.problems == (), report
    batch, names = batch_of(data, settings, "val")
    measured = np.ones((len(names), SIDE, SIDE), bool)
    for side, role, seen in (("A", "source", batch.source), ("B", "target", batch.target)):
        maker, pictures = makers[side], made[side]
        spec = getattr(data, role)
        ranges = maker.ranges([*pictures.values()])  # of those that are held out, too
        np.testing.assert_allclose(np.stack([spec.lows, spec.lows + spec.spans], -1), ranges, rtol=1e-6)
        assert (spec.bands is None) == (maker.way in ("percentile", "one") or maker.bands == 1)
        assert type(spec).model_validate_json(spec.model_dump_json()) == spec
        expected = np.stack([maker.seen(*pictures[name], ranges) for name in names])
        np.testing.assert_allclose(seen.numpy(), expected, atol=2e-4)
        measured &= np.stack([pictures[name][1].all(-1) for name in names])
        share = 1 - np.mean([there for _, there in pictures.values()])
        if maker.nodata is not None:
            assert (f"{share:.2%} of the sampled values" if share else "none of the sampled values") in report
    if any(maker.nodata is not None for maker in makers.values()):
        assert batch.valid is not None
        np.testing.assert_array_equal(batch.valid[:, 0].numpy(), measured)
    else:
        assert batch.valid is None


@pytest.mark.parametrize("dtype", ["uint8", "uint16", "float32"])
@pytest.mark.parametrize(
    "given", [{"fit": "stretch", "load_size": 20}, {"rotate": 40.0, "zoom": 0.3}, {"fit": "cover", "photometric": 1.0}]
)
def test_what_was_not_measured_is_mixed_with_nothing(tmp_path, dtype, given):
    """Pictures of one value with holes: whatever is done to them, there is that value, or nothing."""
    nodata = {"uint8": 255, "uint16": 0, "float32": -9999}[dtype]
    rng = np.random.default_rng(0)
    for index in range(4):
        values = np.full((30, 30, 1), 100, dtype)
        values[rng.random((30, 30, 1)) < 0.3] = nodata
        values[:9] = nodata
        save(tmp_path / "A" / f"{index}.tif", values)
        save(tmp_path / "B" / f"{index}.tif", values)
    shared = {"source_nodata": nodata, "target_nodata": nodata, "source_range": "0,200", "target_range": "0,200"}
    data, settings, _ = prepared(tmp_path, **shared, **given)
    dataset = make_dataset(data, settings=settings, part="train", seed=0)
    holes = 0
    for epoch in range(5):
        example = dataset[epoch, 0]
        assert set(np.unique(example.target.round(3))) <= {100, nodata}
        assert len(set(np.unique(example.source.round(3))) - {nodata}) == 1
        np.testing.assert_array_equal(example.source == nodata, example.target == nodata)
        holes += int((example.target == nodata).sum())
    assert 0 < holes < 5 * SIDE * SIDE


def test_a_value_that_means_nothing_is_in_no_validation_figure_and_no_baseline(tmp_path):
    from translate.evaluation.metrics import compare
    from translate.training.baselines import mean_target

    rng = np.random.default_rng(0)
    for index in range(4):
        values = rng.uniform(0, 100, (SIDE, SIDE, 1)).astype(np.float32)
        save(tmp_path / "A" / f"{index}.tif", values)
        values = np.full((SIDE, SIDE, 1), 75, np.float32)
        values[: 3 + index] = np.nan
        save(tmp_path / "B" / f"{index}.tif", values)
    data, settings, _ = prepared(tmp_path, target_nodata="nan", target_range="0,100")
    batch, _ = batch_of(data, settings, "val")
    output = torch.where(batch.target == 0, 1.0, 0.3)  # 0.1 off where something was measured
    assert compare(output, batch.target, valid=batch.valid)["l1"].tolist() == pytest.approx([0.1, 0.1])
    raw = ordered_batches(make_dataset(data, settings=settings, part="val", seed=0), batch=1)
    mean = mean_target(raw, data.target)
    assert mean[0, 0, -1, 0].item() == mean[0, 0, 5, 0].item() == pytest.approx(0.5)
    assert mean[0, 0, 0, 0].item() == 0


def drawn(kind: str, rng: np.random.Generator, index: int) -> np.ndarray:
    """A picture of a kind that deserves a word, or does not."""
    height, width = 40, 50
    smooth = np.kron(rng.random((4, 5, 3)), np.ones((10, 10, 1)))
    photo = np.rint(smooth * 200 + rng.normal(25, 8, smooth.shape)).clip(0, 255).astype(np.uint8)
    gray = photo[..., :1]
    if kind == "photographs":
        return photo
    if kind == "dark photographs":
        return photo // 3
    if kind == "drawings on white":
        return np.where(rng.random((height, width, 1)) < 0.05, gray // 2, 255).astype(np.uint8)
    if kind == "masks":
        return ((rng.random((height, width, 1)) < 0.003) * 255).astype(np.uint8)
    if kind == "one channel of three":
        return photo * np.array([0, 1, 0], np.uint8)
    if kind == "12 bits in 16":
        return gray.astype(np.uint16) * 16
    if kind == "floats":
        return (photo / 255).astype(np.float32)
    if kind == "class numbers":
        return rng.integers(0, 5, (height, width, 1)).astype(np.uint8)
    if kind == "rare class numbers":
        return (rng.integers(1, 5, (height, width, 1)) * (rng.random((height, width, 1)) < 0.003)).astype(np.uint8)
    if kind == "class numbers and unknown":
        return np.where(rng.random((height, width, 1)) < 0.05, 255, rng.integers(0, 2, (height, width, 1))).astype("u1")
    if kind == "elevation without some":
        return np.where(smooth[..., :1] > 0.9, -9999, smooth[..., :1] * 300 + 40).astype(np.float32)
    if kind == "elevation with one bad row":
        metres = (smooth[..., :1] * 300 + 40).astype(np.float32)
        if index == 0:
            metres[0, :20] = 1e9
        return metres
    if kind == "depth camera":
        return np.where(smooth[..., :1] > 0.8, 0, smooth[..., :1] * 6000 + 500).astype(np.uint16)
    if kind == "colour and depth":
        return np.dstack([photo, smooth[..., :1] * 10_000]).astype(np.float32)
    if kind == "colour and depth in 16 bits":
        return np.dstack([photo, smooth[..., :1] * 10_000]).astype(np.uint16)
    if kind == "colour and depth without some":
        depth = np.where(smooth[..., :1] > 0.9, -9999, smooth[..., :1] * 10_000)
        return np.dstack([photo, depth]).astype(np.float32)
    if kind == "three heights without some":
        return np.where(smooth > 0.9, -9999, smooth * 300).astype(np.float32)
    assert kind == "percent and unknown"
    return np.where(smooth[..., :1] > 0.9, 255, np.rint(smooth[..., :1] * 100)).astype(np.uint8)


WORDS = {
    "photographs": (),
    "dark photographs": (),
    "drawings on white": (),
    "masks": (),
    "one channel of three": (),
    "12 bits in 16": (),
    "floats": (),
    "class numbers": ("source: most values lie between 0 and 4, 1.6% of the range 0 to 255", "--source-kind labels"),
    "rare class numbers": ("1.6% of the range 0 to 255", "--source-kind labels"),
    "class numbers and unknown": ("of the values are 255", "--source-nodata=255", "--source-kind labels"),
    "elevation without some": ("of the values are -9999, far from the others", "--source-nodata=-9999"),
    "elevation with one bad row": ("of the values are 1e+09", "--source-nodata=1e+09"),
    "depth camera": ("of the values are 0,", "--source-nodata=0"),
    "colour and depth": ("bands 1, 2, 3 of 4 use under a twentieth of the range", "--source-range bands"),
    "colour and depth in 16 bits": ("bands 1, 2, 3 of 4 use under a twentieth of the range", "--source-range bands"),
    "colour and depth without some": (
        "of the values of band 4 are -9999",
        "bands 1, 2, 3 of 4 use under a twentieth",
        "--source-nodata=-9999",
    ),
    "three heights without some": ("of the values of bands 1, 2, 3 are -9999", "--source-nodata=-9999"),
    "percent and unknown": ("of the values are 255", "--source-nodata=255"),
}
ALARMS = ("far from the others", "most values lie between", "under a twentieth")


@pytest.mark.parametrize("kind", WORDS)
def test_numbers_that_are_not_what_they_are_taken_for_are_told_with_the_flag_that_helps(tmp_path, kind):
    rng = np.random.default_rng(0)
    for index in range(6):
        save(tmp_path / "A" / f"{index}.tif", drawn(kind, rng, index))
        save(tmp_path / "B" / f"{index}.tif", drawn("photographs", rng, index))
    _, _, report = prepared(tmp_path, fit="stretch")
    lines = [line for line in report.splitlines() if any(words in line for words in ALARMS)]
    assert all(words in report for words in WORDS[kind]), report
    assert bool(lines) == bool(WORDS[kind]), lines
    # the reported flag helps: with it the warning is gone
    remedies: dict[str, dict[str, Any]] = {
        "--source-kind labels": {"source_kind": "labels"},
        "--source-range bands": {"source_range": "bands"},
        "--source-nodata=-9999": {"source_nodata": -9999},
        "--source-nodata=0": {"source_nodata": "0"},
        "--source-nodata=1e+09": {"source_nodata": 1e9},
    }
    for flag, given in remedies.items():
        if flag in WORDS[kind] and kind != "colour and depth without some":  # which needs two
            _, _, report = prepared(tmp_path, fit="stretch", **given)
            assert not any(words in report for words in ALARMS), report


def test_transparency_that_is_used_is_told(tmp_path):
    """As GDAL and others write four bands of 8 bits: the fourth declared as alpha, whatever it is."""
    rng = np.random.default_rng(0)
    for index in range(4):
        bands = rng.integers(0, 250, (20, 20, 4), np.uint8)
        bands[..., 3] //= 8  # and often 0
        (tmp_path / "A").mkdir(exist_ok=True)
        (tmp_path / "B").mkdir(exist_ok=True)
        tifffile.imwrite(tmp_path / "A" / f"{index}.tif", bands, photometric="rgb", extrasamples=["unassalpha"])
        bands[..., 3] = 255
        Image.fromarray(bands).save(tmp_path / "B" / f"{index}.png")
    _, _, report = prepared(tmp_path)
    laid = report
    assert "source: 4 of 4 pictures are transparent in places (100% of their pixels) and laid on #ffffff" in report
    assert "--source-channels 4" in report
    assert "target: 4 of 4" not in report
    maps = {"target_kind": "labels", "target_palette": "#000000,#ffffff"}
    Image.fromarray(np.dstack([bands[..., :3], bands[..., :1]])).save(tmp_path / "B" / "0.png")
    _, _, report = prepared(tmp_path, **maps)
    assert "target: 1 of 4 pictures are transparent in places, and have the colour of --background" in report
    data, _, report = prepared(tmp_path, source_channels=4)
    assert data.source.channels == 4
    assert "--source-channels 4 --source-range bands" in laid
    data, settings, _ = prepared(tmp_path, source_channels=4, source_range="bands")
    batch, names = batch_of(data, settings, "val")
    for seen, name in zip(batch.source, names, strict=True):
        stored = tifffile.imread(tmp_path / "A" / f"{name}.tif")
        expected = (stored - data.source.lows) / data.source.spans * 2 - 1
        np.testing.assert_allclose(seen.permute(1, 2, 0).numpy(), expected, atol=1e-5)
    infrared = np.stack([tifffile.imread(path)[..., 3] for path in (tmp_path / "A").iterdir()])
    assert data.source.bands is not None
    assert data.source.bands[3] == (infrared.min(), infrared.max())
    assert "source: 4 of 4 pictures are transparent" not in report


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"source_nodata": -9999}, "--source-nodata -9999: the files are of 8 bits, which hold whole numbers from 0"),
        ({"source_nodata": "nan"}, "--source-nodata nan: the files are of 8 bits"),
        ({"source_nodata": 0.5}, "--source-nodata 0.5: the files are of 8 bits"),
        ({"source_nodata": "inf"}, "--source-nodata got"),
        ({"source_nodata": "empty"}, "--source-nodata got"),
        ({"source_nodata": -1.7976931348623157e308}, r"--source-nodata -1\.79769313e\+308: .*32 bits.*give nan"),
        ({"source_nodata": 0, "source_kind": "labels"}, "--source-nodata is for images.*--source-ignore"),
        ({"source_range": "0,1,2"}, "two numbers LOW,HIGH, or two for each band"),
        ({"source_range": "0,1,3,2"}, "the low end must be below the high one"),
        ({"source_range": "0,1,0,2"}, "--source-range has 2 ranges, and the files have 3 bands"),
    ],
)
def test_settings_that_contradict_the_files_are_refused(tmp_path, given, words):
    for index in range(2):
        for side in "AB":
            save(tmp_path / side / f"{index}.tif", drawn("photographs", np.random.default_rng(index), index))
    with pytest.raises(ValueError, match=words):
        prepared(tmp_path, fit="stretch", **given)


def test_nothing_here_needs_pairs(tmp_path):
    for side in "AB":
        save(tmp_path / side / "1.tif", drawn("elevation without some", np.random.default_rng(0), 0))
        save(tmp_path / side / "2.tif", drawn("elevation without some", np.random.default_rng(1), 0))
    settings = DataSettings.make({"source": tmp_path / "A", "target": tmp_path / "B", "size": 8})
    lines: list[str] = []
    prepare(settings, kind="unpaired", say=lines.append)
    assert any("of the values are -9999" in line and "fill it in before training" in line for line in lines)
    with pytest.raises(ValueError, match="--target-nodata needs pairs"):
        prepare(settings.replace(target_nodata=-9999), kind="unpaired", say=lines.append)
    with pytest.raises(ValueError, match="--target-nodata does not go with --derive"):
        prepare(DataSettings.make({"target": tmp_path / "A", "derive": "blur", "target_nodata": 0}), say=lines.append)


def test_files_with_gaps_are_refused_until_they_are_said_to_have_some(tmp_path):
    rng = np.random.default_rng(0)
    for index in range(4):
        values = drawn("floats", rng, index)
        if index < 2:
            values[3, 4] = np.nan if index else np.inf
        save(tmp_path / "A" / f"{index}.tif", values)
        save(tmp_path / "B" / f"{index}.tif", drawn("photographs", rng, index))
    data, _, report = prepared(tmp_path, fit="stretch")
    assert [problem.path.name for problem in data.problems] == ["0.tif", "1.tif"]
    assert "not finite" in report
    assert "--source-nodata nan" in report
    data, settings, _ = prepared(tmp_path, fit="stretch", source_nodata="NaN")
    assert data.problems == ()
    assert data.source.nodata == "nan"
    batch, _ = batch_of(data, settings, "train")
    assert torch.isfinite(batch.source).all()
