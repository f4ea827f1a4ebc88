"""Settings left to be chosen become numbers that fit the photos; settings that were given stay."""

from pathlib import Path

import pytest

from train.config import TrainConfig
from train.config_auto import (
    AREA_WEIGHT,
    CLS_WEIGHT,
    LEAST_EPOCHS,
    LEAST_EPOCHS_ALONE,
    LEAST_STEPS,
    LEAST_STEPS_ALONE,
    MAPS,
    MAPS_ALONE,
    SELFTRAIN,
    SELFTRAIN_ALONE,
    resolve,
)
from train.data.types import Dataset, Image
from train.settings import override


def photos(count: int, *, negative: bool) -> Dataset:
    images = tuple(Image(Path(f"{i}.jpg"), f"{i}.jpg", i % 2, 8, 8) for i in range(count))
    return Dataset(Path(), ("a", "b"), 0 if negative else None, {"train": images, "val": (), "test": ()})


def test_with_negative_photos_the_classifier_teaches_from_the_first_step_and_area_has_a_price():
    losses = resolve(TrainConfig(), photos(64, negative=True)).losses
    assert (losses.cls, losses.cls_from_epoch, losses.area) == (CLS_WEIGHT, 0, AREA_WEIGHT)


def test_without_negative_photos_neither_is_used():
    losses = resolve(TrainConfig(), photos(64, negative=False)).losses
    assert (losses.cls, losses.area) == (0.0, 0.0)


@pytest.mark.parametrize(
    ("count", "negative", "epochs"),
    [
        pytest.param(16 * 200, True, LEAST_EPOCHS, id="many photos: the least number of epochs"),
        pytest.param(16 * 10, True, LEAST_STEPS // 10, id="few photos: the least number of steps"),
        pytest.param(4, True, LEAST_STEPS, id="less than a batch: one step per epoch"),
        pytest.param(16 * 200, False, LEAST_EPOCHS_ALONE, id="many photos, nothing holds maps back: fewer"),
        pytest.param(16 * 8, False, LEAST_STEPS_ALONE // 8, id="few photos, nothing holds maps back: fewer"),
    ],
)
def test_the_number_of_epochs_gives_enough_steps(count, negative, epochs):
    assert resolve(TrainConfig(), photos(count, negative=negative)).optim.epochs == epochs


@pytest.mark.parametrize(
    ("negative", "maps", "first"), [(True, MAPS, SELFTRAIN), (False, MAPS_ALONE, SELFTRAIN_ALONE)]
)
def test_where_proposals_come_from_and_when_own_maps_teach_is_chosen(negative, maps, first):
    config = resolve(TrainConfig(), photos(64, negative=negative))
    assert config.sst.maps == maps != "auto"
    assert config.selftrain.from_epoch == first >= 0


def test_what_was_given_stays():
    given = {
        "sst.maps": "both",
        "selftrain.from_epoch": 2,
        "polish.batch_size": 3,
        "losses.cls": 0.05,
        "losses.cls_from_epoch": 3,
        "losses.area": 0.0,
        "optim.epochs": 2,
    }
    config = override(TrainConfig(), given)
    assert resolve(config, photos(64, negative=False)) == config
