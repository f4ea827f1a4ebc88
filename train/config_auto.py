"""Settings left to be chosen from the data become numbers, so that `config.toml` hides nothing.

-1 in a setting of `losses` or in `selftrain.from_epoch`, 0 in `optim.epochs` and `polish.batch_size` and
"auto" in `sst.maps` mean "chosen here".
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from train.data.loader import epoch_batches
from train.settings import override

if TYPE_CHECKING:
    from train.config import TrainConfig
    from train.data.types import Dataset

LEAST_EPOCHS, LEAST_STEPS = 6, 100
# Without a negative class nothing holds the maps back while CPA goes on to learn wrong seeds: stop earlier.
LEAST_EPOCHS_ALONE, LEAST_STEPS_ALONE = 4, 64
# The trivial answer to the CLS loss is "everything is foreground". Photos of the negative class hold it back
# from the first step on, and there the loss is decisive; without them it did not help (train/README.md).
CLS_WEIGHT, CLS_WEIGHT_ALONE = 0.3, 0.0
CLS_FIRST, CLS_FIRST_ALONE = 0, 1
# While CPA goes on to learn wrong seeds, maps grow beyond the object; with CLS to hold what matters, a price
# on area stops that. Without CLS it would only shrink maps.
AREA_WEIGHT, AREA_WEIGHT_ALONE = 0.8, 0.0
# Without a negative class nothing corrects a wrong proposal: maps of tokens, which are wrong less often,
# are worth 5 points on val there, and own maps 2 more. With one, neither is a gain (train/README.md).
MAPS, MAPS_ALONE = "attention", "tokens"
SELFTRAIN, SELFTRAIN_ALONE = 0, 3


def resolve_method(config: TrainConfig, *, alone: bool) -> TrainConfig:
    """`config` with all that is left to be chosen but the length; `alone`: there is no negative class."""
    changes: dict[str, Any] = {}
    if config.polish.batch_size == 0:  # photos are larger there
        changes["polish.batch_size"] = max(1, config.optim.batch_size // 2)
    if config.selftrain.from_epoch < 0:
        changes["selftrain.from_epoch"] = SELFTRAIN_ALONE if alone else SELFTRAIN
    if config.sst.maps == "auto":
        changes["sst.maps"] = MAPS_ALONE if alone else MAPS
    if config.losses.cls < 0:
        changes["losses.cls"] = CLS_WEIGHT_ALONE if alone else CLS_WEIGHT
    if config.losses.cls_from_epoch < 0:
        changes["losses.cls_from_epoch"] = CLS_FIRST_ALONE if alone else CLS_FIRST
    if config.losses.area < 0:
        changes["losses.area"] = AREA_WEIGHT_ALONE if alone else AREA_WEIGHT
    return override(config, changes)


def resolve(config: TrainConfig, dataset: Dataset) -> TrainConfig:
    """`config` with every chosen-here setting filled in for the photos of `dataset`."""
    alone = dataset.negative is None
    config = resolve_method(config, alone=alone)
    changes: dict[str, Any] = {}
    if config.optim.epochs == 0:
        labels = [image.label for image in dataset.splits["train"]]
        optim = config.optim
        steps = len(
            epoch_batches(labels, dataset.negative, optim.negatives, optim.batch_size, config.seed, 0)
        )
        least = (LEAST_EPOCHS_ALONE, LEAST_STEPS_ALONE) if alone else (LEAST_EPOCHS, LEAST_STEPS)
        changes["optim.epochs"] = max(least[0], math.ceil(least[1] / steps))
    return override(config, changes)
