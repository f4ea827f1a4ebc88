"""Text files that appear whole or not at all: written beside their place, then moved there."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

from edge_runtime.errors import SinkError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path
    from typing import TextIO


@contextmanager
def whole_file(path: Path, what: str) -> Iterator[TextIO]:
    """A UTF-8 file to write into; it takes its name when the block ends well, else nothing is left of it.

    Args:
        what: names the content in the error, e.g. "summary".

    Raises:
        SinkError: it could not be written.
    """
    part = path.with_name(f".{path.name}.partial")
    try:
        with part.open("w", encoding="utf-8") as file:
            yield file
        part.replace(path)
    except OSError as error:
        _remove(part)
        raise SinkError(f"{path}: the {what} could not be written: {error.strerror}") from error
    except BaseException:
        _remove(part)
        raise


def _remove(part: Path) -> None:
    try:
        part.unlink()
    except OSError:
        return  # it was never made, or cannot be removed: the first error is the one to tell
