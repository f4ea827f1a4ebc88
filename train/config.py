"""Every setting of a training run, as frozen dataclasses; read from and written to `config.toml`.

preset ──overridden by──▶ flags, --set section.key=value, --config ──▶ TrainConfig ──▶ RUN/config.toml
"""

from __future__ import annotations

import dataclasses
import sys
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, TypeVar, get_type_hints

import tomli_w

from edge_runtime.errors import UsageError

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from _typeshed import DataclassInstance

C = TypeVar("C", bound="DataclassInstance")


@dataclass(frozen=True)
class SstConfig:
    """Self-supervised transformer whose attention proposes objects (paper section 3.2)."""

    name: str = "vit_small_patch16_224.dino"  # any timm ViT with a CLS token
    weights: str = ""  # local .safetensors; empty: timm downloads
    size: int = 448  # input side, px
    maps: str = "auto"  # for proposals: of "attention" (paper), patch "tokens", "both"; "auto": chosen
    prototypes: int = 128  # kinds of background that maps of tokens know; 0, or no negative class: none
    heads: str = "all"  # "all": mean + every head; "first4": mean + heads 0..3 (paper); "mean" alone
    clip_quantile: float = 0.95  # of each map, cut off before scaling to 1; 1.0: scale by the maximum (paper)


@dataclass(frozen=True)
class ClassifierConfig:
    """Image classifier that scores proposals and teaches through the CLS loss."""

    kind: str = "cnn"  # "cnn": fine-tuned encoder; "linear": linear head on SST features
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
    fg_pool: str = "region"  # above the map's Otsu level, or "fraction" (paper): the box's strongest pixels
    bg_pool: str = "proposals"  # outside: "none" (released code), "box" (paper 3.2), "proposals"
    objects: str = "one"  # with foreground: the "one" drawn (paper), "all" kept ones of the same map
    dilation: int = 3  # side of the square that grows each seed, px
    draw: str = "anew"  # each time a photo is shown (paper), or "once" per photo and proposal


@dataclass(frozen=True)
class LossConfig:
    """Weights of the paper's three terms and of the class head; CRF weight is area-normalised."""

    cpa: float = 1.0
    cls: float = -1.0  # -1: chosen from the data, see train/config_auto.py
    cls_every: int = 1
    cls_from_epoch: int = -1  # -1: chosen from the data
    cls_source: str = "localizer"  # paper; "attention" is what the released code computes
    rest: float = 0.0  # what the map leaves out must look like the negative class, where there is one
    area: float = -1.0  # mean of the map of positive photos, after the first epoch; -1: chosen
    crf: float = 5.0
    crf_every: int = 2
    crf_scale: float = 0.5
    head: float = 0.3


@dataclass(frozen=True)
class OptimConfig:
    """Optimiser, schedule and length."""

    name: str = "adamw"  # or "sgd": nesterov momentum 0.9
    lr: float = 1e-3
    encoder_lr: float = 3e-4
    weight_decay: float = 0.01
    schedule: str = "cosine"  # or "step"
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
class LocalizerConfig:
    """U-Net (segmentation_models_pytorch) with a timm encoder and a class head."""

    encoder: str = "tf_efficientnet_lite0"
    encoder_weights: str = ""  # local .safetensors; empty: timm downloads; "none": random
    decoder: tuple[int, ...] = (128, 64, 32, 16, 16)
    size: int = 224  # side of the training crop, px
    eval_size: int = 320  # side of the network input at val, test and in flight, px
    crop: tuple[float, float] = (0.875, 0.875)  # side of the training crop as a share of the image


@dataclass(frozen=True)
class TrainConfig:
    """One run, completely."""

    preset: str = "edge"
    seed: int = 0
    select: str = "auto"  # "boxes", "proposals" or "auto": boxes when val has them
    negative_class: str = ""  # class without any object; empty: the one named "background", if any
    sst: SstConfig = field(default_factory=SstConfig)
    classifier: ClassifierConfig = field(default_factory=ClassifierConfig)
    proposals: ProposalConfig = field(default_factory=ProposalConfig)
    sampling: SamplingConfig = field(default_factory=SamplingConfig)
    losses: LossConfig = field(default_factory=LossConfig)
    optim: OptimConfig = field(default_factory=OptimConfig)
    selftrain: SelfTrainingConfig = field(default_factory=SelfTrainingConfig)
    localizer: LocalizerConfig = field(default_factory=LocalizerConfig)


CHOICES: Mapping[str, tuple[str, ...]] = {
    "preset": ("edge", "paper"),
    "select": ("auto", "boxes", "proposals"),
    "sst.maps": ("auto", "attention", "tokens", "both"),
    "sst.heads": ("all", "first4", "mean"),
    "classifier.kind": ("cnn", "linear"),
    "sampling.fg_pool": ("fraction", "region"),
    "sampling.objects": ("one", "all"),
    "sampling.bg_pool": ("none", "box", "proposals"),
    "sampling.draw": ("anew", "once"),
    "losses.cls_source": ("localizer", "attention"),
    "optim.name": ("adamw", "sgd"),
    "optim.schedule": ("cosine", "step"),
}

# The paper's setting for CUB (section 4, specs dips.md section 7), image labels only.
PAPER: Mapping[str, Any] = {
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
}
PRESETS: Mapping[str, Mapping[str, Any]] = {"edge": {}, "paper": PAPER}


def preset_config(name: str) -> TrainConfig:
    """The named preset. Raises UsageError for a name that does not exist."""
    if name not in PRESETS:
        raise UsageError(f"preset {name!r}: expected one of {', '.join(PRESETS)}")
    return override(TrainConfig(preset=name), PRESETS[name])


def override(config: C, changes: Mapping[str, Any], choices: Mapping[str, tuple[str, ...]] = CHOICES) -> C:
    """Replace dotted keys (`losses.cls`); values are converted to the field's type.

    Args:
        config: a frozen dataclass with sections that are frozen dataclasses.
        choices: allowed values by key.

    Raises:
        UsageError: unknown key, or a value of the wrong type or outside its choices.
    """
    for key, value in changes.items():
        section, _, name = key.rpartition(".")
        part: Any = getattr(config, section, None) if section else config
        kinds = get_type_hints(type(part)) if dataclasses.is_dataclass(part) else {}
        if name not in kinds or dataclasses.is_dataclass(kinds[name]):
            raise UsageError(f"setting {key!r} does not exist; all settings: {', '.join(flatten(config))}")
        new = _convert(key, value, getattr(part, name))
        if key in choices and new not in choices[key]:
            raise UsageError(f"{key} = {new!r}: expected one of {', '.join(choices[key])}")
        part = dataclasses.replace(part, **{name: new})
        config = dataclasses.replace(config, **{section: part}) if section else part
    return config


def _convert(key: str, value: Any, now: Any) -> Any:
    kind = type(now)
    try:
        if kind is tuple:
            items = value.replace(",", " ").split() if isinstance(value, str) else list(value)
            return tuple(type(now[0])(item) for item in items)
        if kind is int and isinstance(value, float) and not value.is_integer():
            raise ValueError
        return kind(value)
    except (TypeError, ValueError) as error:
        raise UsageError(f"{key} = {value!r}: expected {kind.__name__}, like {now!r}") from error


def flatten(config: DataclassInstance) -> dict[str, Any]:
    """All settings by dotted key, in order."""
    flat: dict[str, Any] = {}
    for f in dataclasses.fields(config):
        value = getattr(config, f.name)
        if dataclasses.is_dataclass(value):
            flat |= {f"{f.name}.{g.name}": getattr(value, g.name) for g in dataclasses.fields(value)}
        else:
            flat[f.name] = value
    return flat


def to_toml(config: DataclassInstance) -> str:
    """The text of `config.toml`."""
    return tomli_w.dumps(dataclasses.asdict(config))


def read_run_config(run_dir: Path) -> TrainConfig:
    """The configuration of a run. Raises UsageError when the folder holds none."""
    return read_config_of(run_dir, TrainConfig(), "dips-edge train")


def read_config_of(run_dir: Path, base: C, command: str) -> C:
    """The configuration of a run of `command`, whose settings and defaults are those of `base`.

    Raises:
        UsageError: the folder holds no run, or one of another command.
    """
    path = run_dir / "config.toml"
    if not path.is_file():
        raise UsageError(f"{run_dir} holds no run of `{command}`: no config.toml in it")
    return read_settings(path, base, command)


def read_toml(path: Path) -> TrainConfig:
    """Read a `config.toml` back. Raises UsageError naming the file when it is not one of ours."""
    return read_settings(path, TrainConfig(), "dips-edge train")


def read_settings(path: Path, base: C, command: str) -> C:
    """The `config.toml` of `command`; what it does not name is as in `base`. Raises as `read_toml`."""
    changes = read_changes(path)
    if "method" in changes:
        needed = "DiPS" if isinstance(base, TrainConfig) else f"`{command}`"
        raise UsageError(
            f"{path}: a run of the baseline {changes['method']!r}; a run of {needed} is needed here"
        )
    return apply_file(path, base, changes, command=command)


def read_changes(path: Path) -> dict[str, Any]:
    """What a `config.toml` says, by dotted key. Raises UsageError when it cannot be read as TOML."""
    try:
        raw = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise UsageError(f"{path}: cannot be read as TOML: {error}") from error
    changes: dict[str, Any] = {}
    for key, value in raw.items():
        if isinstance(value, dict):
            changes |= {f"{key}.{name}": item for name, item in value.items()}
        else:
            changes[key] = value
    return changes


def apply_file(
    path: Path,
    config: C,
    changes: Mapping[str, Any],
    choices: Mapping[str, tuple[str, ...]] = CHOICES,
    command: str = "dips-edge train",
) -> C:
    """`override` with what `path` said; the error names the file, and the `command` that writes such."""
    try:
        return override(config, changes, choices)
    except UsageError as error:
        raise UsageError(f"{path}: not written by this version of `{command}`: {error}") from error
