"""A model conditioned on labels, text and a code, from Python: each picture has its own, whatever its neighbours'."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from tests.conditioned import ALL, LABELS, SHIFTED, by_hand, save_conditioned, words
from translate.card import Card
from translate.conditions import Conditions, Request, draw_z
from translate.export.sample_conditions import drawn
from translate.inference.requests import between
from translate.inference.strips import Strips
from translate.inference.translator import Translator, load

RNG = np.random.default_rng(0)
PICTURE = RNG.integers(0, 256, (9, 11, 3), dtype=np.uint8)


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_conditioned(tmp_path_factory.mktemp("conditioned") / "model.safetensors")


@pytest.fixture(scope="module")
def t(file: Path) -> Translator:
    return load(file, device="cpu", allow=SHIFTED)


def near(made: np.ndarray, expected: np.ndarray) -> bool:
    return bool(np.abs(made - expected).max() < 0.51)


@pytest.mark.parametrize(
    ("given", "condition"),
    [
        ({}, {}),
        ({"label": "wood"}, {"label": [0, 1, 0]}),
        ({"label": {"wood": 0.25, "stone": 0.75}}, {"label": [0, 0.25, 0.75]}),
        ({"text": "a red door"}, {"tokens": [2, 3, 4, 0]}),
        ({"text": "a  blue"}, {"tokens": [2, 1, 0, 0]}),
        ({"z": [0.5, -2]}, {"z": [0.5, -2]}),
        ({"seed": 3}, {"z": draw_z(2, 3)}),
        (
            {"label": "brick", "text": "green", "seed": 0},
            {"label": [1, 0, 0], "tokens": [5, 0, 0, 0], "z": draw_z(2, 0)},
        ),
    ],
)
def test_what_is_asked_for_is_what_the_network_gets(
    given: dict[str, Any], condition: dict[str, Any], t: Translator, file: Path
) -> None:
    whole = {"label": [0, 0, 0], "tokens": [0, 0, 0, 0], "z": [0, 0]} | condition
    expected = by_hand(file, PICTURE, **{name: np.asarray(values) for name, values in whole.items()})
    assert near(t(PICTURE, **given), expected)
    assert expected.std() > 10


def test_pictures_of_a_batch_have_each_their_own(t: Translator) -> None:
    labels = ["wood", None, {"brick": 0.5}, "stone"]
    texts = ["a", "door", "red", ""]
    codes = RNG.normal(size=(4, 2))
    pictures = [PICTURE, PICTURE[::-1].copy(), PICTURE, PICTURE[:5]]
    made = t(pictures, label=labels, text=texts, z=codes)
    for index, result in enumerate(made):
        alone = t(pictures[index], label=labels[index], text=texts[index], z=codes[index])
        assert np.array_equal(result, alone)
    assert not np.array_equal(made[0], made[2])
    one_for_all = t(pictures, label="wood", text="red")
    assert np.array_equal(one_for_all[2], t(PICTURE, label="wood", text="red"))
    assert np.array_equal(t([PICTURE], label="wood")[0], t([PICTURE], label=["wood"])[0])


def test_samples(t: Translator) -> None:
    made = t(PICTURE, samples=3, seed=5)
    assert len(made) == 3
    assert all(np.array_equal(one, t(PICTURE, seed=5 + number)) for number, one in enumerate(made))
    both = t([PICTURE, PICTURE[:4]], samples=2)
    assert [[one.shape[0] for one in each] for each in both] == [[9, 9], [4, 4]]
    assert np.array_equal(both[1][1], t(PICTURE[:4], seed=1))
    tensor = torch.from_numpy(PICTURE).permute(2, 0, 1)
    assert [one.shape for one in t(torch.stack([tensor, tensor]), samples=2)] == [(2, 3, 9, 11)] * 2


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"label": "wod"}, 'label: the model knows no label "wod".*wood.*it knows brick, wood, stone'),
        ({"label": ["wood", "stone"]}, "label: the model was trained on one label a picture"),
        ({"label": 3}, "label: a name, a list of names, or shares"),
        ({"label": {"wood": "x"}}, 'label: the share of "wood" is a number'),
        ({"text": 3}, "text: a text is wanted, not int"),
        ({"text": ["a", "b"]}, "text: a text is wanted, not list"),
        ({"z": [1, 2, 3]}, "z: this model takes 2 finite numbers"),
        ({"z": ["a"]}, "z: a code is a list of numbers"),
        ({"z": [1, 2], "seed": 3}, "z and seed"),
        ({"z": [1, 2], "samples": 3}, "z and samples"),
        ({"seed": -1}, "seed is a whole number from 0 on, not -1"),
        ({"seed": 1.5}, "seed is a whole number from 0 on"),
        ({"samples": 0}, "samples is a whole number from 1 on"),
    ],
)
def test_wrong_wishes_are_named(given: dict[str, Any], message: str, t: Translator) -> None:
    with pytest.raises(ValueError, match=message):
        t(PICTURE, **given)


def test_lists_of_another_length(t: Translator) -> None:
    with pytest.raises(ValueError, match="text: 3 for 2 pictures: give one for all of them, or one for each"):
        t([PICTURE, PICTURE], text=["a", "b", "c"])
    with pytest.raises(ValueError, match="label: 3 for 2 pictures"):
        t([PICTURE, PICTURE], label=["wood", "wood", "wood"])


def test_conditions_that_a_model_does_not_take_are_refused(tmp_path: Path) -> None:
    only = load(
        save_conditioned(tmp_path / "m.safetensors", Conditions(labels=LABELS, required=True)),
        device="cpu",
        allow=SHIFTED,
    )
    for given in ({"text": "a"}, {"z": [1]}, {"seed": 1}, {"samples": 2}):
        with pytest.raises(ValueError, match=f"{next(iter(given))}: this model is conditioned on label"):
            only(PICTURE, **given)
    with pytest.raises(ValueError, match="this model needs a label: one of brick, wood, stone"):
        only(PICTURE)
    assert only(PICTURE, label="wood").shape == PICTURE.shape
    only.warm_up(8, 8, batch=2)  # which asks for nothing, and has to know some


def test_several_labels(tmp_path: Path) -> None:
    conditions = Conditions(labels=LABELS, several=True)
    several = load(save_conditioned(tmp_path / "m.safetensors", conditions), device="cpu", allow=SHIFTED)
    expected = by_hand(tmp_path / "m.safetensors", PICTURE, label=np.array([1, 0, 1]))
    for label in (["brick", "stone"], "brick, stone", {"brick": 1, "stone": 1}):
        assert near(several(PICTURE, label=label), expected)
        assert all(near(one, expected) for one in several([PICTURE] * 3, label=label))
    apart = several([PICTURE, PICTURE], label=["brick", "stone"])
    assert not np.array_equal(*apart)


def test_a_text_that_is_too_long_is_warned_of(t: Translator) -> None:
    with pytest.warns(UserWarning, match="longer than the 4 tokens that the model reads"):
        long = t(PICTURE, text="a red door a green door")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert np.array_equal(long, t(PICTURE, text="a red door a"))


def test_tiles_have_what_their_picture_has(file: Path) -> None:
    """Blended, since this network is none of ours. Each tile of it is the picture but for a border."""
    tiled, whole = (load(file, device="cpu", allow=SHIFTED, tile=tile) for tile in (128, None))
    assert whole.backend.strips.stages is None
    assert whole.backend.strips.footprint.pixel_bytes is not None
    picture = RNG.integers(0, 256, (150, 300, 3), dtype=np.uint8)
    given: dict[str, Any] = {"label": ["wood", "stone"], "text": "red"}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        made = tiled([picture, picture], **given)
    expected = whole([picture, picture], **given)
    for one, other in zip(made, expected, strict=True):
        assert np.mean(one != other) < 0.05
    assert np.mean(made[0] != made[1]) > 0.5


def test_reduced_precision_takes_conditions_too(file: Path, t: Translator) -> None:
    reduced = load(file, device="cpu", allow=SHIFTED, precision="bfloat16")
    given: dict[str, Any] = {"label": "wood", "text": "red", "seed": 1}
    apart = np.abs(reduced(PICTURE, **given).astype(int) - t(PICTURE, **given))
    assert apart.mean() < 3


class Coded(nn.Module):
    """A network of stages that takes a code, as a model does: the code is made of the condition in `code`."""

    def __init__(self) -> None:
        super().__init__()
        from translate.networks import ResNet

        class Steerable(ResNet):
            """Adds the code to its output, before tanh."""

            def forward(self, source: Tensor, code: Tensor | None = None) -> Tensor:
                made = torch.atanh(super().forward(source).clamp(-0.999, 0.999))
                return torch.tanh(made if code is None else made + code[:, :, None, None])

            def stages(self, code: Tensor | None = None) -> list[Any]:
                from dataclasses import replace

                *first, last = super().stages()
                if code is None:
                    return [*first, last]

                def work(x: Tensor) -> Tensor:
                    made = torch.atanh(last.work(x).clamp(-0.999, 0.999))
                    return torch.tanh(made + code[:, :, None, None])

                return [*first, replace(last, work=work)]

        self.generator = Steerable(3, 3, width=4, blocks=1)
        self.shift = nn.Linear(2, 3)
        self.codes = 0

    def code(self, z: Tensor) -> Tensor:
        self.codes += 1
        return self.shift(z)

    def forward(self, image: Tensor, **condition: Tensor) -> Tensor:
        return self.generator(image, self.code(**condition))


def test_strips_make_the_code_once(card: Any) -> None:
    torch.manual_seed(0)
    network = Coded().eval().requires_grad_(False)
    kind: Card = card(conditions=Conditions(z=2))
    strips = Strips(network, kind, device=torch.device("cpu"), dtype=torch.float32)
    assert strips.stages is network.generator
    network.codes = 0
    picture = RNG.integers(0, 256, (96, 40, 3), dtype=np.uint8)
    z = np.array([1, -2], np.float32)
    made = strips(picture, {"z": z}, rows=16)
    assert network.codes == 1
    values = torch.from_numpy(picture).permute(2, 0, 1)[None] / 127.5 - 1
    expected = network(values, z=torch.from_numpy(z)[None])[0].permute(1, 2, 0)
    assert near(made, (expected.numpy() + 1) * 127.5)
    assert not np.array_equal(made, strips(picture, {"z": -z}, rows=16))


def test_codes_between_two_are_as_long_as_they() -> None:
    one, other = np.array([3, 0], np.float32), np.array([0, 3], np.float32)
    assert np.allclose(between(one, other, 0.5), [3 / 2**0.5, 3 / 2**0.5])
    assert np.allclose(between(one, other, 0), one)
    assert np.allclose(between(one, other, 1), other)
    assert np.allclose(between(one, one, 0.3), one)
    assert np.allclose(between(one, -one, 0.5), 0)
    assert np.allclose(between(one, np.zeros(2, np.float32), 0.5), one / 2)


def test_drawn_conditions_are_such_as_people_ask_for() -> None:
    rng = np.random.default_rng(0)
    made = drawn(ALL, rng, 50)
    assert {name: (values.shape, str(values.dtype)) for name, values in made.items()} == {
        name: ((50, *values.shape), str(values.dtype)) for name, values in ALL.encode(Request()).items()
    }
    assert {int(row.sum()) for row in made["label"]} == {0, 1}
    assert (made["label"][1:] != made["label"][:-1]).any(1).all()
    needed = drawn(Conditions(labels=LABELS, text=words(), required=True), rng, 50)
    assert (needed["label"].sum(1) == 1).all()
    assert {int(row.sum()) for row in drawn(Conditions(labels=LABELS, several=True), rng, 50)["label"]} == {0, 1, 2, 3}
