"""Why an RTSP stream cannot be opened, in the server's words: one DESCRIBE, asked only after a failure.

url ──why_not──▶ "refuses this user name or password (401)"
"""

from __future__ import annotations

import contextlib
import re
import socket
import ssl
import time
from urllib.parse import unquote, urlsplit

from edge_runtime.sources.httpauth import authorization

_PATIENCE_S = 2.0
_MOST_BYTES = 65536
_MEANINGS = {
    400: "the server calls this request malformed",
    401: "the server refuses this user name or password",
    403: "the server forbids access",
    404: "the server has no stream of this path",
    453: "the server has no bandwidth left",
    454: "the server lost the session",
    503: "the server is not ready",
}


def why_not(url: str) -> str:
    """One line for people; never holds credentials. Takes at most some seconds."""
    parts = urlsplit(url)
    host, port = parts.hostname or "", parts.port or (322 if parts.scheme == "rtsps" else 554)
    try:
        return _ask(url, host, port)
    except ConnectionResetError:
        return "the server hangs up"
    except OSError as error:
        return unreachable(error, host, port)


def unreachable(error: OSError, host: str, port: int) -> str:
    """What a failed connection to `host:port` means."""
    if isinstance(error, socket.gaierror):
        return f"no host of the name {host} is known"
    if isinstance(error, ConnectionRefusedError):
        return f"nothing listens on {host} port {port}"
    if isinstance(error, (TimeoutError, socket.timeout)):  # two kinds before Python 3.10
        return f"{host} port {port} does not answer; check address, cable and firewall"
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"{host} shows a certificate that cannot be trusted ({error.verify_message})"
    if isinstance(error, ssl.SSLError):
        return f"{host} port {port} does not speak TLS ({error.reason})"
    return f"{host} port {port} cannot be reached ({error.strerror or type(error).__name__})"


def _ask(url: str, host: str, port: int) -> str:
    parts = urlsplit(url)
    plain = parts._replace(netloc=parts.netloc.rpartition("@")[2]).geturl()
    status, headers = _describe(parts.scheme, host, port, plain, "")
    if status == 401 and parts.username is None:
        return f"the server wants a user name and password: {parts.scheme}://USER:PASSWORD@HOST/..."
    if status == 401:
        user, password = unquote(parts.username or ""), unquote(parts.password or "")
        answer = authorization(headers.get("www-authenticate", ""), "DESCRIBE", plain, user, password)
        status, _ = _describe(parts.scheme, host, port, plain, answer)
    if status == 0:
        return f"{host} port {port} answers, but not as an RTSP server does"
    if status == 200:
        return "the server has this stream, but sends no picture that can be read (try ?transport=udp or tcp)"
    return f"{_MEANINGS.get(status, 'the server refuses')} ({status})"


def _describe(scheme: str, host: str, port: int, url: str, answer: str) -> tuple[int, dict[str, str]]:
    """Status (0 when the answer is no RTSP) and headers with lower-case names."""
    credentials = f"Authorization: {answer}\r\n" if answer else ""
    request = f"DESCRIBE {url} RTSP/1.0\r\nCSeq: 1\r\nAccept: application/sdp\r\n{credentials}\r\n"
    deadline_s = time.monotonic() + _PATIENCE_S
    with contextlib.ExitStack() as opened:
        connection = opened.enter_context(socket.create_connection((host, port), _PATIENCE_S))
        if scheme == "rtsps":
            tls = ssl.create_default_context()
            connection = opened.enter_context(tls.wrap_socket(connection, server_hostname=host))
        connection.sendall(request.encode("utf-8", "surrogateescape"))
        received, text = b"-", b""
        while (
            received and b"\r\n\r\n" not in text and len(text) < _MOST_BYTES and time.monotonic() < deadline_s
        ):
            received = connection.recv(4096)
            text += received
    first, *lines = text.partition(b"\r\n\r\n")[0].decode("latin-1").split("\r\n")
    found = re.match(r"RTSP/\d\.\d (\d{3})\b", first)
    pairs = (line.partition(":") for line in lines)
    return int(found[1]) if found else 0, {name.strip().lower(): value.strip() for name, _, value in pairs}
