"""The network that flies: a U-Net whose two-channel map says where, and whose class head says what."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import timm
import torch
from segmentation_models_pytorch import Unet
from torch import Tensor, nn

from edge_runtime.errors import ModelError, UsageError
from train.checkpoint import FILES, load_tensors
from train.config import LocalizerConfig, read_toml
from train.weights import create_timm, first_line, load_weights, read_safetensors

if TYPE_CHECKING:
    from pathlib import Path

BACKGROUND, FOREGROUND = 0, 1  # channels of the map logits
STRIDE = 32  # inputs must be a multiple of this


class Localizer(nn.Module):
    """smp U-Net over a timm encoder, plus a linear class head on the deepest feature.

    Attributes:
        mean, std: input normalisation of the encoder, RGB, in units of 0..1.
    """

    def __init__(self, config: LocalizerConfig, classes: int) -> None:
        """Weights are random; see `build_localizer`. Raises UsageError for an unusable encoder."""
        super().__init__()
        self.config = config
        if not timm.is_model(config.encoder):
            create_timm(config.encoder, "none", "encoder")  # raises with a suggestion
        try:
            self.unet: Any = Unet(
                f"tu-{config.encoder}",
                encoder_weights=None,
                encoder_depth=len(config.decoder),
                decoder_channels=config.decoder,
                classes=2,
            )
        except (RuntimeError, ValueError, TypeError, AssertionError, IndexError) as error:
            raise UsageError(
                f"encoder {config.encoder!r} cannot carry a U-Net of depth {len(config.decoder)}: "
                f"{first_line(error)}"
            ) from error
        self.class_head = nn.Sequential(
            nn.Dropout(0.2), nn.Linear(self.unet.encoder.out_channels[-1], classes)
        )
        cfg: Any = timm.get_pretrained_cfg(config.encoder)
        self.mean: tuple[float, ...] = tuple(cfg.mean) if cfg else (0.485, 0.456, 0.406)
        self.std: tuple[float, ...] = tuple(cfg.std) if cfg else (0.229, 0.224, 0.225)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Map and class logits.

        Args:
            x: (N, 3, H, W) float, normalised RGB; H and W multiples of 32.

        Returns:
            (N, 2, H, W) map logits, channel 1 is foreground; (N, classes) class logits.
        """
        features = self.unet.encoder(x)
        map_logits: Tensor = self.unet.segmentation_head(self.unet.decoder(features))
        class_logits: Tensor = self.class_head(features[-1].mean((2, 3)))
        return map_logits, class_logits

    def class_features(self, x: Tensor) -> Tensor:
        """(N, C) float, what the class head is given for photos as in `forward`."""
        features: Tensor = self.unet.encoder(x)[-1].mean((2, 3))
        return features


def build_localizer(config: LocalizerConfig, classes: int) -> Localizer:
    """A fresh localizer with the configured encoder weights."""
    model = Localizer(config, classes)
    for name in ("size", "eval_size"):
        side = getattr(config, name)
        if side <= 0 or side % STRIDE:
            raise UsageError(f"localizer.{name} = {side}: expected a positive multiple of {STRIDE}")
    if config.encoder_weights == "none":
        return model
    if config.encoder_weights:
        tensors = read_safetensors(config.encoder_weights, "encoder")
        what = f"encoder weights {config.encoder_weights}"
    else:
        tensors = create_timm(config.encoder, "", "encoder").state_dict()
        what = f"encoder {config.encoder}"
    load_weights(model.unet.encoder.model, tensors, what)
    return model


def load_localizer(run_dir: Path, which: str = "best") -> Localizer:
    """The trained network of a run directory, in eval mode on the CPU.

    Args:
        which: "best" (chosen on val) or "last".

    Raises:
        ModelError: the run directory is incomplete or its weights do not fit its config.
    """
    path = run_dir / FILES[which]
    if not path.is_file():
        raise ModelError(f"{path}: not there; {run_dir} is not a finished run of `dips-edge train`")
    config = read_toml(run_dir / "config.toml")
    tensors, meta = load_tensors(path)
    model = Localizer(config.localizer, int(meta["classes"]))
    state = {k.removeprefix("model."): v for k, v in tensors.items() if k.startswith("model.")}
    if any(k.startswith("ema.") for k in tensors):
        state |= {k.removeprefix("ema."): v for k, v in tensors.items() if k.startswith("ema.")}
    try:
        model.load_state_dict(state)
    except RuntimeError as error:
        raise ModelError(
            f"{path}: weights do not fit {run_dir / 'config.toml'}: {first_line(error)}"
        ) from error
    return model.eval().requires_grad_(False)


def foreground(map_logits: Tensor) -> Tensor:
    """(N, 2, H, W) logits to the (N, H, W) float32 foreground probability in [0, 1]."""
    z = map_logits.float()
    return torch.sigmoid(z[:, FOREGROUND] - z[:, BACKGROUND])
