"""Every setting of every model changes something, or is refused by name: what is accepted without effect misleads.

A new field is tested by existing. Choices, switches and numbers are tried by themselves; for others `VALUES` says what
to try.
"""

import types
from pathlib import Path
from typing import Any, Union, get_args, get_origin

import pytest
import torch

from tests.drawn import with_draws
from tests.training.test_run import assert_same
from translate.batch import Batch
from translate.conditions import Conditions, TextInput
from translate.fields import choices, flag
from translate.images import ImageSpec
from translate.models import MODELS
from translate.models.game_settings import GameSettings
from translate.networks import DISCRIMINATORS
from translate.training.job import new_job
from translate.training.loop import rate_factor
from translate.training.session import Session

CPU = torch.device("cpu")
RGB = ImageSpec(channels=3)
SMALL = {"size": 16, "width": 2, "discriminator_width": 2, "patch": 16, "batch": 2, "code_width": 4} | {
    "encoder_width": 2,
    "nce_patches": 8,
    "nce_width": 4,
    "d_steps": 1,
    "text_length": 6,
    "vocabulary": 300,
}
CASES: dict[str, tuple[dict[str, Any], ...]] = {
    # what else there has to be for some settings to be read
    "pix2pix": (
        {},
        {"condition": "label"},
        {"condition": "label", "label_loss": "auxiliary"},
        {"condition": "text"},
        {"lambda_perceptual": 1.0},
    ),
    "discogan": ({"size": 32},),  # large enough for the patches of the other discriminator
    "dualgan": ({}, {"objective": "lsgan", "optimizer": "adam"}),
    "dcgan": (
        {},
        {"condition": "label"},
        {"condition": "text"},
        {"semi_supervised": True, "lambda_gan": 1.0, "lambda_features": 0.5, "feature_matching": "mean", "size": 32},
    ),
    "stargan": ({}, {"condition": "text"}, {"objective": "lsgan"}),
    "srresnet": ({}, {"lambda_perceptual": 1.0, "schedule": "linear"}, {"lambda_frequency": 1.0}),
    "cyclegan": ({}, {"lambda_content": 1.0}),
}
RARE: dict[str, tuple[dict[str, Any], ...]] = {
    "pix2pix": (
        {"size": 64, "norm": "instance", "schedule": "constant"},
        {"lambda_l1": 0.0, "optimizer": "rmsprop", "source_kind": "labels"},
    ),
    "cyclegan": ({"size": 32, "generator": "unet", "discriminator": "dcgan", "patch": 70},),
    "cut": ({"lambda_nce": 0.0}, {"generator": "unet", "depth": 3}),
}
GAMES: tuple[dict[str, Any], ...] = (
    # where the settings of the game itself are tried, with pix2pix
    {"objective": "wasserstein"},
    {"objective": "softplus", "penalty": "r1", "lambda_features": 1.0},
    {"objective": "minimax", "penalty": "clip"},
    {"objective": "kl", "optimizer": "sgd"},
    {"objective": "ebgan", "norm": "virtual"},
    {"objective": "began"},
    {"discriminator": "multiscale", "scales": 2, "size": 64},
    {"discriminator": "unet"},
    {"discriminator": "projected", "d_backbone_size": 64},  # its own settings alone: a step takes a second
)
FURTHER = GAMES[2:8]  # the same code as in the others, for the most part
USUAL: tuple[tuple[str, dict[str, Any]], ...] = (("pix2pix", {}),)
"""Those that each run of the tests tries; the long one tries the others too."""

VALUES: dict[str, tuple[Any, ...]] = {
    "depth": (3,),
    "blocks": (2,),
    "augment": ("color", "translation", "cutout"),
    "d_steps": (3,),
    "lambda_identity": (0.0, 2.0),
    "text_encoder": ("/no/such/encoder",),
    "drop_condition": (1.0,),
    "balance_l1": (1.0,),
    "decay_start": (0.25,),
    "dropout": (0.25,),
    "clip_gradients": (1e-3,),
    "lr_d": (1e-3,),
    "label_smoothing": (0.25,),
    "penalty_every": (2,),
    "discriminator_norm": ("group",),
    "d_backbone": ("tf_efficientnet_lite1",),
    "d_backbone_weights": (Path("/no/such/weights.pth"),),
    "scales": (1,),
    "ada": (0.5,),
    "info_categorical": ("3",),
    "info_continuous": (1,),
    "beta1": (0.9, 0.75),
    "beta2": (0.5,),
    "pool": (0,),
    "vocabulary": (350,),
    "features": ("tf_efficientnet_lite1",),
    "features_weights": (Path("/no/such/weights.pth"),),
    "features_depths": ("0,1",),
}


BESIDE: dict[tuple[str, Any], dict[str, Any]] = {
    # what some values need
    ("discriminator", "multiscale"): {"scales": 1},
    ("penalty", "clip"): {"clip": 1e-4},  # Xavier's weights, times 0.02, are below the usual bound from the start
    ("minibatch", "discrimination"): {"norm": "group"},
    ("minibatch", "stddev"): {"norm": "group"},
}


def means_the_default(name: str, value: Any, *, generator: str) -> bool:
    """Words for what the default is in these cases anyway."""
    padding = "reflect" if generator == "resnet" else "zero"
    # running: with more than one picture a batch; last: of two layers, the one that is not the outermost
    known = (("padding", padding), ("inference_norm", "running"), ("feature_matching", "last"))
    return (name, value) in known


def tried(name: str, field: Any) -> tuple[Any, ...]:
    """Values of a field that are not its default."""
    kinds = [field.annotation]
    if get_origin(field.annotation) in (Union, types.UnionType):
        kinds = [kind for kind in get_args(field.annotation) if kind is not type(None)]
    known = choices(field)
    if name in VALUES:
        values = VALUES[name]
    elif known:
        values = known
    elif bool in kinds:
        values = (False, True)
    elif isinstance(field.default, int | float):
        values = (type(field.default)(2 * field.default or 1),)
    else:
        pytest.fail(f"a value to try for the new setting {flag(name)} has to be in VALUES of {__file__}")
    return tuple(value for value in values if value != field.default)


def conditions_of(data_needs: Any) -> Conditions:
    """As they are found in data: nothing here says whether they are required, which changes no training."""
    text = (
        TextInput(tokenizer="", length=data_needs.length, vocabulary=data_needs.vocabulary) if data_needs.text else None
    )
    labels = ("one", "other") if data_needs.label else ()
    named: dict[str, Any] = {"classes": labels} if data_needs.classified else {"labels": labels}
    return Conditions(**named, text=text, z=data_needs.z)


def drawn_batch(conditions: Conditions, *, count: int, size: int, seed: int, scale: int = 1) -> Batch:
    generator = torch.Generator().manual_seed(seed)
    sides = (size // scale, size)
    source, target = (torch.rand(count, 3, side, side, generator=generator) * 2 - 1 for side in sides)
    example_conditions: dict[str, torch.Tensor] = {}
    for prefix, shift in (("", 0), ("own_", 1), ("wrong_", 1)):
        if conditions.in_training.labels:
            example_conditions[f"{prefix}label"] = torch.eye(2)[[(i + shift) % 2 for i in range(count)]]
        if conditions.text:
            example_conditions[f"{prefix}tokens"] = torch.randint(
                1, 250, (count, conditions.text.length), generator=generator
            )
    if conditions.z:
        example_conditions["z"] = torch.randn(count, conditions.z, generator=generator)
    classes = torch.randint(3, (count, size, size), generator=generator)
    classes[:, : size // 2] = 0
    return Batch({"source": source, "target": target}, condition=example_conditions, classes=classes, class_count=3)


def first_step(model: str, values: dict[str, Any]) -> dict[str, Any]:
    """All that the first step leaves behind, what the model then answers, and the plan for the other steps.

    Raises:
        ValueError: settings that are refused.
    """
    job = new_job(model, values)
    conditions = conditions_of(MODELS[model].data_needs(job.science))
    session = Session(job, source=RGB, target=RGB, conditions=conditions, examples=8, device=CPU)
    sizes = {"size": job.data.size.height, "scale": session.model.scale}
    batches = [drawn_batch(conditions, count=2, seed=1 + i, **sizes) for i in range(session.batches_a_step)]
    session.advance([with_draws(batch, session.model, first=2 * i) for i, batch in enumerate(batches)])
    state = session.state_dict()
    course = [
        rate_factor(i, steps=20, schedule=job.science.schedule, decay_start=job.science.decay_start) for i in range(20)
    ]
    shown = drawn_batch(conditions, count=2, seed=7, **sizes)
    inputs = {name: shown.condition[name] for name in session.model.inputs if name != "image"}
    with torch.no_grad():
        given = [shown.source] if "image" in session.model.inputs else []
        answer = session.model.eval()(*given, **inputs)
    plan = [session.steps, session.per_step, session.batches_a_step, [session.science.lr * part for part in course]]
    return state | {"plan": plan, "answer": answer}


def same(one: dict[str, Any], other: dict[str, Any]) -> bool:
    try:
        assert_same(one, other)
    except AssertionError:
        return False
    return True


@pytest.fixture(autouse=True)
def same_generator():
    with torch.random.fork_rng():
        yield


@pytest.mark.parametrize(
    ("model", "case"),
    [
        *(
            pytest.param(model, case, marks=[] if (model, case) in USUAL else pytest.mark.slow)
            for model in MODELS
            for case in CASES.get(model, ({},))
        ),
        *(pytest.param(model, case, marks=pytest.mark.exhaustive) for model, cases in RARE.items() for case in cases),
    ],
    ids=str,
)
def test_every_field_of_a_model_changes_its_first_step_or_is_refused_by_name(model, case, fronts, tmp_path):
    fields = MODELS[model].settings_class.every_field()
    if (model, case) not in USUAL:  # the game's settings are the same for all models
        fields = {name: field for name, field in fields.items() if name not in GameSettings.model_fields}
    check_every_field(model, case, fields, fronts, tmp_path)


@pytest.mark.slow
@pytest.mark.parametrize(
    "case", [pytest.param(case, marks=pytest.mark.exhaustive if case in FURTHER else []) for case in GAMES], ids=str
)
def test_every_field_of_a_game_changes_its_first_step_or_is_refused_by_name(case, fronts, tmp_path):
    fields = MODELS["pix2pix"].settings_class.every_field()
    chosen = DISCRIMINATORS[case.get("discriminator", "patchgan")].settings.model_fields
    names = {*chosen} if case.get("discriminator") == "projected" else {*chosen, *GameSettings.model_fields}
    of_games = {name: field for name, field in fields.items() if name in names}
    check_every_field("pix2pix", case, of_games, fronts, tmp_path)


def check_every_field(model, case, tried_fields, fronts, tmp_path):
    fields = MODELS[model].settings_class.every_field()
    shared = {name: value for name, value in SMALL.items() if name in fields or name == "size"}
    own = "generator" not in fields and "blocks" in fields
    if own or ("generator" in fields and fields["generator"].default == "resnet" and case.get("generator") is None):
        shared["blocks"] = 1
    if model == "discogan":
        shared["patch"] = 70
    base = shared | {"data": fronts, "out": tmp_path / "run", "device": "cpu"} | case
    base = accepted(model, base)
    usual = first_step(model, base)
    assert same(usual, first_step(model, base)), "it is a function of the settings"
    plain = dict(new_job(model, base).science)  # with what other settings imply
    silent = []
    for name, field in tried_fields.items():
        for value in tried(name, field):
            generator = base.get("generator", fields["generator"].default if "generator" in fields else "")
            if plain.get(name, field.default) == value or means_the_default(name, value, generator=generator):
                continue
            try:
                needed = {"patch": 16} if name in ("discriminator", "objective") else {}  # of a small picture
                values = base | {name: value} | needed | BESIDE.get((name, value), {})
                changed = first_step(model, accepted(model, values, kept=name))
            except ValueError as error:
                if flag(name) not in str(error):
                    silent.append(f"{flag(name)} {value} is refused as: {error}")
                continue
            if same(usual, changed):
                silent.append(f"{flag(name)} {value} changes nothing")
    assert not silent, "\n".join(silent)


def accepted(model: str, values: dict[str, Any], *, kept: str = "") -> dict[str, Any]:
    """`values` without those of `SMALL` that have no effect in this case, and are refused."""
    while True:
        try:
            new_job(model, values)
        except ValueError as error:
            idle = [
                name for name in SMALL if str(error).startswith(f"{flag(name)} ") and name in values and name != kept
            ]
            if not idle:
                raise
            values = {name: value for name, value in values.items() if name != idle[0]}
        else:
            return values
