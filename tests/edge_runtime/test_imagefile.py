"""Decoding image files: whole ones as stored, damaged ones refused."""

import struct

import cv2
import numpy as np
import pytest

from edge_runtime.imagefile import decode_image, is_cut_short

IMAGE = np.random.default_rng(0).integers(0, 255, (48, 64, 3), np.uint8)


def encoded(suffix: str, image: np.ndarray = IMAGE) -> bytes:
    return cv2.imencode(suffix, image)[1].tobytes()


def with_exif(jpeg: bytes, payload: bytes) -> bytes:
    """The JPEG with an APP1 segment after its start marker."""
    return jpeg[:2] + b"\xff\xe1" + struct.pack(">H", len(payload) + 2) + payload + jpeg[2:]


@pytest.mark.parametrize("suffix", [".png", ".bmp", ".tiff"])
def test_lossless_images_come_back_exactly(suffix):
    np.testing.assert_array_equal(decode_image(encoded(suffix)), IMAGE)


def test_gray_and_transparent_images_become_three_channels():
    assert decode_image(encoded(".png", IMAGE[..., 0])).shape == (48, 64, 3)
    assert decode_image(encoded(".png", np.dstack([IMAGE, IMAGE[..., :1]]))).shape == (48, 64, 3)


def test_pixels_come_as_stored_whatever_exif_says():
    exif = b"Exif\0\0II*\0\x08\0\0\0\x01\0\x12\x01\x03\0\x01\0\0\0\x06\0\0\0\0\0\0\0"  # orientation 6: turn
    assert decode_image(with_exif(encoded(".jpg"), exif)).shape == (48, 64, 3)


@pytest.mark.parametrize(
    "data",
    [
        pytest.param(b"", id="empty"),
        pytest.param(b"hello" * 100, id="no image"),
        pytest.param(encoded(".jpg")[:-400], id="jpeg cut short"),
        pytest.param(encoded(".png")[:-400], id="png cut short"),
        pytest.param(
            with_exif(encoded(".jpg"), encoded(".jpg", IMAGE[:8, :8]))[:-400],
            id="cut short behind a thumbnail",
        ),
        pytest.param(encoded(".jpg")[:100], id="only a header"),
    ],
)
def test_what_is_no_whole_image_is_refused(data):
    assert decode_image(data) is None


def test_bytes_behind_the_end_marker_do_no_harm():
    assert not is_cut_short(encoded(".jpg") + b"maker notes" * 50)
