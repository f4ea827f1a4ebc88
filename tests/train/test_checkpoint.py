"""Files are replaced whole or not at all, and only our own are read back."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from edge_runtime.errors import ModelError, TrainingError
from train.checkpoint import load_tensors, save_tensors, write_text


def test_tensors_and_header_come_back_exactly(tmp_path: Path) -> None:
    tensors = {
        "a": torch.randn(2, 3, 4, 4).to(memory_format=torch.channels_last),
        "b": torch.tensor(7),
        "c": torch.zeros(0, dtype=torch.float16),
    }
    meta = {"classes": 2, "name": "Mañana", "list": [1.5, None]}
    save_tensors(tmp_path / "x.safetensors", tensors, meta)
    found, header = load_tensors(tmp_path / "x.safetensors")
    assert header == meta
    assert all(torch.equal(found[k], tensors[k]) and found[k].dtype == tensors[k].dtype for k in tensors)


def test_equal_content_gives_equal_bytes(tmp_path: Path) -> None:
    for name in "ab":
        torch.manual_seed(0)
        save_tensors(tmp_path / name, {"w": torch.randn(9), "v": torch.randn(3)}, {"epoch": 1})
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()


def test_the_old_file_survives_when_writing_fails(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "x.safetensors"
    save_tensors(path, {"w": torch.ones(3)}, {"n": 1})

    def no_space(self: Path, target: Path) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "replace", no_space)
    with pytest.raises(
        TrainingError, match=r"x\.safetensors: cannot be written \(No space left on device\); the one"
    ):
        save_tensors(path, {"w": torch.zeros(3)}, {"n": 2})
    assert load_tensors(path)[1] == {"n": 1}
    assert [p.name for p in tmp_path.iterdir()] == ["x.safetensors"]


def test_a_full_disk_in_the_middle_of_a_file_leaves_the_old_one(tmp_path: Path) -> None:
    """A real limit on file size: the write itself fails after some bytes."""
    path = tmp_path / "x.safetensors"
    save_tensors(path, {"w": torch.ones(100)}, {"n": 1})
    script = f"""
import resource, torch
from pathlib import Path
from edge_runtime.errors import TrainingError
from train.checkpoint import save_tensors
resource.setrlimit(resource.RLIMIT_FSIZE, (50_000, 50_000))
try:
    save_tensors(Path({str(path)!r}), {{"w": torch.zeros(100_000)}}, {{"n": 2}})
except TrainingError as error:
    print(error)
"""
    pytest.importorskip("resource")
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert "cannot be written (File too large); the one from before is kept" in done.stdout
    assert done.stdout.count("\n") == 1
    assert load_tensors(path)[1] == {"n": 1}
    assert [p.name for p in tmp_path.iterdir()] == ["x.safetensors"]


def test_a_folder_that_is_gone_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(TrainingError, match="cannot be written"):
        write_text(tmp_path / "gone" / "x.toml", "a = 1")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        pytest.param(None, "cannot be read", id="missing"),
        pytest.param(b"", "cannot be read", id="empty"),
        pytest.param(b"PK\x03\x04 some pickle", "cannot be read", id="another format"),
    ],
)
def test_files_that_are_no_safetensors_are_named(tmp_path: Path, content: bytes | None, message: str) -> None:
    path = tmp_path / "x.safetensors"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(ModelError, match=message):
        load_tensors(path)


def test_a_cut_file_is_named(tmp_path: Path) -> None:
    path = tmp_path / "x.safetensors"
    save_tensors(path, {"w": torch.ones(100)}, {})
    path.write_bytes(path.read_bytes()[:-50])
    with pytest.raises(ModelError, match=r"x\.safetensors: cannot be read"):
        load_tensors(path)


@pytest.mark.parametrize("header", [None, {"json": "{no json"}])
def test_safetensors_of_others_are_refused(tmp_path: Path, header: dict[str, str] | None) -> None:
    save_file({"w": torch.ones(2)}, tmp_path / "x", header)
    with pytest.raises(ModelError, match="not written by `dips-edge train`"):
        load_tensors(tmp_path / "x")


def test_text_is_replaced_whole(tmp_path: Path) -> None:
    write_text(tmp_path / "x.json", json.dumps({"a": 1}))
    write_text(tmp_path / "x.json", json.dumps({"a": 2}))
    assert json.loads((tmp_path / "x.json").read_text()) == {"a": 2}
    assert [p.name for p in tmp_path.iterdir()] == ["x.json"]
