"""Checkpoints laid out as the reference code's become runs that give the same output."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch

import translate
from byhand import reference_networks as reference
from byhand.reference_networks import PatchGAN, PixelGAN, ResNet, UNet, batch, instance, old_instance, randomise
from translate.importing.command import import_checkpoint
from translate.importing.options import ImportSettings
from translate.models import MODELS
from translate.networks import GENERATORS, Shown


def quiet(_: str) -> None:
    pass


def save(network, path: Path, *, seed: int = 0, wrap: bool = False) -> Path:
    randomise(network, seed=seed)
    state = network.state_dict()
    torch.save({f"module.{name}": t for name, t in state.items()} if wrap else state, path)
    return path


def bring(source: Path, tmp_path: Path, *, say=quiet, **settings) -> Path:
    return import_checkpoint(source, ImportSettings.make({"out": tmp_path / "run", **settings}), say=say)


def as_trained(network):
    """As the reference code tests: each image's own statistics. Its dropout is left out here."""
    network.train()
    for layer in network.modules():
        if isinstance(layer, torch.nn.Dropout):
            layer.eval()
    return network


def same(run: Path, network, channels: int, *, size: int, way: str = "generator") -> None:
    """Both give the same output, which is neither saturated nor constant."""
    image = 2 * torch.rand(1, channels, size, size, generator=torch.Generator().manual_seed(7)) - 1
    with torch.no_grad():
        expected = network(image)
        made = translate.load(run, device="cpu").backend._network.get_submodule(way)(image)
    assert expected.std() > 0.02
    assert (expected.abs() > 0.99).float().mean() < 0.5
    assert (made - expected).abs().max() < 1e-6


def config(run: Path) -> dict:
    return json.loads((run / "config.json").read_text())


@pytest.mark.parametrize(("depth", "width", "size"), [(5, 4, 32), (7, 2, 128), (8, 1, 256)])
@pytest.mark.parametrize("norm", [batch, instance])
def test_unets(tmp_path: Path, depth: int, width: int, size: int, norm) -> None:
    network = UNet(3, 2, depth=depth, width=width, norm=norm, dropout=0.5)
    run = bring(save(network, tmp_path / "latest_net_G.pth"), tmp_path)
    # at the very bottom a single pixel has no norm of its own in training; from two on it has
    same(run, as_trained(network), 3, size=2 * size)
    settings = config(run)["settings"]
    assert (settings["depth"], settings["width"], settings["size"]) == (depth, width, [max(size, 24)] * 2)


def test_a_unet_whose_first_convolution_has_a_bias_beside_batch_norm(tmp_path: Path) -> None:
    network = UNet(3, 3, depth=5, width=4, norm=batch)
    first = network.model.model[0]
    network.model.model[0] = torch.nn.Conv2d(3, first.out_channels, 4, 2, 1, bias=True)
    run = bring(save(network, tmp_path / "latest_net_G.pth"), tmp_path)
    same(run, as_trained(network), 3, size=64)
    assert config(run)["settings"]["first_bias"] is True


def test_a_deep_unets_bottleneck_is_a_single_pixel(tmp_path: Path) -> None:
    network = UNet(1, 1, depth=7, width=4, norm=instance)
    run = bring(save(network, tmp_path / "latest_net_G.pth"), tmp_path)
    same(run, network, 1, size=128)


@pytest.mark.parametrize(("blocks", "width"), [(6, 4), (9, 3), (1, 2)])
@pytest.mark.parametrize("norm", [batch, instance, old_instance])
@pytest.mark.parametrize("dropout", [0.0, 0.5])
def test_resnets(tmp_path: Path, blocks: int, width: int, norm, dropout: float) -> None:
    network = ResNet(3, 1, blocks=blocks, width=width, norm=norm, dropout=dropout)
    run = bring(save(network, tmp_path / "latest_net_G.pth"), tmp_path)
    same(run, as_trained(network), 3, size=24)
    settings = config(run)["settings"]
    assert (settings["generator"], settings["blocks"], settings["dropout"]) == ("resnet", blocks, dropout)


@pytest.mark.parametrize(("down", "up"), [(True, True), (True, False), (False, True)])
@pytest.mark.parametrize("norm", [batch, instance])
def test_anti_aliased_resnets(tmp_path: Path, down: bool, up: bool, norm) -> None:
    network = ResNet(3, 3, blocks=6, width=4, norm=norm, blur_down=down, blur_up=up)
    run = bring(save(network, tmp_path / "latest_net_G.pth"), tmp_path, model="cut")
    same(run, as_trained(network), 3, size=24)


@pytest.mark.parametrize("kind", ["unet", "resnet"])
def test_running_averages_at_inference(tmp_path: Path, kind: str) -> None:
    network = (
        UNet(3, 3, depth=5, width=4, norm=batch)
        if kind == "unet"
        else ResNet(3, 3, blocks=2, width=4, norm=batch, dropout=0.5)
    )
    run = bring(save(network, tmp_path / "latest_net_G.pth"), tmp_path, inference_norm="running")
    same(run, network.eval(), 3, size=32)


def test_files_of_dataparallel(tmp_path: Path) -> None:
    network = UNet(3, 3, depth=5, width=4, norm=batch)
    run = bring(save(network, tmp_path / "latest_net_G.pth", wrap=True), tmp_path)
    same(run, as_trained(network), 3, size=64)


def test_files_of_half_precision_and_without_counters(tmp_path: Path) -> None:
    network = randomise(UNet(3, 3, depth=5, width=4, norm=batch).half().float(), seed=0).half()
    state = {name: tensor for name, tensor in network.state_dict().items() if "num_batches" not in name}
    torch.save(state, tmp_path / "G.pth", _use_new_zipfile_serialization=False)  # as before PyTorch 1.6
    same(bring(tmp_path / "G.pth", tmp_path), as_trained(network.float()), 3, size=64)


def test_statistics_of_old_instance_norm_are_told(tmp_path: Path) -> None:
    lines: list[str] = []
    network = ResNet(3, 3, blocks=1, width=4, norm=old_instance)
    bring(save(network, tmp_path / "G.pth"), tmp_path, say=lines.append)
    assert any("running statistics left out" in line for line in lines)


@pytest.mark.parametrize("norm", [batch, instance])
@pytest.mark.parametrize("kind", ["pixel", "1", "3", "4"])
def test_discriminators(tmp_path: Path, norm, kind: str) -> None:
    save(UNet(3, 2, depth=6, width=4, norm=norm), tmp_path / "latest_net_G.pth")
    network = PixelGAN(5, width=3, norm=norm) if kind == "pixel" else PatchGAN(5, layers=int(kind), width=3, norm=norm)
    save(network, tmp_path / "latest_net_D.pth", seed=1)
    run = bring(tmp_path, tmp_path)
    assert config(run)["model"] == "pix2pix"
    _same_discriminator(run, network, "discriminator", 5)


def test_anti_aliased_discriminators(tmp_path: Path) -> None:
    save(ResNet(3, 3, blocks=1, width=2, norm=instance, blur_down=True, blur_up=True), tmp_path / "latest_net_G.pth")
    network = PatchGAN(3, layers=3, width=3, norm=instance, blur=True)
    save(network, tmp_path / "latest_net_D.pth", seed=1)
    run = bring(tmp_path, tmp_path)
    assert config(run)["model"] == "cut"
    _same_discriminator(run, network, "discriminator", 3)


def _same_discriminator(run: Path, network, role: str, channels: int) -> None:
    model = rebuilt(run)
    image = 2 * torch.rand(2, channels, 64, 64, generator=torch.Generator().manual_seed(3)) - 1
    with torch.no_grad():
        expected = network.train()(image)
        made = model.get_submodule(role).train()(Shown(image))[0][0].logits
    assert expected.std() > 0.02
    assert (made - expected).abs().max() < 1e-5


def rebuilt(run: Path):
    """A fresh model of the run's settings, started from it as `--init-from` does."""
    from translate.card import Card
    from translate.images import ImageSpec
    from translate.inference.translator import read_card
    from translate.models import build, model_class
    from translate.training.initial import initialise

    card: Card = read_card(run)
    settings = model_class(card.model).settings_class.make(card.settings)
    assert isinstance(card.source, ImageSpec)
    model = build(card.model, settings, source=card.source, target=card.target, size=card.size)
    initialise(model, run)
    return model


def test_cyclegan_folders_hold_both_ways(tmp_path: Path) -> None:
    there = ResNet(3, 1, blocks=2, width=4, norm=instance)
    back = ResNet(1, 3, blocks=2, width=4, norm=instance)
    discriminators = PatchGAN(1, layers=3, width=4, norm=instance), PatchGAN(3, layers=3, width=4, norm=instance)
    for seed, (name, network) in enumerate(
        zip(("G_A", "G_B", "D_A", "D_B"), (there, back, *discriminators), strict=True)
    ):
        save(network, tmp_path / f"120_net_{name}.pth", seed=seed)
    with pytest.raises(ValueError, match="--epoch 120"):
        bring(tmp_path, tmp_path)
    run = bring(tmp_path, tmp_path, epoch="120")
    assert config(run)["model"] == "cyclegan"
    same(run, there, 3, size=24)
    same(run, back, 1, size=24, way="generator_back")
    _same_discriminator(run, discriminators[0], "discriminator", 1)
    _same_discriminator(run, discriminators[1], "discriminator_back", 3)


def test_cyclegan_from_single_files(tmp_path: Path) -> None:
    there, back = (save(ResNet(3, 3, blocks=1, width=4, norm=instance), tmp_path / f"{i}.pth", seed=i) for i in (0, 1))
    with pytest.raises(ValueError, match="--back"):
        bring(there, tmp_path, model="cyclegan")
    with pytest.raises(ValueError, match="one way"):
        bring(there, tmp_path, model="pix2pix", back=back)
    run = bring(there, tmp_path, back=back)
    assert config(run)["imported"] == {"generator": "0.pth", "generator_back": "1.pth"}


@pytest.mark.parametrize("fits", [True, False])
def test_heads_of_cut(tmp_path: Path, fits: bool) -> None:
    save(ResNet(3, 3, blocks=6, width=4, norm=instance, blur_down=True, blur_up=True), tmp_path / "latest_net_G.pth")
    heads = reference.Heads((3, 8, 16, 16, 16) if fits else (3, 4), width=8)
    save(heads, tmp_path / "latest_net_F.pth", seed=2)
    lines: list[str] = []
    model = rebuilt(bring(tmp_path, tmp_path, say=lines.append))
    assert any("left out" in line for line in lines) is not fits
    equal = [
        torch.equal(heads.get_submodule("mlp_1.2").weight, w) for w in model.heads.parameters() if w.shape == (8, 8)
    ]
    assert any(equal) is fits


def test_what_becomes_of_single_generators(tmp_path: Path) -> None:
    def chosen(network, **settings) -> str:
        path = save(network, tmp_path / "G.pth")
        return config(bring(path, tmp_path, out=tmp_path / f"{len(list(tmp_path.iterdir()))}", **settings))["model"]

    plain = ResNet(3, 3, blocks=1, width=4, norm=instance)
    assert chosen(UNet(3, 3, depth=5, width=4, norm=batch)) == "pix2pix"
    assert chosen(plain) == "pix2pix"
    assert chosen(plain, model="cut") == "cut"
    assert chosen(ResNet(3, 3, blocks=1, width=4, norm=instance, blur_down=True, blur_up=True)) == "cut"
    unconditional = save(PatchGAN(3, layers=3, width=4, norm=instance), tmp_path / "D.pth")
    assert chosen(plain, discriminator=unconditional) == "cut"  # it sees no source


@pytest.mark.parametrize("name", MODELS)
def test_every_unconditional_model_with_such_a_generator_takes_the_networks_over(tmp_path: Path, name: str) -> None:
    settings = MODELS[name].settings_class
    own = settings.parts.get("generator") is not GENERATORS
    if own or MODELS[name].data_needs(settings.make({})):
        reason = "has a generator of its own" if own else "is conditioned on labels, text or a code"
        with pytest.raises(ValueError, match=f"--model {name} {reason}"):
            bring(save(UNet(3, 3, depth=5, width=4, norm=instance), tmp_path / "0.pth"), tmp_path, model=name)
        return
    networks = [UNet(3, 3, depth=5, width=4, norm=instance) for _ in range(2)]
    files = [save(network, tmp_path / f"{seed}.pth", seed=seed) for seed, network in enumerate(networks)]
    back = {"back": files[1]} if MODELS[name].reversible else {}
    run = bring(files[0], tmp_path, model=name, **back)
    same(run, networks[0], 3, size=64)
    if back:
        same(run, networks[1], 3, size=64, way="generator_back")


def test_a_unet_below_cut_keeps_its_own_sampling(tmp_path: Path) -> None:
    network = UNet(3, 3, depth=5, width=4, norm=instance)
    same(bring(save(network, tmp_path / "G.pth"), tmp_path, model="cut"), network, 3, size=64)


def test_the_run_says_where_it_came_from_but_not_which_folder(tmp_path: Path) -> None:
    run = bring(save(UNet(3, 3, depth=5, width=4, norm=batch), tmp_path / "latest_net_G.pth"), tmp_path)
    card = translate.load(run).card
    assert "imported_from latest_net_G.pth" in card.describe()
    assert str(tmp_path) not in card.model_dump_json() + (run / "config.json").read_text()


def test_the_run_converts_a_folder(tmp_path: Path) -> None:
    from PIL import Image

    network = save(UNet(3, 1, depth=5, width=4, norm=batch), tmp_path / "G.pth")
    run = bring(network, tmp_path)
    (tmp_path / "in").mkdir()
    noise = np.random.default_rng(0).integers(0, 256, (33, 50, 3), dtype=np.uint8)
    Image.fromarray(noise).save(tmp_path / "in" / "a.png")
    report = translate.load(run).convert(tmp_path / "in", tmp_path / "out")
    assert not report.failures
    with Image.open(tmp_path / "out" / "a.png") as made:
        assert (made.size, made.mode) == ((50, 33), "L")


def test_training_goes_on_from_the_run_with_its_own_settings(tmp_path: Path, fronts: Path) -> None:
    """A rate too small to change anything: what the new run saves is still what came in."""
    from translate.cli import main

    generator, discriminator = UNet(3, 3, depth=5, width=4, norm=batch), PatchGAN(6, layers=1, width=4, norm=batch)
    save(generator, tmp_path / "latest_net_G.pth")
    save(discriminator, tmp_path / "latest_net_D.pth", seed=1)
    run = bring(tmp_path, tmp_path)
    flags = {"config": run / "config.json", "init-from": run, "data": fronts, "out": tmp_path / "more"}
    budget = {"steps": 1, "lr": 1e-20, "samples": 1, "device": "cpu"}
    words = [f"--{name}={value}" for name, value in (flags | budget).items()]
    assert main(["train", *words]) == 0
    state = torch.load(tmp_path / "more" / "checkpoints" / "step-00000001.pt", weights_only=True)["model"]
    assert torch.equal(state["generator.up.0.conv.weight"], generator.state_dict()["model.model.3.weight"])
    assert torch.equal(state["discriminator.network.2.weight"], discriminator.state_dict()["model.2.weight"])
