"""Pseudo-pixels that stay: the same in every epoch, where the view shows them, as many as are drawn anew."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import torch

from train.data.dataset import load_dataset
from train.fixed_labels import photo_labels, view_labels
from train.items import ViewSource
from train.proposals import Proposal
from train.sampling import IGNORE, SeedInputs, box_masks, sample_seeds
from train.views import View, sampling_theta

from .tiny import tiny_config, write_tiny_set

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

    from train.config import TrainConfig

FOUND = [Proposal((0.25, 0.25, 0.75, 0.75), 0, 0.4, 0.9), Proposal((0.0, 0.0, 0.4, 0.4), 0, 0.4, 0.8)]
WHOLE = View((0.0, 0.0, 1.0, 1.0), False, 1.0, 0.0)


def _attention() -> NDArray[np.float32]:
    """Warm in the middle."""
    y, x = np.mgrid[0:8, 0:8] - 3.5
    return np.exp(-(x**2 + y**2) / 8).astype(np.float32)


def _config(**changes: Any) -> TrainConfig:
    return tiny_config(**{"localizer__size": 224, "sampling__draw": "once", **changes})


def test_a_photo_has_one_set_of_labels_per_proposal_seed_and_photo() -> None:
    def drawn(config: TrainConfig, index: int, which: int) -> NDArray[np.int64]:
        return photo_labels(config, index, which, FOUND, _attention())

    first = drawn(_config(), 3, 0)
    assert np.array_equal(first, drawn(_config(), 3, 0))
    for other in (drawn(_config(), 3, 1), drawn(_config(), 4, 0), drawn(_config(seed=1), 3, 0)):
        assert not np.array_equal(first, other)


def test_a_view_shows_the_labels_of_its_part_of_the_photo_flipped_with_it() -> None:
    config = _config(localizer__crop=(1.0, 1.0), localizer__size=64)
    whole = photo_labels(config, 0, 0, FOUND, _attention())
    assert np.array_equal(view_labels(config, 0, 0, FOUND, _attention(), sampling_theta(WHOLE)), whole)
    flipped = sampling_theta(dataclasses.replace(WHOLE, flip=True))
    assert np.array_equal(view_labels(config, 0, 0, FOUND, _attention(), flipped), whole[:, ::-1])
    corner = sampling_theta(View((0.0, 0.0, 0.5, 0.5), False, 1.0, 0.0))
    seen = view_labels(config, 0, 0, FOUND, _attention(), corner)
    assert np.array_equal(seen[::2, ::2], whole[:32, :32])


def test_views_of_training_crops_keep_pixels_as_they_are() -> None:
    config = _config()
    whole = photo_labels(config, 0, 0, FOUND, _attention())
    assert whole.shape == (256, 256)  # 224 is 0.875 of it
    at = (16 / 256, 8 / 256)
    theta = sampling_theta(View((*at, at[0] + 0.875, at[1] + 0.875), False, 1.0, 0.0))
    seen = view_labels(config, 0, 0, FOUND, _attention(), theta)
    assert np.array_equal(seen, whole[8:232, 16:240])


def test_as_many_pixels_are_labelled_as_when_they_are_drawn_anew() -> None:
    config = _config()
    box = torch.tensor([FOUND[0].box])
    inputs = SeedInputs(
        attention=torch.nn.functional.interpolate(
            torch.from_numpy(_attention())[None, None], (224, 224), mode="bilinear"
        )[:, 0],
        box=box,
        kept=box_masks(torch.tensor([p.box for p in FOUND]), 224).any(0, keepdim=True),
        level=torch.tensor([0.4]),
        negative=torch.tensor([False]),
    )
    anew = sample_seeds(inputs, config.sampling, torch.Generator().manual_seed(0))[0].numpy()
    once = photo_labels(config, 0, 0, FOUND, _attention())
    for kind in (0, 1, IGNORE):
        assert (once == kind).mean() == pytest.approx((anew == kind).mean(), rel=0.15), kind


def test_further_objects_of_the_map_are_foreground_where_all_are_asked_for() -> None:
    one, both = (
        photo_labels(_config(sampling__objects=objects), 0, 0, FOUND, np.ones((8, 8), np.float32))
        for objects in ("one", "all")
    )
    corner = slice(0, 50)  # of the second proposal only
    assert not (one[corner, corner] == 1).any()
    assert (both[corner, corner] == 1).any()


def test_only_views_of_a_proposal_have_fixed_labels_and_only_when_asked_for(tmp_path: Path) -> None:
    images = load_dataset(write_tiny_set(tmp_path)).splits["train"]
    maps = np.broadcast_to(_attention().astype(np.float16), (len(images), 1, 8, 8))
    found = [FOUND if i == 7 else [] for i in range(len(images))]
    once = ViewSource(images, maps, found, tiny_config(sampling__draw="once"))
    labels = once(0, 7).labels
    assert labels is not None
    assert labels.shape == (64, 64)
    assert set(np.unique(labels)) == {IGNORE, 0, 1}
    assert once(0, 6).labels is None
    assert ViewSource(images, maps, found, tiny_config())(0, 7).labels is None
