"""The frozen image classifier C: scores proposals, and teaches the localizer through the CLS loss.

Either a CNN fine-tuned on the image labels (paper section 3.2) or a linear head on SST features (the
released code's choice for CUB and TelDrone).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from edge_runtime.errors import ModelError
from train.checkpoint import load_tensors, save_tensors
from train.tensors import autocast, normalise, stack_images
from train.weights import create_timm, first_line

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    import numpy as np
    from numpy.typing import NDArray

    from train.config import TrainConfig
    from train.sst import SelfSupervisedTransformer


class Classifier(nn.Module):
    """Normalised photos (N, 3, S, S) to class logits (N, K).

    Attributes:
        mean, std: normalisation of the input, RGB, in units of 0..1.
        size: side of the input, px.
    """

    def __init__(self, net: nn.Module, mean: Sequence[float], std: Sequence[float], size: int) -> None:
        super().__init__()
        self.net = net
        self.mean, self.std, self.size = tuple(mean), tuple(std), size

    def forward(self, x: Tensor) -> Tensor:
        """(N, 3, S, S) float normalised RGB to (N, K) logits; the gradient reaches `x`."""
        logits: Tensor = self.net(x)
        return logits

    @torch.inference_mode()
    def probabilities(self, images_bgr_u8: Sequence[NDArray[np.uint8]], batch: int = 16) -> Tensor:
        """(n, K) float32 softmax of equal-sized photos, on the CPU."""
        device = next(self.parameters()).device
        parts = []
        for start in range(0, len(images_bgr_u8), batch):
            x = stack_images(images_bgr_u8[start : start + batch]).to(device)
            with autocast(device):
                logits = self(normalise(x, self.mean, self.std).contiguous(memory_format=torch.channels_last))
            parts.append(logits.float().softmax(1).cpu())
        return torch.cat(parts)

    def freeze(self) -> Classifier:
        """Eval mode, no parameter gradients; gradients to the input stay possible."""
        self.eval().requires_grad_(False)
        return self


class SstLinear(nn.Module):
    """A linear head on the CLS features of the SST; resizes its input to the SST's side."""

    def __init__(self, sst: SelfSupervisedTransformer, classes: int) -> None:
        super().__init__()
        self._sst = [sst]  # in a list: the transformer is not part of this module's weights
        self.head = nn.Linear(sst.features, classes)
        self.feature_mean: Tensor
        self.feature_std: Tensor
        self.register_buffer("feature_mean", torch.zeros(sst.features))
        self.register_buffer("feature_std", torch.ones(sst.features))

    def forward(self, x: Tensor) -> Tensor:
        """(N, 3, S, S) normalised by the SST's mean and std to (N, K) logits."""
        sst = self._sst[0]
        side = sst.config.size
        if x.shape[-1] != side:
            x = F.interpolate(x, size=(side, side), mode="bilinear", align_corners=False)
        return self.classify(sst.features_of(x))

    def classify(self, features: Tensor) -> Tensor:
        """(N, F) CLS features to (N, K) logits."""
        logits: Tensor = self.head((features - self.feature_mean) / self.feature_std)
        return logits


def build_classifier(
    config: TrainConfig, classes: int, sst: SelfSupervisedTransformer | None, *, pretrained: bool = True
) -> Classifier:
    """An untrained head on pretrained features, as configured."""
    if config.classifier.kind == "linear":
        if sst is None:
            raise AssertionError("a linear classifier needs the SST")
        return Classifier(SstLinear(sst, classes), sst.mean, sst.std, config.classifier.size)
    shared = config.classifier.encoder in ("", config.localizer.encoder)
    name = config.classifier.encoder or config.localizer.encoder
    weights = (config.localizer if shared else config.classifier).encoder_weights if pretrained else "none"
    purpose = "encoder" if shared else "classifier encoder"
    net: Any = create_timm(name, weights, purpose, num_classes=classes)
    cfg = net.pretrained_cfg
    return Classifier(net, cfg["mean"], cfg["std"], config.classifier.size)


def save_classifier(path: Path, classifier: Classifier, meta: dict[str, Any]) -> None:
    """Write atomically; `meta` travels in the file's header."""
    save_tensors(path, dict(classifier.state_dict()), meta)


def load_classifier(
    path: Path, config: TrainConfig, classes: int, sst: SelfSupervisedTransformer | None
) -> tuple[Classifier, dict[str, Any]]:
    """Read one back, frozen. Raises ModelError when it does not fit the configuration."""
    tensors, meta = load_tensors(path)
    classifier = build_classifier(config, classes, sst, pretrained=False)
    try:
        classifier.load_state_dict(tensors)
    except RuntimeError as error:
        raise ModelError(f"{path}: does not fit the run's config.toml: {first_line(error)}") from error
    return classifier.freeze(), meta
