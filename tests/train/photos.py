"""Small data sets written to a temporary folder, for tests of everything that reads one."""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING

import cv2
import numpy as np

if TYPE_CHECKING:
    from pathlib import Path

WIDTH, HEIGHT = 40, 30


def write_photo(path: Path, *, width: int = WIDTH, height: int = HEIGHT, seed: int = 0) -> Path:
    """A small photo whose format follows the suffix."""
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.random.default_rng(seed).integers(0, 256, (4, 4, 3), dtype=np.uint8)
    done, data = cv2.imencode(path.suffix, cv2.resize(pixels, (width, height)))
    assert done
    path.write_bytes(data.tobytes())
    return path


def with_exif_orientation(jpeg: bytes, orientation: int, order: str = "<") -> bytes:
    """The JPEG with an EXIF segment that says how to turn it (and nothing else)."""
    entry = struct.pack(order + "HHIHH", 0x0112, 3, 1, orientation, 0)
    tiff = (b"II*\0" if order == "<" else b"MM\0*") + struct.pack(order + "IH", 8, 1) + entry + bytes(4)
    body = b"Exif\0\0" + tiff
    return jpeg[:2] + b"\xff\xe1" + struct.pack(">H", len(body) + 2) + body + jpeg[2:]


def write_folders(root: Path, *, classes: tuple[str, ...] = ("background", "tower"), count: int = 2) -> Path:
    """ROOT/{train,val,test}/<class>/{0,1,..}.jpg"""
    for split in ("train", "val", "test"):
        for name in classes:
            for k in range(count):
                write_photo(root / split / name / f"{k}.jpg", seed=k)
    return root


def write_wsol(root: Path, *, count: int = 4) -> Path:
    """The protocol's files: even photos of class 0, odd ones of class 1 with one box each in val and test."""
    for split in ("train", "val", "test"):
        ids = [f"{split}/{k}.jpg" for k in range(count)]
        for name in ids:
            write_photo(root / "images" / name)
        folder = root / "metadata" / split
        folder.mkdir(parents=True)
        (folder / "image_ids.txt").write_text("\n".join(ids))  # no newline at the end, as in CUB test
        (folder / "class_labels.txt").write_text("".join(f"{n},{k % 2}\n" for k, n in enumerate(ids)))
        (folder / "image_sizes.txt").write_text("".join(f"{n},{WIDTH},{HEIGHT}\n" for n in ids))
        if split != "train":
            (folder / "localization.txt").write_text("".join(f"{n},1,2,30,20\n" for n in ids[1::2]))
    (root / "metadata" / "classes.txt").write_text("0,background\n1,tower\n")
    return root
