"""Calibration of made-up cameras from rendered boards: the truth comes back, guesses are refused."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from edge_runtime.camera.calibrate import _camera, calibrate
from edge_runtime.camera.chessboard import Board, Charuco, Chessboard, Corners, edge_width_px, parse_board
from edge_runtime.camera.fit import fit_views
from edge_runtime.camera.mount import FORWARD
from edge_runtime.camera.reach import first_without_inverse
from edge_runtime.camera.views import Found, View, choose_views, find_views
from edge_runtime.errors import SourceError, UsageError
from tests.edge_runtime.camera import boards, oracle

BOARD = Board(8, 6, 0.1)
CHARUCO = Board(8, 6, 0.14, "5x5_100", 0.105)
BROWN = boards.Camera()
FISHEYE = boards.Camera(
    fx=250.0, fy=251.0, cx=322.0, cy=238.0, radial=(0.03, -0.008, 0.001, 0.0), fisheye=True
)
SIZE = (640, 480)


def geometric_view(camera, turn, at, seed, noise_px=0.05):
    """A view whose corners are projected, not rendered: exact but for noise."""
    grid = np.mgrid[0:8, 0:6].T.reshape(-1, 2) * 0.1
    flat = np.column_stack([grid, np.zeros(48)]).astype(np.float32)
    rotation = cv2.Rodrigues(np.radians(np.array(turn, float)))[0]
    world = (flat - flat.mean(0)) @ rotation.T + np.array(at)
    side = np.hypot(world[:, 0], world[:, 1])
    ideal = np.arctan2(side, world[:, 2]) if camera.fisheye else side / world[:, 2]
    ratio = camera.bend(ideal) / side
    pixels = world[:, :2] * ratio[:, None] * (camera.fx, camera.fy) + (camera.cx, camera.cy)
    pixels += np.random.default_rng(seed).normal(0, noise_px, pixels.shape)
    return View(f"view {seed}", Corners(flat, pixels.astype(np.float32)), 2.0, b"")


def geometric_views(camera=BROWN, count=18, slant=1.0, noise_px=0.05):
    reach, near = (1.8, 0.6) if camera.fisheye else (0.7, 1.0)
    held = boards.poses(count, slant, reach, near)
    return [geometric_view(camera, *pose, seed, noise_px) for seed, pose in enumerate(held)]


@pytest.fixture(scope="module")
def rendered(tmp_path_factory):
    """Folder of pictures of the plain board, one in three of them without it."""
    folder = tmp_path_factory.mktemp("views")
    texture = boards.chessboard()
    for k, (turn, at) in enumerate(boards.poses(14)):
        cv2.imwrite(str(folder / f"v{k:02d}.png"), BROWN.photograph(texture, turn, at))
    cv2.imwrite(str(folder / "desk.png"), np.full((480, 640), 90, np.uint8))
    return folder


def run(targets, board=BOARD, lens="brown"):
    return calibrate(
        [str(t) for t in targets], board, lens=lens, name="test", camera_id=100, mount=FORWARD, most=30
    )


def worst_bearing_deg(camera, truth, reach=0.92):
    """Largest angle between the directions both see, over pixels in the inner `reach` of the picture."""
    worst = 0.0
    for u in np.linspace(0, SIZE[0] - 1, 11):
        for v in np.linspace(0, SIZE[1] - 1, 9):
            if max(abs(u / 319.5 - 1), abs(v / 239.5 - 1)) > reach:
                continue
            true = truth.rays(np.array(u), np.array(v))
            found = camera.ray((u + 0.5) / SIZE[0], (v + 0.5) / SIZE[1]).direction
            worst = max(worst, oracle.apart_deg(found, true))
    return worst


def test_a_rendered_camera_comes_back(rendered):
    done = run([rendered])
    camera = done.camera
    assert camera.fx == pytest.approx(BROWN.fx, rel=0.005)
    assert camera.fy == pytest.approx(BROWN.fy, rel=0.005)
    assert (camera.cx, camera.cy) == pytest.approx((BROWN.cx, BROWN.cy), abs=1.0)
    assert worst_bearing_deg(camera, BROWN) < 0.05
    assert done.fit.rms_px < 0.1
    assert (done.found.looked, len(done.found.views)) == (15, 14)


def test_a_rendered_charuco_board_does_too(tmp_path):
    texture = boards.charuco()
    for k, (turn, at) in enumerate(boards.poses(12)):
        cv2.imwrite(str(tmp_path / f"v{k:02d}.png"), BROWN.photograph(texture, turn, at))
    done = run([tmp_path], CHARUCO)
    assert done.camera.fx == pytest.approx(BROWN.fx, rel=0.005)
    assert worst_bearing_deg(done.camera, BROWN, reach=0.85) < 0.05


@pytest.mark.parametrize("search_px", [pytest.param(None, id="fast search"), 960, 400])
def test_corners_lie_where_they_were_rendered(monkeypatch, search_px):
    if search_px is not None:  # the fast search misses: the sturdy one takes over, here on a smaller picture
        monkeypatch.setattr(cv2, "findChessboardCorners", lambda *args, **flags: (False, None))
        monkeypatch.setattr("edge_runtime.camera.chessboard.SEARCH_PX", search_px)
    turn, at = boards.poses(2)[1]
    picture = BROWN.photograph(boards.chessboard(), turn, at)
    found = Chessboard(BOARD).find(picture)
    truth = geometric_view(BROWN, turn, at, 0, noise_px=0.0).corners.pixels
    gaps = np.linalg.norm(found.pixels[:, None] - truth[None], axis=2)
    assert sorted(gaps.argmin(axis=1)) == list(range(48))
    assert gaps.min(axis=1).max() < 0.15
    assert 1.0 < edge_width_px(picture, found) < 4.0
    assert edge_width_px(cv2.GaussianBlur(picture, (0, 0), 3), found) > 5.0


@pytest.mark.parametrize(
    ("truth", "lens"),
    [
        pytest.param(BROWN, "brown", id="brown"),
        pytest.param(BROWN, "rational", id="rational"),
        pytest.param(FISHEYE, "fisheye", id="fisheye"),
    ],
)
def test_exact_corners_give_the_exact_lens(truth, lens):
    fit = fit_views(geometric_views(truth, noise_px=0.001), SIZE, lens)
    assert fit.matrix[0, 0] == pytest.approx(truth.fx, rel=2e-4)
    assert fit.matrix[1, 1] == pytest.approx(truth.fy, rel=2e-4)
    assert fit.rms_px < 0.005
    assert len(fit.coefficients) == {"brown": 5, "rational": 8, "fisheye": 4}[lens]
    assert not fit.rejected


def test_a_fisheye_calibration_gives_true_bearings():
    fit = fit_views(geometric_views(FISHEYE, noise_px=0.03), SIZE, "fisheye")
    camera = _camera(fit, SIZE, "fish", 100, FORWARD)
    assert worst_bearing_deg(camera, FISHEYE, reach=0.9) < 0.05


@pytest.mark.parametrize("shift_px", [2.0, 40.0])
def test_views_that_do_not_fit_are_thrown_out(shift_px):
    views = geometric_views()
    for k in (3, 7):
        bent = views[k].corners.pixels.copy()
        bent[::7] += shift_px
        views[k] = View(views[k].name, Corners(views[k].corners.board_m, bent), 2.0, b"")
    fit = fit_views(views, SIZE, "brown")
    assert {view.view.name for view in fit.rejected} == {"view 3", "view 7"}
    assert len(fit.views) == 16
    assert fit.matrix[0, 0] == pytest.approx(BROWN.fx, rel=0.002)


@pytest.mark.parametrize(
    ("views", "words"),
    [
        pytest.param(
            geometric_views(count=7), "7 usable view.s. of the board, at least 8 are needed", id="few"
        ),
        pytest.param(
            geometric_views(slant=0.0), "do not determine the focal length: 0 of 18 views", id="frontal"
        ),
        pytest.param(geometric_views(slant=0.15), "do not determine the focal length", id="nearly frontal"),
        pytest.param(
            geometric_views(noise_px=3.0), "miss the brown lens by|do not determine", id="corners shake"
        ),
        pytest.param(
            [geometric_views()[0]] * 12, "do not determine the focal length", id="one view again and again"
        ),
    ],
)
def test_views_that_do_not_determine_the_lens_are_refused(views, words):
    with pytest.raises(SourceError, match=words) as caught:
        fit_views(views, SIZE, "brown")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("truth", "lens"),
    [pytest.param(BROWN, "brown", id="brown"), pytest.param(FISHEYE, "fisheye", id="fisheye")],
)
def test_the_told_uncertainty_of_the_focal_length_is_the_scatter_of_calibrations(truth, lens):
    held = boards.poses(10, 1.0, *((1.8, 0.6) if truth.fisheye else (0.7, 1.0)))
    fits = []
    for again in range(12):
        views = [geometric_view(truth, *pose, 100 * again + k, 0.05) for k, pose in enumerate(held)]
        fits.append(fit_views(views, SIZE, lens))
    scatter = np.std([fit.matrix[:2, :2].diagonal() for fit in fits], axis=0).max() / truth.fx
    told = np.mean([fit.focal_std for fit in fits])
    assert 0.5 < told / scatter < 2.0


def test_a_live_camera_is_refused(monkeypatch):
    class Live:
        live, fps, name, closed = True, 30.0, "/dev/video0", False

        def close(self):
            self.closed = True

    camera = Live()
    monkeypatch.setattr("edge_runtime.camera.views.open_source", lambda uri: camera)
    with pytest.raises(SourceError, match="/dev/video0 is live; record a video of the board first"):
        find_views(["/dev/video0"], BOARD)
    assert camera.closed


def test_frontal_views_of_a_fisheye_are_refused_too():
    with pytest.raises(SourceError, match=r"do not determine the focal length|no fisheye lens fits"):
        fit_views(geometric_views(FISHEYE, slant=0.0), SIZE, "fisheye")


def test_a_lens_that_folds_over_at_the_rim_is_fitted_with_fewer_coefficients(monkeypatch, caplog):
    """Boards in the middle of the picture only: the fifth coefficient is noise, and bends the rim back."""
    views = [
        geometric_view(BROWN, turn, (0.1 * at[0], 0.1 * at[1], at[2]), k, 0.1)
        for k, (turn, at) in enumerate(boards.poses(12))
    ]
    assert first_without_inverse(_camera(fit_views(views, SIZE, "brown"), SIZE, "x", 100, FORWARD))
    found = Found(tuple(views), 12, SIZE, ())
    monkeypatch.setattr("edge_runtime.camera.calibrate.find_views", lambda targets, board: found)
    monkeypatch.setattr("edge_runtime.camera.calibrate.choose_views", lambda views, size, most: list(views))
    done = run(["ignored"])
    assert len(done.camera.coefficients) == 4
    assert first_without_inverse(done.camera) is None
    assert "no board came near the top left corner" in caplog.text


def test_chosen_views_are_few_and_different():
    views = geometric_views(count=18)
    many = [view for view in views for _ in range(3)]
    chosen = choose_views(many, SIZE, 30)
    assert len(chosen) == len({view.name for view in chosen})
    assert len(chosen) >= 12
    few = choose_views(many, SIZE, 9)
    assert len(few) == 9
    centres = np.array([view.corners.pixels.mean(0) for view in few])
    assert np.ptp(centres[:, 0]) > 250
    assert np.ptp(centres[:, 1]) > 150


def test_blurred_pictures_are_left_out(rendered, tmp_path):
    for k in range(4):
        picture = cv2.imread(str(rendered / f"v{k:02d}.png"))
        cv2.imwrite(str(tmp_path / f"a{k}.png"), picture)
    smeared = cv2.GaussianBlur(cv2.imread(str(rendered / "v03.png")), (0, 0), 2.6)
    cv2.imwrite(str(tmp_path / "smeared.png"), smeared)
    found = find_views([str(tmp_path)], BOARD)
    assert found.blurred == ("smeared.png",)
    assert len(found.views) == 4


@pytest.mark.parametrize(
    ("board", "words"),
    [
        pytest.param(
            Board(9, 6, 0.1), "no 9x6 chessboard of inner corners found in 2 picture", id="other size"
        ),
        pytest.param(CHARUCO, "no 8x6 ChArUco board 5x5_100 found in 2 picture", id="other kind"),
    ],
)
def test_a_board_that_is_not_there_is_said(rendered, board, words):
    with pytest.raises(SourceError, match=words):
        find_views([str(rendered / "v01.png"), str(rendered / "desk.png")], board)


def test_pictures_of_two_sizes_are_refused(rendered, tmp_path):
    cv2.imwrite(str(tmp_path / "x.png"), np.zeros((240, 320), np.uint8))
    with pytest.raises(SourceError, match=r"x\.png: 320x240, the pictures before it are 640x480"):
        find_views([str(rendered / "v01.png"), str(tmp_path)], BOARD)


def test_a_charuco_board_half_out_of_view_still_counts():
    picture = BROWN.photograph(boards.charuco(), (0, 0, 0), (0.7, 0.0, 1.1))
    found = Charuco(CHARUCO).find(picture)
    assert 14 <= len(found.pixels) <= 25
    assert found.board_m.shape == (len(found.pixels), 3)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        pytest.param(("9", "25mm"), "--board '9': expected columns x rows", id="one side"),
        pytest.param(("2x9", "25mm"), "from 3 to 40", id="too small"),
        pytest.param(("9x6", "25"), "--square '25': expected a length with its unit", id="no unit"),
        pytest.param(("9x6", "0mm"), "--square '0mm': expected", id="nothing"),
        pytest.param(
            ("9x6", "25mm", "5x5_100", "30mm"), "must be smaller than the square", id="marker too large"
        ),
        pytest.param(("9x6", "25mm", None, "10mm"), "give --charuco", id="marker alone"),
    ],
)
def test_a_misdescribed_board_is_refused(arguments, words):
    with pytest.raises(UsageError, match=words):
        parse_board(*arguments)


def test_boards_are_read_with_their_units():
    assert parse_board("9x6", "25mm") == Board(9, 6, 0.025)
    assert parse_board("9 X 6", "2.5cm") == Board(9, 6, 0.025)
    assert parse_board("5x7", "0.04m", "4x4_50") == Board(5, 7, 0.04, "4x4_50", pytest.approx(0.03))


def test_an_unknown_dictionary_is_refused():
    with pytest.raises(UsageError, match=r"unknown dictionary; known are .*5x5_100"):
        Charuco(Board(8, 6, 0.1, "9x9_7", 0.075))


def test_an_opencv_without_charuco_is_said(monkeypatch):
    monkeypatch.delattr(cv2.aruco, "CharucoDetector")
    with pytest.raises(UsageError, match=r"needs OpenCV 4\.7 or newer, this is .*; use a plain chessboard"):
        Charuco(CHARUCO)
