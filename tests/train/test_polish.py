"""Polish: which epochs, what the maps are made of, and that a view is taught by its own part of the map."""

from __future__ import annotations

from contextlib import nullcontext
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np
import pytest
import torch

from edge_runtime.errors import DatasetError, UsageError
from train.config import PolishConfig
from train.config_auto import resolve
from train.data.dataset import load_dataset
from train.distributed import World
from train.fit import Fitter
from train.items import ViewSource
from train.localizer import build_localizer
from train.losses import soft_cross_entropy
from train.polish import SIDE, Polish, stretched
from train.run import train_run
from train.validate import predict_maps

from .tiny import tiny_config, write_tiny_set

if TYPE_CHECKING:
    from pathlib import Path

    from train.config import TrainConfig
    from train.data.types import Dataset

WORLD = World()


@pytest.fixture
def dataset(tmp_path: Path) -> Dataset:
    return load_dataset(write_tiny_set(tmp_path / "data"))


@pytest.fixture
def config() -> TrainConfig:
    return replace(
        tiny_config(), polish=PolishConfig(epochs=2, sizes=(1.0, 2.0), contrast=(0, 0), crop=(0.5, 0.5))
    )


def _polish(out: Path, dataset: Dataset, config: TrainConfig) -> Polish:
    train = dataset.splits["train"]
    return Polish(out, train, [i for i, image in enumerate(train) if image.label != dataset.negative], config)


def test_it_covers_what_comes_after_the_epochs(tmp_path: Path, dataset: Dataset, config: TrainConfig) -> None:
    polish = _polish(tmp_path, dataset, config)
    assert [polish.covers(epoch) for epoch in range(4)] == [False, False, True, True]


def test_the_warmest_of_all_sizes_teaches(tmp_path: Path, dataset: Dataset, config: TrainConfig) -> None:
    torch.manual_seed(0)
    model = build_localizer(config.localizer, 2).eval()
    polish = _polish(tmp_path, dataset, config)
    train = dataset.splits["train"]
    polish.prepare(2, model, 1, WORLD)
    for index, image in enumerate(train):
        found = polish.get(index)
        if image.label == dataset.negative:
            assert found is None
            continue
        assert found is not None
        maps = [next(predict_maps(model, [image], side, 1))[1] for side in (64, 128)]
        expected = np.max([cv2.resize(m, (SIDE, SIDE)) for m in maps], axis=0)
        assert np.abs(found - expected).max() < 0.02  # bfloat16 in batches of another size


@pytest.mark.parametrize("peak", [0.1, 0.6, 1.0])
def test_a_lukewarm_map_teaches_with_the_contrast_of_a_hot_one(peak: float) -> None:
    shares = np.linspace(0, 1, 101, dtype=np.float32)
    found = stretched(np.full((50, 101), shares) * np.float32(peak), (0.55, 0.85))
    assert found.dtype == np.float32
    assert not found[:, shares < 0.54].any()
    assert (found[:, shares > 0.86] == 1).all()
    assert found[0, 70] == pytest.approx(0.5, abs=0.02)
    assert (np.diff(found, axis=1) >= 0).all()


def test_each_epoch_is_taught_by_the_weights_before_it(
    tmp_path: Path, dataset: Dataset, config: TrainConfig
) -> None:
    train = dataset.splits["train"]
    index = next(i for i, image in enumerate(train) if image.label != dataset.negative)
    polish, found = _polish(tmp_path, dataset, config), []
    for epoch in (2, 3, 3):
        torch.manual_seed(len(found))
        polish.prepare(epoch, build_localizer(config.localizer, 2).eval(), 1, WORLD)
        found.append(polish.get(index))
    assert found[1] is not None
    assert (found[0] != found[1]).any()
    assert (found[1] == found[2]).all()  # gone on with in the same epoch: those that are there


def test_a_few_hot_pixels_are_not_the_warmest_place() -> None:
    score_map = np.full((100, 100), 0.2, np.float32)
    score_map[40:60, 40:60] = 0.6
    score_map[0, :10] = 1.0
    found = stretched(score_map, (0.55, 0.85))
    assert (found[40:60, 40:60] == 1).all()
    assert not found[60:, :].any()


def test_an_empty_map_and_one_to_be_left_alone_stay() -> None:
    empty, grey = np.zeros((8, 8), np.float32), np.full((8, 8), 0.3, np.float32)
    assert not stretched(empty, (0.55, 0.85)).any()
    assert (stretched(grey, (0.0, 0.0)) == grey).all()


def test_the_map_that_teaches_is_stretched(tmp_path: Path, dataset: Dataset, config: TrainConfig) -> None:
    model, train = build_localizer(config.localizer, 2).eval(), dataset.splits["train"]
    index = next(i for i, image in enumerate(train) if image.label != dataset.negative)
    found = []
    for contrast in ((0.0, 0.0), (0.55, 0.85)):
        with_it = replace(config, polish=replace(config.polish, contrast=contrast))
        polish = _polish(tmp_path, dataset, with_it)
        polish.prepare(2, model, 1, WORLD)
        found.append(polish.get(index))
    assert found[0] is not None
    assert found[1] is not None
    assert (found[1] == stretched(found[0], (0.55, 0.85))).all()
    assert (found[1] != found[0]).any()


def test_a_photo_nobody_could_read_then_is_left_out_of_the_batch_and_not_called_empty(
    tmp_path: Path, dataset: Dataset, config: TrainConfig
) -> None:
    polish, train = _polish(tmp_path, dataset, config), dataset.splits["train"]
    away = next(i for i, image in enumerate(train) if image.label != dataset.negative)
    whole = train[away].path.read_bytes()
    train[away].path.write_bytes(b"")
    polish.prepare(2, build_localizer(config.localizer, 2).eval(), 1, WORLD)
    train[away].path.write_bytes(whole)  # the network folder is back
    views = ViewSource(
        train, np.zeros((len(train), 1, 4, 4), np.float16), [[] for _ in train], config, None, polish
    )
    with pytest.raises(DatasetError, match=r"thing/0\.png: could not be read when this epoch began"):
        views(2, away)
    target = views(2, away + 1).target
    assert target is not None
    assert target.any()


def test_the_batch_is_half_of_that_of_before_unless_it_is_given(
    dataset: Dataset, config: TrainConfig
) -> None:
    for given, batch, expected in ((0, 16, 8), (0, 64, 32), (0, 1, 1), (5, 64, 5)):
        asked = replace(
            config,
            optim=replace(config.optim, batch_size=batch),
            polish=replace(config.polish, batch_size=given),
        )
        assert resolve(asked, dataset).polish.batch_size == expected


def test_a_view_is_taught_by_its_part_of_the_map(
    tmp_path: Path, dataset: Dataset, config: TrainConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    train = dataset.splits["train"]
    polish = _polish(tmp_path, dataset, config)
    grey = [cv2.resize(cv2.imread(str(image.path), 0), (SIDE, SIDE)) / np.float32(255) for image in train]
    monkeypatch.setattr(
        polish, "get", lambda i: None if train[i].label == dataset.negative else grey[i].astype(np.float32)
    )
    monkeypatch.setattr("train.views.draw_view.__defaults__", (0.0,))  # no change of brightness
    nothing = np.zeros((len(train), 1, 4, 4), np.float16)
    views = ViewSource(train, nothing, [[] for _ in train], config, None, polish)
    for epoch in (2, 3):
        for index, image in enumerate(train):
            item = views(epoch, index)
            assert item.target is not None
            if image.label == dataset.negative:
                assert not item.target.any()
            else:
                seen = cv2.cvtColor(item.image_bgr_u8, cv2.COLOR_BGR2GRAY) / np.float32(255)
                assert np.corrcoef(seen.ravel(), item.target.ravel())[0, 1] > 0.9
    assert views(1, 0).target is None


def test_it_learns_the_map_it_is_given() -> None:
    logits = torch.zeros(1, 2, 4, 4, requires_grad=True)
    target = torch.zeros(1, 4, 4)
    target[:, :2] = 0.75
    for _ in range(400):
        (gradient,) = torch.autograd.grad(soft_cross_entropy(logits, target), logits)
        logits = (logits - 20 * gradient).detach().requires_grad_()
    assert torch.allclose(logits.softmax(1)[:, 1], target, atol=0.05)


def test_the_learning_rate_rises_and_falls_again(config: TrainConfig) -> None:
    model = build_localizer(config.localizer, 2)
    nowhere = torch.nn.Identity()
    fitter = Fitter(
        model,
        nowhere,  # type: ignore[arg-type]
        0,
        config,
        10,
        torch.device("cpu"),
        WORLD,
        polish_steps=20,
    )
    rates = [fitter.lr_factor(at) for at in range(20, 60)]
    assert fitter.lr_factor(19) < 0.01
    assert max(rates) == pytest.approx(config.polish.lr)
    assert rates.index(max(rates)) == 4  # a tenth of 40 steps
    assert rates[-1] < 0.01 * config.polish.lr


def test_it_begins_with_a_fresh_optimiser(
    tmp_path: Path, dataset: Dataset, config: TrainConfig, monkeypatch: pytest.MonkeyPatch, no_figures: None
) -> None:
    polishing, steps = Fitter.step, []

    def step(fitter: Fitter, *args: Any) -> dict[str, float]:
        values = polishing(fitter, *args)
        steps.append(int(fitter.state()["optim.0.step"]))
        return values

    monkeypatch.setattr(Fitter, "step", step)
    train_run(dataset.root, tmp_path / "run", config, device="cpu", threads=1, workers=1)
    before, after = steps[: steps.index(1, 1)], steps[steps.index(1, 1) :]
    assert before == list(range(1, len(before) + 1))
    assert after == list(range(1, len(after) + 1))
    assert len(after) == 2 * len(before)  # two epochs each, of batches of 2 and not of 4


def test_more_processes_than_photos_in_its_batch_are_refused(
    tmp_path: Path, dataset: Dataset, config: TrainConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("train.run.join_world", lambda _: replace(WORLD, size=3))
    monkeypatch.setattr("train.run.leave_world", lambda _: None)
    monkeypatch.setattr(World, "main_first", lambda _: nullcontext())
    few = replace(config, polish=replace(config.polish, batch_size=2))
    with pytest.raises(
        UsageError, match=r"3 processes cannot share a batch of 2 photos \(polish.batch_size\); start fewer"
    ):
        train_run(dataset.root, tmp_path / "run", few)
    assert not (tmp_path / "run").exists()
