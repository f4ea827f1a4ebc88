"""TS-CAM: where the transformer's CLS token looks, times which class the patches speak of.

Gao et al., "TS-CAM" (ICCV 2021).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

import cv2
import torch
from torch import Tensor, nn

from edge_runtime.errors import UsageError
from train.baselines.base import Baseline, cross_entropy, pick
from train.sst import cls_attention, gives_cls_attention
from train.tensors import normalise
from train.weights import create_timm

if TYPE_CHECKING:
    from collections.abc import Mapping

    from train.baselines.config import BaselineConfig

DROP_PATH = 0.1


class TsCam(Baseline):
    """A plain timm ViT (DeiT) and a 3 x 3 convolution over its patch tokens."""

    RESIZE = cv2.INTER_LINEAR
    EDGE: ClassVar[Mapping[str, Any]] = {
        "backbone.name": "deit_small_patch16_224",
        "photos.eval_size": 224,
        "optim.encoder_lr": 5e-5,
        "optim.lr": 5e-4,
        "optim.weight_decay": 0.05,
    }
    PAPER: ClassVar[Mapping[str, Any]] = {
        "backbone.name": "deit_small_patch16_224",
        "optim.name": "adamw",
        "optim.lr": 5e-5,
        "optim.encoder_lr": 5e-5,
        "optim.weight_decay": 0.05,
        "optim.step_epochs": 30,
        "optim.epochs": 60,
        "optim.batch_size": 128,
    }

    def __init__(
        self, config: BaselineConfig, classes: int, negative: int | None, *, pretrained: bool = True
    ) -> None:
        """Raises UsageError when the network is no plain ViT, or its patches do not divide a photo's side."""
        super().__init__(config, classes, negative, pretrained=pretrained)
        name, size = config.backbone.name, config.photos.size
        net: Any = create_timm(
            name,
            config.backbone.weights if pretrained else "none",
            "transformer",
            num_classes=0,
            img_size=size,
            dynamic_img_size=True,
            drop_path_rate=DROP_PATH,
        )
        if not gives_cls_attention(net):
            raise UsageError(f"tscam with {name!r}: expected a plain vision transformer with a CLS token")
        self._patch = int(net.patch_embed.patch_size[0])
        for key, side in (("size", size), ("eval_size", config.photos.eval_size)):
            if side % self._patch:
                raise UsageError(
                    f"photos.{key} = {side}: expected a multiple of {self._patch}, {name}'s patch"
                )
        self.mean, self.std = net.pretrained_cfg["mean"], net.pretrained_cfg["std"]
        self._prefix = int(net.num_prefix_tokens)
        self.head = nn.Conv2d(int(net.embed_dim), classes, 3, padding=1)
        self.vit: nn.Module = net
        self._seen: list[Tensor] | None = None  # what each block's attention is given, while a map is made
        for block in net.blocks:
            block.attn.register_forward_pre_hook(self._remember)

    def _remember(self, _module: object, inputs: tuple[Tensor, ...]) -> None:
        if self._seen is not None:
            self._seen.append(inputs[0])

    def _class_maps(self, x: Tensor) -> Tensor:
        """(N, K, h, w): the convolution over patch tokens."""
        net: Any = self.vit
        tokens = net.forward_features(x)[:, self._prefix :]
        rows, columns = (side // self._patch for side in x.shape[2:])
        grid = tokens.transpose(1, 2).reshape(len(x), -1, rows, columns)
        maps: Tensor = self.head(grid)
        return maps

    def losses(self, x: Tensor, targets: Tensor) -> dict[str, Tensor]:
        return {"class": cross_entropy(self._class_maps(x).mean((2, 3)), targets)}

    def explain(self, rgb_u8: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
        net: Any = self.vit
        self._seen = []
        maps = self._class_maps(normalise(rgb_u8, self.mean, self.std))
        seen, self._seen = self._seen, None
        logits = maps.mean((2, 3)).float()
        attention = sum(
            cls_attention(block.attn, given, self._prefix).mean(1)
            for block, given in zip(net.blocks, seen, strict=True)
        )
        semantic = pick(maps, self.chosen(logits, labels))
        return semantic * torch.as_tensor(attention).reshape(semantic.shape), logits.softmax(1)

    def fast_parameters(self) -> list[nn.Parameter]:
        return list(self.head.parameters())
