"""What stands behind `web:` ──parse──▶ WebOptions, every value checked, and the socket it asks for.

//127.0.0.1:8080          only this machine
//0.0.0.0:8080?token=...  whoever knows the token
"""

from __future__ import annotations

import ipaddress
import socket
from dataclasses import dataclass, field
from typing import TYPE_CHECKING
from urllib.parse import unquote

from edge_runtime.errors import SinkError

if TYPE_CHECKING:
    from collections.abc import Callable

LEAST_TOKEN = 8  # characters
_EXAMPLE = "web://127.0.0.1:8080"


@dataclass(frozen=True)
class WebOptions:
    """One page. `fps`: most pictures a second for each viewer; `width`: longer side of a picture, pixels.

    `token`: who may look; None lets everyone on this machine.
    """

    host: str
    port: int
    token: str | None = field(default=None, repr=False)
    fps: float = 15.0
    width: int = 960

    @property
    def url(self) -> str:
        """Where the page is, without its token."""
        return f"http://{f'[{self.host}]' if ':' in self.host else self.host}:{self.port}/"


def parse(target: str) -> WebOptions:
    """Options from what stands behind `web:`.

    Raises:
        SinkError: misspelt, unknown or out of range; the token itself is never part of the line.
    """
    address, _, query = target.partition("?")
    if not address.startswith("//") or "@" in address:
        raise SinkError(f"web: expected //HOST:PORT, such as {_EXAMPLE}")
    host, colon, port = address[2:].rstrip("/").rpartition(":")
    host = host[1:-1] if host.startswith("[") and host.endswith("]") else host
    if not colon or not host or (":" in host and "[" not in address):
        raise SinkError(f"web:{address}: expected //HOST:PORT, such as {_EXAMPLE}")
    values: dict[str, object] = {}
    for pair in filter(None, query.split("&")):
        key, _, text = pair.partition("=")
        if key not in _READERS:
            raise SinkError(f"web:{address}: unknown option {key!r}, expected {', '.join(_READERS)}")
        if key in values:
            raise SinkError(f"web:{address}: option {key} is given twice")
        values[key] = _READERS[key](unquote(text))
    number = _number("the port", 0, 65535)(port)
    return WebOptions(host, int(number), **values)  # type: ignore[arg-type]


def listen(options: WebOptions) -> socket.socket:
    """A bound socket for the page; nobody is answered yet.

    Raises:
        SinkError: the name is unknown, the port taken, or an address others can reach has no token.
    """
    name = f"web://{options.host}:{options.port}"
    try:
        found = socket.getaddrinfo(options.host, options.port, type=socket.SOCK_STREAM)
    except OSError as error:
        raise SinkError(
            f"{name}: {options.host!r} is not an address of this machine: {error.strerror}"
        ) from error
    if options.token is None and not all(_is_loopback(str(address[4][0])) for address in found):
        raise SinkError(
            f"{name} can be reached by others, so it needs a token: --web-token TOKEN, "
            f"or web://127.0.0.1:{options.port} for this machine only"
        )
    family, kind, protocol, _, place = found[0]
    bound = socket.socket(family, kind, protocol)
    try:
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        bound.bind(place)
        bound.listen(64)
    except OSError as error:
        bound.close()
        raise SinkError(f"{name}: cannot listen there: {error.strerror}; choose another port") from error
    return bound


def _is_loopback(address: str) -> bool:
    return ipaddress.ip_address(address.partition("%")[0]).is_loopback


def _number(what: str, least: float, most: float) -> Callable[[str], float]:
    def read(text: str) -> float:
        try:
            value = float(text)
        except ValueError:
            value = float("nan")
        if not least <= value <= most:
            raise SinkError(f"web: {what} is {text!r}, expected a number from {least:g} to {most:g}")
        return value

    return read


def _token(text: str) -> str:
    if len(text) < LEAST_TOKEN or not text.isascii() or not text.isprintable():
        raise SinkError(
            f"web: the token is too short or has odd letters; expected {LEAST_TOKEN} or more of ASCII"
        )
    return text


_READERS: dict[str, Callable[[str], object]] = {
    "token": _token,
    "fps": _number("fps", 0.1, 60),
    "width": lambda text: int(_number("width", 64, 4096)(text)),
}
