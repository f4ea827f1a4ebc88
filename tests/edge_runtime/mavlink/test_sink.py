"""The sink on a real socket: identities, heartbeats, commands, what comes in which state."""

import random
import time

import pytest

from edge_runtime.errors import SinkError
from edge_runtime.live import RunContext
from edge_runtime.sinks import open_sink
from tests.edge_runtime.mavlink.flights import Feeder, header, record
from tests.edge_runtime.mavlink.station import NAN, Station, free_port, mavlink

IDLE, ACTIVE, COASTING = 0, 1, 9


@pytest.fixture
def station():
    with Station() as station:
        yield station


@pytest.fixture
def sink(fly, station):
    """Its records do not grow too old, however busy this machine is."""
    sink = fly(f"udpout:127.0.0.1:{station.port}?landing_target=ardupilot", max_age_ms=60_000.0)
    station.wait_for("HEARTBEAT", 2)
    return sink


def status_of(station, since=0):
    return [m.tracking_status for m in station.of("CAMERA_TRACKING_IMAGE_STATUS", since)]


def test_a_camera_and_a_companion_of_the_vehicle_say_hello(sink, station):
    who = {(m.get_srcSystem(), m.get_srcComponent(), m.type, m.autopilot) for m in station.of("HEARTBEAT")}
    assert who == {(1, 100, 30, 8), (1, 191, 18, 8)}


def test_heartbeats_come_every_second_and_stop_with_the_health_of_the_pipeline(sink, station, context):
    station.wait_for("HEARTBEAT", 6)  # three of each
    first_ns, *_, last_ns = (t for t, m in station.came if m.get_type() == "HEARTBEAT")
    assert 1.5 < (last_ns - first_ns) / 1e9 < 5.0  # two seconds, and what a busy machine makes of them
    context.health.fault("no frame for 200 ms")
    station.wait_for("STATUSTEXT")
    since = len(station.came)
    time.sleep(1.2)
    assert station.names()[since:] == []
    context.health.recover()
    station.wait_for("HEARTBEAT", 2, since=since)


def test_nothing_is_said_before_the_pipeline_is_healthy(station):
    sink = open_sink(f"mavlink:udpout:127.0.0.1:{station.port}", context=RunContext())
    sink.start(header())
    sink.report(record())
    time.sleep(0.2)
    sink.close()
    assert station.names() == []


def test_each_detection_is_one_landing_target_stamped_with_its_capture(sink, station):
    records = [record(i) for i in range(5)]
    for one in records:
        sink.report(one)
        sink.report(one)  # a repetition is no new detection
    came = station.wait_for("LANDING_TARGET", 5)
    assert [m.time_usec for m in came] == [r["t_cap_mono_ns"] // 1000 for r in records]
    time.sleep(0.1)
    assert len(station.of("LANDING_TARGET")) == 5
    assert {(m.get_srcComponent(), m.frame, m.target_num, m.type, m.position_valid) for m in came} == {
        (191, 12, 0, 3, 0)
    }


@pytest.mark.parametrize(
    "unfit",
    [
        pytest.param(lambda: record(1, "COASTING"), id="predicted"),
        pytest.param(lambda: record(1, detected=False), id="tracked without a detection in this frame"),
        pytest.param(lambda: record(1, "SEARCHING"), id="searching"),
        pytest.param(lambda: record(1, "LOST"), id="lost"),
        pytest.param(lambda: record(1, "FAULT"), id="fault"),
        pytest.param(lambda: record(1, age_ms=151), id="too old when made"),
        pytest.param(lambda: record(1, ray=None), id="without a bearing"),
    ],
)
def test_nothing_but_a_fresh_detection_makes_a_landing_target(sink, station, unfit):
    sink.report(unfit())
    sink.report(record(2))
    station.wait_for("LANDING_TARGET")
    time.sleep(0.05)
    assert len(station.of("LANDING_TARGET")) == 1


def test_a_record_that_waited_too_long_is_not_flushed_afterwards(fly, station):
    sink = fly(f"udpout:127.0.0.1:{station.port}?landing_target=ardupilot")
    station.wait_for("HEARTBEAT", 2)
    assert station.command(511, 275, 1000).result == 0
    waiting = [record(i, age_ms=80 - i) for i in range(3)]
    time.sleep(0.12)
    for one in waiting:
        sink.report(one)
    station.wait_for("CAMERA_TRACKING_IMAGE_STATUS")
    assert station.of("LANDING_TARGET") == []
    assert set(status_of(station)) == {IDLE}


def test_tracking_status_follows_the_states_and_idle_comes_at_once(sink, station):
    assert station.command(511, 275, 1_000_000).result == 0
    for i, state in enumerate(["TRACKING", "TRACKING", "LOST", "LOST", "SEARCHING"]):
        sink.report(record(i, state))
    station.wait_for("CAMERA_TRACKING_IMAGE_STATUS", 2)
    time.sleep(1.05)
    sink.report(record(6, "COASTING"))
    station.wait_for("CAMERA_TRACKING_IMAGE_STATUS", 3)
    active, idle, coasting = station.of("CAMERA_TRACKING_IMAGE_STATUS")
    assert (active.tracking_status, active.tracking_mode, active.target_data) == (ACTIVE, 2, 4)
    corners = (active.rec_top_x, active.rec_top_y, active.rec_bottom_x, active.rec_bottom_y)
    assert corners == pytest.approx((0.4, 0.2, 0.6, 0.8), abs=1e-6)
    assert (idle.tracking_status, idle.tracking_mode, idle.rec_top_x) == (
        IDLE,
        0,
        pytest.approx(NAN, nan_ok=True),
    )
    assert (coasting.tracking_status, coasting.tracking_mode) == (COASTING, 2)
    assert active.get_srcComponent() == 100


def test_when_records_stop_coming_the_box_is_taken_back(sink, station):
    station.command(511, 275, 1000)
    sink.report(record())
    station.wait_for("CAMERA_TRACKING_IMAGE_STATUS", 2)
    assert status_of(station) == [ACTIVE, IDLE]


def test_a_fault_is_said_once_and_takes_the_box_back(sink, station, context):
    station.command(511, 275, 1000)
    sink.report(record())
    station.wait_for("CAMERA_TRACKING_IMAGE_STATUS")
    context.health.fault("no frame for 200 ms")
    texts = station.wait_for("STATUSTEXT", 2)  # no record comes that could tell it
    sink.report(record(1, "FAULT"))
    sink.report(record(2))
    time.sleep(0.1)
    assert [m.text for m in texts] == ["dips-edge: ACQUIRED tower #1", "dips-edge: FAULT no frame for 200 ms"]
    assert len(station.of("STATUSTEXT")) == 2
    assert status_of(station)[:2] == [ACTIVE, IDLE]
    assert ACTIVE not in status_of(station)[1:]
    assert len(station.of("LANDING_TARGET")) == 1


def test_transitions_are_told_once(sink, station):
    story = ["SEARCHING", "TRACKING", "COASTING", "TRACKING", "COASTING", "LOST", "LOST", "SEARCHING"]
    for i, state in enumerate(story):
        sink.report(record(i, state, tid=1))
    sink.report(record(9, "TRACKING", tid=2))
    texts = [m.text for m in station.wait_for("STATUSTEXT", 3)]
    assert texts == ["dips-edge: ACQUIRED tower #1", "dips-edge: LOST #1", "dips-edge: ACQUIRED tower #2"]


def test_operator_commands_reach_the_tracker(sink, station, context):
    assert station.command(2005, 0.1, 0.2, 0.3, 0.4).result == 0
    assert station.command(2004, 0.5, 0.02, 0.1).result == 0
    assert station.command(2010).result == 0
    seed, point, stop = context.controls.take()
    assert seed.box_xyxy == pytest.approx((0.1, 0.2, 0.3, 0.4), abs=1e-6)
    assert point.box_xyxy == pytest.approx((0.4, 0.0, 0.6, 0.12), abs=1e-6)
    assert (seed.kind, point.kind, stop.kind) == ("seed", "seed", "stop")


def test_camera_information_comes_new_and_old_style(sink, station):
    for number, params in ((512, (259,)), (521, (1,))):
        since = len(station.came)
        ack = station.command(number, *params)
        assert (ack.result, ack.get_srcComponent()) == (0, 100)
        (info,) = station.wait_for("CAMERA_INFORMATION", since=since)
        assert bytes(info.vendor_name).rstrip(b"\0") == b"dips-edge"
        assert bytes(info.model_name).rstrip(b"\0") == b"tower-fp16"
        assert (info.resolution_h, info.resolution_v, info.flags) == (1280, 720, 1024 | 512)


def test_a_status_asked_for_once_is_idle_when_the_last_box_is_old(fly, station):
    """Asked well before 400 ms have passed: then the silence itself takes the box back."""
    sink = fly(f"udpout:127.0.0.1:{station.port}", max_age_ms=400.0)
    station.wait_for("HEARTBEAT", 2)
    sink.report(record())
    assert station.command(512, 275).result == 0
    station.wait_for("CAMERA_TRACKING_IMAGE_STATUS")
    time.sleep(0.45)
    station.command(512, 275)
    station.wait_for("CAMERA_TRACKING_IMAGE_STATUS", 2)
    assert status_of(station) == [ACTIVE, IDLE]


def test_closing_takes_the_box_back(fly, station):
    sink = fly(f"udpout:127.0.0.1:{station.port}?rate_hz=30")
    sink.report(record())
    station.wait_for("CAMERA_TRACKING_IMAGE_STATUS")
    sink.close()
    station.wait_for("CAMERA_TRACKING_IMAGE_STATUS", 2)
    assert status_of(station) == [ACTIVE, IDLE]


def test_two_stations_with_intervals_of_their_own_do_not_affect_each_other(fly):
    port = free_port()
    sink = fly(f"udpin:127.0.0.1:{port}", max_age_ms=60_000.0)
    with Station(port, 255) as fast, Station(port, 254) as slow, Station(port, 253) as silent:
        fast.command(511, 275, 33_333)
        slow.command(511, 275, 200_000)
        silent.heartbeat()
        began_s = time.monotonic()
        for i in range(30):
            while time.monotonic() < began_s + i / 30:
                time.sleep(0.001)
            sink.report(record(i))
        slow.command(511, 275, -1)
        seconds = time.monotonic() - began_s
        counts = [len(s.of("CAMERA_TRACKING_IMAGE_STATUS")) for s in (fast, slow, silent)]
        assert 2 <= counts[1] <= 1 + seconds * 5  # never more often than asked for
        assert 2 * counts[1] < counts[0] <= 30  # 5 and 29 where nothing else runs
        assert counts[2] == 0
        sink.report(record(31, "LOST"))
        fast.wait_for("CAMERA_TRACKING_IMAGE_STATUS", counts[0] + 1)
        time.sleep(0.05)
        assert len(slow.of("CAMERA_TRACKING_IMAGE_STATUS")) == counts[1]


def test_garbage_on_the_port_changes_nothing(fly):
    port = free_port()
    fly(f"udpin:127.0.0.1:{port}")
    chance = random.Random(4)
    with Station(port) as station:
        whole = mavlink.MAVLink_command_long_message(1, 100, 512, 0, 259, *(NAN,) * 6).pack(station._codec)
        for _ in range(300):
            noise = chance.choices(range(256), k=chance.randrange(40))
            bent = bytearray(whole[: chance.randrange(len(whole) + 1)] + bytes(noise))
            if bent:
                bent[chance.randrange(len(bent))] ^= 1 << chance.randrange(8)
            station.send_bytes(bytes(bent))
        assert station.command(512, 259).result == 0


def test_landing_target_without_a_camera_file_is_refused_at_the_start(context):
    sink = open_sink("mavlink:udpout:127.0.0.1:9?landing_target=px4", context=context)
    with pytest.raises(SinkError, match=r"^landing_target needs bearings; give .* --camera FILE$"):
        sink.start(header(calib=None))
    sink.close()


def test_landing_target_of_a_camera_that_looks_sideways_is_refused(context):
    sink = open_sink("mavlink:udpout:127.0.0.1:9?landing_target=px4", context=context)
    with pytest.raises(SinkError, match="faces down or forward"):
        sink.start(header(mount=((-1, 0, 0), (0, 0, 1), (0, 1, 0))))
    sink.close()


def test_a_port_in_use_is_one_line(fly):
    port = free_port()
    fly(f"udpin:127.0.0.1:{port}")
    with pytest.raises(SinkError, match=f"udpin:127.0.0.1:{port}: Address already in use"):
        open_sink(f"mavlink:udpin:127.0.0.1:{port}")


@pytest.mark.slow
@pytest.mark.parametrize(
    ("interval_us", "expected_hz"),
    [(33_333, 30), (500_000, 2), (0, 5), (-1, 0)],
    ids=["33333 us", "500000 us", "default", "off"],
)
def test_an_interval_holds_for_five_seconds(fly, context, interval_us, expected_hz):
    with Station() as station:
        sink = fly(f"udpout:127.0.0.1:{station.port}")
        station.wait_for("HEARTBEAT")
        assert station.command(511, 275, interval_us).result == 0
        with Feeder(sink.report, context.controls) as feeder:
            feeder.seen = True
            time.sleep(5.0)
        assert len(status_of(station)) == pytest.approx(5 * expected_hz, rel=0.1)
