"""TensorRT's notes on how fast each kernel is, kept in the engine directory: the next build is shorter.

TensorRT + GPU ──timing_cache_path──▶ file ──read_sealed──▶ bytes for the builder ──write_sealed──▶ file
"""

from __future__ import annotations

import hashlib
import re
from typing import TYPE_CHECKING

from edge_runtime.engines.cache import write_atomic

if TYPE_CHECKING:
    from pathlib import Path

SEAL_BYTES = hashlib.sha256().digest_size


def timing_cache_path(directory: Path, *facts: str) -> Path:
    """One file per TensorRT, GPU and driver: `.timing-tensorrt-10.3.0-orin-….cache`."""
    words = re.sub(r"[^a-z0-9.]+", "-", " ".join(facts).lower()).strip("-")
    return directory / f".timing-{words}.cache"


def read_sealed(path: Path) -> bytes:
    """What `write_sealed` wrote; empty when there is none or it was damaged: a build then starts afresh."""
    try:
        data = path.read_bytes()
    except OSError:
        return b""
    seal, payload = data[:SEAL_BYTES], data[SEAL_BYTES:]
    return payload if hashlib.sha256(payload).digest() == seal else b""


def write_sealed(path: Path, payload: bytes) -> None:
    """Replace the file by a sha256 followed by `payload`. Raises OSError."""
    write_atomic(path, hashlib.sha256(payload).digest() + payload)
