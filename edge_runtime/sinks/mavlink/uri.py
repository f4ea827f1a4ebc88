"""What stands behind `mavlink:` ──parse──▶ MavlinkOptions, every value checked.

udpout:HOST:PORT?landing_target=ardupilot&rate_hz=5     to one fixed peer
udpin:HOST:PORT                                         to whoever speaks to us there
/dev/ttyTHS1:921600?gimbal=1&signing_key=FILE&link_id=1
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import unquote

from edge_runtime.errors import SinkError

if TYPE_CHECKING:
    from collections.abc import Callable

PROFILES = ("ardupilot", "px4")
MAX_RATE_HZ = 200.0
_FORMS = "udpout:HOST:PORT, udpin:HOST:PORT or /dev/TTY:BAUD"


@dataclass(frozen=True)
class MavlinkOptions:
    """One MAVLink output.

    `kind`: "udpout", "udpin" or "serial"; `place`: host or device; `number`: port or baud.
    `sysid`, `compid`: of the vehicle and of our camera component. `landing_target`: dialect, None sends
    none. `rate_hz`: CAMERA_TRACKING_IMAGE_STATUS to those who asked for nothing, 0 is none.
    `gimbal`: component id of the gimbal manager that gets rates, 0 is none. `signing_key`: key file, None
    sends unsigned.
    """

    kind: str
    place: str
    number: int
    sysid: int = 1
    compid: int = 100
    landing_target: str | None = None
    rate_hz: float = 0.0
    gimbal: int = 0
    signing_key: Path | None = None
    link_id: int = 0


def parse(target: str) -> MavlinkOptions:
    """Options from what stands behind `mavlink:`.

    Raises:
        SinkError: misspelt, unknown or out of range; the line says which and what is expected.
    """
    address, _, query = target.partition("?")
    kind, place, number = _address(address)
    values: dict[str, object] = {}
    for pair in filter(None, query.split("&")):
        key, equals, text = pair.partition("=")
        if key not in _READERS:
            raise SinkError(f"mavlink: unknown option {key!r}, expected {', '.join(_READERS)}")
        if not equals or not text or key in values:
            raise SinkError(f"mavlink: option {pair!r}, expected {key}=VALUE, once")
        values[key] = _READERS[key](key, unquote(text))
    return MavlinkOptions(kind, place, number, **values)  # type: ignore[arg-type]


def _address(address: str) -> tuple[str, str, int]:
    place, _, number = address.rpartition(":")
    if address.startswith("/"):
        if not place:
            raise SinkError(
                f"mavlink:{address} names no baud rate; expected /dev/TTY:BAUD, such as {address}:921600"
            )
        return "serial", place, _integer("the baud rate", number, 1, 10_000_000)
    kind, _, host = place.partition(":")
    if kind not in ("udpout", "udpin") or not host:
        raise SinkError(f"mavlink:{address} is no MAVLink link; expected {_FORMS}")
    return kind, host.strip("[]"), _integer("the port", number, 1, 65535)


def _integer(what: str, text: str, low: int, high: int) -> int:
    if not (text.isascii() and text.isdigit() and low <= int(text) <= high):
        raise SinkError(f"mavlink: {what} is {text!r}, expected an integer from {low} to {high}")
    return int(text)


def _within(low: int, high: int) -> Callable[[str, str], int]:
    return lambda key, text: _integer(key, text, low, high)


def _profile(key: str, text: str) -> str:
    if text not in PROFILES:
        raise SinkError(f"mavlink: {key} is {text!r}, expected {' or '.join(PROFILES)}")
    return text


def _rate(key: str, text: str) -> float:
    try:
        rate_hz = float(text)
    except ValueError:
        rate_hz = math.nan
    if not 0.0 <= rate_hz <= MAX_RATE_HZ:
        raise SinkError(f"mavlink: {key} is {text!r}, expected a number from 0 to {MAX_RATE_HZ:g}")
    return rate_hz


_READERS: dict[str, Callable[[str, str], object]] = {
    "landing_target": _profile,
    "rate_hz": _rate,
    "sysid": _within(1, 255),
    "compid": _within(100, 105),
    "gimbal": _within(0, 255),
    "signing_key": lambda _, text: Path(text),
    "link_id": _within(0, 255),
}
