"""Ends the making of an image whose OpenCV or TensorRT is not the system's own."""

import importlib.util
import re
import sys

import cv2

# Not imported: some of TensorRT's libraries come into the container with NVIDIA's runtime, when it runs.
tensorrt = importlib.util.find_spec("tensorrt")
if tensorrt is None or tensorrt.origin is None:
    sys.exit("the base image has no TensorRT for this Python")
for origin in (cv2.__file__, tensorrt.origin):
    if origin.startswith(sys.prefix):
        sys.exit(f"pip has put its own in the way of the system's: {origin}")
if not re.search(r"GStreamer: +YES", cv2.getBuildInformation()):
    sys.exit(f"the OpenCV in {cv2.__file__} has no GStreamer")
if tuple(map(int, cv2.__version__.split(".")[:2])) < (4, 5):
    sys.exit(f"OpenCV {cv2.__version__} in {cv2.__file__} is too old: 4.5 or newer is needed")
print(f"OpenCV {cv2.__version__} in {cv2.__file__}, TensorRT in {tensorrt.origin}")
