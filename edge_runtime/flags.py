"""Flags of `run` that need work: settings of the tracker, and what belongs into a sink's URI.

("lost_after_ms=800",) ──track_settings──▶ TrackSettings
("web://127.0.0.1:8080",), web_token ──with_flags──▶ ("web://127.0.0.1:8080?token=...",)
"""

from __future__ import annotations

import dataclasses
import difflib
from typing import TYPE_CHECKING
from urllib.parse import quote

from edge_runtime.errors import UsageError
from edge_runtime.tracking import TrackSettings

if TYPE_CHECKING:
    from collections.abc import Sequence


def track_settings(pairs: Sequence[str]) -> TrackSettings:
    """`name=value` pairs over the defaults.

    Raises:
        UsageError: not a pair, an unknown name, not a number, or a value that cannot work.
    """
    fields = {field.name: field for field in dataclasses.fields(TrackSettings)}
    values: dict[str, float] = {}
    for pair in pairs:
        name, equals, text = pair.partition("=")
        name = name.strip().replace("-", "_")
        if not equals:
            raise UsageError(f"--track {pair}: expected NAME=VALUE, such as lost_after_ms=800")
        if name not in fields:
            near = difflib.get_close_matches(name, fields, n=1)
            hint = f"did you mean {near[0]}?" if near else f"expected one of {', '.join(fields)}"
            raise UsageError(f"--track {pair}: unknown setting {name!r}; {hint}")
        whole = isinstance(fields[name].default, int)
        try:
            values[name] = int(text) if whole else float(text)
        except ValueError:
            kind = "a whole number" if whole else "a number"
            raise UsageError(f"--track {pair}: expected {kind}") from None
    return TrackSettings(**values)  # type: ignore[arg-type]


def with_flags(
    uris: Sequence[str], *, landing_target: str | None = None, web_token: str | None = None
) -> tuple[str, ...]:
    """The sinks' URIs with what the flags add to those of their kind.

    Raises:
        UsageError: a flag without a sink it could be for, or a sink given twice.
    """
    twice = next((uri for uri in uris if uris.count(uri) > 1), None)
    if twice is not None:
        raise UsageError(f"sink {twice.partition('?')[0]} is given twice")
    found = tuple(uris)
    if landing_target is not None:
        found = _add(found, "mavlink", "landing_target", landing_target, "--landing-target")
    if web_token is not None:
        found = _add(found, "web", "token", web_token, "--web-token")
    return found


def _add(uris: Sequence[str], scheme: str, key: str, value: str, flag: str) -> tuple[str, ...]:
    """`key=value` behind every URI of this scheme that does not say it itself."""
    if not any(uri.startswith(f"{scheme}:") for uri in uris):
        raise UsageError(f"{flag} needs a sink it is for: --sink {scheme}:...")
    return tuple(
        f"{uri}{'&' if '?' in uri else '?'}{key}={quote(value, safe='')}"
        if uri.startswith(f"{scheme}:") and not _says(uri, key)
        else uri
        for uri in uris
    )


def _says(uri: str, key: str) -> bool:
    return any(part.partition("=")[0] == key for part in uri.partition("?")[2].split("&"))
