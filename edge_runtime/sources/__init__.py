"""Opens what a `--source` URI names; each kind lives in its own file, imported only when chosen.

uri ──open_source──▶ Source ──iterate──▶ Frame, Frame, ...
"""

from __future__ import annotations

import importlib
import re
from pathlib import Path
from typing import cast
from urllib.parse import unquote

from edge_runtime.errors import SourceError
from edge_runtime.modelfile import DEMO
from edge_runtime.sources.base import Source

__all__ = ["Source", "open_source"]

# scheme: module:class; a class takes what stands behind `scheme://`
_BY_SCHEME = {
    "v4l2": "edge_runtime.sources.camera:Camera",
    "video": "edge_runtime.sources.video:Video",
    "images": "edge_runtime.sources.images:Images",
    "demo": "edge_runtime.sources.video:Demo",
}
_LATER = ("http", "https", "rtsp", "rtsps", "rtp", "udp", "csi", "gst")
_KINDS = "a video file, an image, a folder or glob of images, a camera (/dev/video0) or demo"


def open_source(uri: str) -> Source:
    """Open a source and check that it delivers.

    Args:
        uri: `demo`; `/dev/video0`, `v4l2:///dev/video0` or a camera number; a path or `file://` URL of a
            video, an image or a folder of images; a glob of images such as `photos/*.jpg`.

    Raises:
        SourceError: not there, not readable, without a single frame, or of a kind not known.
    """
    scheme, target = _classify(uri.strip())
    if scheme in _LATER:
        raise SourceError(f"{scheme} sources are not yet supported by this version; expected {_KINDS}")
    if scheme not in _BY_SCHEME:
        raise SourceError(f"unknown kind of source {scheme!r}; expected {_KINDS}")
    module, _, name = _BY_SCHEME[scheme].partition(":")
    return cast("Source", getattr(importlib.import_module(module), name)(target))


def _classify(uri: str) -> tuple[str, str]:
    """(scheme, target) of a URI; a path is told apart by what lies there."""
    match = re.match(r"([a-z][a-z0-9+.-]*):(//)?(.*)$", uri, re.IGNORECASE | re.DOTALL)
    if match and (match[2] or match[1].lower() == "gst"):
        scheme = match[1].lower()
        return _classify_path(unquote(match[3])) if scheme == "file" else (scheme, match[3])
    return _classify_path(uri)


def _classify_path(text: str) -> tuple[str, str]:
    path = Path(text)
    if text == DEMO:
        return "demo", ""
    if re.fullmatch(r"\d+", text):
        return "v4l2", f"/dev/video{text}"
    if re.fullmatch(r"/dev/video\d+", text):
        return "v4l2", text
    from edge_runtime.imagefile import SUFFIXES

    if not text:
        raise SourceError(f"the source is empty; expected {_KINDS}")
    exists = path.exists()
    if path.is_dir() or path.suffix.lower() in SUFFIXES or (not exists and any(c in text for c in "*?[")):
        return "images", text
    if not exists:
        raise SourceError(f"{text}: no such file or folder; expected {_KINDS}")
    return "video", text
