"""Label maps against hand counts, and photos by the label maps that a judge sees in them."""

import pytest
import torch

from translate.batch import Batch
from translate.evaluation.base import Examples, Judge
from translate.evaluation.label_maps import Confusion, JudgeFigures, LabelFigures, palette_of
from translate.images import ImageSpec

PALETTE = ((0, 0, 0), (255, 0, 0), (0, 0, 255))
LABELS = ImageSpec(channels=3, kind="labels", palette=PALETTE)
RGB = ImageSpec(channels=3)

TRUTH = torch.tensor([[[0, 0, 0, 0], [1, 1, 2, 2]], [[0, 0, 0, 0], [0, 0, 0, 1]]])
OUTPUT = torch.tensor([[[0, 0, 0, 1], [1, 2, 2, 2]], [[0, 0, 0, 0], [0, 0, 1, 1]]])
# rows are the truth: class 0 has 11 pixels, of which 9 are right and 2 are taken for 1; and so on
MATRIX = [[9, 2, 0], [0, 2, 1], [0, 0, 2]]
FIGURES = {
    "pixel_accuracy": 13 / 16,
    "class_accuracy": (9 / 11 + 2 / 3 + 2 / 2) / 3,
    "miou": (9 / 11 + 2 / 5 + 2 / 3) / 3,
}


def drawn(classes, spec=LABELS):
    """`[B, H, W]` classes as the network sees them."""
    if spec.one_hot:
        return (torch.nn.functional.one_hot(classes, 3).float() * 2 - 1).permute(0, 3, 1, 2)
    return (torch.tensor(PALETTE)[classes] / 127.5 - 1).permute(0, 3, 1, 2)


def test_confusion_and_figures_are_those_counted_by_hand():
    confusion = Confusion(3)
    confusion.add(OUTPUT, TRUTH)
    assert confusion.matrix.tolist() == MATRIX
    assert confusion.figures() == pytest.approx(FIGURES)
    assert confusion.iou().tolist() == pytest.approx([9 / 11, 2 / 5, 2 / 3])
    assert confusion.each() == pytest.approx([6 / 8, 7 / 8])


def test_pixels_that_are_not_valid_do_not_count():
    valid = torch.ones_like(TRUTH, dtype=torch.bool)
    valid[:, 1] = False
    valid[1] = False
    confusion = Confusion(3)
    confusion.add(OUTPUT, TRUTH, valid=valid)
    assert confusion.matrix.tolist() == [[3, 1, 0], [0, 0, 0], [0, 0, 0]]
    assert confusion.figures() == pytest.approx({"pixel_accuracy": 3 / 4, "class_accuracy": 3 / 4, "miou": 3 / 4})
    assert confusion.iou()[1:].isnan().all()
    assert confusion.each() == [0.75, 1.0]


def test_maps_that_are_all_right_have_no_error():
    confusion = Confusion(3)
    confusion.add(TRUTH, TRUTH)
    assert confusion.figures() == {"pixel_accuracy": 1, "class_accuracy": 1, "miou": 1}
    assert confusion.errors() == {}


def test_pixel_accuracy_of_pictures_of_unlike_size_is_no_mean_over_them():
    confusion = Confusion(3)
    for picture, rows in ((0, 1), (1, 2)):
        confusion.add(OUTPUT[picture : picture + 1, :rows], TRUTH[picture : picture + 1, :rows])
    assert confusion.each() == pytest.approx([3 / 4, 7 / 8])
    assert confusion.figures()["pixel_accuracy"] == pytest.approx(10 / 12)
    assert confusion.errors()["pixel_accuracy"] == pytest.approx((7 / 8 - 3 / 4) / 2)  # of two, half their difference


def test_errors_are_those_of_leaving_out_each_picture():
    torch.manual_seed(0)
    truth, output = torch.randint(0, 3, (2, 5, 4, 4))
    whole = Confusion(3)
    whole.add(output, truth)
    left = []
    for i in range(5):
        confusion, kept = Confusion(3), [j for j in range(5) if j != i]
        confusion.add(output[kept], truth[kept])
        left.append(confusion.figures())
    for name in ("class_accuracy", "miou"):
        values = torch.tensor([one[name] for one in left], dtype=torch.float64)
        expected = (4 / 5 * (values - values.mean()).square().sum()).sqrt().item()
        assert whole.errors()[name] == pytest.approx(expected)


@pytest.mark.parametrize("one_hot", [False, True])
def test_outputs_count_as_the_nearest_class(one_hot):
    spec = LABELS.model_copy(update={"one_hot": one_hot})
    measure = LabelFigures(Examples(RGB, spec))
    noise = torch.rand(2, 3, 2, 4, generator=torch.Generator().manual_seed(0)) * 0.2
    for i in range(2):
        one = slice(i, i + 1)
        batch = Batch(pictures={"source": noise[one], "target": drawn(TRUTH[one], spec)})
        measure.add(batch, {"output": drawn(OUTPUT[one], spec) + noise[one]})
    assert measure.figures() == pytest.approx(FIGURES)
    assert measure.each() == {"pixel_accuracy": pytest.approx([6 / 8, 7 / 8])}
    assert measure.errors().keys() == {"class_accuracy", "miou"}
    assert measure.describe() == (
        "worst classes: #ff0000 IoU 0.40 (19% of the pixels, 33% of them taken for #0000ff); "
        "#0000ff IoU 0.67 (12% of the pixels); "
        "#000000 IoU 0.82 (69% of the pixels, 18% of them taken for #ff0000)"
    )


def test_label_maps_of_very_many_colours_have_no_figures():
    spec = ImageSpec(channels=3, kind="labels", palette=tuple((i // 256, i % 256, 0) for i in range(1025)))
    measure = LabelFigures(Examples(RGB, spec))
    measure.add(Batch(pictures={"target": torch.zeros(1, 3, 2, 2)}), {"output": torch.zeros(1, 3, 2, 2)})
    assert measure.figures() == measure.each() == measure.errors() == {}
    assert measure.left_out()["miou"] == "the label maps have 1025 colours, more than 1024"


def with_noise(classes, deviation=3.0):
    noise = torch.randn(*classes.shape, 3, generator=torch.Generator().manual_seed(0)) * deviation
    return (torch.tensor(PALETTE)[classes].float() + noise).clamp(0, 255)


def test_the_classes_colours_are_found_in_label_maps_with_noise():
    classes = torch.zeros(2, 64, 64, dtype=torch.int64)
    classes[:, 10:30, 10:40], classes[1, 40:50, 5:20] = 1, 2
    soft = with_noise(classes)
    soft[:, 10:30, 9] = 128.0  # a border that is a blend: 0.5 % of the pixels, spread over no core
    soft[:, 10:30, 9] += torch.linspace(-60, 60, 40).view(2, 20, 1)
    found = palette_of([soft])
    assert len(found) == 3
    nearest = [min(max(abs(a - b) for a, b in zip(one, other, strict=True)) for other in found) for one in PALETTE]
    assert max(nearest) <= 8


@pytest.mark.parametrize("spread", [60.0, 400.0])
def test_photos_are_no_label_maps(spread):
    smooth = torch.nn.functional.interpolate(
        torch.randn(2, 3, 6, 6, generator=torch.Generator().manual_seed(0)) * spread + 128, (64, 64), mode="bicubic"
    )
    with pytest.raises(ValueError, match="these are no label maps"):
        palette_of([smooth.permute(0, 2, 3, 1)])
    with pytest.raises(ValueError, match="there are no label maps"):
        palette_of([])


@pytest.mark.parametrize("source", [LABELS, LABELS.model_copy(update={"one_hot": True}), RGB])
def test_a_judge_tells_how_much_of_the_label_map_is_in_the_photo(source):
    """The photos here are the label maps with the colours' channels turned around, and the judge knows that."""
    seen = []

    def turned(pixels):
        seen.append(pixels)
        return pixels.flip(-1)

    measure = JudgeFigures(Examples(source, RGB, judge=Judge(turned, PALETTE)))
    photos = drawn(OUTPUT).flip(1)
    truth = drawn(TRUTH, source)
    measure.add(Batch(pictures={"source": truth, "target": drawn(TRUTH).flip(1)}), {"output": photos})
    assert measure.figures() == pytest.approx({f"fcn_{name}": value for name, value in FIGURES.items()})
    assert measure.each() == {"fcn_pixel_accuracy": pytest.approx([6 / 8, 7 / 8])}
    assert measure.references() == {
        "the judge on the real targets": {"fcn_pixel_accuracy": 1, "fcn_class_accuracy": 1, "fcn_miou": 1}
    }
    assert measure.describe().startswith("worst classes: #ff0000 IoU 0.40")
    assert seen[0].shape == (2, 2, 4, 3)
    assert seen[0].min() == 0
    assert seen[0].max() == 255


def test_a_judge_that_changes_the_size_is_refused():
    measure = JudgeFigures(Examples(LABELS, RGB, judge=Judge(lambda pixels: pixels[:, :1], PALETTE)))
    with pytest.raises(ValueError, match="its label maps are 4x1 pixels, and the sources 4x2 pixels"):
        measure.add(Batch(pictures={"source": drawn(TRUTH), "target": drawn(TRUTH)}), {"output": drawn(OUTPUT)})
