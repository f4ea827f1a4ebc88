"""Video sent to us by UDP, read by FFmpeg: `udp://:5000` (MPEG-TS), `rtp://:5600?codec=h264` (RTP)."""

from __future__ import annotations

import errno
import ipaddress
import socket
import tempfile
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edge_runtime.sources.ffmpeg import SETTINGS, CannotOpen, FfmpegLink
from edge_runtime.sources.healing import HealingSource, LinkLost
from edge_runtime.sources.redact import redact
from edge_runtime.sources.rtsp import host_and_port
from edge_runtime.sources.rtsptalk import unreachable
from edge_runtime.sources.settings import LIVE, live_options, one_of, take, whole

if TYPE_CHECKING:
    from collections.abc import Mapping

    from edge_runtime.sources.base import SourceOptions

_SETTINGS = {
    "udp": {**LIVE, **SETTINGS},
    "rtp": {**LIVE, **SETTINGS, "codec": one_of("h264", "h265", "jpeg", "mpegts"), "pt": whole(0, 127)},
}
_NAMES = {"h264": ("H264", 96), "h265": ("H265", 96), "jpeg": ("JPEG", 26), "mpegts": ("MP2T", 33)}
_BUFFER = "buffer_size=1048576&fifo_size=8192&overrun_nonfatal=1"  # bytes; packets of 188 bytes


def open_datagrams(scheme: str, target: str, options: SourceOptions) -> HealingSource:
    """The host is the local address to listen on (none: all), or a multicast group to join."""
    address, values = take(target.replace("@", ""), _SETTINGS[scheme], scheme, others_stay=False)
    name = redact(f"{scheme}://{address}")
    host, port = host_and_port(f"{scheme}://{address}", name, 0)
    options = live_options(options, values)
    return HealingSource(name, partial(_connect, scheme, host, port, values, options), options)


def _connect(
    scheme: str, host: str, port: int, values: Mapping[str, Any], options: SourceOptions
) -> FfmpegLink:
    """FFmpeg is told the format and what it may open: a packet that looks like a playlist leads nowhere."""
    await_packet(host, port, options.open_s)
    threads = values.get("threads", 1)
    local = f"&localaddr={host}" if host and not is_multicast(host) else ""
    try:
        if scheme == "udp":
            url = f"udp://{host}:{port}?{_BUFFER}{local}"
            return FfmpegLink(url, "input_format;mpegts|protocol_whitelist;udp", threads, options)
        with tempfile.TemporaryDirectory(prefix="dips-edge-") as folder:
            path = Path(folder) / "stream.sdp"
            path.write_text(description(host, port, values.get("codec", "h264"), values.get("pt")))
            return FfmpegLink(str(path), "input_format;sdp|protocol_whitelist;file,rtp,udp", threads, options)
    except CannotOpen:
        what = "MPEG-TS" if scheme == "udp" else f"RTP with {values.get('codec', 'h264')}"
        raise LinkLost(f"packets arrive, but hold no picture that can be read as {what}") from None


def description(host: str, port: int, codec: str, payload_type: int | None) -> str:
    """What FFmpeg must know of an RTP stream, as SDP (RFC 8866)."""
    encoding, usual_type = _NAMES[codec]
    number = usual_type if payload_type is None else payload_type
    return (
        "v=0\no=- 0 0 IN IP4 127.0.0.1\ns=-\n"
        f"c=IN IP4 {host or '0.0.0.0'}\nt=0 0\n"
        f"m=video {port} RTP/AVP {number}\na=rtpmap:{number} {encoding}/90000\n"
    )


def await_packet(host: str, port: int, patience_s: float) -> None:
    """Wait until something arrives: FFmpeg would wait without telling a silent port from a taken one."""
    try:
        family, kind, _, _, address = socket.getaddrinfo(host or "0.0.0.0", port, type=socket.SOCK_DGRAM)[0]
        with socket.socket(family, kind) as waiting:
            if is_multicast(host):
                waiting.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                group = socket.inet_aton(host) + socket.inet_aton("0.0.0.0")
                waiting.setsockopt(socket.IPPROTO_IP, socket.IP_ADD_MEMBERSHIP, group)
            waiting.bind(address)
            waiting.settimeout(patience_s)
            waiting.recv(1)
    except (TimeoutError, socket.timeout):  # two kinds before Python 3.10
        raise LinkLost(f"nothing arrives on UDP port {port} within {patience_s:g} s") from None
    except OSError as error:
        raise LinkLost(_refused(error, host, port)) from None


def is_multicast(host: str) -> bool:
    """Whether `host` is the IPv4 address of a multicast group."""
    try:
        return ipaddress.IPv4Address(host).is_multicast
    except ValueError:
        return False


def _refused(error: OSError, host: str, port: int) -> str:
    if error.errno == errno.EADDRINUSE:
        return f"UDP port {port} is in use by another program"
    if error.errno == errno.EADDRNOTAVAIL:
        return f"{host} is no address of this machine; expected one of its own, none, or a multicast group"
    if error.errno == errno.EACCES:
        return f"this user may not listen on UDP port {port}; expected one from 1024 on"
    return unreachable(error, host, port)
