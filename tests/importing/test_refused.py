"""What cannot be imported is refused in one line that names what is wrong, and nothing is written."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import torch

from byhand.reference_networks import BlurDown, PatchGAN, ResNet, UNet, batch, instance, randomise
from translate.importing.command import import_checkpoint
from translate.importing.options import ImportSettings


def attempt(source: Path, **settings) -> str:
    """The error's text; it is one line, and there is no run."""
    out = source.parent / "run"
    with pytest.raises(ValueError, match=r"\S") as caught:
        import_checkpoint(source, ImportSettings.make({"out": out, **settings}), say=lambda _: None)
    assert not out.exists()
    text = str(caught.value)
    assert "\n" not in text
    return text


def saved(path: Path, state) -> Path:
    torch.save(state, path)
    return path


def unet(**changes):
    return randomise(UNet(3, 3, **{"depth": 5, "width": 4, "norm": batch, **changes}), seed=0).state_dict()


class Payload:
    def __reduce__(self):
        return (Path.touch, (Path("payload-was-run"),))


def test_pickled_objects_are_not_run(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert "state_dict()" in attempt(saved(tmp_path / "whole.pth", UNet(3, 3, depth=5, width=4, norm=batch)))
    assert "state_dict()" in attempt(saved(tmp_path / "payload.pth", {"a": Payload()}))
    assert not (tmp_path / "payload-was-run").exists()


@pytest.mark.parametrize("content", [b"", b"hello world", b"PK\x03\x04 and no more", b"\x80\x02}q\x00X"])
def test_damaged_files(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "G.pth"
    path.write_bytes(content)
    assert str(path) in attempt(path)


def test_files_cut_short(tmp_path: Path) -> None:
    whole = saved(tmp_path / "G.pth", unet()).read_bytes()
    (tmp_path / "G.pth").write_bytes(whole[: len(whole) // 2])
    assert "damaged" in attempt(tmp_path / "G.pth")


@pytest.mark.parametrize("content", [[1, 2], {}, {"state_dict": {"a": torch.ones(2)}, "epoch": 3}, torch.ones(3)])
def test_no_state_dict(tmp_path: Path, content) -> None:
    assert "no state dict" in attempt(saved(tmp_path / "G.pth", content))


def test_missing_files(tmp_path: Path) -> None:
    assert "no such file or folder" in attempt(tmp_path / "nowhere.pth")
    assert "neither latest_net_G.pth nor" in attempt(tmp_path)
    assert "no such file" in attempt(saved(tmp_path / "G.pth", unet()), discriminator=tmp_path / "D.pth")
    saved(tmp_path / "latest_net_G_A.pth", unet())
    assert "give the file" in attempt(tmp_path)


def test_foreign_networks_are_told_by_some_of_their_tensors(tmp_path: Path) -> None:
    text = attempt(saved(tmp_path / "G.pth", {f"layer{i}.weight": torch.ones(2) for i in range(9)}))
    assert "layer0.weight" in text
    assert "and 5 more" in text
    assert "U-Net" in text


def test_unexpected_and_missing_tensors_are_named_and_counted(tmp_path: Path) -> None:
    state = unet()
    state["model.model.1.model.9.weight"] = torch.ones(3)
    del state["model.model.1.model.5.weight"]
    text = attempt(saved(tmp_path / "G.pth", state))
    assert "1 unexpected: model.model.1.model.9.weight" in text
    assert "1 missing: model.model.1.model.5.weight" in text
    assert "U-Net of depth 5, width 4, batch norm" in text


def test_the_missing_first_layer_is_named(tmp_path: Path) -> None:
    state = unet()
    del state["model.model.0.weight"]
    assert "model.model.0.weight is missing" in attempt(saved(tmp_path / "G.pth", state))


def test_widths_that_are_no_multiples_are_named(tmp_path: Path) -> None:
    state = randomise(ResNet(3, 3, blocks=2, width=4, norm=instance), seed=0).state_dict()
    state["model.4.weight"] = torch.ones(7, 4, 3, 3)
    assert "model.4.weight is 7x4x3x3 and not 8x4x3x3" in attempt(saved(tmp_path / "G.pth", state))


def test_a_layer_of_another_kind(tmp_path: Path) -> None:
    state = randomise(ResNet(3, 3, blocks=2, width=4, norm=instance), seed=0).state_dict()
    state["model.10.conv_block.1.extra"] = torch.ones(1)
    assert "model.10.conv_block.1.extra" in attempt(saved(tmp_path / "G.pth", state))


def test_weights_of_a_training_that_went_wrong(tmp_path: Path) -> None:
    state = unet()
    state["model.model.3.weight"][0, 0, 0, 0] = torch.nan
    assert re.search(r"not finite.*model\.model\.3", attempt(saved(tmp_path / "G.pth", state)))


def test_other_blur_kernels(tmp_path: Path) -> None:
    state = randomise(ResNet(3, 3, blocks=2, width=4, norm=instance, blur_down=True, blur_up=True), seed=0).state_dict()
    state["model.7.filt"] = torch.ones_like(BlurDown(8).filt) / 9
    assert "model.7.filt" in attempt(saved(tmp_path / "G.pth", state))


def test_discriminators_that_do_not_belong(tmp_path: Path) -> None:
    saved(tmp_path / "latest_net_G.pth", unet())

    def judge(**changes) -> str:
        network = PatchGAN(**{"inputs": 6, "layers": 3, "width": 4, "norm": batch, **changes})
        saved(tmp_path / "latest_net_D.pth", randomise(network, seed=1).state_dict())
        return attempt(tmp_path)

    assert "norm instance" in judge(norm=instance)
    assert "downsample antialiased" in judge(blur=True)
    assert "model.0.weight is 4x4x4x4 and not 4x3x4x4" in judge(inputs=4)
    assert "PatchGAN of 7 strided layers" in judge(layers=7)


def test_flags_that_do_not_fit(tmp_path: Path) -> None:
    path = saved(tmp_path / "G.pth", unet(norm=instance))
    assert "--inference-norm" in attempt(path, inference_norm="running")
    assert "--epoch" in attempt(path, epoch="3")
    assert 'no model is called "pix3pix"' in attempt(path, model="pix3pix")
    assert "--patch 70" in attempt(path, size=8)
    (tmp_path / "used").mkdir()
    (tmp_path / "used" / "file").touch()
    assert "not empty" in attempt(path, out=tmp_path / "used")
    assert (tmp_path / "used" / "file").exists()
