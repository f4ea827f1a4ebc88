"""A third party's ground station library at the other end: MAVSDK, in a process of its own."""

import importlib.util
import json
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from tests.edge_runtime.mavlink.flights import MAX_AGE_MS, Feeder
from tests.edge_runtime.mavlink.station import free_port

if importlib.util.find_spec("mavsdk") is None:
    pytest.skip("mavsdk is not installed (pip install mavsdk==4.1.0)", allow_module_level=True)

STATUS = "CAMERA_TRACKING_IMAGE_STATUS"
FRAME_MS = 1000 / 30


class Client:
    """`mavsdk_client.py`, and all it has said."""

    def __init__(self):
        self.port = free_port()
        script = str(Path(__file__).with_name("mavsdk_client.py"))
        self._process = subprocess.Popen(
            ["timeout", "-k", "2", "60", sys.executable, script, str(self.port)],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
        )  # fmt: skip
        self.events = []
        self._thread = threading.Thread(target=self._read, daemon=True)
        self._thread.start()
        self.wait_for("listening", timeout_s=20)

    def close(self):
        self._process.stdin.close()
        try:
            self._process.wait(10)
        finally:
            self._process.kill()
            self._process.wait()
            self._thread.join(2)
            self._process.stdout.close()

    def of(self, event):
        return [e for e in self.events if e["event"] == event]

    def wait_for(self, event, count=1, timeout_s=3.0):
        until_s = time.monotonic() + timeout_s
        while len(found := self.of(event)) < count:
            assert time.monotonic() < until_s, f"{len(found)} of {count} {event}: {self.events[-5:]}"
            assert self._process.poll() is None
            time.sleep(0.002)
        return found

    def call(self, *call):
        """Result and milliseconds of one call of the camera plugin."""
        count = len(self.of("result"))
        self._process.stdin.write(json.dumps(call) + "\n")
        self._process.stdin.flush()
        answer = self.wait_for("result", count + 1)[-1]
        return answer["result"], answer["took_ms"]

    def _read(self):
        for line in self._process.stdout:
            if line.startswith("{"):  # the library logs there too
                self.events.append(json.loads(line))


@pytest.fixture
def client():
    client = Client()
    yield client
    client.close()


@pytest.fixture
def flight(client, fly, context):
    """A flight that MAVSDK has found, its feeder not yet running."""
    began_s = time.monotonic()
    sink = fly(f"udpout:127.0.0.1:{client.port}?landing_target=ardupilot&rate_hz=30")
    (camera,) = client.wait_for("camera")
    assert time.monotonic() - began_s < 3.0
    assert (camera["sysid"], camera["compid"]) == (1, 100)
    assert (camera["vendor"], camera["model"]) == ("dips-edge", "tower-fp16")
    with Feeder(sink.report, context.controls) as feeder:
        yield feeder


def statuses(client):
    return [(e["t_ns"], e["fields"]["tracking_status"]) for e in client.of(STATUS)]


def test_an_operator_chooses_and_lets_go_by_mavsdk(client, flight):
    result, took_ms = client.call("track_rectangle", 0.3, 0.2, 0.7, 0.8)
    assert (result, took_ms < 100) == ("SUCCESS", True)
    for bad in ([0.7, 0.2, 0.3, 0.8], [None, 0.2, 0.3, 0.8], [0.3, 0.2, 1.3, 0.8]):
        assert client.call("track_rectangle", *bad)[0] == "DENIED"
    flight.seen = True
    client.wait_for("LANDING_TARGET")
    flight.seen = False
    asked_ns = time.monotonic_ns()
    assert client.call("track_stop")[0] == "SUCCESS"
    time.sleep(0.15)
    idle_ms = min((t - asked_ns) / 1e6 for t, s in statuses(client) if s == 0 and t > asked_ns)
    assert idle_ms < 2 * FRAME_MS + 50  # the frame under way when it was asked, and the one after


def test_mavsdk_gets_each_valid_record_once_and_the_end_of_the_track_in_time(client, flight):
    flight.seen = True
    time.sleep(1.5)
    flight.seen = False
    time.sleep(1.0)
    flight.seen = True
    time.sleep(0.6)
    flight.seen = False
    time.sleep(0.3)
    records, came = list(flight.records), client.of("LANDING_TARGET")
    valid = [r for r in records if r["valid"]]
    stamps = [e["fields"]["time_usec"] for e in came]
    assert stamps == [r["t_cap_mono_ns"] // 1000 for r in valid]
    assert stamps == sorted(set(stamps))
    assert max(e["t_ns"] / 1e6 - e["fields"]["time_usec"] / 1e3 for e in came) <= MAX_AGE_MS + 50
    for made, got in zip(valid, came):
        assert got["fields"]["angle_x"] == pytest.approx(made["bearing"]["ang_x"], abs=1e-6)
    assert {r["tid"] for r in valid} == {1, 2}

    last_ns = max(r["t_cap_mono_ns"] for r in valid if r["tid"] == 1)
    after = [(t, s) for t, s in statuses(client) if t > last_ns]
    coasting_ms, idle_ms = ((next(t for t, s in after if s == want) - last_ns) / 1e6 for want in (9, 0))
    assert 100 < coasting_ms < 100 + 2 * FRAME_MS + 50
    assert 500 < idle_ms < 500 + 2 * FRAME_MS + 50
    again = [s for t, s in after if s == 1]
    assert again  # and it is shown again with the new track
    texts = [e["fields"]["text"].rstrip("\0") for e in client.of("STATUSTEXT")]
    assert texts[:3] == ["dips-edge: ACQUIRED tower #1", "dips-edge: LOST #1", "dips-edge: ACQUIRED tower #2"]


@pytest.mark.slow
def test_mavsdk_sees_us_leave_after_a_fault(client, flight, context):
    flight.seen = True
    client.wait_for("LANDING_TARGET")
    faulted_ns = time.monotonic_ns()
    context.health.fault("engine")
    gone = client.wait_for("connected", timeout_s=8)[-1]
    assert not gone["now"]
    assert (gone["t_ns"] - faulted_ns) / 1e9 <= 5.0
    assert max(e["fields"]["time_usec"] for e in client.of("LANDING_TARGET")) * 1000 <= faulted_ns
    idle_ms = (statuses(client)[-1][0] - faulted_ns) / 1e6
    assert statuses(client)[-1][1] == 0
    assert idle_ms < 200


@pytest.mark.slow
def test_mavsdk_asks_for_the_time_and_gets_our_monotonic_clock(client, flight):
    client.call("timesync")
    answers = [e for e in client.wait_for("TIMESYNC", 3, timeout_s=30) if e["fields"]["tc1"]]
    late_ms = [(e["t_ns"] - e["fields"]["tc1"]) / 1e6 for e in answers]
    assert answers
    assert all(0 < ms < 50 for ms in late_ms)
    assert all(e["fields"]["ts1"] for e in answers)
