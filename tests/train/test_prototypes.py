"""Background prototypes: of negative train photos, the same for every seed, and when there are none."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

import pytest
import torch
from torch.nn import functional as F

from train.checkpoint import load_tensors
from train.config import SstConfig
from train.data.dataset import load_dataset
from train.distributed import World
from train.prototypes import FILE, background_prototypes, kmeans
from train.shared import Run
from train.sst import SelfSupervisedTransformer

from . import tiny

if TYPE_CHECKING:
    from pathlib import Path

    from train.config import TrainConfig

CPU = torch.device("cpu")


def _cloud(centres: torch.Tensor, each: int) -> torch.Tensor:
    noise = 0.05 * torch.randn(
        len(centres) * each, centres.shape[1], generator=torch.Generator().manual_seed(3)
    )
    return F.normalize(centres.repeat(each, 1) + noise, dim=1)


def test_kmeans_finds_a_direction_near_every_point() -> None:
    true = F.normalize(torch.randn(4, 16, generator=torch.Generator().manual_seed(0)), dim=1)
    found = kmeans(_cloud(true, 50), 8, torch.Generator().manual_seed(0))
    assert found.shape == (8, 16)
    torch.testing.assert_close(found.norm(dim=1), torch.ones(8))
    assert (true @ found.T).amax(1).min() > 0.99


def test_there_are_never_more_prototypes_than_points() -> None:
    assert kmeans(_cloud(torch.eye(3), 1), 8, torch.Generator().manual_seed(0)).shape == (3, 3)


def _found(root: Path, out: Path, config: TrainConfig, negative: str | None = None) -> torch.Tensor | None:
    dataset = load_dataset(root, negative_class=negative)
    out.mkdir(exist_ok=True)
    torch.manual_seed(0)
    sst = SelfSupervisedTransformer(config.sst, CPU)
    return background_prototypes(Run(out, config, dataset, CPU, World(), 1), sst)


def _tokens() -> TrainConfig:
    config = tiny.tiny_config(sst__maps="tokens", sst__prototypes="6")
    assert isinstance(config.sst, SstConfig)
    return config


def test_they_are_made_once_and_no_seed_changes_them(tmp_path: Path) -> None:
    root = tiny.write_tiny_set(tmp_path / "data")
    first = _found(root, tmp_path / "a", _tokens())
    assert first is not None
    assert first.shape == (6, 64)
    other_seed = _found(root, tmp_path / "b", dataclasses.replace(_tokens(), seed=7))
    assert other_seed is not None
    assert torch.equal(first, other_seed)
    assert torch.equal(first, load_tensors(tmp_path / "a" / FILE)[0]["prototypes"])


@pytest.mark.parametrize("changes", [{"sst__maps": "attention"}, {"sst__prototypes": "0"}])
def test_no_prototypes_where_no_map_needs_them(tmp_path: Path, changes: dict[str, str]) -> None:
    root = tiny.write_tiny_set(tmp_path / "data")
    config = tiny.tiny_config(**{"sst__maps": "tokens", **changes})
    assert _found(root, tmp_path / "a", config) is None
    assert not (tmp_path / "a" / FILE).exists()
