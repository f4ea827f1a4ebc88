"""Other programs as receiving ends: pymavlink in another process, MAVProxy, Wireshark. Field by field."""

import importlib.util
import json
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from edge_runtime.circumstances import Circumstances
from edge_runtime.frames import Frame
from edge_runtime.sinks import Result
from edge_runtime.sinks.mavlink import messages
from edge_runtime.sinks.worker import SinkWorker
from tests.edge_runtime.mavlink.flights import MAX_AGE_MS, Feeder, header, record
from tests.edge_runtime.mavlink.station import free_port, mavlink

KEY = bytes(range(32))
FLOAT32 = 2e-7
FIELDS = ("frame", "angle_x", "angle_y", "size_x", "size_y", "distance", "position_valid")
CORNERS = ("rec_top_x", "rec_top_y", "rec_bottom_x", "rec_bottom_y")


class Receiver:
    """`receiver.py`; `end()` gives what came."""

    def __init__(self, key=b""):
        script = str(Path(__file__).with_name("receiver.py"))
        self._process = subprocess.Popen(
            ["timeout", "-k", "2", "120", sys.executable, script, *([key.hex()] if key else [])],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
        )  # fmt: skip
        self.port = int(self._process.stdout.readline())

    def end(self):
        """([t_ns, name, signed, fields] ..., packets refused)."""
        time.sleep(0.1)
        out, _ = self._process.communicate(timeout=20)
        *came, refused = map(json.loads, out.splitlines())
        return came, refused


def named(came, name):
    return [fields for _, n, _, fields in came if n == name]


def assert_same(records, landing_targets, statuses, tolerance=FLOAT32):
    """What came is what the records say, to the precision of float32 or of the digits printed."""
    valid = [r for r in records if r["valid"]]
    assert len(landing_targets) == len(valid) > 0
    for made, got in zip(valid, landing_targets):
        expected = messages.landing_target(made, "ardupilot", messages.DOWN).fields
        assert int(got["time_usec"]) == expected["time_usec"]
        for key in FIELDS:
            assert number(got[key]) == pytest.approx(expected[key], rel=tolerance, abs=tolerance), key
    boxes = [r["box"] for r in records if r["box"] is not None]
    shown = [[number(s[c]) for c in CORNERS] for s in statuses if number(s["tracking_status"])]
    assert shown
    assert all(any(s == pytest.approx(b, abs=tolerance) for b in boxes) for s in shown)


def number(value):
    """Of a decoded field, or of its text: decimal, or hexadecimal for enumerations."""
    return int(value, 16) if isinstance(value, str) and value.startswith("0x") else float(value)


def flown(fly, context, target, seconds=1.0):
    """Records of a short flight to `target`."""
    sink = fly(f"{target}?landing_target=ardupilot&rate_hz=30")
    with Feeder(sink.report, context.controls) as feeder:
        feeder.seen = True
        time.sleep(seconds)
        feeder.seen = False
        time.sleep(0.2)
    sink.close()
    return feeder.records


def test_ardupilots_dialect_in_another_process_reads_what_the_records_say(fly, context):
    receiver = Receiver()
    records = flown(fly, context, f"udpout:127.0.0.1:{receiver.port}")
    came, _ = receiver.end()
    assert_same(records, named(came, "LANDING_TARGET"), named(came, "CAMERA_TRACKING_IMAGE_STATUS"))


@pytest.mark.slow  # in one process: test_signing.py
def test_signed_packets_are_taken_with_the_right_key_only(fly, tmp_path):
    cases = {"right": (KEY, 150), "unsigned": (b"", 0), "wrong": (bytes(32), 0)}
    receivers = {name: Receiver(KEY) for name in cases}
    sinks = []
    for name, (key, _) in cases.items():
        target = f"udpout:127.0.0.1:{receivers[name].port}?landing_target=ardupilot"
        if key:
            (tmp_path / name).write_bytes(key)
            (tmp_path / name).chmod(0o600)
            target += f"&signing_key={tmp_path / name}"
        sinks.append(fly(target))
    for i in range(150):
        made = record(i)
        for sink in sinks:
            sink.report(made)
    for sink in sinks:
        sink.close()
    for name, (_, expected) in cases.items():
        came, refused = receivers[name].end()
        assert len(named(came, "LANDING_TARGET")) == expected, name
        assert all(signed for _, _, signed, _ in came)
        assert (refused == 0) == (expected > 0), name


def test_nothing_old_comes_after_the_link_was_blocked(fly, context):
    """The sink's thread is held while the pipeline goes on, as by a long pause."""
    receiver = Receiver()
    sink = fly(f"udpout:127.0.0.1:{receiver.port}?landing_target=ardupilot&rate_hz=100")
    worker = SinkWorker(sink, header(), lossless=False)
    sink.start = lambda _: None  # started already
    worker.thread.start()
    image = np.zeros((2, 2, 3), np.uint8)
    score_map = np.zeros((2, 2), np.float32)

    def report(made):
        frame = Frame(image, made["seq"], made["t_cap_mono_ns"])
        worker.put(Result(frame, score_map, made, Circumstances(frame.t_capture_ns, made["age_ms"])))

    with Feeder(report, context.controls) as feeder:
        feeder.seen = True
        time.sleep(0.3)
        with sink.link._lock:
            time.sleep(0.6)
        time.sleep(0.4)
    worker.finish()
    worker.thread.join(5)
    came, _ = receiver.end()
    ages_ms = [t / 1e6 - f["time_usec"] / 1e3 for t, n, _, f in came if n == "LANDING_TARGET"]
    assert len(ages_ms) > 10
    assert max(ages_ms) <= MAX_AGE_MS + 50
    assert worker.dropped > 0
    times_us = [f["time_usec"] for f in named(came, "LANDING_TARGET")]
    assert all(b > a for a, b in zip(times_us, times_us[1:]))


@pytest.mark.slow
def test_a_minute_at_30_hz_loses_nothing_and_keeps_its_rhythm(fly, context):
    receiver = Receiver()
    sink = fly(f"udpout:127.0.0.1:{receiver.port}?landing_target=ardupilot&rate_hz=30")
    young = set()  # when all was sent; what is too old by then is left out, as it should be

    def report(record):
        sink.report(record)
        if record["valid"] and time.monotonic_ns() - record["t_cap_mono_ns"] <= MAX_AGE_MS * 1e6:
            young.add(record["t_cap_mono_ns"] // 1000)

    with Feeder(report, context.controls) as feeder:
        feeder.seen = True
        time.sleep(60)
    sink.close()
    came, _ = receiver.end()
    times_ms = [t / 1e6 for t, n, _, _ in came if n == "LANDING_TARGET"]
    stamps = [f["time_usec"] for _, n, _, f in came if n == "LANDING_TARGET"]
    valid = [r for r in feeder.records if r["valid"]]
    ages_ms = [t / 1e6 - f["time_usec"] / 1e3 for t, n, _, f in came if n == "LANDING_TARGET"]
    gaps_ms = np.diff(times_ms)
    p99_ms, load = float(np.percentile(gaps_ms, 99)), os.getloadavg()[0]
    print(
        f"{len(times_ms)} of {len(valid)} came; interval p50 {np.median(gaps_ms):.1f}, p99 {p99_ms:.1f}, "
        f"max {gaps_ms.max():.1f} ms; age p99 {np.percentile(ages_ms, 99):.1f} ms; load {load:.1f}"
    )
    idle = load < (os.cpu_count() or 1)
    assert sink.link.lost == 0
    assert young <= set(stamps) and len(stamps) == len(set(stamps))
    assert len(young) == len(valid) if idle else len(young) >= 0.95 * len(valid)
    assert len(valid) >= 1700
    assert p99_ms < (50 if idle else 150)


@pytest.mark.slow
@pytest.mark.skipif(
    shutil.which("mavproxy.py") is None, reason="mavproxy.py is not on the PATH (pip install MAVProxy)"
)
def test_the_log_of_mavproxy_says_what_the_records_say(fly, context, tmp_path):
    port, log = free_port(), tmp_path / "flight.tlog"
    command = ["timeout", "-k", "2", "40", "mavproxy.py", f"--master=udpin:127.0.0.1:{port}", "--daemon"]
    command += ["--non-interactive", "--default-modules=", f"--logfile={log}", f"--state-basedir={tmp_path}"]
    command += ["--cmd=set flushlogs 1"]
    with subprocess.Popen(
        command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, cwd=tmp_path
    ) as proxy:
        try:
            sink = fly(f"udpout:127.0.0.1:{port}?landing_target=ardupilot&rate_hz=30")
            until_s = time.monotonic() + 25
            while not log.exists() or log.stat().st_size == 0:  # it logs once it has heard our heartbeat
                assert time.monotonic() < until_s
                time.sleep(0.1)
            with Feeder(sink.report, context.controls) as feeder:
                feeder.seen = True
                time.sleep(2.0)
            sink.close()
            time.sleep(1.0)  # for its log
        finally:
            proxy.terminate()
    came = tlog(log.read_bytes())
    targets = [m.to_dict() for m in came if m.get_type() == "LANDING_TARGET"]
    assert_same(
        feeder.records, targets, [m.to_dict() for m in came if m.get_type() == "CAMERA_TRACKING_IMAGE_STATUS"]
    )


def tlog(data):
    """Messages of a telemetry log: each is a packet behind eight bytes of time."""
    codec, found, place = mavlink.MAVLink(None), [], 0
    while place + 8 + 12 < len(data):
        packet = data[place + 8 :]
        length = (
            packet[1] + (12 if packet[0] == 0xFD else 8) + (13 if packet[0] == 0xFD and packet[2] & 1 else 0)
        )
        if packet[0] in (0xFD, 0xFE) and len(packet) >= length:
            found.append(codec.decode(bytearray(packet[:length])))
        place += 8 + length
    return found


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("tshark") is None, reason="tshark is not installed")
@pytest.mark.skipif(os.geteuid() != 0, reason="only root may capture packets")
@pytest.mark.skipif(importlib.util.find_spec("pymavlink") is None, reason="pymavlink is not installed")
def test_wireshark_dissects_what_the_records_say(fly, context, tmp_path):
    port, script = free_port(), tmp_path / "mavlink.lua"
    write_dissector(script)
    command = [
        "timeout",
        "-k",
        "2",
        "40",
        "tshark",
        "-l",
        "-i",
        "lo",
        "-f",
        f"udp dst port {port}",
        "-T",
        "json",
    ]
    command += ["-X", f"lua_script:{script}", "-d", f"udp.port=={port},mavlink_proto", "-a", "duration:6"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as shark:
        for line in shark.stderr:
            if "Capture started" in line:
                break
        records = flown(fly, context, f"udpout:127.0.0.1:{port}")
        out, _ = shark.communicate(timeout=30)
    packets = [p["_source"]["layers"].get("mavlink_proto", {}) for p in json.loads(out)]
    flat = [dict(leaves(p)) for p in packets]
    targets = [fields(p, "LANDING_TARGET") for p in flat]
    statuses = [fields(p, "CAMERA_TRACKING_IMAGE_STATUS") for p in flat]
    assert_same(records, [t for t in targets if t], [s for s in statuses if s], tolerance=1e-5)


def write_dissector(path):
    """Wireshark's view of the protocol, generated from its published definition."""
    import contextlib
    import io

    import pymavlink
    from pymavlink.generator import mavgen

    definition = Path(pymavlink.__file__).parent / "dialects" / "v20" / "common.xml"
    options = mavgen.Opts(str(path), wire_protocol="2.0", language="WLua", validate=False)
    with contextlib.redirect_stdout(io.StringIO()):
        mavgen.mavgen(options, [str(definition)])


def leaves(tree):
    for key, value in tree.items():
        if isinstance(value, dict):
            yield from leaves(value)
        else:
            yield key, value


def fields(packet, name):
    prefix = f"mavlink_proto.{name}_"
    return {key[len(prefix) :]: value for key, value in packet.items() if key.startswith(prefix)}
