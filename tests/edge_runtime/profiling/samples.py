"""A profile as `dips-edge profile` writes it, with invented figures of a board that exists in no lab."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

PIPELINE = {
    "decode": ("capture", 4.0), "wait": ("", 0.3), "pre": ("capture", 1.1), "infer": ("inference", 12.0),
    "boxes": ("inference", 0.6), "track": ("inference", 0.05), "record": ("inference", 0.05),
}  # fmt: skip


def stage(
    values_ms: np.ndarray[Any, np.dtype[np.float64]], *, cpu_share: float | None = 0.9
) -> dict[str, Any]:
    """Statistics of these durations under the names of the schema."""
    p50, p90, p95, p99, p99_9 = np.percentile(values_ms, [50, 90, 95, 99, 99.9])
    blocks = np.array_split(values_ms, min(20, len(values_ms)))
    return {
        "n": len(values_ms),
        "mean_ms": float(values_ms.mean()),
        "std_ms": float(values_ms.std()),
        "p50_ms": float(p50),
        "p90_ms": float(p90),
        "p95_ms": float(p95),
        "p99_ms": float(p99),
        "p99_9_ms": float(p99_9),
        "max_ms": float(values_ms.max()),
        "jitter_ms": float(np.abs(np.diff(values_ms)).mean()) if len(values_ms) > 1 else None,
        "cpu_ms": None if cpu_share is None else float(values_ms.mean() * cpu_share),
        "sampled": len(values_ms),
        "blocks_p50_ms": [float(np.percentile(block, 50)) for block in blocks],
        "blocks_p99_ms": [float(np.percentile(block, 99)) for block in blocks],
    }


def profile(*, frames: int = 2000, slower: float = 1.0, seed: int = 0, board: bool = True) -> dict[str, Any]:
    """A whole report; `slower` multiplies every duration."""
    rng = np.random.default_rng(seed)
    durations = {
        name: slower * mean * rng.gamma(40.0, 1 / 40.0, frames) for name, (_, mean) in PIPELINE.items()
    }
    age = np.sum([values for name, values in durations.items() if name != "decode"], axis=0)
    stages = {
        name: {**stage(values, cpu_share=0.9 if PIPELINE[name][0] else None), "thread": PIPELINE[name][0]}
        for name, values in durations.items()
    }
    stages["age"] = {**stage(age, cpu_share=None), "thread": ""}
    stages["sink jsonl:-"] = {**stage(0.1 * rng.gamma(9.0, 1 / 9.0, frames)), "thread": "sink jsonl:-"}
    return {
        "v": 1,
        "type": "profile",
        "software": {"name": "dips-edge", "version": "0.1.0"},
        "t_utc": "2026-11-28T14:20:00Z",
        "partial": None,
        "machine": {
            "board": "NVIDIA Jetson Orin Nano Developer Kit" if board else None,
            "l4t": "36.4.7" if board else None,
            "jetpack": "6.2" if board else None,
            "os": "Linux 5.15.148-tegra",
            "cpu": "ARMv8 Processor rev 1",
            "cores": 6,
            "memory_bytes": 8_000_000_000,
            "gpu": "Orin" if board else None,
            "cuda": "12.6" if board else None,
            "tensorrt": "10.3.0" if board else None,
            "power_mode": "MAXN_SUPER" if board else None,
            "clocks_fixed": True if board else None,
            "python": "3.10.12",
            "packages": {"numpy": "1.26.4", "opencv": "4.8.0", "onnxruntime": "1.23.2"},
        },
        "model": {
            "name": "tower-fp16.onnx",
            "sha256": "ab" * 32,
            "engine_sha256": "cd" * 32,
            "precision": "fp16",
            "backend": "tensorrt-10.3.0",
            "input": [320, 320],
            "run_id": "0123456789abcdef",
            "threads": None,
        },
        "source": {"name": "synthetic", "live": False, "fps": None, "size": [1280, 720]},
        "settings": {"warmup": 50, "count": frames, "duration_s": None, "soak_s": None, "deadline_ms": 20.0},
        "engine": mode(
            {"total": {**stage(durations["infer"]), "thread": "inference"}}, durations["infer"], "total"
        ),
        "pipeline": {
            **mode(stages, age, "age"),
            "found": frames // 2,
            "valid": frames // 3,
            "dropped": 0,
            "cpu": {"cores_busy": 1.4, "ms_per_frame": 14.2},
        },
        "layers": layers(),
        "board": sensors(frames) if board else None,
        "energy": {"rail": "VDD_IN", "mean_w": 9.5, "mj_per_frame": 140.0} if board else None,
    }


def mode(
    stages: dict[str, Any],
    total_ms: np.ndarray[Any, np.dtype[np.float64]],
    total: str,
    deadline_ms: float = 20.0,
) -> dict[str, Any]:
    """One mode of measuring."""
    counts, edges = np.histogram(total_ms, bins=60)
    windows = np.array_split(total_ms, min(300, len(total_ms)))
    ends_s = np.cumsum([window.sum() for window in windows]) / 1e3
    late = total_ms > deadline_ms
    return {
        "frames": len(total_ms),
        "seconds": float(total_ms.sum() / 1e3),
        "fps": float(1e3 * len(total_ms) / total_ms.sum()),
        "stages": stages,
        "total": total,
        "missed": {"count": int(late.sum()), "share": float(late.mean())},
        "histogram": {"edges_ms": edges.tolist(), "counts": counts.tolist()},
        "timeline": [
            {
                "t_s": float(end_s),
                "n": len(window),
                "p50_ms": float(np.percentile(window, 50)),
                "p99_ms": float(np.percentile(window, 99)),
                "max_ms": float(window.max()),
                "missed": int((window > deadline_ms).sum()),
            }
            for window, end_s in zip(windows, ends_s)
        ],
    }


def layers() -> dict[str, Any]:
    """Times of sixty layers of four kinds."""
    found = [
        {"name": f"/encoder/blocks.{i}/conv/Conv", "kind": ("Conv", "Relu", "Resize", "Concat")[i % 4]}
        for i in range(60)
    ]
    times = [5.0 / (i + 1) ** 1.2 for i in range(60)]
    total = sum(times)
    kinds = {layer["kind"] for layer in found}
    by_kind = {
        kind: [time for layer, time in zip(found, times) if layer["kind"] == kind] for kind in sorted(kinds)
    }
    return {
        "by": "TensorRT 10.3.0",
        "runs": 100,
        "total_ms": total,
        "layers": [{**layer, "mean_ms": time, "share": time / total} for layer, time in zip(found, times)],
        "kinds": [
            {"kind": kind, "count": len(each), "mean_ms": sum(each), "share": sum(each) / total}
            for kind, each in sorted(by_kind.items(), key=lambda item: -sum(item[1]))
        ],
    }


def sensors(seconds: int) -> dict[str, Any]:
    """A board that warms up, one sample a second, at most 600."""
    samples = [
        {
            "t_s": float(t),
            "rails_w": {"VDD_IN": 9.0 + math.sin(t / 9), "VDD_CPU_GPU_CV": 4.0, "VDD_SOC": 2.0},
            "temps_c": {"cpu": 45 + 20 * (1 - math.exp(-t / 300)), "gpu": 44 + 22 * (1 - math.exp(-t / 300))},
            "gpu_mhz": 1020.0 if t < 400 else 918.0,
            "gpu_load": 0.7,
            "emc_mhz": 3199.0,
            "cpu_mhz": [1728.0] * 6,
            "cooling": {} if t < 400 else {"gpu-throttle-alert": 1},
            "oc_events": 0,
            "rss_bytes": 300_000_000,
            "available_bytes": 4_000_000_000,
        }
        for t in range(min(seconds, 600))
    ]
    flat = {"start": 1.0, "end": 1.0, "min": 1.0, "mean": 1.0, "max": 1.0}
    return {
        "interval_s": 1.0,
        "samples": samples,
        "summary": {
            "power_w": {"start": 9.0, "end": 9.6, "min": 8.0, "mean": 9.5, "max": 10.0},
            "temps_c": {
                "cpu": {"start": 45.0, "end": 62.0, "min": 45.0, "mean": 58.0, "max": 62.3},
                "gpu": {"start": 44.0, "end": 63.0, "min": 44.0, "mean": 58.0, "max": 63.0},
            },
            "gpu_mhz": {"start": 1020.0, "end": 918.0, "min": 918.0, "mean": 990.0, "max": 1020.0},
            "cpu_mhz": {key: 1728.0 * value for key, value in flat.items()},
            "emc_mhz": {key: 3199.0 * value for key, value in flat.items()},
            "rss_bytes": {key: 3e8 * value for key, value in flat.items()},
            "oc_events": 0,
            "throttled_s": 200.0,
        },
        "notes": ["soc0 temperature: cannot be read (No data available)"],
    }
