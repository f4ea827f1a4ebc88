"""The class layer fitted anew: what it learns, and that nothing else of a checkpoint changes."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
import torch

import train.class_head
from train.checkpoint import FILES, load_tensors, save_tensors
from train.class_head import KEYS, PULL, refit_class_heads
from train.data.dataset import load_dataset
from train.distributed import World
from train.localizer import load_localizer
from train.logistic import fit_layer
from train.shared import Run

from .finished import write_finished_run
from .tiny import tiny_config, write_tiny_set

if TYPE_CHECKING:
    from pathlib import Path

    from torch import Tensor

    from train.config import TrainConfig


def _two_groups(shift: float) -> tuple[Tensor, Tensor]:
    """60 features (n, 8) of two classes that differ in the first, all moved by `shift` along it."""
    gen = torch.Generator().manual_seed(0)
    labels = torch.arange(60) % 2
    features = 0.1 * torch.randn(60, 8, generator=gen)
    features[:, 0] += labels + shift
    return features, labels


def _right(layer: tuple[Tensor, Tensor], features: Tensor, labels: Tensor) -> float:
    guess = torch.nn.functional.linear(features, *layer).argmax(1)
    return float((guess == labels).float().mean())


def test_features_that_have_moved_since_training_are_told_apart_again() -> None:
    features, labels = _two_groups(0.0)
    layer = fit_layer(torch.zeros(2, 8), torch.zeros(2), features, labels, PULL)
    assert _right(layer, features, labels) == 1
    moved, _ = _two_groups(2.0)  # as at another input size
    assert _right(layer, moved, labels) == 0.5
    assert _right(fit_layer(*layer, moved, labels, PULL), moved, labels) == 1


def test_the_layer_stays_close_to_the_one_before() -> None:
    """Photos that are all right already do not drive the weights to infinity."""
    features, labels = _two_groups(0.0)
    sure = torch.zeros(2, 8)
    sure[:, 0] = torch.tensor([-20.0, 20.0])
    weight, bias = fit_layer(sure, torch.tensor([10.0, -10.0]), features, labels, PULL)
    assert (weight - sure).abs().max() < 0.1
    assert bias.isfinite().all()


@pytest.fixture
def run(tmp_path: Path) -> Run[TrainConfig]:
    """Finished but for the class heads, which are random; the last checkpoint has an average, too."""
    data = write_tiny_set(tmp_path / "set")
    out = write_finished_run(tmp_path / "run", data)
    tensors, meta = load_tensors(out / FILES["last"])
    tensors |= {k.replace("model.", "ema.", 1): v.clone() for k, v in tensors.items()}
    save_tensors(out / FILES["last"], tensors, meta)
    return Run(out, tiny_config(), load_dataset(data), torch.device("cpu"), World(), 1)


def test_only_the_class_layer_of_both_checkpoints_changes(run: Run[TrainConfig]) -> None:
    before = {name: load_tensors(run.out / name) for name in FILES.values()}
    refit_class_heads(run)
    for name, (tensors, meta) in before.items():
        now, about = load_tensors(run.out / name)
        changed = {key for key, value in tensors.items() if not torch.equal(value, now[key])}
        kinds = ("model.", "ema.") if name == FILES["last"] else ("model.",)
        assert changed == {kind + key for kind in kinds for key in KEYS}
        assert about == {**meta, "class_head": "refit"}
    weight, bias = (load_tensors(run.out / FILES["last"])[0]["ema." + key] for key in KEYS)
    head = load_localizer(run.out, "last").class_head[1]
    assert torch.equal(head.weight, weight)
    assert torch.equal(head.bias, bias)


def test_what_is_done_is_not_done_again_and_the_rest_is(run: Run[TrainConfig]) -> None:
    """Killed between the two files: the first stays, byte by byte."""
    refit_class_heads(run)
    whole = {name: (run.out / name).read_bytes() for name in FILES.values()}
    tensors, meta = load_tensors(run.out / FILES["last"])
    tensors |= {
        kind + key: torch.ones_like(tensors["model." + key]) for kind in ("model.", "ema.") for key in KEYS
    }
    save_tensors(run.out / FILES["last"], tensors, {k: v for k, v in meta.items() if k != "class_head"})
    refit_class_heads(run)
    assert (run.out / FILES["best"]).read_bytes() == whole[FILES["best"]]
    assert load_tensors(run.out / FILES["last"])[1]["class_head"] == "refit"


@pytest.mark.parametrize("alike", [True, False], ids=["the same", "not the same"])
def test_two_checkpoints_of_the_same_weights_look_at_the_photos_once(
    run: Run[TrainConfig], monkeypatch: pytest.MonkeyPatch, alike: bool
) -> None:
    looks = []
    features = train.class_head._features
    monkeypatch.setattr(train.class_head, "_features", lambda *args: (looks.append(1), features(*args))[1])
    _, meta = load_tensors(run.out / FILES["last"])
    tensors, _ = load_tensors(run.out / FILES["best"])
    if not alike:
        tensors = {k: v + 0.01 if v.is_floating_point() else v for k, v in tensors.items()}
    save_tensors(run.out / FILES["last"], tensors, meta)
    refit_class_heads(run)
    assert len(looks) == (1 if alike else 2)
    heads = [load_tensors(run.out / name)[0]["model." + KEYS[0]] for name in FILES.values()]
    assert torch.equal(*heads) == alike


def test_a_photo_that_cannot_be_read_is_left_out(run: Run[TrainConfig]) -> None:
    run.dataset.splits["train"][0].path.write_bytes(b"no photo")
    run.quarantine.stage = "class head"
    refit_class_heads(run)
    assert load_tensors(run.out / FILES["best"])[1]["class_head"] == "refit"
