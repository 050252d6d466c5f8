"""A seed draws the noise planes or the dropout of a model: one of many outputs, and always the same one."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from translate.card import Card
from translate.cli import main
from translate.conditions import Conditions, Request
from translate.images import ImageSpec
from translate.inference.tiles import translate_tiles
from translate.inference.torch_backend import with_seeds
from translate.inference.translator import Translator, load, read_card
from translate.models import MODELS, build
from translate.networks.noise import normal
from translate.training.folder import save_model

RGB = ImageSpec(channels=3)
LOCAL: dict[str, Any] = {
    "generator": "resnet",
    "width": 4,
    "blocks": 1,
    "depth": 1,
    "norm": "batch",
    "inference_norm": "running",
}
"""A network in which a pixel depends on a few others, so that tiles that overlap far enough are exact."""

KINDS: dict[str, dict[str, Any]] = {
    "dropout": {**LOCAL, "dropout": 0.5},
    "noise": {**LOCAL, "dropout": 0.0, "noise_planes": 3},
    "both": {**LOCAL, "dropout": 0.5, "noise_planes": 1},
}
DRAWN = {"dropout": ("dropout",), "noise": ("noise",), "both": ("noise", "dropout")}
RNG = np.random.default_rng(0)
PICTURES = [RNG.integers(0, 256, (33, 47, 3), dtype=np.uint8) for _ in range(3)]


def save(path: Path, model: str = "pix2pix", size: int = 32, **changes: Any) -> Path:
    torch.manual_seed(0)
    settings = MODELS[model].settings_class.make(changes)
    made = build(model, settings, source=RGB, target=RGB, size=size)
    with torch.no_grad():
        for weight in made.parameters():  # or a network this small gives nearly gray
            if weight.dim() > 1:
                weight.normal_(0, 0.3)
    card = Card(model=model, settings=settings.as_json(), source=RGB, target=RGB, size=size)
    save_model(path, made, card.model_copy(update={"reversible": made.reversible}))
    return path


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("seeds")
    plain = save(folder / "plain.safetensors", **LOCAL, dropout=0.0)
    return {name: save(folder / f"{name}.safetensors", **changes) for name, changes in KINDS.items()} | {"plain": plain}


@pytest.fixture(scope="module")
def loaded(files: dict[str, Path]) -> dict[str, Translator]:
    return {name: load(file, device="cpu") for name, file in files.items()}


def far(one: np.ndarray, other: np.ndarray) -> int:
    return int(np.abs(one.astype(int) - other).max())


@pytest.mark.parametrize("kind", KINDS)
def test_a_seed_gives_one_of_many_outputs_whatever_the_batch_and_the_order(
    kind: str, loaded: dict[str, Translator]
) -> None:
    t = loaded[kind]
    assert t.card.conditions.seeds == DRAWN[kind]
    assert t.card.conditions.inputs == ()
    alone = [t(picture, seed=3) for picture in PICTURES]
    for one, other in zip(alone, t(PICTURES, seed=3), strict=True):
        assert far(one, other) <= 1
    for one, other in zip(alone, reversed(t(PICTURES[::-1], seed=3)), strict=True):
        assert far(one, other) <= 1
    assert far(t(PICTURES[0], seed=4), alone[0]) > 5
    several = t(PICTURES[0], seed=3, samples=3)
    assert len(several) == 3
    for number, one in enumerate(several):
        assert far(one, t(PICTURES[0], seed=3 + number)) <= 1
    assert far(t(PICTURES[0], seed=2**40), t(PICTURES[0], seed=2**40 % (2**31 - 1))) == 0


@pytest.mark.parametrize("kind", KINDS)
def test_without_a_seed_the_output_is_always_the_same(kind: str, loaded: dict[str, Translator]) -> None:
    t = loaded[kind]
    assert np.array_equal(t(PICTURES[0]), t(PICTURES[0]))
    if kind == "noise":
        assert np.array_equal(t(PICTURES[0]), t(PICTURES[0], seed=0))
    else:
        assert far(t(PICTURES[0]), t(PICTURES[0], seed=0)) > 5  # there dropout is off


def test_the_planes_are_those_of_the_seed(loaded: dict[str, Translator], files: dict[str, Path]) -> None:
    """Worked out beside it: the source, then the noise, through the same network without a wrapper."""
    backend: Any = loaded["noise"].backend
    network = backend._network.generator
    picture = torch.from_numpy(PICTURES[0])[None].permute(0, 3, 1, 2) / 127.5 - 1
    places = [torch.arange(side)[None] for side in PICTURES[0].shape[:2]]
    noise = normal(torch.tensor([[5]]), 3, *places)
    made = network.network(torch.cat([picture, noise], 1))[0].permute(1, 2, 0).detach().numpy()
    assert far(((made + 1) * 127.5).round(), loaded["noise"](PICTURES[0], seed=5)) <= 1


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("seed", [None, 3])
def test_tiles_that_overlap_far_enough_give_the_same(
    kind: str, seed: int | None, loaded: dict[str, Translator]
) -> None:
    t = loaded[kind]
    backend: Any = t.backend
    large = RNG.integers(0, 256, (101, 150, 3), dtype=np.uint8)
    whole = t(large) if seed is None else t(large, seed=seed)
    given = t.card.conditions.encode(Request(seed=seed))
    assert set(given) <= {"seed", "dropout"}
    blended = translate_tiles(backend, large, tile=96, footprint=backend.strips.footprint, condition=given)
    assert far(blended.pixels, whole) <= 1
    assert blended.difference is not None
    assert blended.difference < 0.2


@pytest.mark.parametrize("kind", ["dropout", "noise"])
def test_a_picture_in_pieces_has_the_seed_too(kind: str, files: dict[str, Path], loaded: dict[str, Translator]) -> None:
    """Where the network could run in strips it is cut into tiles all the same: strips know nothing of dropout."""
    large = RNG.integers(0, 256, (101, 150, 3), dtype=np.uint8)
    in_tiles = load(files[kind], device="cpu", tile=70)
    assert far(in_tiles(large, seed=3), loaded[kind](large, seed=3)) <= 1
    assert far(in_tiles(large), loaded[kind](large)) <= 1


def test_models_without_either_refuse_a_seed_in_one_line(loaded: dict[str, Translator], files: dict[str, Path]) -> None:
    why = r"conditioned on nothing but its picture, and has neither dropout \(exported files never have\) nor noise"
    with pytest.raises(ValueError, match=f"^seed: this model is {why}"):
        loaded["plain"](PICTURES[0], seed=3)
    with pytest.raises(ValueError, match=f"^samples: this model is {why}"):
        loaded["plain"](PICTURES[0], samples=3)


def test_convert_makes_several_outputs_of_a_picture(
    files: dict[str, Path], loaded: dict[str, Translator], tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    (tmp_path / "in").mkdir()
    for name, picture in zip("ab", PICTURES, strict=False):
        Image.fromarray(picture).save(tmp_path / "in" / f"{name}.png")
    words = ["convert", str(files["dropout"]), str(tmp_path / "in"), str(tmp_path / "out"), "--device", "cpu"]
    assert main([*words, "--samples", "2", "--seed", "7"]) == 0
    names = sorted(path.name for path in (tmp_path / "out").glob("*.png"))
    assert names == ["a-1.png", "a-2.png", "b-1.png", "b-2.png"]
    for number in (1, 2):
        made = np.asarray(Image.open(tmp_path / "out" / f"b-{number}.png"))
        assert far(made, loaded["dropout"](PICTURES[1], seed=6 + number)) <= 1
    capsys.readouterr()
    for given, flag in (("--samples 2", "--samples"), ("--seed 1", "--seed")):
        assert main([*words[:1], str(files["plain"]), *words[2:3], str(tmp_path / "no"), *given.split()]) == 2
        assert (
            f"{flag}: this model is conditioned on nothing but its picture, and has neither" in capsys.readouterr().err
        )
    assert main([*words, "--interpolate", "3", "--seed", "1", "--seed-to", "2"]) == 2
    assert "--interpolate: this model is conditioned on nothing but its picture" in capsys.readouterr().err


def test_both_ways_of_a_model_have_their_dropout(tmp_path: Path) -> None:
    file = save(tmp_path / "dual.safetensors", "dualgan", 64, width=2)  # published with dropout 0.5
    assert read_card(file).conditions.seeds == ()  # a file of an earlier version: found in the network
    for direction in ("AtoB", "BtoA"):
        t = load(file, device="cpu", direction=direction)
        assert t.card.conditions.seeds == ("dropout",)
        assert far(t(PICTURES[0], seed=1), t(PICTURES[0], seed=2)) > 0


def test_a_code_is_drawn_by_the_seed_as_before() -> None:
    settings = MODELS["bicyclegan"].settings_class.make({"width": 2, "dropout": 0.5, "noise_planes": 1})
    conditions = Conditions(z=8)
    model = build("bicyclegan", settings, source=RGB, target=RGB, size=64, conditions=conditions)
    card = Card(model="bicyclegan", source=RGB, target=RGB, size=64, inputs=("image", "z"), conditions=conditions)
    assert with_seeds(card, model).conditions.seeds == ("noise",)  # its dropout stays off


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["both", pytest.param("noise", marks=pytest.mark.exhaustive)])
def test_an_exported_file_takes_the_seed_of_noise_and_has_no_dropout(
    kind: str, loaded: dict[str, Translator], files: dict[str, Path], tmp_path: Path
) -> None:
    import onnxruntime

    path = tmp_path / "model.onnx"
    load(files[kind], device="cpu").export(path)
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    assert [(end.name, end.type, end.shape) for end in session.get_inputs()] == [
        ("image", "tensor(uint8)", ["batch", "height", "width", 3]),
        ("seed", "tensor(int64)", ["batch", 1]),
    ]
    exported = load(path, device="cpu")
    assert exported.card.conditions.seeds == ("noise",)
    for seed in (0, 7, 2**31 - 2):
        if kind == "noise":
            assert far(exported(PICTURES[0], seed=seed), loaded[kind](PICTURES[0], seed=seed)) <= 1
    assert far(exported(PICTURES[0]), loaded[kind](PICTURES[0])) <= 1
    assert far(exported(PICTURES[0], seed=1), exported(PICTURES[0], seed=2)) > 5
    for one, other in zip(exported(PICTURES, seed=4), [exported(p, seed=4) for p in PICTURES], strict=True):
        assert far(one, other) <= 1


@pytest.mark.slow
def test_an_exported_file_of_dropout_alone_takes_no_seed(files: dict[str, Path], tmp_path: Path) -> None:
    path = tmp_path / "model.onnx"
    load(files["dropout"], device="cpu").export(path)
    exported = load(path, device="cpu")
    assert far(exported(PICTURES[0]), load(files["dropout"], device="cpu")(PICTURES[0])) <= 1
    with pytest.raises(ValueError, match=r"^seed: .*neither dropout \(exported files never have\)"):
        exported(PICTURES[0], seed=1)
