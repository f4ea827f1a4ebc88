"""Between photos and networks: uint8 BGR batches to normalised tensors, precision and threads."""

from __future__ import annotations

import contextlib
import ctypes
import os
import sys
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor, nn

from edge_runtime.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Sequence
    from contextlib import AbstractContextManager

    from numpy.typing import NDArray


def stack_images(images_bgr_u8: Sequence[NDArray[np.uint8]]) -> Tensor:
    """Equal-sized (H, W, 3) BGR photos to one uint8 RGB tensor (N, 3, H, W), channels last in memory."""
    batch = torch.from_numpy(np.stack(images_bgr_u8)[..., ::-1].copy())
    return batch.permute(0, 3, 1, 2)


def normalise(images_rgb_u8: Tensor, mean: Sequence[float], std: Sequence[float]) -> Tensor:
    """(N, 3, H, W) uint8 0..255 to float32, (x / 255 - mean) / std per channel."""
    m = torch.tensor(mean, device=images_rgb_u8.device).view(1, 3, 1, 1)
    s = torch.tensor(std, device=images_rgb_u8.device).view(1, 3, 1, 1)
    return (images_rgb_u8.float() / 255.0 - m) / s


def autocast(device: torch.device) -> AbstractContextManager[object]:
    """Mixed precision where it pays: fp16 on CUDA, bf16 on CPUs that have it, none elsewhere."""
    if device.type == "cuda":
        return torch.autocast("cuda", torch.float16)
    if device.type == "cpu" and fast_bf16():
        return torch.autocast("cpu", torch.bfloat16)
    return contextlib.nullcontext()


def fast_bf16() -> bool:
    """True on x86 CPUs with AVX512-BF16 or AMX, where bf16 convolutions are faster than fp32."""
    probe = getattr(torch.cpu, "_is_avx512_bf16_supported", None)
    return bool(probe and probe())


class _DepthwiseInFp32(nn.Conv2d):
    def forward(self, x: Tensor) -> Tensor:
        if not torch.is_grad_enabled():
            return super().forward(x)
        with torch.autocast(x.device.type, enabled=False):
            return super().forward(x.float())


def speed_up_training(model: nn.Module, device: torch.device) -> None:
    """Keep depthwise convolutions in float32 while training on a CPU, in place; weights stay the same.

    Their bf16 channels-last backward is 2-5x slower than fp32 in oneDNN (measured with torch 2.14: half
    the time of an EfficientNet-Lite0 U-Net step).
    """
    for module in model.modules() if device.type == "cpu" else ():
        depthwise = isinstance(module, nn.Conv2d) and module.groups == module.in_channels > 1
        if depthwise and not isinstance(module, _DepthwiseInFp32):
            kind = type(module)
            module.__class__ = type(f"{kind.__name__}InFp32", (_DepthwiseInFp32, kind), {})


def choose_device(name: str) -> torch.device:
    """`auto`, `cpu`, `cuda` or `cuda:N`. Raises UsageError for another name, or a GPU that is not there."""
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
    kind, _, index = name.partition(":")
    if kind not in ("cpu", "cuda") or (name != kind and not index.isdecimal()):
        raise UsageError(f"--device {name!r}: expected auto, cpu, cuda or cuda:N")
    count = torch.cuda.device_count() if kind == "cuda" else 1
    if int(index or 0) >= count:
        raise UsageError(f"--device {name}: torch finds {count} CUDA devices here; use --device cpu or auto")
    return torch.device(name)


def same_weights(one: nn.Module, other: nn.Module) -> bool:
    """Whether two networks on one device have equal weights and statistics, to the bit."""
    a, b = one.state_dict(), other.state_dict()
    return a.keys() == b.keys() and all(torch.equal(value, b[name]) for name, value in a.items())


def usable_cores() -> int:
    """Cores this process may run on."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def reuse_memory() -> None:
    """Let glibc keep large freed blocks: fresh pages for every activation cost up to half of a CPU step."""
    if not sys.platform.startswith("linux"):
        return
    m_trim_threshold, m_mmap_threshold, keep = -1, -3, 1 << 30
    try:
        mallopt = ctypes.CDLL("libc.so.6").mallopt
    except (OSError, AttributeError):  # musl and others: nothing to tune
        return
    mallopt(m_mmap_threshold, keep)
    mallopt(m_trim_threshold, keep)
