"""Lines of a small user-written text file, with their numbers, for messages that name both."""

from __future__ import annotations

from typing import TYPE_CHECKING

from edge_runtime.errors import DatasetError

if TYPE_CHECKING:
    from pathlib import Path


def read_text(path: Path) -> str:
    """Whole file as UTF-8 (a byte order mark is dropped).

    Raises:
        DatasetError: missing, unreadable or not UTF-8.
    """
    try:
        return path.read_text(encoding="utf-8-sig")
    except OSError as error:
        raise DatasetError(f"{path}: cannot be read ({error.strerror or error})") from error
    except UnicodeDecodeError as error:
        raise DatasetError(f"{path}: not UTF-8 text (byte {error.start}); save it as UTF-8") from error


def numbered_lines(path: Path) -> list[tuple[int, str]]:
    """Non-empty lines with their 1-based numbers."""
    lines = read_text(path).split("\n")
    return [(number, line.rstrip("\r")) for number, line in enumerate(lines, 1) if line.strip()]


def parse_int(text: str, name: str, where: str) -> int:
    """Integer written plainly; `where` ("file line 3") and `name` go into the message."""
    try:
        return int(text)
    except ValueError:
        raise DatasetError(f"{where}: {name} = {text.strip()!r} is not an integer") from None
