"""What the settings of models refuse, and where their published defaults hold."""

import pickle

import pytest
import torch
from pydantic import Field
from torch import nn

from tests.models.test_models import small_model, small_settings, some_batch
from translate.fields import Settings
from translate.images import ImageSpec
from translate.models import MODELS, build, model_class
from translate.networks.network import Network, NetworkSettings
from translate.networks.unet import UNetSettings
from translate.settings import ModelSettings
from translate.tables import Table
from translate.training.job import new_job
from translate.training.loop import Step, make_optimizers
from translate.training.run import fit
from translate.training.session import Session

CPU = torch.device("cpu")
RGB = ImageSpec(channels=3)


GAMES = [name for name, cls in MODELS.items() if "objective" in cls.settings_class.model_fields]


@pytest.mark.parametrize("name", GAMES)
def test_a_critic_is_held_back_and_other_discriminators_are_not(name):
    make = model_class(name).settings_class.make
    assert make({"objective": "wasserstein"}).penalty == ("clip" if name == "dualgan" else "gp")
    assert make({"objective": "hinge"}).penalty == "none"
    assert make({"objective": "wasserstein", "penalty": "r1"}).penalty == "r1"
    with pytest.raises(ValueError, match="--objective wasserstein needs a bounded discriminator: use --penalty gp"):
        make({"objective": "wasserstein", "penalty": "none"})


def test_critics_of_other_games_are_not_clipped():
    model = small_model("dualgan", objective="lsgan")
    weight = model.discriminator.network[0].weight
    torch.nn.init.ones_(weight)
    for game in model.games:
        game.after_step("discriminator", {})
    assert weight.eq(1).all()


@pytest.mark.parametrize("beta", ["beta1", "beta2"])
def test_the_moments_of_adam_are_refused_where_there_is_no_adam(beta):
    for name, values in (("pix2pix", {"optimizer": "rmsprop"}), ("dualgan", {})):
        make = model_class(name).settings_class.make
        assert make(values).optimizer == "rmsprop"
        with pytest.raises(ValueError, match=f"--{beta} is Adam's, and the optimiser is rmsprop"):
            make(values | {beta: 0.9})
    assert getattr(model_class("dualgan").settings_class.make({"optimizer": "adam", beta: 0.9}), beta) == 0.9


def test_a_share_of_no_weight_is_refused():
    def try_out(**changes):
        return build("cyclegan", small_settings("cyclegan", **changes), source=RGB, target=RGB, size=32)

    with pytest.raises(ValueError, match="--lambda-identity is a share of --lambda-cycle, which is 0"):
        try_out(lambda_cycle=0.0, lambda_identity=0.5)
    assert try_out(lambda_cycle=0.0).lambda_identity == 0
    assert try_out(lambda_cycle=0.0, lambda_identity=0.0).lambda_identity == 0


@pytest.mark.parametrize("depth", [6, 12])
def test_a_resnet_that_halves_to_nothing_is_refused(depth):
    with (
        pytest.raises(ValueError, match=f"--depth {depth} halves pictures of --size 32 to nothing"),
        torch.device("meta"),
    ):
        build("cyclegan", small_settings("cyclegan", depth=depth), source=RGB, target=RGB, size=32)
    with torch.device("meta"):
        build("cyclegan", small_settings("cyclegan", depth=5), source=RGB, target=RGB, size=32)


SHORT = {"size": 32, "width": 4, "discriminator_width": 4, "patch": 16, "blocks": 1, "device": "cpu", "samples": 0}


@pytest.mark.parametrize("best", ["ssim", "psnr"])
def test_best_by_a_figure_without_true_pairs_is_refused_before_anything_is_written(best, unpaired_fronts, tmp_path):
    sides = {"source": unpaired_fronts / "trainA", "target": unpaired_fronts / "trainB"}
    flags = SHORT | sides | {"best": best, "steps": 1, "out": tmp_path / "run"}
    with pytest.raises(ValueError, match=f"--best {best} needs true pairs to validate on"):
        fit(new_job("cyclegan", flags))
    assert not any(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("epochs", "examples", "batch", "steps"), [(1.1, 10, 1, 11), (1.1, 100, 1, 110), (1.1, 10, 4, 3), (0.01, 10, 1, 1)]
)
def test_epochs_become_whole_steps(epochs, examples, batch, steps, fronts):
    """Rounded up, but not for 1.1 x 100 being a little more than 110 in binary."""
    own = {"blocks": None, "epochs": epochs, "batch": batch}
    job = new_job("pix2pix", SHORT | own | {"data": fronts})
    assert Session(job, source=RGB, target=RGB, examples=examples, device=CPU).steps == steps


@pytest.mark.parametrize("name", ["cut", "fastcut"])
def test_every_weight_of_the_heads_has_a_gradient_under_bfloat16(name):
    model, settings = small_model(name), small_settings(name)
    before = {key: value.clone() for key, value in model.heads.state_dict().items()}
    step = Step(model, make_optimizers(model, settings, device=CPU), device=CPU, precision="bfloat16")
    gradients = {}
    for key, weight in model.heads.named_parameters():
        weight.register_hook(lambda gradient, key=key: gradients.update({key: gradient.detach().clone()}))
    step([some_batch(name)])
    assert gradients.keys() == before.keys()
    for key, value in model.heads.state_dict().items():
        assert gradients[key].ne(0).any(), key
        assert not torch.equal(value, before[key]), key


class Older(Settings):
    colour: str = Field("red")
    size: int = Field(1)


class Younger(Older):
    published = {"colour": "blue"}  # noqa: RUF012


class Youngest(Younger):
    published = {"size": 2}  # noqa: RUF012


def test_published_defaults_are_those_of_a_method_and_of_those_that_follow_it():
    assert (Older().colour, Older().size) == ("red", 1)
    assert (Younger().colour, Younger().size) == ("blue", 1)
    assert (Youngest().colour, Youngest().size) == ("blue", 2)
    assert [cls.model_fields["colour"].default for cls in (Older, Younger, Youngest)] == ["red", "blue", "blue"]
    assert Younger(colour="green").colour == "green"


def test_published_defaults_are_checked_as_values_are():
    class Wrong(Older):
        published = {"size": "many"}  # noqa: RUF012

    with pytest.raises(ValueError, match="size"):
        Wrong()


def test_the_defaults_of_all_methods_stay_their_own():
    assert (ModelSettings().lr, ModelSettings().optimizer, ModelSettings().epochs) == (2e-4, "adam", 200)
    found = {name: cls.settings_class.make({}) for name, cls in MODELS.items()}
    others = {"dualgan": (5e-5, "rmsprop"), "stargan": (1e-4, "adam"), "srresnet": (1e-4, "adam")}
    assert {name: (s.lr, s.optimizer) for name, s in found.items()} == {
        name: others.get(name, (2e-4, "adam")) for name in MODELS
    }
    assert [found[name].lambda_cycle for name in ("cyclegan", "discogan", "dualgan")] == [10, 1, 100]
    assert [found[name].pool for name in ("cyclegan", "discogan", "dualgan")] == [50, 0, 0]
    assert [found[name].batch for name in ("cyclegan", "discogan", "dualgan")] == [1, 16, 1]
    assert [found[name].epochs for name in ("cyclegan", "cut", "fastcut")] == [200, 400, 200]


def test_an_unknown_published_name_is_found_when_the_class_is_made():
    with pytest.raises(TypeError, match="published names colours"):

        class Wrong(Older):
            published = {"colours": "blue"}  # noqa: RUF012


def test_settings_of_chosen_networks_survive_a_pickle_and_a_change():
    settings = MODELS["cut"].settings_class.make({"blocks": "3", "norm": "none"})
    again = pickle.loads(pickle.dumps(settings))
    assert again == settings
    assert type(again) is type(settings)
    assert again.model_fields_set == settings.model_fields_set
    assert (settings.replace(lr=1).blocks, settings.norm) == (3, "none")
    assert "blocks" not in settings.replace(generator="unet", blocks=None).as_json()
    with pytest.raises(ValueError, match="--blocks 3 is for --generator resnet, not for unet: leave it out"):
        settings.replace(generator="unet")


def test_a_choice_is_what_its_table_has():
    make = MODELS["pix2pix"].settings_class.make
    with pytest.raises(ValueError, match=r"--objective got 'hinged': must be 'vanilla', 'minimax', .* or 'began'"):
        make({"objective": "hinged"})
    with pytest.raises(ValueError, match=r"--patch got '71': must be 1, 16, 34, 70, 142 or 286"):
        make({"patch": "71"})
    with pytest.raises(TypeError, match="the table of each layout has a, c, and its names are a, b"):
        Table("layout", {"a": 1, "c": 2}, names=("a", "b"))


def test_networks_that_mean_two_things_by_a_name_are_not_joined():
    class Other(NetworkSettings):
        width: int = Field(3, description="something else")

    class Wide(ModelSettings):
        parts = {"one": {"x": Network(nn.Identity, Other)}, "two": {"y": Network(nn.Identity, UNetSettings)}}  # noqa: RUF012
        one: str = "x"
        two: str = "y"

    with pytest.raises(TypeError, match="Other and UNetSettings both have a field width, and not the same"):
        Wide.make({})
