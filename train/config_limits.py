"""Which values a setting may take; checked once, before a run begins."""

from __future__ import annotations

from typing import TYPE_CHECKING

from edge_runtime.errors import UsageError
from train.config import UNSTRETCHED
from train.settings import flatten

if TYPE_CHECKING:
    from collections.abc import Mapping

    from _typeshed import DataclassInstance

    from train.config import TrainConfig

SHARE, ABOVE_ZERO, AT_LEAST_ONE, NOT_NEGATIVE = "from 0 to 1", "above 0", "at least 1", "not negative"
INTO_ONE, BELOW_ONE = "above 0, at most 1", "from 0, below 1"
NOT_NEGATIVE_OR_CHOSEN = "not negative, or -1 to have it chosen"
RULES: Mapping[str, str] = {
    "seed": NOT_NEGATIVE,
    "sst.size": AT_LEAST_ONE,
    "sst.clip_quantile": INTO_ONE,
    "sst.prototypes": NOT_NEGATIVE,
    "classifier.size": AT_LEAST_ONE,
    "classifier.epochs": AT_LEAST_ONE,
    "classifier.batch_size": AT_LEAST_ONE,
    "classifier.lr": ABOVE_ZERO,
    "classifier.head_lr": ABOVE_ZERO,
    "classifier.weight_decay": NOT_NEGATIVE,
    "proposals.min_area": SHARE,
    "proposals.per_map": AT_LEAST_ONE,
    "proposals.dedupe_iou": SHARE,
    "proposals.top_p": AT_LEAST_ONE,
    "proposals.min_score": SHARE,
    "proposals.max_scored": AT_LEAST_ONE,
    "sampling.n_fg": NOT_NEGATIVE,
    "sampling.n_bg": NOT_NEGATIVE,
    "sampling.fg_fraction": SHARE,
    "sampling.bg_fraction": SHARE,
    "sampling.dilation": AT_LEAST_ONE,
    "losses.cpa": NOT_NEGATIVE,
    "losses.cls": NOT_NEGATIVE_OR_CHOSEN,
    "losses.cls_every": AT_LEAST_ONE,
    "losses.cls_from_epoch": NOT_NEGATIVE_OR_CHOSEN,
    "losses.rest": NOT_NEGATIVE,
    "losses.area": NOT_NEGATIVE_OR_CHOSEN,
    "losses.crf": NOT_NEGATIVE,
    "losses.crf_every": AT_LEAST_ONE,
    "losses.crf_scale": INTO_ONE,
    "losses.head": NOT_NEGATIVE,
    "optim.lr": ABOVE_ZERO,
    "optim.encoder_lr": ABOVE_ZERO,
    "optim.weight_decay": NOT_NEGATIVE,
    "optim.warmup": SHARE,
    "optim.step_epochs": AT_LEAST_ONE,
    "optim.clip": ABOVE_ZERO,
    "optim.epochs": NOT_NEGATIVE,
    "optim.batch_size": AT_LEAST_ONE,
    "optim.negatives": SHARE,
    "optim.ema": BELOW_ONE,
    "selftrain.from_epoch": NOT_NEGATIVE_OR_CHOSEN,
    "selftrain.every": AT_LEAST_ONE,
    "selftrain.share": SHARE,
    "selftrain.sure_fg": SHARE,
    "selftrain.sure_bg": SHARE,
    "polish.epochs": NOT_NEGATIVE,
    "polish.sizes": ABOVE_ZERO,
    "polish.contrast": SHARE,
    "polish.crop": INTO_ONE,
    "polish.batch_size": NOT_NEGATIVE,
    "polish.lr": ABOVE_ZERO,
    "localizer.size": AT_LEAST_ONE,
    "localizer.eval_size": AT_LEAST_ONE,
    "localizer.crop": INTO_ONE,
    "localizer.decoder": AT_LEAST_ONE,
}
OBEYS = {
    SHARE: lambda v: 0 <= v <= 1,
    ABOVE_ZERO: lambda v: 0 < v < float("inf"),
    AT_LEAST_ONE: lambda v: v >= 1,
    NOT_NEGATIVE: lambda v: 0 <= v < float("inf"),
    INTO_ONE: lambda v: 0 < v <= 1,
    NOT_NEGATIVE_OR_CHOSEN: lambda v: v == -1 or 0 <= v < float("inf"),
    BELOW_ONE: lambda v: 0 <= v < 1,
}


def check_rules(config: DataclassInstance, rules: Mapping[str, str]) -> None:
    """Raise UsageError for the first setting whose value breaks its rule; keys are dotted names."""
    for key, value in flatten(config).items():
        rule = rules.get(key)
        values = value if isinstance(value, tuple) else (value,)
        if rule is not None and not all(OBEYS[rule](v) for v in values):
            raise UsageError(f"{key} = {value!r}: expected {rule}")


def check_limits(config: TrainConfig) -> None:
    """Raise UsageError for the first setting whose value cannot work."""
    check_rules(config, RULES)
    if config.sampling.dilation % 2 == 0:
        raise UsageError(f"sampling.dilation = {config.sampling.dilation}: expected an odd number of pixels")
    if not config.polish.sizes:
        raise UsageError("polish.sizes is empty: expected one share of the input or more, like 0.83,1.17")
    contrast = config.polish.contrast
    if len(contrast) != 2 or (contrast[0] >= contrast[1] and contrast != UNSTRETCHED):
        raise UsageError(f"polish.contrast = {contrast}: expected two ascending shares, or 0,0 for none")
    for name, crop in (("localizer", config.localizer.crop), ("polish", config.polish.crop)):
        if len(crop) != 2 or crop[0] > crop[1]:
            raise UsageError(f"{name}.crop = {crop}: expected smallest and largest share")
    if config.selftrain.sure_bg > config.selftrain.sure_fg:
        raise UsageError("selftrain.sure_bg is above selftrain.sure_fg: expected background below foreground")
    if config.sampling.n_fg == config.sampling.n_bg == 0:
        raise UsageError("sampling.n_fg and sampling.n_bg are both 0: expected pixels to learn from")
