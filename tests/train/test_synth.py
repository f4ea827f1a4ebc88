"""The rendered tower set: same seed same pixels, boxes as tight as the pixels say, a folder that trains."""

import csv
import itertools
import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
from click.testing import CliRunner

from edge_runtime.errors import DatasetError
from train.commands.synth import synth
from train.synth import files
from train.synth.camera import Camera, aimed
from train.synth.clips import frame_truth, orbit_frames, plan_orbit, render_orbit_clip
from train.synth.files import SetPlan, write_set
from train.synth.scene import Scene
from train.synth.stills import render_still, still_scene

SMALL = (192, 144)
TINY = SetPlan(train=1, val=2, test=1, clips=0, size=(96, 64), seed=3)


def changed_bounds(a: np.ndarray, b: np.ndarray, least: int) -> tuple[int, int, int, int]:
    """Bounds (x0, y0, x1, y1), ends inclusive, of the pixels that differ by at least `least` levels."""
    mask = (np.abs(a.astype(int) - b.astype(int)).max(axis=2) >= least).astype(np.uint8)
    x, y, width, height = cv2.boundingRect(mask)
    return x, y, x + width - 1, y + height - 1


@pytest.fixture(scope="module")
def small_set(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("synth") / "set"
    write_set(out, TINY, workers=1)
    return out


@pytest.mark.parametrize("tower", [True, False])
def test_the_same_seed_gives_the_same_pixels_and_another_seed_others(tower):
    first, again, other = (render_still(seed, SMALL, tower=tower) for seed in ((5, 1), (5, 1), (5, 2)))
    assert np.array_equal(first.image, again.image)
    assert first.box == again.box
    assert np.abs(first.image.astype(int) - other.image).mean() > 5


def measured_box(scene: Scene, camera: Camera) -> tuple[int, int, int, int]:
    """Bounds of the pixels that are the tower's by a fifth or more: there a black and a white one differ."""
    assert scene.tower is not None
    pictures = []
    for level in (0.0, 100.0):
        painted = replace(
            scene.tower,
            rod_colours=np.full_like(scene.tower.rod_colours, level),
            facet_colours=np.full_like(scene.tower.facet_colours, level),
        )
        pictures.append(replace(scene, tower=painted).render(camera).image)
    full = np.abs(np.subtract(*(picture.astype(int) for picture in pictures))).max()
    return changed_bounds(*pictures, round(0.2 * full))


@pytest.mark.parametrize("seed", [0, 1, 2, *(pytest.param(n, marks=pytest.mark.slow) for n in (3, 4))])
def test_the_box_is_as_tight_as_the_pixels_say(seed):
    scene, camera, _ = still_scene((11, seed), (320, 240), tower=True)
    box = scene.render(camera).box
    assert box is not None
    assert np.abs(np.subtract(box, measured_box(scene, camera))).max() <= 1


def test_the_tower_changes_only_what_lies_in_its_box_and_leaves_none_when_taken_away():
    scene, camera, _ = still_scene((11, 0), (320, 240), tower=True)
    picture, bare = scene.render(camera), replace(scene, tower=None).render(camera)
    assert bare.box is None
    changed = np.array(changed_bounds(picture.image, bare.image, 30))
    assert ((changed - np.array(picture.box)) * np.array([1, 1, -1, -1]) >= -1).all()


@pytest.mark.parametrize("seed", range(2))
def test_a_background_photo_is_a_scene_without_a_tower_and_has_no_box(seed):
    scene, _, _ = still_scene((12, seed, 0), SMALL, tower=False)
    assert scene.tower is None
    assert render_still((12, seed), SMALL, tower=False).box is None


def test_towers_fill_from_a_third_of_the_height_to_all_of_it_and_often_stand_off_centre():
    boxes = np.array([render_still((13, k), SMALL, tower=True).box for k in range(10)])
    heights = (boxes[:, 3] - boxes[:, 1] + 1) / SMALL[1]
    centres = (boxes[:, 0] + boxes[:, 2]) / 2 / SMALL[0]
    assert heights.min() >= 0.3
    assert heights.max() <= 1.0
    assert heights.max() - heights.min() > 0.25
    assert np.abs(centres - 0.5).mean() > 0.08


def test_a_camera_shows_its_target_where_it_was_told_to():
    eye, target = np.array([120.0, -80.0, 35.0]), np.array([0.0, 0.0, 20.0])
    camera = aimed(eye, target, (400.0, 100.0), focal_px=500.0, size=(640, 480), roll_rad=0.05)
    (pixel,), _ = camera.project(target[None])
    assert pixel == pytest.approx([400.0, 100.0], abs=0.05)
    ray = camera.rays()[100, 400].astype(float)
    toward = target - eye
    assert np.cross(ray, toward) / np.linalg.norm(toward) == pytest.approx(np.zeros(3), abs=1e-3)
    window = camera.window(380, 90, 50, 40, 4)
    (inside,), _ = window.project(target[None])
    assert inside == pytest.approx((pixel - [380, 90] + 0.5) * 4 - 0.5)


def test_clip_boxes_follow_the_tower_out_of_the_view_and_back():
    truths = [truth for _, truth in orbit_frames(1, 6.0, (96, 64), leave=True, fps=4.0)]
    present = [bool(truth["present"]) for truth in truths]
    assert present[0]
    assert present[-1]
    assert not all(present)
    assert sum(a != b for a, b in itertools.pairwise(present)) == 2, "away once, back once"
    for truth in truths:
        assert truth["present"] == any(o["visible"] >= 0.5 for o in truth["objects"])
        for found in truth["objects"]:
            x0, y0, x1, y1 = found["box"]
            assert 0 <= x0 <= x1 < 96
            assert 0 <= y0 <= y1 < 64
            assert 0.0 < found["visible"] <= 1.0


def test_the_box_of_a_clip_frame_is_as_tight_as_the_pixels_say():
    scene, flight, _ = plan_orbit(2, (160, 120), leave=False)
    for t in (0.0, 4.0):
        camera = flight.camera(t, 6.0, (160, 120))
        picture = scene.render(camera)
        (found,) = frame_truth(scene, camera, picture)["objects"]
        assert found["visible"] == 1.0
        assert np.abs(np.subtract(found["box"], measured_box(scene, camera))).max() <= 1


def test_a_clip_has_one_line_of_truth_per_frame_that_can_be_read_back(tmp_path):
    path = tmp_path / "orbit.mp4"
    render_orbit_clip(path, 4, 1.0, (96, 64), leave=False, fps=8.0)
    lines = [json.loads(line) for line in (tmp_path / "orbit.gt.jsonl").read_text().splitlines()]
    video = cv2.VideoCapture(str(path))
    shapes = []
    while (read := video.read())[0]:
        shapes.append(read[1].shape)
    video.release()
    assert shapes == [(64, 96, 3)] * 8
    assert [line["frame"] for line in lines] == list(range(8))
    assert [line["t"] for line in lines] == [k / 8 for k in range(8)]
    assert all(line["present"] and len(line["objects"]) == 1 for line in lines)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["orbit.gt.jsonl", "orbit.mp4"]


def test_a_clip_that_cannot_be_written_says_so(tmp_path):
    with pytest.raises(DatasetError, match="cannot write mp4v video"):
        render_orbit_clip(tmp_path / "nowhere" / "orbit.mp4", 4, 1.0, (96, 64))


def test_a_video_cut_short_by_a_full_disk_is_not_kept(tmp_path):
    code = (
        "import resource, sys\n"
        "from pathlib import Path\n"
        "from train.synth.clips import render_orbit_clip\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (3000, 3000))\n"
        "render_orbit_clip(Path(sys.argv[1]), 4, 1.0, (96, 64), fps=8.0)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path / "orbit.mp4")], capture_output=True, text=True, check=False
    )
    assert "is the disk full?" in done.stderr
    assert list(tmp_path.iterdir()) == []


def test_the_folder_layout_is_the_documented_one(small_set):
    found = sorted(str(path.relative_to(small_set)) for path in small_set.rglob("*") if path.is_file())
    assert found == sorted(
        [
            f"{s}/{c}/{s}-{k:04d}.jpg"
            for s, n in (("train", 1), ("val", 2), ("test", 1))
            for c in files.CLASSES
            for k in range(n)
        ]
        + ["test/boxes.csv", "val/boxes.csv", "synth.json"]
    )
    with (small_set / "val" / "boxes.csv").open() as stream:
        rows = list(csv.reader(stream))
    assert rows[0] == ["path", "x0", "y0", "x1", "y1"]
    assert [row[0] for row in rows[1:]] == ["tower/val-0000.jpg", "tower/val-0001.jpg"]
    assert cv2.imread(str(small_set / "val" / rows[1][0])).shape == (64, 96, 3)
    assert json.loads((small_set / "synth.json").read_text())["seed"] == 3


def test_the_set_can_be_loaded_for_training(small_set):
    from train.data.dataset import load_dataset

    dataset = load_dataset(small_set)
    assert set(dataset.classes) == {"background", "tower"}
    assert dataset.negative is not None
    assert dataset.classes[dataset.negative] == "background"
    assert [len(dataset.splits[s]) for s in ("train", "val", "test")] == [2, 4, 2]
    assert dataset.has_boxes("val")


def test_two_processes_render_what_one_does(small_set, tmp_path):
    write_set(tmp_path / "set", TINY, workers=2)
    for path in small_set.rglob("*.*"):
        assert (tmp_path / "set" / path.relative_to(small_set)).read_bytes() == path.read_bytes()


def folder_with_a_file(path: Path) -> None:
    path.mkdir()
    (path / "mine.txt").write_text("keep")


@pytest.mark.parametrize(
    ("prepare", "force", "message"),
    [
        pytest.param(
            folder_with_a_file, False, "found files in it; choose another or add --force", id="in use"
        ),
        pytest.param(folder_with_a_file, True, "--force replaces only a set rendered before", id="not a set"),
        pytest.param(lambda path: path.write_text("keep"), True, "found a file", id="a file"),
    ],
)
def test_what_is_there_already_is_left_alone(tmp_path, prepare, force, message):
    out = tmp_path / "out"
    prepare(out)
    with pytest.raises(DatasetError, match=message):
        write_set(out, TINY, workers=1, force=force)
    assert [p.read_text() for p in (out, out / "mine.txt") if p.is_file()] == ["keep"]


def test_force_replaces_an_earlier_set_once_the_new_one_is_whole(tmp_path):
    out = tmp_path / "out"
    write_set(out, replace(TINY, train=0, val=0, test=1), workers=1)
    write_set(out, replace(TINY, train=1, val=0, test=0), workers=1, force=True)
    assert sorted(p.parent.parent.name for p in out.rglob("*.jpg")) == ["train", "train"]
    assert [p.name for p in tmp_path.iterdir()] == ["out"]


@pytest.mark.parametrize("workers", [1, 2])
def test_an_interrupted_set_leaves_nothing_behind(tmp_path, workers):
    def stop(_: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_set(tmp_path / "out", TINY, workers=workers, progress=stop)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        pytest.param(["--size", "640"], "expected WIDTHxHEIGHT", id="one number"),
        pytest.param(["--size", "640x481"], "expected even numbers", id="odd"),
        pytest.param(["--size", "10x10"], "from 64 to 4096", id="too small"),
        pytest.param(["--val", "-1"], "-1", id="negative count"),
    ],
)
def test_bad_arguments_are_refused_before_anything_is_written(tmp_path, arguments, message):
    result = CliRunner().invoke(synth, [str(tmp_path / "out"), *arguments])
    assert result.exit_code == 2
    assert message in result.output
    assert not (tmp_path / "out").exists()


def test_rendering_needs_neither_torch_nor_matplotlib():
    code = (
        "import sys, train.synth.files; print(*{'torch', 'timm', 'matplotlib', 'scipy'} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == ""
