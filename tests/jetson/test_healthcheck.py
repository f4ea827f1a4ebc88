"""The container's health check against datagrams of a real sink's port."""

from __future__ import annotations

import importlib.util
import json
import socket
import threading

import pytest

from tests.jetson.fake_board import JETSON


@pytest.fixture
def check(monkeypatch):
    spec = importlib.util.spec_from_file_location("healthcheck", JETSON / "healthcheck.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as free:
        free.bind(("127.0.0.1", 0))
        monkeypatch.setattr(module, "PORT", free.getsockname()[1])
    monkeypatch.setattr(module, "WAIT_S", 5.0)
    return module


def send_until(stop, port, lines):
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
        while not stop.wait(0.02):
            for line in lines:
                sender.sendto(line, ("127.0.0.1", port))


def record(kind, **more):
    return json.dumps({"v": 1, "type": kind, **more}).encode()


@pytest.mark.parametrize(
    ("lines", "code", "told"),
    [
        pytest.param(
            [record("header"), record("track", state="LOST")], 0, "LOST", id="a header, then a record"
        ),
        pytest.param([record("track", state="FAULT")], 1, "FAULT", id="a fault"),
        pytest.param([b"no json"], 1, "no record on UDP port", id="something else"),
    ],
)
def test_health_is_a_record_that_is_no_fault(check, capsys, lines, code, told):
    stop = threading.Event()
    sender = threading.Thread(target=send_until, args=(stop, check.PORT, lines))
    sender.start()
    try:
        assert check.main() == code
    finally:
        stop.set()
        sender.join()
    assert capsys.readouterr().out.startswith(told)


def test_silence_is_no_health(check, capsys, monkeypatch):
    monkeypatch.setattr(check, "WAIT_S", 0.05)
    assert check.main() == 1
    assert "no record on UDP port" in capsys.readouterr().out
