"""Files appear whole and checked, or not at all: written beside their names, renamed when all are good."""

from __future__ import annotations

import os
from contextlib import contextmanager
from typing import TYPE_CHECKING

from edge_runtime.errors import ModelError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path


@contextmanager
def staged(files: Mapping[Path, bytes]) -> Iterator[dict[Path, Path]]:
    """Write each file under a temporary name in its folder; hand these out, by final name, to be tried.

    Leaving the block renames all of them; leaving it by an exception removes them and changes nothing.

    Raises:
        ModelError: disk full, or a folder that is not writable.
    """
    parts = {path: path.with_name(f".{path.name}.part") for path in files}
    try:
        for path, data in files.items():
            path.parent.mkdir(parents=True, exist_ok=True)
            with parts[path].open("wb") as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
        yield parts
        for path, part in parts.items():
            part.replace(path)
    except OSError as error:
        names = ", ".join(str(path) for path in files)
        raise ModelError(
            f"{names}: cannot be written ({error.strerror or error}); nothing was changed"
        ) from error
    finally:
        for part in parts.values():
            _remove(part)


def _remove(path: Path) -> None:
    try:
        path.unlink(missing_ok=True)
    except OSError:  # the folder itself is the trouble, and is being reported
        return
