"""Pretrained weights into timm networks: from a local safetensors file, or by timm's own download.

Nothing is unpickled: local files must be safetensors.
"""

from __future__ import annotations

import logging
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import timm
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn

from edge_runtime.errors import TrainingError, UsageError

if TYPE_CHECKING:
    from collections.abc import Iterator

_log = logging.getLogger(__name__)
LOCAL_FILE = {
    "SST": "--sst-weights FILE",
    "transformer": "--sst-weights FILE",
    "SST to begin with": "--init FILE (or begin with random weights: --init none)",
    "encoder": "--encoder-weights FILE",
    "classifier encoder": "--set classifier.encoder_weights=FILE",
}
MIN_MATCH = 0.9  # of the network's tensors must be in the file


def create_timm(name: str, weights: str, purpose: str, **options: Any) -> nn.Module:
    """A timm network with pretrained weights.

    Args:
        name: timm model name.
        weights: path of a local .safetensors, empty for timm's download, "none" for random.
        purpose: what it is for, one of LOCAL_FILE; named in errors.

    Raises:
        UsageError: unknown name, unreadable or foreign weights file.
        TrainingError: the download failed.
    """
    if not timm.is_model(name):
        close = timm.list_models(f"*{name.split('.')[0][:12]}*")[:5]
        hint = f"; did you mean {', '.join(close)}?" if close else "; see timm.list_models()"
        raise UsageError(f"{purpose} {name!r} is not a timm model{hint}")
    download = weights == ""
    if download:
        _log.info("%s %s: pretrained weights from timm, downloaded unless they are here", purpose, name)
    try:
        with _no_chatter():
            model: nn.Module = timm.create_model(name, pretrained=download, **options)
    except (RuntimeError, TypeError, AssertionError) as error:
        if download and "pretrained" in str(error).lower():
            raise UsageError(f"{purpose} {name!r}: timm has no pretrained weights for it") from error
        why = "it is no vision transformer" if "'img_size'" in str(error) else first_line(error)
        raise UsageError(f"{purpose} {name!r} cannot be used: {why}") from error
    except Exception as error:  # hub errors have no common base class
        if not download:
            raise
        raise TrainingError(
            f"{purpose} {name!r}: its weights could not be downloaded ({type(error).__name__}); "
            f"go online once, or give a local .safetensors with {LOCAL_FILE[purpose]}"
        ) from error
    if weights not in ("", "none"):
        load_weights(model, read_safetensors(weights, purpose), f"{purpose} weights {weights}")
    return model


@contextmanager
def _no_chatter() -> Iterator[None]:
    """The hub's client warns of each retry; our own message says it once."""
    log = logging.getLogger("huggingface_hub")
    before = log.level
    log.setLevel(logging.ERROR)
    try:
        yield
    finally:
        log.setLevel(before)


def first_line(error: BaseException) -> str:
    """The first line of an error's text, or its type's name."""
    return (str(error).strip().splitlines() or [type(error).__name__])[0]


def read_safetensors(path: str | Path, purpose: str) -> dict[str, Tensor]:
    """All tensors of a local file, as float32 where they are floating point."""
    where = Path(path)
    if not where.is_file():
        raise UsageError(f"{purpose} weights {where}: no such file")
    try:
        tensors = load_file(where)
    except (SafetensorError, OSError) as error:
        raise UsageError(
            f"{purpose} weights {where}: not a safetensors file ({first_line(error)})"
        ) from error
    return {k: v.float() if v.is_floating_point() else v for k, v in tensors.items()}


def load_weights(model: nn.Module, tensors: dict[str, Tensor], what: str) -> None:
    """Copy matching tensors into `model`; position embeddings are resampled to its grid.

    Raises:
        UsageError: fewer than 90 % of the network's tensors are in the file with their shape.
    """
    own = {k: v for k, v in model.state_dict().items() if not k.endswith("num_batches_tracked")}
    if "pos_embed" in own and "pos_embed" in tensors:
        tensors = tensors | {"pos_embed": _fit_pos_embed(model, tensors["pos_embed"])}
    usable = {k: v for k, v in tensors.items() if k in own and own[k].shape == v.shape}
    wanted = [k for k in own if not k.startswith(("classifier.", "fc.", "head."))]
    share = sum(k in usable for k in wanted) / max(1, len(wanted))
    if share < MIN_MATCH:
        raise UsageError(
            f"{what}: only {share:.0%} of the network's tensors are in the file with the right shape; "
            "it was made for another architecture"
        )
    model.load_state_dict(usable, strict=False)


def _fit_pos_embed(model: nn.Module, stored: Tensor) -> Tensor:
    net: Any = model
    if stored.shape == net.pos_embed.shape:
        return stored
    prefix = 0 if getattr(net, "no_embed_class", False) else net.num_prefix_tokens
    with torch.no_grad():
        fitted = timm.layers.resample_abs_pos_embed(
            stored, list(net.patch_embed.grid_size), num_prefix_tokens=prefix
        )
    return torch.as_tensor(fitted)
