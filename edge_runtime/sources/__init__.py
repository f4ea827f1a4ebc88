"""Opens what a `--source` URI names; each kind lives in its own file, imported only when chosen.

uri ──open_source──▶ Source ──iterate──▶ Frame, Frame, ...
"""

from __future__ import annotations

import difflib
import importlib
import re
from pathlib import Path
from typing import TYPE_CHECKING, cast
from urllib.parse import unquote

from edge_runtime.errors import SourceError
from edge_runtime.modelfile import DEMO
from edge_runtime.sources.base import Source, SourceOptions
from edge_runtime.sources.redact import redact

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["Source", "SourceOptions", "open_source"]

# scheme: module:name; called with what stands behind `scheme://`
_FILES = {
    "video": "edge_runtime.sources.video:Video",
    "images": "edge_runtime.sources.images:Images",
    "demo": "edge_runtime.sources.video:Demo",
    "replay": "edge_runtime.sources.replay:Replay",
}
# scheme: module:name; called with the scheme, what stands behind it, and the options
_LIVE = {
    "v4l2": "edge_runtime.sources.camera:open_camera",
    "rtsp": "edge_runtime.sources.rtsp:open_rtsp",
    "rtsps": "edge_runtime.sources.rtsp:open_rtsp",
    "http": "edge_runtime.sources.mjpeg:open_mjpeg",
    "https": "edge_runtime.sources.mjpeg:open_mjpeg",
    "udp": "edge_runtime.sources.datagrams:open_datagrams",
    "rtp": "edge_runtime.sources.datagrams:open_datagrams",
    "csi": "edge_runtime.sources.gstreamer:open_csi",
    "gst": "edge_runtime.sources.gstreamer:open_pipeline",
    "synthetic": "edge_runtime.sources.synthetic:open_synthetic",
}
_KINDS = (
    "a video file, an image, a folder or glob of images, a camera (/dev/video0, csi://0), "
    "a stream (rtsp://, http://, udp://, rtp://), gst:PIPELINE, "
    "synthetic://1280x720, replay:DIR of a recording, or demo"
)


def open_source(uri: str, options: SourceOptions | None = None) -> Source:
    """Open a source and check that it delivers.

    Args:
        uri: `demo`; a path or `file://` URL of a video, an image or a folder of images; a glob of images such
            as `photos/*.jpg`; or a live source: `/dev/video0`, `v4l2:///dev/video0` or a camera number,
            `csi://0`, `rtsp(s)://`, `http(s)://` (motion JPEG), `udp://:PORT`, `rtp://:PORT`, `gst:PIPELINE`;
            or what is for measuring and finding faults: `synthetic://1280x720`, `replay:DIR`.
            The README of this room lists what may stand behind each.
        options: of live sources; what stands behind the URI comes first.

    Raises:
        SourceError: not there, not readable, without a single frame, or not known. Holds no credentials.
    """
    scheme, target = _classify(uri.strip())
    if scheme in _FILES:
        try:
            return cast("Source", _load(_FILES[scheme])(target))
        except SourceError as error:  # a URI with a slip in it is taken for a path
            raise SourceError(redact(str(error))) from None
    if scheme in _LIVE:
        if scheme not in ("gst", "v4l2"):  # as a browser does; a blank would end what is hidden in messages
            target = re.sub(r"[\s\"']", lambda found: f"%{ord(found[0]):02X}", target)
        return cast("Source", _load(_LIVE[scheme])(scheme, target, options or SourceOptions()))
    close = difflib.get_close_matches(scheme, [*_LIVE, "file"], 2, 0.7)
    meant = f" (did you mean {' or '.join(close)}?)" if close else ""
    raise SourceError(f"unknown kind of source {scheme!r}{meant}; expected {_KINDS}")


def _load(place: str) -> Callable[..., object]:
    module, _, name = place.partition(":")
    return cast("Callable[..., object]", getattr(importlib.import_module(module), name))


def _classify(uri: str) -> tuple[str, str]:
    """(scheme, target) of a URI; a path is told apart by what lies there."""
    match = re.match(r"([a-z][a-z0-9+.-]*):(//)?(.*)$", uri, re.IGNORECASE | re.DOTALL)
    if match and (match[2] or match[1].lower() in ("gst", "replay")):
        scheme = match[1].lower()
        return _classify_path(unquote(match[3])) if scheme == "file" else (scheme, match[3])
    return _classify_path(uri)


def _classify_path(text: str) -> tuple[str, str]:
    path = Path(text)
    if text == DEMO:
        return "demo", ""
    if re.fullmatch(r"\d+", text):
        return "v4l2", f"/dev/video{text}"
    if re.match(r"/dev/video\d+(\?|$)", text):
        return "v4l2", text
    from edge_runtime.imagefile import SUFFIXES

    if not text:
        raise SourceError(f"the source is empty; expected {_KINDS}")
    try:
        exists, is_dir = path.exists(), path.is_dir()
    except (OSError, ValueError):  # longer than a path can be, or with a zero in it
        exists = is_dir = False
    if is_dir or path.suffix.lower() in SUFFIXES or (not exists and any(c in text for c in "*?[")):
        return "images", text
    if not exists:
        raise SourceError(f"{redact(text)}: no such file or folder; expected {_KINDS}")
    return "video", text
