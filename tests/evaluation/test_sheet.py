import numpy as np
import pytest
from PIL import Image

from translate.evaluation.sheet import displayable, save_image, sheet, shrunk
from translate.images import ImageSpec


def test_the_value_range_fills_the_screens():
    spec = ImageSpec(channels=1, dtype="uint16", low=100, high=1100)
    raw = np.array([[[0], [100], [600], [1100], [4000]]], np.uint16)
    assert displayable(raw, spec)[0, :, 0].tolist() == [0, 0, 128, 255, 255]


@pytest.mark.parametrize(
    ("channels", "expected"), [(1, [51] * 3), (2, [51] * 3), (3, [51, 102, 153]), (5, [51, 102, 153])]
)
def test_any_number_of_channels_can_be_shown(channels, expected):
    values = [51, 255] if channels == 2 else [51, 102, 153, 204, 255][:channels]
    raw = np.array([[values]], np.uint8)
    assert displayable(raw, ImageSpec(channels=channels))[0, 0].tolist() == expected


def test_transparency_is_laid_on_the_background():
    raw = np.array([[[0, 0, 0, 0], [10, 20, 30, 255]]], np.uint8)
    shown = displayable(raw, ImageSpec(channels=4, background=(200, 100, 50)))
    assert shown[0].tolist() == [[200, 100, 50], [10, 20, 30]]


def test_a_sheet_holds_every_picture_whole(tmp_path):
    rng = np.random.default_rng(0)
    rows = [[rng.integers(0, 256, (10, 14, 3), dtype=np.uint8) for _ in range(3)] for _ in range(2)]
    save_image(tmp_path / "page.png", sheet(rows, titles=["a", "b", "c"]))
    page = np.asarray(Image.open(tmp_path / "page.png"))
    for row in rows:
        for cell in row:
            windows = np.lib.stride_tricks.sliding_window_view(page, cell.shape)[:, :, 0]
            assert (windows == cell).all(axis=(2, 3, 4)).any()


@pytest.mark.parametrize(("shape", "expected"), [((40, 100), (20, 50)), ((100, 40), (50, 20)), ((50, 9), (50, 9))])
def test_a_large_picture_is_shrunk_in_its_proportions(shape, expected):
    cell = np.full((*shape, 3), 77, np.uint8)
    small = shrunk(cell, 50)
    assert small.shape == (*expected, 3)
    assert (small == 77).all()


def test_long_titles_are_broken_between_words_or_go_on_over_columns_without_one():
    rows = [[np.zeros((20, 40, 3), np.uint8)] * 4]
    short = sheet(rows, titles=["a", "b", "c", "d"])
    for titles in (["spectral norm", "b", "c", "d"], ["a", "b", "c", "spectral norm"]):
        assert sheet(rows, titles=titles).height == short.height + 12
    assert sheet(rows, titles=["a", "spectral norm", "", "d"]).height == short.height
    assert sheet(rows, titles=["", "", "", ""]).size == short.size
