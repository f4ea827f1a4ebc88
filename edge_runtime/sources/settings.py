"""Settings behind a source's URI, `?width=1280&wait=1`: taken off, checked, and given their types.

target, table of settings ──take──▶ target without them, values by name
"""

from __future__ import annotations

import dataclasses
import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote_plus

from edge_runtime.errors import SourceError
from edge_runtime.sources.redact import redact

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from edge_runtime.sources.base import SourceOptions


@dataclass(frozen=True)
class Setting:
    """One name behind `?`: how its text is read (ValueError when wrong), and what is expected."""

    read: Callable[[str], Any]
    expected: str


def number(least: float, most: float) -> Setting:
    """A number from `least` to `most`."""
    return Setting(lambda text: _within(float(text), least, most), f"a number from {least:g} to {most:g}")


def whole(least: int, most: int) -> Setting:
    """A whole number from `least` to `most`."""
    return Setting(lambda text: _within(int(text), least, most), f"a whole number from {least} to {most}")


def one_of(*words: str) -> Setting:
    """One of a few words."""
    places = {word: word for word in words}
    return Setting(lambda text: _look_up(text, places), " or ".join(words))


def flag() -> Setting:
    """0 or 1."""
    return Setting(lambda text: _look_up(text, {"0": False, "1": True}), "0 or 1")


LIVE = {
    "wait": flag(),
    "open_s": number(0.2, 600),
    "stall_s": number(0.1, 600),
    "latency_ms": number(0, 10_000),
}


def take(
    target: str, known: Mapping[str, Setting], scheme: str, *, others_stay: bool
) -> tuple[str, dict[str, Any]]:
    """Split `target` into itself without our settings, and those by name.

    `others_stay`: what is not ours belongs to the server and stays as it was written, else it is refused.

    Raises:
        SourceError: a name that is not known, or a value that does not fit.
    """
    address, _, query = target.partition("?")
    rest, values = [], {}
    for part in query.split("&") if query else ():
        name, _, text = part.partition("=")
        if name in known:
            values[name] = _read(name, unquote_plus(text), known[name], f"{scheme}://{address}")
        elif others_stay:
            rest.append(part)
        else:
            raise SourceError(
                f"{redact(f'{scheme}://{address}')}: unknown setting {redact(part)!r}; "
                f"expected {', '.join(known)}"
            )
    return address + ("?" + "&".join(rest) if rest else ""), values


def live_options(options: SourceOptions, values: Mapping[str, Any]) -> SourceOptions:
    """`options` with those that stood behind the URI."""
    return dataclasses.replace(options, **{name: values[name] for name in LIVE if name in values})


def _read(name: str, text: str, setting: Setting, where: str) -> Any:
    try:
        return setting.read(text)
    except ValueError:
        raise SourceError(
            f"{redact(where)}: bad setting {name}={text}, expected {setting.expected}"
        ) from None


def _within(value: float, least: float, most: float) -> float:
    if not (math.isfinite(value) and least <= value <= most):
        raise ValueError(value)
    return value


def _look_up(text: str, values: Mapping[str, Any]) -> Any:
    if text not in values:
        raise ValueError(text)
    return values[text]
