"""Compares the records of a replay with those of the recorded flight, times aside, frame by frame."""

from __future__ import annotations

import json
import logging
from typing import TYPE_CHECKING, Any

from edge_runtime.recording.format import RECORDS

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from edge_runtime.records import Record
    from edge_runtime.sinks.base import Result

log = logging.getLogger(__name__)

TIMES = ("t_cap_mono_ns", "t_cap_utc_ns", "t_emit_mono_ns", "age_ms", "lat_ms")
_SETTINGS = ("model", "tracking", "max_age_ms", "calib")


class ReplayCheck:
    """A `Sink` that writes nothing; `conclusion` says what it found."""

    capacity = 32
    name = "replay check"

    def __init__(self, folder: Path) -> None:
        self._path = folder / RECORDS
        self._lines: Iterator[Record] = iter(())
        self._other_settings: list[str] = []
        self._played = self._same = 0
        self._first_difference: str | None = None

    def start(self, header: Record) -> None:
        """Open the recorded records and say where the settings of then were others."""
        self._lines = _read(self._path)
        then = next(self._lines, {})
        now = json.loads(json.dumps(header))
        self._other_settings = [name for name in _SETTINGS if _setting(then, name) != _setting(now, name)]
        if self._other_settings:
            log.warning(
                "replay: %s differ(s) from the recorded flight, so the records may, too",
                ", ".join(self._other_settings),
            )

    def write(self, result: Result) -> None:
        """Compare one record."""
        record = json.loads(json.dumps(result.record))
        self._played += 1
        recorded = self._find(record["frame"]["idx"])
        differing = _differences(recorded, record)
        self._same += not differing
        if differing and self._first_difference is None:
            self._first_difference = f"frame {record['frame']['idx']}: {', '.join(differing)}"

    def close(self) -> None:
        """Nothing is held."""

    def conclusion(self) -> str:
        """`replay: 180 of 180 records as recorded, times aside`."""
        text = f"replay: {self._same} of {self._played} record(s) as recorded, times aside"
        return (
            text
            if self._first_difference is None
            else f"{text}; the first other one is {self._first_difference}"
        )

    def _find(self, index: int) -> Record:
        """The recorded one of this frame; the recorder may have lost frames that have records."""
        for record in self._lines:
            if record.get("frame", {}).get("idx") == index:
                return record
        return {}


def _read(path: Path) -> Iterator[Record]:
    try:
        with path.open("rb") as lines:
            for line in lines:
                try:
                    yield json.loads(line)
                except ValueError:
                    return  # where a power cut ended it
    except OSError as error:
        log.warning("%s: %s; the replay is compared with nothing", path, error.strerror)


def _setting(header: Record, name: str) -> Any:
    value = header.get(name)
    if name == "model" and isinstance(value, dict):
        told = {key: each for key, each in value.items() if each is not None}  # a later version may say null
        return {key: each for key, each in told.items() if key not in ("name", "backend")}
    return value


def _differences(recorded: Record, record: Record) -> list[str]:
    """Names of fields that differ; `seq` counts what was played."""
    if not recorded:
        return ["not in the recorded records"]
    names = [*recorded, *(name for name in record if name not in recorded)]
    return [name for name in names if name not in (*TIMES, "seq") and recorded.get(name) != record.get(name)]
