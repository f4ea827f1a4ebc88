"""RTSP cameras: `rtsp://user:password@host:554/stream?transport=udp`, read by FFmpeg, TCP unless told."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from edge_runtime.errors import SourceError
from edge_runtime.sources import rtsptalk
from edge_runtime.sources.ffmpeg import SETTINGS, CannotOpen, FfmpegLink
from edge_runtime.sources.healing import HealingSource, LinkLost
from edge_runtime.sources.redact import redact
from edge_runtime.sources.settings import LIVE, live_options, one_of, take

if TYPE_CHECKING:
    from edge_runtime.sources.base import SourceOptions

_SETTINGS = {**LIVE, **SETTINGS, "transport": one_of("tcp", "udp", "udp_multicast")}


def open_rtsp(scheme: str, target: str, options: SourceOptions) -> HealingSource:
    """Our own settings are taken off the query; everything else in it is the camera's."""
    address, values = take(target, _SETTINGS, scheme, others_stay=True)
    url = f"{scheme}://{address}"
    name = redact(url)
    if not host_and_port(url, name, 322 if scheme == "rtsps" else 554)[0]:
        raise SourceError(f"{name}: no host; expected {scheme}://HOST[:PORT]/STREAM")
    options = live_options(options, values)
    extra = f"rtsp_transport;{values.get('transport', 'tcp')}"
    return HealingSource(name, partial(_connect, url, extra, values.get("threads", 1), options), options)


def _connect(url: str, extra: str, threads: int, options: SourceOptions) -> FfmpegLink:
    """FFmpeg keeps to itself why it failed, so the server is asked."""
    try:
        return FfmpegLink(url, extra, threads, options)
    except CannotOpen:
        raise LinkLost(rtsptalk.why_not(url)) from None


def host_and_port(url: str, name: str, default_port: int) -> tuple[str, int]:
    """Of a URL; ("", port) without a host.

    Raises:
        SourceError: the port is no number from 1 to 65535, or the host is malformed. Shows `name`.
    """
    try:
        parts = urlsplit(url)
        port = default_port if parts.port is None else parts.port
        if not 0 < port < 65536:
            raise ValueError(port)
        return parts.hostname or "", port
    except ValueError:
        raise SourceError(
            f"{name}: expected HOST or HOST:PORT behind ://, with a port from 1 to 65535"
        ) from None
