"""Time and memory of the dense CRF loss, forward and backward: `python -m tests.bench.bench_crf`.

Exits 1 when the NumPy path on a CPU misses a target (best of the repeats, one thread).
"""

from __future__ import annotations

import math
import time
import tracemalloc

import click
import numpy as np
import torch

from tests.train.crf_oracle import natural_image, smooth_logits
from train.crf import dense_crf_loss

TARGET_MS = {112: 20.0, 224: 60.0, 448: 220.0}
TARGET_RATIO = 6.0  # 224 against 112
TARGET_MB = 40.0  # at 224


def seconds_per_image(images: torch.Tensor, logits: torch.Tensor, backend: str, repeats: int) -> list[float]:
    """Time of softmax, loss and gradient divided by the batch, per repeat."""
    taken = []
    for _ in range(repeats + 1):
        start = time.perf_counter()
        leaf = logits.clone().requires_grad_()
        sigma_xy = 100 * images.shape[-1] / 224
        dense_crf_loss(
            images,
            leaf.softmax(1),
            sigma_rgb=15,
            sigma_xy=sigma_xy,
            scale=1,
            backend=backend,  # type: ignore[arg-type]
        ).backward()
        if images.is_cuda:
            torch.cuda.synchronize()
        taken.append((time.perf_counter() - start) / len(images))
    return taken[1:]  # the first warms up


def peak_mb(images: torch.Tensor, logits: torch.Tensor, backend: str) -> float:
    """Peak of NumPy's allocations in one call, of torch's on a GPU; NaN for torch on a CPU: not tracked."""
    if images.is_cuda:
        return torch.cuda.max_memory_allocated() / 1e6
    if backend == "torch":
        return math.nan
    tracemalloc.start()
    seconds_per_image(images, logits, backend, repeats=0)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    return peak / 1e6


@click.command(context_settings={"show_default": True})
@click.option("--backend", type=click.Choice(["numpy", "torch"]), default="numpy")
@click.option("--device", default="cpu")
@click.option("--batch", type=click.IntRange(1), default=1)
@click.option("--repeats", type=click.IntRange(1), default=15)
def main(backend: str, device: str, batch: int, repeats: int) -> None:
    torch.set_num_threads(1)
    best: dict[int, float] = {}
    missed = []
    for side, target in TARGET_MS.items():
        images = torch.from_numpy(np.stack([natural_image(side, side, seed) for seed in range(batch)]))
        logits = torch.from_numpy(np.stack([smooth_logits(2, side, side, seed) for seed in range(batch)]))
        images, logits = images.to(device), logits.to(device)
        ms = [1e3 * s for s in seconds_per_image(images, logits, backend, repeats)]
        memory = peak_mb(images, logits, backend)
        best[side] = min(ms)
        click.echo(
            f"{side:4d} px  min {min(ms):6.1f}  median {np.median(ms):6.1f} ms/image  peak {memory:6.1f} MB"
        )
        if best[side] > target:
            missed.append(f"{side} px: {best[side]:.1f} ms, target {target:.0f} ms")
        if side == 224 and memory > TARGET_MB * batch:
            missed.append(f"{side} px: {memory:.1f} MB, target {TARGET_MB * batch:.0f} MB")
    ratio = best[224] / best[112]
    click.echo(f"ratio 224/112: {ratio:.2f}")
    if ratio > TARGET_RATIO:
        missed.append(f"ratio {ratio:.2f}, target {TARGET_RATIO:.0f}")
    if backend == "numpy" and missed:
        raise click.ClickException("; ".join(missed))


if __name__ == "__main__":
    main()
