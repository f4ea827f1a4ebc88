"""`dips-edge manifest`: written, compared, and every kind of change named; `train --verify` asks the same."""

from __future__ import annotations

import hashlib
import json
import logging
from typing import TYPE_CHECKING

import pytest

from edge_runtime.cli import main
from edge_runtime.errors import DatasetError
from tests.train.photos import write_folders, write_photo, write_wsol
from tests.train.shards import folders_to_shards
from tests.train.tiny import tiny_config, write_tiny_set
from train.data.dataset import load_dataset, splits_of
from train.data.manifest import FILE, check_manifest, read_manifest, write_manifest
from train.run import train_run

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


@pytest.fixture
def data(tmp_path: Path) -> Path:
    root = write_folders(tmp_path / "set")
    write_manifest(root / FILE, load_dataset(root))
    return root


def test_each_item_has_its_split_class_size_and_hash(data: Path) -> None:
    entries, digest = read_manifest(data / FILE)
    assert len(entries) == 12
    entry = entries["val", "val/tower/1.jpg"]
    photo = (data / "val" / "tower" / "1.jpg").read_bytes()
    assert (entry.label, entry.size) == ("tower", len(photo))
    assert entry.sha256 == hashlib.sha256(photo).hexdigest()
    assert check_manifest(data / FILE, load_dataset(data), hashes=True) == digest


def _other_bytes(root: Path) -> None:
    path = root / "train" / "tower" / "0.jpg"
    path.write_bytes(path.read_bytes()[:-1] + b"!")


def _longer(root: Path) -> None:
    with (root / "train" / "tower" / "0.jpg").open("ab") as file:
        file.write(b"more")


def _other_class(root: Path) -> None:
    (root / "train" / "tower" / "0.jpg").rename(root / "train" / "background" / "9.jpg")


def _gone_and_new(root: Path) -> None:
    (root / "val" / "tower" / "0.jpg").unlink()
    write_photo(root / "val" / "tower" / "7.jpg")
    write_photo(root / "val" / "tower" / "8.jpg")


@pytest.mark.parametrize(
    ("change", "said", "seen_by_sizes"),
    [
        pytest.param(_other_bytes, r"1 changed \(train/tower/0.jpg\)", False, id="other bytes"),
        pytest.param(_longer, r"1 changed \(train/tower/0.jpg\)", True, id="another size"),
        pytest.param(
            _other_class,
            r"1 gone or unreadable \(train/tower/0.jpg\), 1 new \(train/background/9.jpg\)",
            True,
            id="another class",
        ),
        pytest.param(
            _gone_and_new,
            r"1 gone or unreadable \(val/tower/0.jpg\), 2 new \(val/tower/7.jpg, ...\)",
            True,
            id="gone and new",
        ),
    ],
)
def test_a_changed_data_set_is_named(
    data: Path, change: Callable[[Path], None], said: str, seen_by_sizes: bool
) -> None:
    change(data)
    dataset = load_dataset(data)
    with pytest.raises(DatasetError, match=rf"set is not what manifest.jsonl says: {said}; restore it, or"):
        check_manifest(data / FILE, dataset, hashes=True)
    if seen_by_sizes:
        with pytest.raises(DatasetError, match=said):
            check_manifest(data / FILE, dataset, hashes=False)
    else:
        assert check_manifest(data / FILE, dataset, hashes=False)


def test_a_changed_label_is_named(tmp_path: Path) -> None:
    root = write_wsol(tmp_path)
    write_manifest(root / FILE, load_dataset(root))
    labels = root / "metadata" / "train" / "class_labels.txt"
    labels.write_text(labels.read_text().replace("train/0.jpg,0", "train/0.jpg,1"))
    with pytest.raises(DatasetError, match=r"1 of another class \(train/0.jpg\)"):
        check_manifest(root / FILE, load_dataset(root), hashes=True)


def test_photos_in_shards_are_items_too(tmp_path: Path) -> None:
    folders = write_tiny_set(tmp_path / "folders")
    shards = folders_to_shards(folders, tmp_path / "shards")
    write_manifest(folders / FILE, load_dataset(folders))
    write_manifest(shards / FILE, load_dataset(shards))
    assert (folders / FILE).read_bytes() == (shards / FILE).read_bytes()


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        pytest.param(lambda text: text[:-20], "cut short or edited", id="cut short"),
        pytest.param(lambda text: text.replace("tower", "mast"), "cut short or edited", id="edited"),
        pytest.param(lambda _: "", "not a manifest", id="empty"),
        pytest.param(lambda _: "[]\n", "not a manifest", id="something else"),
        pytest.param(lambda text: text.replace('"manifest": 1', '"manifest": 9'), "version 9", id="newer"),
    ],
)
def test_a_manifest_that_cannot_be_trusted_is_said(
    data: Path, spoil: Callable[[str], str], said: str
) -> None:
    (data / FILE).write_text(spoil((data / FILE).read_text()))
    with pytest.raises(DatasetError, match=f"{said}.*dips-edge manifest .* --force"):
        read_manifest(data / FILE)


def _run(capsys: pytest.CaptureFixture[str], *args: str) -> tuple[int, str, str]:
    with pytest.raises(SystemExit) as done:
        main(["manifest", *args])
    out, err = capsys.readouterr()
    return int(done.value.code or 0), out, err


def test_the_command_writes_refuses_to_overwrite_and_checks(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    root = write_folders(tmp_path / "set")
    code, _, err = _run(capsys, str(root), "--check")
    assert (code, "no manifest; write one with" in err) == (1, True)
    code, out, _ = _run(capsys, str(root), "--json")
    assert (code, json.loads(out)["items"]) == (0, 12)
    code, _, err = _run(capsys, str(root))
    assert (code, "add --force" in err) == (1, True)
    code, out, _ = _run(capsys, str(root), "--check")
    assert (code, out.endswith("12 items as in manifest.jsonl (hashes compared)\n")) == (0, True)
    _other_bytes(root)
    code, out, err = _run(capsys, str(root), "--check")
    last = err.splitlines()[-1]
    assert (code, last.startswith("error: "), "1 changed (train/tower/0.jpg)" in last) == (1, True, True)
    code, out, _ = _run(capsys, str(root), "--check", "--quick")
    assert (code, "(sizes compared)" in out) == (0, True)
    code, _, err = _run(capsys, str(tmp_path / "nowhere"))
    assert (code, "no such folder" in err) == (1, True)


def test_a_set_that_is_only_judged_has_a_manifest_too(tmp_path: Path) -> None:
    photo = write_photo(tmp_path / "test" / "tower" / "0.jpg")
    assert splits_of(tmp_path) == ("test",)
    assert splits_of(photo.parent) == ("train", "val", "test")
    assert write_manifest(tmp_path / FILE, load_dataset(tmp_path, splits=splits_of(tmp_path)))[0] == 1


def test_training_refuses_with_verify_and_warns_without(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = write_tiny_set(tmp_path / "set")
    with pytest.raises(DatasetError, match="no manifest; write one"):
        train_run(root, tmp_path / "run", tiny_config(), device="cpu", threads=1, verify=True)
    write_manifest(root / FILE, load_dataset(root))
    (root / "train" / "thing" / "0.png").unlink()
    with pytest.raises(DatasetError, match=r"1 gone or unreadable \(train/thing/0.png\)"):
        train_run(root, tmp_path / "run", tiny_config(), device="cpu", threads=1, verify=True)
    assert not (tmp_path / "run").exists()
    monkeypatch.setattr("train.run._stages", lambda run, _: None)
    with caplog.at_level(logging.WARNING):
        train_run(root, tmp_path / "run", tiny_config(), device="cpu", threads=1)
    assert "is not what" in caplog.text
    assert "train/thing/0.png" in caplog.text
