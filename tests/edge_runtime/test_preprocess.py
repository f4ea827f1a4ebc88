"""The one resize: its sizes, and that whatever way it goes, areas are averaged."""

import cv2
import numpy as np
import pytest

from edge_runtime.preprocess import resize_frame


def pictures(height, width):
    """Noise, the same blurred, black and white pixels, and wide bars."""
    noise = np.random.default_rng(0).integers(0, 256, (height, width, 3), dtype=np.uint8)
    rows, columns = np.mgrid[:height, :width]
    bars = np.where((rows // 37 + columns // 53) % 2, np.uint8(255), np.uint8(0))
    yield from (noise, cv2.GaussianBlur(noise, (0, 0), 5.0), (noise > 127).astype(np.uint8) * np.uint8(255))
    yield np.repeat(bars[:, :, None], 3, axis=2)


@pytest.mark.parametrize(
    ("frame", "size"),
    [
        pytest.param((480, 640), (320, 320), id="3 rows to 2"),
        pytest.param((400, 640), (320, 320), id="5 rows to 4"),
        pytest.param((720, 1280), (640, 640), id="9 rows to 8"),
        pytest.param((3, 4), (2, 2), id="tiny"),
        pytest.param((480, 640), (240, 320), id="2 rows to 1"),
        pytest.param((480, 640), (448, 320), id="15 rows to 14"),
        pytest.param((480, 640), (224, 224), id="VGA to 224"),
        pytest.param((720, 1280), (320, 320), id="HD to 320"),
        pytest.param((481, 642), (320, 321), id="half the width, rows that do not divide"),
    ],
)
def test_a_shrunk_picture_is_within_one_grey_level_of_opencv_averaging_areas(frame, size):
    for picture in pictures(*frame):
        shrunk = resize_frame(picture, *size)
        assert shrunk.shape == (*size, 3) and shrunk.dtype == np.uint8
        expected = cv2.resize(picture, size[::-1], interpolation=cv2.INTER_AREA)
        assert np.abs(shrunk.astype(int) - expected).max() <= 1


@pytest.mark.parametrize("grey", [0, 1, 127, 254, 255])
def test_an_even_picture_keeps_its_grey_exactly(grey):
    assert (resize_frame(np.full((480, 640, 3), grey, np.uint8), 320, 320) == grey).all()


def test_a_window_into_a_larger_picture_is_resized_as_its_copy():
    picture = next(pictures(600, 800))[40:520, 60:700]
    assert np.array_equal(resize_frame(picture, 320, 320), resize_frame(picture.copy(), 320, 320))


def test_a_picture_of_the_right_size_is_passed_on_and_a_small_one_interpolated():
    picture = next(pictures(32, 48))
    assert resize_frame(picture, 32, 48) is picture
    enlarged = resize_frame(picture, 64, 64)
    assert np.array_equal(enlarged, cv2.resize(picture, (64, 64), interpolation=cv2.INTER_LINEAR))
