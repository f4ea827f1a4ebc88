"""Every setting of `dips-edge pretrain`, what each may be, and those that are chosen from network and start.

0 in `crops.local_size`, `optim.lr` and `check.every` means "chosen here"; RUN/config.toml holds the choice.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from edge_runtime.errors import UsageError
from train.config import SstConfig
from train.config_limits import (
    ABOVE_ZERO,
    AT_LEAST_ONE,
    BELOW_ONE,
    INTO_ONE,
    NOT_NEGATIVE,
    SHARE,
    check_rules,
)
from train.settings import override

if TYPE_CHECKING:
    from collections.abc import Mapping

LOCAL_SHARE = 96 / 224  # side of a local crop as a share of a global one (paper section 3.1)
LR_SCRATCH, LR_CONTINUED = 5e-4, 1e-4  # per 256 photos; the first is the paper's, section 3.2
CHECKS = 20  # of a run, about


@dataclass(frozen=True)
class NetworkConfig:
    """The transformer that learns."""

    name: str = SstConfig().name
    init: str = ""  # local .safetensors; empty: timm downloads; "none": random
    drop_path: float = 0.1  # stochastic depth of the student


@dataclass(frozen=True)
class FramesConfig:
    """Videos become photos once, in RUN/frames."""

    every: int = 15  # of a video's frames one is kept
    side: int = 512  # the shorter side of what is kept, px, at most


@dataclass(frozen=True)
class CropConfig:
    """Multi-crop: the teacher sees two large windows of a photo, the student all windows."""

    global_size: int = 224  # px
    local_size: int = 0  # px; 0: chosen
    locals: int = 8
    global_scale: tuple[float, float] = (0.4, 1.0)  # of the photo's area
    local_scale: tuple[float, float] = (0.05, 0.4)


@dataclass(frozen=True)
class HeadConfig:
    """Projection head. The paper has 65,536 prototypes for a million photos; a flight has fewer kinds."""

    prototypes: int = 4096
    hidden: int = 2048
    bottleneck: int = 256
    freeze_epochs: int = 1  # the prototypes stand still for so long


@dataclass(frozen=True)
class LossConfig:
    """Temperatures and the centre of the teacher."""

    student_temp: float = 0.1
    teacher_temp_start: float = 0.04
    teacher_temp: float = 0.07
    teacher_warmup: float = 0.3  # share of all steps over which the temperature rises
    center_momentum: float = 0.9


@dataclass(frozen=True)
class OptimConfig:
    """AdamW; learning rate, weight decay and the teacher's momentum follow cosines."""

    lr: float = 0.0  # per 256 photos of a batch; 0: chosen
    lr_end: float = 1e-6
    warmup: float = 0.1  # share of all steps
    weight_decay: float = 0.04
    weight_decay_end: float = 0.4
    clip: float = 3.0  # largest norm of the gradient
    momentum: float = 0.996  # of the teacher at the start; 1 at the end
    epochs: int = 100
    batch_size: int = 64


@dataclass(frozen=True)
class CheckConfig:
    """The look at the teacher during training."""

    every: int = 0  # epochs; 0: chosen
    neighbours: int = 20
    photos: int = 2000  # at most so many are asked, and as many answer
    pictures: int = 6  # photos whose attention is drawn


@dataclass(frozen=True)
class PretrainConfig:
    """One run, completely."""

    seed: int = 0
    sst: NetworkConfig = field(default_factory=NetworkConfig)
    frames: FramesConfig = field(default_factory=FramesConfig)
    crops: CropConfig = field(default_factory=CropConfig)
    head: HeadConfig = field(default_factory=HeadConfig)
    loss: LossConfig = field(default_factory=LossConfig)
    optim: OptimConfig = field(default_factory=OptimConfig)
    check: CheckConfig = field(default_factory=CheckConfig)


RULES: Mapping[str, str] = {
    "seed": NOT_NEGATIVE,
    "sst.drop_path": BELOW_ONE,
    "frames.every": AT_LEAST_ONE,
    "frames.side": AT_LEAST_ONE,
    "crops.global_size": AT_LEAST_ONE,
    "crops.local_size": NOT_NEGATIVE,
    "crops.locals": NOT_NEGATIVE,
    "crops.global_scale": INTO_ONE,
    "crops.local_scale": INTO_ONE,
    "head.prototypes": AT_LEAST_ONE,
    "head.hidden": AT_LEAST_ONE,
    "head.bottleneck": AT_LEAST_ONE,
    "head.freeze_epochs": NOT_NEGATIVE,
    "loss.student_temp": ABOVE_ZERO,
    "loss.teacher_temp_start": ABOVE_ZERO,
    "loss.teacher_temp": ABOVE_ZERO,
    "loss.teacher_warmup": SHARE,
    "loss.center_momentum": BELOW_ONE,
    "optim.lr": NOT_NEGATIVE,
    "optim.lr_end": NOT_NEGATIVE,
    "optim.warmup": SHARE,
    "optim.weight_decay": NOT_NEGATIVE,
    "optim.weight_decay_end": NOT_NEGATIVE,
    "optim.clip": ABOVE_ZERO,
    "optim.momentum": SHARE,
    "optim.epochs": AT_LEAST_ONE,
    "optim.batch_size": AT_LEAST_ONE,
    "check.every": NOT_NEGATIVE,
    "check.neighbours": AT_LEAST_ONE,
    "check.photos": AT_LEAST_ONE,
    "check.pictures": NOT_NEGATIVE,
}


def check_limits(config: PretrainConfig) -> None:
    """Raise UsageError for the first setting whose value cannot work."""
    check_rules(config, RULES)
    for name in ("global_scale", "local_scale"):
        least, most = getattr(config.crops, name)
        if least > most:
            raise UsageError(f"crops.{name} = {(least, most)}: expected smallest and largest share")


def resolve(config: PretrainConfig, patch: int) -> PretrainConfig:
    """`config` with every chosen-here setting filled in.

    Args:
        patch: side of the network's patches, px.

    Raises:
        UsageError: a crop that is no whole number of patches.
    """
    crops = config.crops
    local = crops.local_size or max(1, round(LOCAL_SHARE * crops.global_size / patch)) * patch
    for name, side in (("global_size", crops.global_size), ("local_size", local)):
        if side % patch:
            raise UsageError(
                f"crops.{name} = {side}: expected a multiple of {patch}, the patch of {config.sst.name}"
            )
    scratch = config.sst.init == "none"
    return override(
        config,
        {
            "crops.local_size": local,
            "optim.lr": config.optim.lr or (LR_SCRATCH if scratch else LR_CONTINUED),
            "check.every": config.check.every or max(1, round(config.optim.epochs / CHECKS)),
        },
    )
