"""Every setting of a training run and its default, and the presets.

preset ──overridden by──▶ flags, --set section.key=value, --config ──▶ TrainConfig ──▶ RUN/config.toml
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from edge_runtime.errors import UsageError
from train.settings import TRAIN, one_of, override, read_config_of, read_settings

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path


@dataclass(frozen=True)
class SstConfig:
    """Self-supervised transformer whose attention proposes objects (paper section 3.2)."""

    name: str = "vit_small_patch14_dinov2.lvd142m"  # any timm ViT with a CLS token
    weights: str = ""  # local .safetensors; empty: timm downloads
    size: int = 448  # input side, px
    maps: str = one_of("auto", "attention", "tokens", "both")  # that propose; "attention" is the paper
    prototypes: int = 128  # kinds of background that maps of tokens know; 0, or no negative class: none
    heads: str = one_of("all", "first4", "mean")  # each with their mean; "first4" is the paper
    clip_quantile: float = 0.95  # of each map, cut off before scaling to 1; 1.0: scale by the maximum (paper)


@dataclass(frozen=True)
class ClassifierConfig:
    """Image classifier that scores proposals and teaches through the CLS loss."""

    kind: str = one_of("cnn", "linear")  # "cnn": fine-tuned encoder; "linear": linear head on SST features
    encoder: str = ""  # timm name; empty: the localizer's encoder
    encoder_weights: str = ""  # as the localizer's, for an encoder of its own
    size: int = 224
    epochs: int = 6
    batch_size: int = 16
    lr: float = 2e-4
    head_lr: float = 1e-3
    weight_decay: float = 0.02


@dataclass(frozen=True)
class ProposalConfig:
    """Attention maps to candidate boxes (specs: Otsu, connected regions, classifier score)."""

    min_area: float = 0.02  # of the image, on the box
    per_map: int = 10
    dedupe_iou: float = 0.9
    top_p: int = 3
    min_score: float = 0.0
    max_scored: int = 24  # boxes per image shown to the classifier


@dataclass(frozen=True)
class SamplingConfig:
    """Pseudo-pixels per image and iteration; counts are for 224 x 224 and scale with the area."""

    n_fg: int = 1000
    n_bg: int = 1000
    fg_fraction: float = 0.2  # of the box: its strongest pixels may become foreground
    bg_fraction: float = 0.3  # of the image: its weakest pixels may become background
    fg_pool: str = one_of("region", "fraction")  # above Otsu's level, or the strongest pixels (paper)
    bg_pool: str = one_of("proposals", "box", "none")  # outside; "box": paper 3.2, "none": its code
    objects: str = one_of("one", "all")  # boxes that teach: that drawn (paper), all kept of the map
    dilation: int = 3  # side of the square that grows each seed, px
    draw: str = one_of("anew", "once")  # whenever a photo is shown (paper), or once and for all


@dataclass(frozen=True)
class LossConfig:
    """Weights of the paper's three terms and of the class head; CRF weight is area-normalised."""

    cpa: float = 1.0
    cls: float = -1.0  # -1: chosen from the data, see train/config_auto.py
    cls_every: int = 1
    cls_from_epoch: int = -1  # -1: chosen from the data
    cls_source: str = one_of("localizer", "attention")  # paper; what the released code computes
    rest: float = 0.0  # what the map leaves out must look like the negative class, where there is one
    area: float = -1.0  # mean of the map of positive photos, after the first epoch; -1: chosen
    crf: float = 5.0
    crf_every: int = 2
    crf_scale: float = 0.5
    head: float = 0.3


@dataclass(frozen=True)
class OptimConfig:
    """Optimiser, schedule and length."""

    name: str = one_of("adamw", "sgd")  # "sgd": nesterov momentum 0.9
    lr: float = 1e-3
    encoder_lr: float = 3e-4
    weight_decay: float = 0.01
    schedule: str = one_of("cosine", "step")
    warmup: float = 0.15  # share of all steps (cosine)
    step_epochs: int = 15  # x0.1 every so many epochs (step)
    clip: float = 5.0
    epochs: int = 0  # 0: chosen from the data
    batch_size: int = 16
    negatives: float = 1.0  # negative images per epoch, as a share of those there are
    ema: float = 0.0  # decay per step of the averaged weights that are evaluated; 0: off


@dataclass(frozen=True)
class SelfTrainingConfig:
    """Pseudo-pixels from the localizer's own confident maps, see train/selftrain.py."""

    from_epoch: int = -1  # first epoch, counted from 1, that learns from them; 0: never; -1: chosen
    every: int = 1  # epochs between one making of the maps and the next
    share: float = 0.5  # of the views of photos with a sure map
    sure_fg: float = 0.8  # of a map: above is foreground
    sure_bg: float = 0.2  # below is background


@dataclass(frozen=True)
class PolishConfig:
    """Last epochs at the size of flight, taught by the localizer's own maps, see train/polish.py."""

    epochs: int = 2  # after those of `optim.epochs`; 0: none
    sizes: tuple[float, ...] = (0.83, 1.17, 1.33)  # the teacher's inputs, of `localizer.eval_size`
    contrast: tuple[float, float] = (0.55, 0.85)  # of a map's warmest, become 0 and 1; 0,0: as it is
    crop: tuple[float, float] = (0.75, 1.0)  # side of a view as a share of the photo
    batch_size: int = 0  # 0: half of that of `optim`
    lr: float = 0.3  # of both learning rates of `optim`; warm-up over a tenth, then cosine


@dataclass(frozen=True)
class LocalizerConfig:
    """U-Net (segmentation_models_pytorch) with a timm encoder and a class head."""

    encoder: str = "tf_efficientnet_lite0"
    encoder_weights: str = ""  # local .safetensors; empty: timm downloads; "none": random
    decoder: tuple[int, ...] = (128, 64, 32, 16, 16)
    size: int = 224  # side of the training crop, px
    eval_size: int = 384  # side of the network input at val, test and in flight, px
    crop: tuple[float, float] = (0.875, 0.875)  # side of the training crop as a share of the image
    class_head: str = one_of("refit", "trained")  # at the end, at `eval_size`; "trained": by the epochs alone


@dataclass(frozen=True)
class TrainConfig:
    """One run, completely."""

    preset: str = one_of("edge", "paper")
    seed: int = 0
    # what chooses the best epoch, see train/selection.py
    select: str = one_of("auto", "boxes", "protocol", "separation", "proposals", "last")
    negative_class: str = ""  # class without any object; empty: the one named "background", if any
    sst: SstConfig = field(default_factory=SstConfig)
    classifier: ClassifierConfig = field(default_factory=ClassifierConfig)
    proposals: ProposalConfig = field(default_factory=ProposalConfig)
    sampling: SamplingConfig = field(default_factory=SamplingConfig)
    losses: LossConfig = field(default_factory=LossConfig)
    optim: OptimConfig = field(default_factory=OptimConfig)
    selftrain: SelfTrainingConfig = field(default_factory=SelfTrainingConfig)
    polish: PolishConfig = field(default_factory=PolishConfig)
    localizer: LocalizerConfig = field(default_factory=LocalizerConfig)


# The paper's setting for CUB (section 4, specs dips.md section 7), image labels only.
PAPER: Mapping[str, Any] = {
    "sst.name": "vit_small_patch16_224.dino",
    "sst.maps": "attention",
    "sst.heads": "first4",
    "sst.size": 224,
    "sst.clip_quantile": 1.0,
    "proposals.min_area": 0.5,
    "sampling.fg_pool": "fraction",
    "sampling.bg_pool": "none",
    "losses.cls": 0.3,
    "losses.cls_from_epoch": 1,
    "losses.area": 0.0,
    "losses.crf_scale": 1.0,
    "losses.crf_every": 1,
    "selftrain.from_epoch": 0,
    "polish.epochs": 0,
    "optim.name": "sgd",
    "optim.lr": 0.01,
    "optim.encoder_lr": 0.01,
    "optim.weight_decay": 0.0,
    "optim.schedule": "step",
    "optim.epochs": 50,
    "optim.batch_size": 32,
    "localizer.encoder": "resnet50",
    "localizer.decoder": (256, 128, 64, 32, 16),
    "localizer.eval_size": 224,
    "localizer.class_head": "trained",
}
UNSTRETCHED = (0.0, 0.0)
# What a run did that is older than these settings.
BEFORE: Mapping[str, Any] = {
    "sst.maps": "attention",
    "selftrain.from_epoch": 0,
    "polish.epochs": 0,
    "polish.contrast": UNSTRETCHED,
    "localizer.class_head": "trained",
}
PRESETS: Mapping[str, Mapping[str, Any]] = {"edge": {}, "paper": PAPER}


def preset_config(name: str) -> TrainConfig:
    """The named preset. Raises UsageError for a name that does not exist."""
    if name not in PRESETS:
        raise UsageError(f"preset {name!r}: expected one of {', '.join(PRESETS)}")
    return override(TrainConfig(preset=name), PRESETS[name])


def read_run_config(run_dir: Path) -> TrainConfig:
    """The configuration of a run; parts of the method it does not name were not yet there.

    Raises:
        UsageError: the folder holds none.
    """
    return read_config_of(run_dir, override(TrainConfig(), BEFORE), TRAIN)


def read_toml(path: Path) -> TrainConfig:
    """Read a `config.toml` back. Raises UsageError naming the file when it is not one of ours."""
    return read_settings(path, TrainConfig(), TRAIN)
