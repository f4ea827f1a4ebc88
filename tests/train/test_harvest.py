"""Attention and proposals of a photo list: kept, resumed, shared; unreadable and flat photos."""

from __future__ import annotations

import dataclasses
import json
import os
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import torch

from edge_runtime.errors import ModelError, TrainingError
from train.classifier import Classifier
from train.config import ProposalConfig, SstConfig
from train.data.types import Image
from train.distributed import World
from train.harvest import (
    DONE,
    NOT_NEEDED,
    TO_DO,
    UNREADABLE,
    AttentionStore,
    harvest_attention,
    harvest_proposals,
    proposal_recall,
    read_proposals,
)
from train.proposals import Proposal
from train.sst import SelfSupervisedTransformer

from .photos import write_photo
from .together import brightness_classifier

if TYPE_CHECKING:
    from pathlib import Path

SHAPE, FEATURES = (3, 4, 4), 256
CPU = torch.device("cpu")


@pytest.fixture
def images(tmp_path: Path) -> list[Image]:
    folder = tmp_path / "photos"
    return [
        Image(write_photo(folder / f"{k}.png", width=64, height=48, seed=k), f"{k}.png", k % 2, 64, 48)
        for k in range(20)
    ]


@pytest.fixture
def sst() -> SelfSupervisedTransformer:
    torch.manual_seed(0)
    return SelfSupervisedTransformer(SstConfig("test_vit", "none", 64), CPU)


@pytest.fixture
def run_dir(tmp_path: Path) -> Path:
    out = tmp_path / "run"
    out.mkdir()
    return out


def _store(run_dir: Path, images: list[Image], **changes: Any) -> AttentionStore:
    return AttentionStore(run_dir, images, **{"shape": SHAPE, "features": FEATURES} | changes)


CLASSIFIER = brightness_classifier()


def _proposals(run_dir: Path, store: AttentionStore, images: list[Image]) -> list[list[Proposal]]:
    return harvest_proposals(run_dir, store, images, 0, CLASSIFIER, ProposalConfig(min_area=0.0), World())


def test_every_photo_is_harvested_once(
    run_dir: Path, images: list[Image], sst: SelfSupervisedTransformer
) -> None:
    store = _store(run_dir, images)
    harvest_attention(sst, store, images, World(), 1)
    assert (store.done == DONE).all()
    assert (store.maps.max((2, 3)) == 1).all()
    assert np.isfinite(store.features).all()


def test_photos_that_nobody_asks_for_are_not_shown_to_the_transformer(
    run_dir: Path, images: list[Image], sst: SelfSupervisedTransformer
) -> None:
    aside = [i for i, image in enumerate(images) if image.label == 0]
    for i in aside:
        images[i].path.unlink()  # whoever looks marks it as unreadable
    store = _store(run_dir, images, not_needed=aside)
    harvest_attention(sst, store, images, World(), 1)
    assert np.asarray(store.done).tolist() == [NOT_NEEDED if i in aside else DONE for i in range(20)]
    assert all(store.readable(i) for i in range(20))
    assert _store(run_dir, images).unfinished() == []


def test_an_interrupted_harvest_goes_on_to_the_same_bits(
    run_dir: Path, images: list[Image], sst: SelfSupervisedTransformer, tmp_path: Path
) -> None:
    """Killed after 10 of 20 photos, in the middle of the second batch."""
    whole = _store(run_dir, images)
    harvest_attention(sst, whole, images, World(), 1)
    other = tmp_path / "other"
    other.mkdir()
    resumed = _store(other, images)
    for part, full in ((resumed.maps, whole.maps), (resumed.features, whole.features)):
        part[:10] = full[:10]
    resumed.done[:10] = DONE
    harvest_attention(sst, _store(other, images), images, World(), 1)
    assert np.array_equal(resumed.maps, whole.maps)
    assert np.array_equal(resumed.features, whole.features)


def test_an_unreadable_photo_is_marked_named_and_without_proposal(
    run_dir: Path, images: list[Image], sst: SelfSupervisedTransformer, caplog: pytest.LogCaptureFixture
) -> None:
    images[5].path.write_bytes(b"\x89PNG no more")
    store = _store(run_dir, images)
    harvest_attention(sst, store, images, World(), 1)
    assert [i for i in range(20) if store.done[i] == UNREADABLE] == [5]
    assert "5.png" in caplog.text
    assert _proposals(run_dir, store, images)[5] == []


def test_an_empty_store_is_all_to_do_and_its_space_is_reserved(run_dir: Path, images: list[Image]) -> None:
    store = _store(run_dir, images)
    assert (store.done == TO_DO).all()
    if hasattr(os, "posix_fallocate"):
        assert (run_dir / "attention.f16").stat().st_blocks * 512 >= store.maps.nbytes


def test_a_full_disk_is_one_line(run_dir: Path, images: list[Image], monkeypatch: pytest.MonkeyPatch) -> None:
    def no_space(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "posix_fallocate", no_space, raising=False)
    with pytest.raises(TrainingError, match=r"attention\.f16: no room for its .* MB \(No space left"):
        _store(run_dir, images)
    assert not (run_dir / "attention.f16").exists()


def test_lost_maps_are_harvested_again(run_dir: Path, images: list[Image]) -> None:
    _store(run_dir, images).done[:] = DONE
    (run_dir / "features.f16").unlink()
    assert (_store(run_dir, images).done == TO_DO).all()


@pytest.mark.parametrize(
    ("change", "said"),
    [
        pytest.param(lambda images: images[:-1], r"1 gone \(19.png\)", id="a photo less"),
        pytest.param(lambda images: images[::-1], "the order of the photos is another", id="another order"),
        pytest.param(
            lambda images: [dataclasses.replace(images[0], label=1), *images[1:]],
            r"1 of another class \(0.png\)",
            id="another label",
        ),
        pytest.param(
            lambda images: [*images[2:], dataclasses.replace(images[0], image_id="x.png")],
            r"2 gone \(0.png, ...\), 1 new \(x.png\)",
            id="two gone, one new",
        ),
    ],
)
def test_a_store_of_other_photos_is_refused_and_they_are_named(
    run_dir: Path, images: list[Image], change: Any, said: str
) -> None:
    _store(run_dir, images)
    with pytest.raises(ModelError, match=f"the data set changed since this run began: {said}"):
        _store(run_dir, change(images))


def test_a_store_of_another_transformer_or_a_damaged_one_is_refused(
    run_dir: Path, images: list[Image]
) -> None:
    _store(run_dir, images)
    with pytest.raises(ModelError, match="another transformer"):
        _store(run_dir, images, shape=(7, 4, 4))
    for text in ("{", "[]"):
        (run_dir / "attention.json").write_text(text)
        with pytest.raises(ModelError, match="damaged"):
            _store(run_dir, images)


def _filled(run_dir: Path, images: list[Image]) -> AttentionStore:
    store = _store(run_dir, images)
    store.done[:] = DONE
    store.maps[:, :, 1:3, 1:3] = 1
    store.maps[3] = 0  # flat: no proposal
    return store


def test_proposals_are_for_photos_with_an_object_and_attention(run_dir: Path, images: list[Image]) -> None:
    found = _proposals(run_dir, _filled(run_dir, images), images)
    assert [bool(p) for p in found] == [k % 2 == 1 and k != 3 for k in range(20)]
    assert 0 < found[1][0].score < 1


def test_proposals_go_on_after_a_kill_and_equal_an_uninterrupted_harvest(
    run_dir: Path, images: list[Image], monkeypatch: pytest.MonkeyPatch
) -> None:
    store = _filled(run_dir, images)
    whole = _proposals(run_dir, store, images)
    path = run_dir / "proposals.jsonl"
    text = path.read_bytes()
    lines = text.splitlines(keepends=True)
    path.write_bytes(b"".join(lines[:7]) + lines[7][:15])  # killed in the middle of a line
    asked: list[int] = []
    original = Classifier.probabilities
    monkeypatch.setattr(
        Classifier, "probabilities", lambda self, shown: asked.append(len(shown)) or original(self, shown)
    )
    assert _proposals(run_dir, store, images) == whole
    assert path.read_bytes() == text
    assert len(asked) == sum(bool(p) for p in whole[7:])


def test_proposals_read_back_equal_those_just_made(run_dir: Path, images: list[Image]) -> None:
    made = _proposals(run_dir, _filled(run_dir, images), images)
    assert list(read_proposals(run_dir / "proposals.jsonl").values()) == made


def test_a_disk_that_fills_up_while_proposals_are_written_is_one_line(
    run_dir: Path, images: list[Image], monkeypatch: pytest.MonkeyPatch
) -> None:
    store = _filled(run_dir, images)
    lines = 0

    def line(image_id: str, _: object) -> str:
        nonlocal lines
        lines += 1
        if lines > 5:
            raise OSError(28, "No space left on device")
        return json.dumps({"id": image_id, "boxes": []})

    monkeypatch.setattr("train.harvest._line", line)
    with pytest.raises(
        TrainingError, match=r"proposals\.jsonl: cannot be written \(No space left on device\)"
    ):
        _proposals(run_dir, store, images)
    assert len(read_proposals(run_dir / "proposals.jsonl")) == 5  # what was done stays


def test_each_line_names_its_photo_and_boxes(run_dir: Path, images: list[Image]) -> None:
    _proposals(run_dir, _filled(run_dir, images), images)
    entry = json.loads((run_dir / "proposals.jsonl").read_text().splitlines()[1])
    assert entry["id"] == "1.png"
    x0, y0, x1, y1, map_index, level, score = entry["boxes"][0]
    assert 0 <= x0 < x1 <= 1
    assert 0 <= y0 < y1 <= 1
    assert map_index in range(3)
    assert 0 < level < 1
    assert 0 <= score <= 1


def test_recall_counts_photos_whose_best_proposals_meet_a_box() -> None:
    def image(*boxes: tuple[int, int, int, int]) -> Image:
        return Image(None, "x", 1, 100, 100, np.array(boxes, np.int32).reshape(-1, 4))  # type: ignore[arg-type]

    hit, miss = Proposal((0.0, 0.0, 0.5, 0.5), 0, 0.5), Proposal((0.5, 0.5, 1.0, 1.0), 0, 0.5)
    photos = [image((0, 0, 50, 50)), image((0, 0, 50, 50)), image((0, 0, 50, 50)), image()]
    recall = proposal_recall([[hit, miss], [miss, hit], [], [hit]], photos)
    assert recall == {"top1": pytest.approx(100 / 3), "top2": pytest.approx(200 / 3)}


def test_recall_without_boxes_is_empty() -> None:
    unknown = Image(None, "x", 1, 100, 100, None)  # type: ignore[arg-type]
    assert proposal_recall([[Proposal((0, 0, 1, 1), 0, 0.5)]], [unknown]) == {}
