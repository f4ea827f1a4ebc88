"""The files of a recording: their names, and lines of the index to and from JSON.

recording.json   v, type, codec, fps, size, complete, frames, lost: written at the start and again at the end
index.jsonl      a line per frame: where its picture lies, when it was captured, its `Circumstances`
frames-0000.mkv  lossless video; a new one where the size of the frames changes
frames.mjpeg     instead: the JPEG files of a network camera one after the other, as they came
records.jsonl    header and records of the run
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from edge_runtime.circumstances import Circumstances
from edge_runtime.live import Request

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

VERSION = 1
HEAD, INDEX, RECORDS, JPEGS = "recording.json", "index.jsonl", "records.jsonl", "frames.mjpeg"
# name: fourcc of an OpenCV coder, whether pictures come back to the bit
CODECS = {"huffyuv": ("HFYU", True), "ffv1": ("FFV1", True), "mjpeg": ("MJPG", False)}


@dataclass(frozen=True)
class Entry:
    """One frame of a recording.

    `file`, `at`, `length`: frame number `at` of a video, or the bytes `at` to `at + length` of a .mjpeg.
    `size`: (width, height); a video may be a pixel larger.
    """

    seq: int
    index: int
    size: tuple[int, int]
    name: str | None
    file: str
    at: int
    length: int | None
    t_capture_ns: int
    circumstances: Circumstances

    def to_line(self) -> bytes:
        """JSON and a newline."""
        told = self.circumstances
        line = {
            "seq": self.seq,
            "idx": self.index,
            "w": self.size[0],
            "h": self.size[1],
            "name": self.name,
            "file": self.file,
            "at": self.at,
            "bytes": self.length,
            "t_cap_mono_ns": self.t_capture_ns,
            "t_track_ns": told.t_track_ns,
            "age_ms": told.age_ms,
            "flags": told.flags,
            "fault": told.fault,
            "requests": [[r.kind, r.t_mono_ns, r.box_xyxy] for r in told.requests],
        }
        return json.dumps(line, separators=(",", ":")).encode() + b"\n"

    @staticmethod
    def from_line(text: str) -> Entry:
        """Raises ValueError, KeyError or TypeError for anything else."""
        line = json.loads(text)
        requests = tuple(
            Request(str(kind), int(t_ns), None if box is None else tuple(map(float, box)))  # type: ignore[arg-type]
            for kind, t_ns, box in line["requests"]
        )
        return Entry(
            seq=int(line["seq"]),
            index=int(line["idx"]),
            size=(int(line["w"]), int(line["h"])),
            name=line["name"],
            file=str(line["file"]),
            at=int(line["at"]),
            length=None if line["bytes"] is None else int(line["bytes"]),
            t_capture_ns=int(line["t_cap_mono_ns"]),
            circumstances=Circumstances(
                t_track_ns=int(line["t_track_ns"]),
                age_ms=float(line["age_ms"]),
                flags=tuple(map(str, line["flags"])),
                fault=line["fault"],
                requests=requests,
            ),
        )


def entries(path: Path) -> Iterator[Entry]:
    """Of an index; a last line without its end, as a power cut leaves it, is no entry.

    Raises:
        ValueError: a line that is none of ours, with its number.
    """
    with path.open("rb") as lines:
        for number, line in enumerate(lines, 1):
            if not line.endswith(b"\n"):
                return
            try:
                yield Entry.from_line(line.decode())
            except (ValueError, KeyError, TypeError) as error:
                raise ValueError(f"line {number} is no entry of an index") from error


def head(*, codec: str, fps: float | None, size: tuple[int, int] | None, **more: Any) -> dict[str, Any]:
    """Content of `recording.json`."""
    return {"v": VERSION, "type": "recording", "codec": codec, "fps": fps, "size": size, **more}
