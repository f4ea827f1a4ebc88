"""Files appear whole and checked, several of them together, or not at all."""

from __future__ import annotations

import errno
import os
import resource
from typing import TYPE_CHECKING

import pytest

from edge_runtime.errors import ModelError
from edge_runtime.place import staged

if TYPE_CHECKING:
    from pathlib import Path


def content(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def test_all_files_appear_under_their_names(tmp_path: Path) -> None:
    new = tmp_path / "folder"
    with staged({new / "a.onnx": b"a", new / "b.onnx": b"b"}) as parts:
        assert {part.read_bytes() for part in parts.values()} == {b"a", b"b"}
        assert not {"a.onnx", "b.onnx"} & set(content(new))
    assert content(new) == {"a.onnx": b"a", "b.onnx": b"b"}


@pytest.mark.parametrize("error", [ModelError("differs"), KeyboardInterrupt()], ids=["refused", "Ctrl-C"])
def test_what_fails_its_check_changes_nothing(tmp_path: Path, error: BaseException) -> None:
    (tmp_path / "a.onnx").write_bytes(b"old")
    with pytest.raises(type(error)), staged({tmp_path / "a.onnx": b"new", tmp_path / "b.onnx": b"new"}):
        raise error
    assert content(tmp_path) == {"a.onnx": b"old"}


def test_a_full_disk_leaves_the_old_file(tmp_path: Path) -> None:
    """The operating system itself refuses the write: files of this process may not pass 64 KiB."""
    out = tmp_path / "m.onnx"
    out.write_bytes(b"old")
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 16, hard))
    try:
        too_big = pytest.raises(ModelError, match=os.strerror(errno.EFBIG))
        with too_big, staged({tmp_path / "first.onnx": b"small", out: bytes(1 << 20)}):
            pass
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert content(tmp_path) == {"m.onnx": b"old"}
