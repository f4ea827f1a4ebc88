"""What the service manager hears, on a real datagram socket."""

from __future__ import annotations

import os
import socket

import pytest

from edge_runtime.systemd import Notifier


@pytest.fixture(params=["path", "abstract"])
def manager(request, tmp_path):
    """(address as systemd gives it, the socket it listens on)."""
    it = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    it.settimeout(5)
    address = f"@dips-edge-{os.getpid()}" if request.param == "abstract" else str(tmp_path / "notify")
    it.bind("\0" + address[1:] if address.startswith("@") else address)
    yield address, it
    it.close()


def test_states_arrive_as_systemd_expects_them(manager):
    address, it = manager
    notifier = Notifier.from_environment({"NOTIFY_SOCKET": address, "WATCHDOG_USEC": "3000000"})
    assert notifier.watchdog_ns == 3_000_000_000
    notifier.ready()
    notifier.watchdog()
    notifier.status("29.9 fps")
    notifier.stopping()
    heard = [it.recv(1000).decode() for _ in range(4)]
    assert heard == [f"READY=1\nMAINPID={os.getpid()}", "WATCHDOG=1", "STATUS=29.9 fps", "STOPPING=1"]
    notifier.watchdog()  # after the end: nothing, and no error
    it.setblocking(False)
    with pytest.raises(BlockingIOError):
        it.recv(1000)


@pytest.mark.parametrize(
    "environment",
    [
        pytest.param({}, id="no service manager"),
        pytest.param({"WATCHDOG_USEC": "soon"}, id="not a number"),
        pytest.param({"WATCHDOG_USEC": "1000000", "WATCHDOG_PID": "1"}, id="another process is watched"),
        pytest.param({"NOTIFY_SOCKET": "/none/such/socket", "WATCHDOG_USEC": "0"}, id="nobody listens"),
    ],
)
def test_without_a_listener_nothing_happens_and_nothing_is_raised(environment):
    notifier = Notifier.from_environment(environment)
    assert notifier.watchdog_ns is None
    notifier.ready()
    notifier.watchdog()
    notifier.stopping()


def test_a_manager_that_does_not_read_never_blocks_us(manager):
    address, _ = manager
    notifier = Notifier(address)
    for _ in range(5000):  # far more than a datagram socket holds
        notifier.watchdog()
    notifier.stopping()
