"""The localizer and the weights it starts from: shapes, foreign files, wrong names, a run read back."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any

import pytest
import timm
import torch
from safetensors.torch import save_file

from edge_runtime.errors import ModelError, TrainingError, UsageError
from train.checkpoint import save_tensors
from train.config import LocalizerConfig, TrainConfig
from train.localizer import FILES, Localizer, build_localizer, load_localizer
from train.settings import to_toml
from train.weights import create_timm

from . import tiny  # noqa: F401  (registers tiny_vit_six_heads)

if TYPE_CHECKING:
    from pathlib import Path

TINY = LocalizerConfig(
    encoder="test_efficientnet", encoder_weights="none", decoder=(16, 8, 8, 8, 8), size=64, eval_size=96
)


@pytest.mark.parametrize("encoder", ["test_efficientnet", "test_resnet"])
@pytest.mark.parametrize(("height", "width"), [(64, 64), (64, 96), (32, 32)])
def test_a_map_of_the_inputs_size_and_a_class_for_each_photo(encoder: str, height: int, width: int) -> None:
    model = build_localizer(dataclasses.replace(TINY, encoder=encoder), 3).eval()
    with torch.no_grad():
        map_logits, class_logits = model(torch.zeros(2, 3, height, width))
    assert map_logits.shape == (2, 2, height, width)
    assert class_logits.shape == (2, 3)


def test_encoder_weights_come_from_a_local_file(tmp_path: Path) -> None:
    torch.manual_seed(1)
    source = timm.create_model("test_efficientnet").state_dict()
    save_file(
        {k: v.half() if v.is_floating_point() else v for k, v in source.items()}, tmp_path / "w.safetensors"
    )
    config = dataclasses.replace(TINY, encoder_weights=str(tmp_path / "w.safetensors"))
    own = build_localizer(config, 2).unet.encoder.model.state_dict()
    same = [k for k in own if k in source]
    assert len(same) > 0.9 * len(own)
    assert all(torch.equal(own[k], source[k].half().to(own[k].dtype)) for k in same)


def test_position_embeddings_are_resampled_to_the_grid(tmp_path: Path) -> None:
    torch.manual_seed(1)
    source = timm.create_model("tiny_vit_six_heads", img_size=64).state_dict()
    save_file(source, tmp_path / "w.safetensors")
    larger: Any = create_timm(
        "tiny_vit_six_heads", str(tmp_path / "w.safetensors"), "SST", num_classes=0, img_size=96
    )
    assert larger.pos_embed.shape == (1, 1 + 36, 48)
    torch.testing.assert_close(larger.pos_embed[:, 0], source["pos_embed"][:, 0])  # CLS
    torch.testing.assert_close(larger.pos_embed.mean(), source["pos_embed"].mean(), atol=0.02, rtol=0)
    assert torch.equal(larger.blocks[0].attn.qkv.weight, source["blocks.0.attn.qkv.weight"])


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        pytest.param(
            {"encoder": "tf_efficientnet_lite9"}, "not a timm model; did you mean tf_eff", id="misspelt"
        ),
        pytest.param({"encoder": "zzz"}, "not a timm model", id="unknown"),
        pytest.param({"encoder": "test_vit"}, "cannot carry a U-Net", id="no pyramid of features"),
        pytest.param({"size": 50}, "localizer.size = 50: expected a positive multiple of 32", id="odd size"),
        pytest.param({"eval_size": 0}, "localizer.eval_size = 0", id="no size"),
        pytest.param({"encoder_weights": "nowhere.safetensors"}, "no such file", id="weights missing"),
        pytest.param(
            {"decoder": (8,) * 7}, "cannot carry a U-Net of depth 7", id="deeper than it has features"
        ),
    ],
)
def test_a_network_that_cannot_be_built_is_named_in_one_line(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(UsageError, match=message) as caught:
        build_localizer(dataclasses.replace(TINY, **changes), 2)
    assert "\n" not in str(caught.value)


def test_weights_of_another_network_are_refused(tmp_path: Path) -> None:
    save_file(timm.create_model("test_resnet").state_dict(), tmp_path / "w.safetensors")
    with pytest.raises(UsageError, match="made for another architecture"):
        build_localizer(dataclasses.replace(TINY, encoder_weights=str(tmp_path / "w.safetensors")), 2)


def test_a_file_that_is_no_safetensors_is_refused(tmp_path: Path) -> None:
    torch.save({"w": torch.ones(2)}, tmp_path / "w.pth")
    with pytest.raises(UsageError, match="not a safetensors file"):
        build_localizer(dataclasses.replace(TINY, encoder_weights=str(tmp_path / "w.pth")), 2)


@pytest.mark.parametrize(
    ("purpose", "flag"),
    [
        ("SST", "--sst-weights FILE"),
        ("encoder", "--encoder-weights FILE"),
        ("classifier encoder", "--set classifier.encoder_weights=FILE"),
    ],
)
def test_without_a_connection_the_flag_for_a_local_file_is_named(
    purpose: str, flag: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def offline(name: str, *, pretrained: bool, **_: object) -> None:
        assert pretrained
        raise ConnectionError("Name or service not known\nsecond line")

    monkeypatch.setattr(timm, "create_model", offline)
    with pytest.raises(TrainingError, match=f"could not be downloaded.*{flag}") as caught:
        create_timm("test_vit", "", purpose)
    assert "\n" not in str(caught.value)


def _run_dir(path: Path, config: LocalizerConfig = TINY) -> Localizer:
    (path / "config.toml").write_text(to_toml(dataclasses.replace(TrainConfig(), localizer=config)))
    model = build_localizer(config, 2)
    save_tensors(
        path / FILES["best"], {f"model.{k}": v for k, v in model.state_dict().items()}, {"classes": 2}
    )
    return model


def test_a_run_is_read_back_frozen_and_in_eval_mode(tmp_path: Path) -> None:
    model = _run_dir(tmp_path)
    found = load_localizer(tmp_path)
    assert not found.training
    assert not any(p.requires_grad for p in found.parameters())
    assert all(torch.equal(v, found.state_dict()[k]) for k, v in model.state_dict().items())
    assert found.config == TINY


def test_the_last_checkpoint_flies_with_its_averaged_weights(tmp_path: Path) -> None:
    model = _run_dir(tmp_path)
    state = {f"model.{k}": v for k, v in model.state_dict().items()}
    average = {k.replace("model.", "ema.", 1): v + 1 for k, v in state.items() if v.is_floating_point()}
    optimiser = {"optim.0.step": torch.tensor(3.0)}
    save_tensors(tmp_path / FILES["last"], state | average | optimiser, {"classes": 2})
    found = load_localizer(tmp_path, "last").state_dict()
    assert all(torch.equal(found[k.removeprefix("ema.")], v) for k, v in average.items())


def test_what_is_no_finished_run_is_named(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="not a finished run"):
        load_localizer(tmp_path)
    _run_dir(tmp_path)
    (tmp_path / "config.toml").write_text(
        to_toml(
            dataclasses.replace(TrainConfig(), localizer=dataclasses.replace(TINY, encoder="test_resnet"))
        )
    )
    with pytest.raises(ModelError, match="weights do not fit"):
        load_localizer(tmp_path)
