"""Cuts a byte stream into whole JPEG pictures by their own markers, whatever stands between them.

bytes as they arrive ──feed──▶ (picture, text before it), ...

Multipart boundaries and lengths are not relied on: cameras get them wrong, and waiting for the next boundary
would hold each picture back by one frame. Markers: ITU-T T.81, annex B.
"""

from __future__ import annotations

import re

MOST_BYTES = 32 << 20  # of one picture
MOST_PIXELS = 64_000_000
_MOST_TEXT = 8192  # kept of what stands before a picture

_START = b"\xff\xd8\xff"
_IN_SCAN = re.compile(rb"\xff[^\x00\xd0-\xd7\xff]")  # in entropy-coded data: a marker that means something
_SOI, _EOI, _SOS, _TEM = 0xD8, 0xD9, 0xDA, 0x01
_NOTES = {*range(0xE0, 0xF0), 0xFE}  # application data and comments
_SIZES = {0xC0, 0xC1, 0xC2, 0xC3}  # start of frame: holds height and width


class JpegCutter:
    """Holds at most one unfinished picture, of at most `MOST_BYTES`."""

    def __init__(self) -> None:
        self._buffer = bytearray()
        self._text = b""
        self._at = 0  # next marker, within the picture that the buffer starts with; 0: no picture yet
        self._tables_at = 0  # where tables begin; until there, thumbnails of the same form may be inside
        self._in_scan = False
        self.broken = 0  # pictures given up: cut short, too large, no JPEG after all

    @property
    def in_picture(self) -> bool:
        """Whether a picture has begun and not ended."""
        return self._at > 0

    def feed(self, data: bytes) -> list[tuple[bytes, bytes]]:
        """Pictures finished by `data`, oldest first, each with the text that stood before it."""
        self._buffer += data
        found = []
        while (end := self._walk()) is not None:
            found.append((bytes(self._buffer[:end]), self._text))
            self._restart(end)
        if len(self._buffer) > MOST_BYTES:
            self._give_up(len(self._buffer))
        return found

    def _walk(self) -> int | None:
        """Go from marker to marker; where the picture ends, or None until more has come."""
        while self._at or self._find_start():
            if self._in_scan:
                found = _IN_SCAN.search(self._buffer, self._at)
                if found is None:
                    self._at = max(self._at, len(self._buffer) - 1)
                    return None
                self._at, self._in_scan = found.start(), False
            if self._at + 2 > len(self._buffer):
                return None
            marker = self._buffer[self._at + 1]
            if self._buffer[self._at] != 0xFF or marker == 0:
                self._give_up(self._tables_at or self._at)  # a length was wrong, or led into the next picture
            elif marker == _SOI:
                self._give_up(self._at)
            elif marker == _EOI:
                return self._at + 2
            elif marker == 0xFF:  # a fill byte
                self._at += 1
            elif marker == _TEM or 0xD0 <= marker <= 0xD7:
                self._at += 2
            elif not self._skip_segment(marker):
                return None
        return None

    def _skip_segment(self, marker: int) -> bool:
        """Step over a segment; False until it is there as far as needed."""
        if self._at + 9 > len(self._buffer):
            return False
        length = int.from_bytes(self._buffer[self._at + 2 : self._at + 4], "big")
        height = int.from_bytes(self._buffer[self._at + 5 : self._at + 7], "big")
        width = int.from_bytes(self._buffer[self._at + 7 : self._at + 9], "big")
        if length < 2 or (marker in _SIZES and height * width > MOST_PIXELS):
            self._give_up(self._at + 2)
            return True
        if not self._tables_at and marker not in _NOTES:
            self._tables_at = self._at
        self._at += 2 + length
        self._in_scan = marker == _SOS
        return True

    def _find_start(self) -> bool:
        start = self._buffer.find(_START)
        if start < 0:
            gone = max(0, len(self._buffer) - 2)  # the last two may begin a marker
            self._text = (self._text + self._buffer[:gone])[-_MOST_TEXT:]
            del self._buffer[:gone]
            return False
        self._text = bytes((self._text + self._buffer[:start])[-_MOST_TEXT:])
        del self._buffer[:start]
        self._at, self._tables_at, self._in_scan = 2, 0, False
        return True

    def _give_up(self, at: int) -> None:
        self.broken += 1
        self._restart(at)

    def _restart(self, at: int) -> None:
        """Forget what lies before `at` and look for the next picture."""
        del self._buffer[:at]
        self._text, self._at, self._in_scan = b"", 0, False
