"""Signals end a run well; one more ends it at once, whatever its threads are at."""

import signal
import subprocess
import sys
import time

import pytest

# The thread is at work in C++ (no GIL, no daemon's death) when the interpreter would end.
PROGRAM = """
import threading, time
import cv2, numpy as np
from edge_runtime.stopping import StopSignals

def work():
    photo = np.zeros((2000, 2000, 3), np.uint8)
    while True:
        cv2.GaussianBlur(photo, (31, 31), 0)

threading.Thread(target=work, daemon=True).start()
with StopSignals() as stop:
    print("begun", flush=True)
    while not stop():
        time.sleep(0.01)
    print("asked to stop", flush=True)
    time.sleep({linger_s})
print("over", flush=True)
"""


@pytest.fixture
def begin():
    started = []

    def start(linger_s):
        command = [sys.executable, "-c", PROGRAM.format(linger_s=linger_s)]
        started.append(subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True))
        assert started[-1].stdout.readline() == "begun\n"
        return started[-1]

    yield start
    for process in started:
        process.kill()
        process.communicate()


@pytest.mark.parametrize("first", [signal.SIGINT, signal.SIGTERM], ids=["Ctrl-C", "SIGTERM"])
def test_a_second_ctrl_c_ends_the_process_at_once_as_a_signal_does(begin, first):
    process = begin(linger_s=60)
    process.send_signal(first)
    assert process.stdout.readline() == "asked to stop\n"
    time.sleep(0.7)
    process.send_signal(signal.SIGINT)
    said, errors = process.communicate(timeout=20)
    assert (process.returncode, said, errors) == (-signal.SIGINT, "", "")


@pytest.mark.parametrize(
    ("second", "wait_s"),
    [
        pytest.param(signal.SIGINT, 0.05, id="the same press passed on twice"),
        pytest.param(signal.SIGTERM, 0.7, id="SIGTERM"),
    ],
)
def test_what_is_no_second_press_lets_the_run_end_well(begin, second, wait_s):
    process = begin(linger_s=wait_s + 0.5)
    process.send_signal(signal.SIGINT)
    time.sleep(wait_s)
    process.send_signal(second)
    assert process.stdout.read() == "asked to stop\nover\n"
