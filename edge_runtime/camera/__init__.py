"""Where in space a box lies: camera file (intrinsics, distortion, mount) ──▶ bearings, and how to make one.

cam.toml ─load_camera─▶ CameraModel ─bearing_of(box)─▶ Bearing ─to_record─▶ fields of the record
pictures of a board ─calibrate─▶ cam.toml
"""

from edge_runtime.camera.bearing import Bearing, bearing_of
from edge_runtime.camera.camfile import load_camera
from edge_runtime.camera.model import CameraModel

__all__ = ["Bearing", "CameraModel", "bearing_of", "load_camera"]
