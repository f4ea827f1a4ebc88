"""Which TensorRT is taken, what is said when none can be, and how its log is heard."""

from __future__ import annotations

import importlib
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest

from edge_runtime.engines.trt import (
    LogLine,
    TensorRT,
    TrtLog,
    complaints,
    find_tensorrt,
    log_of,
    parse_version,
)
from edge_runtime.errors import EngineError


def module(version: str, *, whole: bool = True) -> ModuleType:
    made = ModuleType("tensorrt")
    made.__file__ = f"/usr/lib/tensorrt-{version}/__init__.py"
    made.__dict__.update({"__version__": version, "Builder": object} if whole else {"__version__": version})
    return made


def stubs_only() -> ModuleType:
    """What `pip install tensorrt-stubs` leaves: `import tensorrt` gives an empty namespace package."""
    made = ModuleType("tensorrt")
    made.__path__ = ["/site-packages/tensorrt"]
    del made.__dict__["__loader__"]
    return made


def install(monkeypatch: pytest.MonkeyPatch, **installed: ModuleType | Exception) -> None:
    def import_module(name: str) -> ModuleType:
        found = installed.get(name, ModuleNotFoundError(f"No module named {name!r}", name=name))
        if isinstance(found, Exception):
            raise found
        return found

    monkeypatch.setattr(importlib, "import_module", import_module)


@pytest.mark.parametrize(
    ("installed", "label", "strongly_typed", "has_flags"),
    [
        pytest.param({"tensorrt": module("8.5.2.2")}, "tensorrt 8.5.2.2", False, True, id="oldest"),
        pytest.param({"tensorrt": module("8.6.0")}, "tensorrt 8.6.0", False, True, id="8.6"),
        pytest.param({"tensorrt": module("10.3.0")}, "tensorrt 10.3.0", True, True, id="10"),
        pytest.param({"tensorrt": module("11.4.1.2")}, "tensorrt 11.4.1.2", True, False, id="11"),
        pytest.param({"tensorrt_rtx": module("1.7.1")}, "tensorrt_rtx 1.7.1", True, False, id="RTX"),
        pytest.param(
            {"tensorrt": module("10.3.0"), "tensorrt_rtx": module("1.7.1")},
            "tensorrt 10.3.0",
            True,
            True,
            id="the full one first",
        ),
        pytest.param(
            {"tensorrt": stubs_only(), "tensorrt_rtx": module("1.7.1")},
            "tensorrt_rtx 1.7.1",
            True,
            False,
            id="stubs do not hide RTX",
        ),
    ],
)
def test_the_first_usable_one_is_taken(
    monkeypatch: pytest.MonkeyPatch,
    installed: dict[str, ModuleType],
    label: str,
    strongly_typed: bool,
    has_flags: bool,
) -> None:
    install(monkeypatch, **installed)
    found = find_tensorrt()
    assert (found.label, found.strongly_typed, found.has_flags) == (label, strongly_typed, has_flags)


@pytest.mark.parametrize(
    ("installed", "message"),
    [
        pytest.param({}, r"none of tensorrt, tensorrt_rtx is installed .* TensorRT 8\.5 or newer", id="none"),
        pytest.param({"tensorrt": module("8.4.1")}, r"tensorrt 8\.4\.1 is too old; .* 8\.5", id="too old"),
        pytest.param({"tensorrt": module("7.1.3")}, r"tensorrt 7\.1\.3 is too old; .* 8\.5", id="ancient"),
        pytest.param({"tensorrt": stubs_only()}, "/site-packages/tensorrt has no Builder", id="stubs"),
        pytest.param({"tensorrt": module("10.3", whole=False)}, "has no Builder", id="no libraries"),
        pytest.param(
            {"tensorrt": ImportError("libcublas.so.12: cannot\n open shared object file")},
            r"tensorrt does not load \(libcublas\.so\.12: cannot open",
            id="a library is missing",
        ),
        pytest.param(
            {"tensorrt": ModuleNotFoundError("No module named 'tensorrt_libs'", name="tensorrt_libs")},
            "tensorrt does not load .*tensorrt_libs",
            id="a part is missing",
        ),
        pytest.param({"tensorrt": FileNotFoundError()}, "FileNotFoundError", id="says nothing"),
    ],
)
def test_what_is_wrong_and_which_version_is_needed_is_said(
    monkeypatch: pytest.MonkeyPatch, installed: dict[str, Any], message: str
) -> None:
    install(monkeypatch, **installed)
    with pytest.raises(EngineError, match=message) as raised:
        find_tensorrt()
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize(
    ("text", "numbers"),
    [
        ("10.3.0.26", (10, 3, 0, 26)),
        ("8.6.1.post1", (8, 6, 1)),
        ("11.4", (11, 4)),
        ("1.7.1+cu13", (1, 7, 1)),
        ("?", (0,)),
    ],
)
def test_versions_are_read_as_numbers(text: str, numbers: tuple[int, ...]) -> None:
    assert parse_version(text) == numbers


class FakeLogger:
    """`trt.ILogger`: TensorRT calls `log` of what derives from it."""


def say(log: TrtLog, severity: str, text: str) -> None:
    log.native.log(SimpleNamespace(name=severity), text)


def test_every_listener_hears_what_is_said_while_it_listens() -> None:
    log = TrtLog(SimpleNamespace(ILogger=FakeLogger))
    say(log, "ERROR", "before")
    with log.collecting() as outer:
        say(log, "ERROR", "one")
        with log.collecting(verbose=True) as inner:
            say(log, "VERBOSE", "two")
            say(log, "WARNING", "three")
        say(log, "INFO", "four")
    say(log, "ERROR", "after")
    assert outer == [LogLine("ERROR", "one"), LogLine("WARNING", "three")]
    assert inner == [LogLine("VERBOSE", "two"), LogLine("WARNING", "three")]


def test_a_process_has_one_log_of_a_tensorrt() -> None:
    fake = SimpleNamespace(ILogger=FakeLogger)
    first = ModuleType("first")
    first.__dict__.update(vars(fake))
    assert log_of(first) is log_of(first)


@pytest.mark.parametrize(
    ("lines", "expected"),
    [
        pytest.param([], "", id="silence"),
        pytest.param([("INFO", "a"), ("VERBOSE", "b")], "", id="nothing grave"),
        pytest.param([("WARNING", "w")], "; TensorRT says: w", id="warnings, for want of errors"),
        pytest.param([("WARNING", "w"), ("ERROR", "e\n  f")], "; TensorRT says: e f", id="on one line"),
        pytest.param(
            [("ERROR", c) for c in "aabcd"], "; TensorRT says: a | b | c", id="the first three, once each"
        ),
    ],
)
def test_errors_carry_what_tensorrt_said(lines: list[tuple[str, str]], expected: str) -> None:
    assert complaints([LogLine(*line) for line in lines]) == expected


def test_the_real_one_logs_to_us() -> None:
    trt: Any = pytest.importorskip("tensorrt_rtx", reason="no tensorrt_rtx wheel for this platform")
    if not hasattr(trt, "Builder"):
        pytest.skip("tensorrt_rtx is installed without its libraries")
    found = find_tensorrt(["tensorrt_rtx"])
    assert isinstance(found, TensorRT)
    log = log_of(found.module)
    network = trt.Builder(log.native).create_network(0)
    with log.collecting() as lines:
        assert not trt.OnnxParser(network, log.native).parse(b"no model")
    assert {line.severity for line in lines} == {"ERROR"}
