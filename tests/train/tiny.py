"""A whole training run in seconds: 64 px photos, timm's test networks, random weights."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import cv2
import numpy as np
from timm.models import register_model
from timm.models.vgg import VGG
from timm.models.vision_transformer import VisionTransformer

from train.config import TrainConfig
from train.settings import override

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

WIDTH, HEIGHT = 72, 64
SETTINGS = {
    "sst.name": "test_vit",
    "sst.weights": "none",
    "sst.maps": "attention",
    "sst.size": "64",
    "classifier.size": "32",
    "classifier.epochs": "1",
    "classifier.batch_size": "4",
    "localizer.encoder": "test_efficientnet",
    "localizer.encoder_weights": "none",
    "localizer.decoder": "16 8 8 8 8",
    "localizer.size": "64",
    "localizer.eval_size": "64",
    "optim.epochs": "2",
    "polish.epochs": "0",
    "optim.batch_size": "4",
}
FLAGS = [word for key, value in SETTINGS.items() for word in ("--set", f"{key}={value}")]


@register_model  # type: ignore[untyped-decorator, unused-ignore]
def tiny_vit_six_heads(pretrained: bool = False, **options: Any) -> VisionTransformer:
    """As DINO's ViT-S in kind: 6 heads, a CLS token. Known to timm once this module is imported."""
    return _vit(options, patch_size=16, embed_dim=48, num_heads=6)


@register_model  # type: ignore[untyped-decorator, unused-ignore]
def tiny_vit_patch8(pretrained: bool = False, **options: Any) -> VisionTransformer:
    """16 patches of a 32 px crop, wide enough to learn something."""
    return _vit(options, patch_size=8, embed_dim=64, num_heads=2)


@register_model  # type: ignore[untyped-decorator, unused-ignore]
def tiny_vit_two_blocks(pretrained: bool = False, **options: Any) -> VisionTransformer:
    """Has fewer blocks than features are taken from."""
    return _vit(options, patch_size=16, embed_dim=48, num_heads=3, depth=2)


def _vit(options: dict[str, Any], *, depth: int = 4, **shape: int) -> VisionTransformer:
    del options["pretrained_cfg"], options["pretrained_cfg_overlay"], options["cache_dir"]
    model = VisionTransformer(depth=depth, **shape, **options)
    model.pretrained_cfg = {"mean": (0.485, 0.456, 0.406), "std": (0.229, 0.224, 0.225)}
    return model


@register_model  # type: ignore[untyped-decorator, unused-ignore]
def tiny_vgg16(pretrained: bool = False, **options: Any) -> VGG:
    """VGG-16 with a sixteenth of its channels."""
    widths = (4, 4, "M", 8, 8, "M", 16, 16, 16, "M", 32, 32, 32, "M", 32, 32, 32, "M")
    model = VGG(cfg=list(widths))
    model.pretrained_cfg = {"mean": (0.485, 0.456, 0.406), "std": (0.229, 0.224, 0.225)}
    return model


def tiny_config(**changes: object) -> TrainConfig:
    """The settings above; `changes` name others with `__` for the dot."""
    return override(
        TrainConfig(), {**SETTINGS, **{key.replace("__", "."): value for key, value in changes.items()}}
    )


def place_of(seed: int) -> tuple[int, int, int, int]:
    """Where the photo of this seed shows its object: x0, y0, x1, y1, px."""
    x0, y0 = np.random.default_rng(seed).integers(4, 30, 2).tolist()
    return x0, y0, x0 + 24, y0 + 28


def photo(seed: int, shows_object: bool) -> NDArray[np.uint8]:
    """Smooth greenish ground, (HEIGHT, WIDTH, 3) BGR, with a striped red block where the object is."""
    rng = np.random.default_rng(1000 + seed)
    ground = rng.integers(60, 120, (8, 9, 3), dtype=np.uint8) + np.array([0, 60, 0], np.uint8)
    image = np.asarray(cv2.resize(ground, (WIDTH, HEIGHT)), np.uint8)
    if shows_object:
        x0, y0, x1, y1 = place_of(seed)
        image[y0:y1, x0:x1] = (20, 20, 220)
        image[y0:y1:4, x0:x1] = (240, 240, 240)
    return image


def write_tiny_set(root: Path, *, boxes: bool = True, train: int = 6, val: int = 4) -> Path:
    """ROOT/{train,val,test}/{background,thing}/*.png and, with `boxes`, ROOT/{val,test}/boxes.csv."""
    seed = 0
    for split, count in (("train", train), ("val", val), ("test", val)):
        lines = []
        for name in ("background", "thing"):
            folder = root / split / name
            folder.mkdir(parents=True)
            for k in range(count):
                seed += 1
                done, data = cv2.imencode(".png", photo(seed, name == "thing"))
                assert done
                (folder / f"{k}.png").write_bytes(data.tobytes())
                if name == "thing":
                    lines.append(f"{name}/{k}.png," + ",".join(map(str, place_of(seed))) + "\n")
        if boxes and split != "train":
            (root / split / "boxes.csv").write_text("path,x0,y0,x1,y1\n" + "".join(lines))
    return root
