"""A stored engine is handed out only when it is whole, ours, and was built for exactly this machine."""

from __future__ import annotations

import _ctypes
import dataclasses
import errno
import json
import multiprocessing
import os
import re
import resource
import shutil
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from edge_runtime.engines import cache as enginecache
from edge_runtime.engines.cache import EngineCache, EngineKey, SideFile, StaleReason, carries_host_code

if TYPE_CHECKING:
    from collections.abc import Callable

KEY = EngineKey(
    onnx_sha256="a" * 64,
    tensorrt="tensorrt 10.3.0",
    gpu="Orin",
    compute_capability="8.7",
    platform="L4T 36.4.3",
    precision="fp16",
    options='{"recipe": 1}',
)
PLAN = bytes(range(256)) * 4


@pytest.fixture
def cache(tmp_path: Path) -> EngineCache:
    made = EngineCache(tmp_path / "engines", "tower-fp16")
    made.store(KEY, PLAN, 95.04)
    return made


def reason(cache: EngineCache, key: EngineKey = KEY) -> str:
    found = cache.load(key)
    assert isinstance(found, StaleReason)
    assert "\n" not in found.text
    return found.text


def test_what_was_stored_is_loaded(cache: EngineCache) -> None:
    assert cache.load(KEY) == PLAN
    assert sorted(p.name for p in cache.directory.iterdir()) == [
        "tower-fp16.engine",
        "tower-fp16.engine.json",
    ]


def test_an_empty_directory_says_so(tmp_path: Path) -> None:
    assert reason(EngineCache(tmp_path, "tower")) == "there is none yet"
    assert reason(EngineCache(tmp_path / "gone", "tower")) == "there is none yet"


@pytest.mark.parametrize("field", [field.name for field in dataclasses.fields(EngineKey)])
def test_any_other_fact_is_named_with_both_values(cache: EngineCache, field: str) -> None:
    other = dataclasses.replace(KEY, **{field: "b" * 64 if field == "onnx_sha256" else "other"})
    found = cache.load(other)
    assert isinstance(found, StaleReason)
    before, after = str(getattr(KEY, field)), str(getattr(other, field))
    if field == "onnx_sha256":
        before, after = "aaaaaaaaaaaa…", "bbbbbbbbbbbb…"
    assert found.text == f"{field.replace('_', ' ')} changed from {before} to {after}"
    assert found.last_build_s == 95.0


def test_all_changes_are_named(cache: EngineCache) -> None:
    other = dataclasses.replace(KEY, tensorrt="tensorrt 10.7.0", gpu="Thor")
    assert reason(cache, other) == (
        "tensorrt changed from tensorrt 10.3.0 to tensorrt 10.7.0; gpu changed from Orin to Thor"
    )


def forged(**changes: Any) -> bytes:
    """A side file of a shape we never write, with a seal that fits."""
    return dataclasses.replace(SideFile(KEY, len(PLAN), "0" * 64, 1.0), **changes).to_bytes()


@pytest.mark.parametrize(
    ("damage", "expected"),
    [
        pytest.param(lambda c: c.side_path.unlink(), "engine.json is missing", id="no side file"),
        pytest.param(lambda c: c.side_path.write_bytes(b""), "json is damaged", id="side file empty"),
        pytest.param(lambda c: c.side_path.write_text("{"), "json is damaged", id="not JSON"),
        pytest.param(lambda c: c.side_path.write_text("[1]"), "json is damaged", id="JSON of another kind"),
        pytest.param(lambda c: c.side_path.write_text("[" * 99999), "json is damaged", id="JSON too deep"),
        pytest.param(lambda c: c.side_path.write_bytes(b"\xff\xfe"), "json is damaged", id="not text"),
        pytest.param(
            lambda c: c.side_path.write_text(json.dumps(json.loads(c.side_path.read_text()))),
            "json is damaged",
            id="written by something else",
        ),
        pytest.param(
            lambda c: c.side_path.write_text(c.side_path.read_text().replace("Orin", "Thor")),
            "json is damaged",
            id="edited by hand",
        ),
        pytest.param(lambda c: c.side_path.write_bytes(forged(schema=2)), "of another version", id="schema"),
        pytest.param(
            lambda c: c.side_path.write_bytes(forged(build_s="long")),
            "is damaged",
            id="a field of another type",
        ),
        pytest.param(
            lambda c: (c.side_path.unlink(), c.side_path.mkdir()), "json cannot be read", id="a directory"
        ),
        pytest.param(lambda c: c.plan_path.unlink(), "engine cannot be read", id="no plan"),
        pytest.param(
            lambda c: c.plan_path.write_bytes(PLAN[:-1]), "has 1023 bytes, 1024 were written", id="truncated"
        ),
        pytest.param(lambda c: c.plan_path.write_bytes(PLAN + b"x"), "has 1025 bytes", id="longer"),
        pytest.param(
            lambda c: c.plan_path.write_bytes(PLAN[::-1]), r"was changed .*sha256 differs", id="another plan"
        ),
    ],
)
def test_what_is_not_whole_is_refused_with_the_reason(
    cache: EngineCache, damage: Callable[[EngineCache], object], expected: str
) -> None:
    damage(cache)
    assert re.search(expected, reason(cache))


FUZZ = settings(deadline=None, max_examples=100, suppress_health_check=[HealthCheck.function_scoped_fixture])
STRANGE_JSON = st.recursive(st.none() | st.integers() | st.text(), lambda x: st.dictionaries(st.text(), x))


def load_with(cache: EngineCache, victim: Path, content: bytes) -> bytes | StaleReason:
    """What `load` says while a file has other content."""
    whole = victim.read_bytes()
    victim.write_bytes(content)
    try:
        return cache.load(KEY)
    finally:
        victim.write_bytes(whole)


@FUZZ
@given(data=st.data())
def test_no_changed_byte_anywhere_is_ever_loaded(cache: EngineCache, data: st.DataObject) -> None:
    victim = data.draw(st.sampled_from([cache.plan_path, cache.side_path]))
    content = bytearray(victim.read_bytes())
    position = data.draw(st.integers(0, len(content) - 1))
    content[position] ^= data.draw(st.integers(1, 255))
    assert isinstance(load_with(cache, victim, bytes(content)), StaleReason)
    assert cache.load(KEY) == PLAN


@FUZZ
@given(data=st.data())
def test_no_file_cut_short_or_replaced_is_ever_loaded(cache: EngineCache, data: st.DataObject) -> None:
    victim = data.draw(st.sampled_from([cache.plan_path, cache.side_path]))
    whole = victim.read_bytes()
    cut = st.integers(0, len(whole) - 1).map(lambda end: whole[:end])
    junk = st.binary(max_size=300) | STRANGE_JSON.map(lambda x: json.dumps(x).encode())
    changed = data.draw((cut | junk).filter(lambda changed: changed != whole))
    assert isinstance(load_with(cache, victim, changed), StaleReason)


@pytest.mark.parametrize(
    ("machine", "expected"),
    [
        pytest.param(62, True, id="x86-64"),
        pytest.param(183, True, id="AArch64"),
        pytest.param(190, False, id="CUDA"),
    ],
)
def test_a_plan_with_code_for_a_cpu_is_refused(cache: EngineCache, machine: int, expected: bool) -> None:
    elf = b"\x7fELF" + bytes(14) + machine.to_bytes(2, "little") + bytes(40)
    cache.store(KEY, PLAN + b"\x7fELF" + bytes(40) + elf, 1.0)
    assert isinstance(cache.load(KEY), StaleReason) == expected
    if expected:
        assert "carries code for the CPU" in reason(cache)


def test_a_real_shared_library_counts_as_code_for_a_cpu() -> None:
    assert carries_host_code(b"plan" + Path(_ctypes.__file__).read_bytes())


@pytest.mark.parametrize("there_before", [pytest.param(False, id="first"), pytest.param(True, id="rebuild")])
def test_a_crash_between_plan_and_side_file_leaves_nothing_that_loads(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, there_before: bool
) -> None:
    cache = EngineCache(tmp_path, "tower")
    if there_before:
        cache.store(KEY, PLAN, 1.0)

    def crash(path: Path, data: bytes) -> None:
        if path == cache.side_path:
            raise KeyboardInterrupt
        write_atomic(path, data)

    write_atomic = enginecache.write_atomic
    monkeypatch.setattr(enginecache, "write_atomic", crash)
    other = dataclasses.replace(KEY, gpu="Thor")
    with pytest.raises(KeyboardInterrupt):
        cache.store(other, PLAN[::-1], 1.0)
    assert isinstance(cache.load(KEY), StaleReason)
    assert isinstance(cache.load(other), StaleReason)
    monkeypatch.undo()
    cache.store(other, PLAN[::-1], 1.0)
    assert cache.load(other) == PLAN[::-1]


def test_a_write_that_fails_leaves_what_was_there(cache: EngineCache) -> None:
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 16, limits[1]))
    try:
        with pytest.raises(OSError, match=os.strerror(errno.EFBIG)):
            cache.store(KEY, bytes(1 << 20), 1.0)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert cache.load(KEY) == PLAN
    assert len(list(cache.directory.iterdir())) == 2


def test_parts_of_a_killed_process_are_removed_by_the_next_build(cache: EngineCache) -> None:
    left = cache.directory / ".tower-fp16.engine.abc123.part"
    others = cache.directory / ".tower-fp32.engine.abc123.part"
    for path in (left, others):
        path.write_bytes(b"half")
    with cache.lock() as locked:
        assert locked
    assert not left.exists()
    assert others.exists()


def hold_lock(directory: Path, held: Any, release: Any) -> None:
    with EngineCache(directory, "tower").lock() as locked:
        assert locked
        held.set()
        release.wait(30)


@pytest.mark.skipif(sys.platform == "win32", reason="no flock")
def test_a_second_process_waits_for_the_lock_and_is_told(tmp_path: Path) -> None:
    spawn = multiprocessing.get_context("spawn")
    held, release = spawn.Event(), spawn.Event()
    other = spawn.Process(target=hold_lock, args=(tmp_path, held, release))
    other.start()
    assert held.wait(30)
    waited: list[float] = []

    def waiting(seconds: float) -> None:
        waited.append(seconds)
        release.set()

    with EngineCache(tmp_path, "tower").lock(waiting) as locked:
        assert locked
        assert waited
    other.join(30)
    assert other.exitcode == 0


def test_a_directory_that_takes_no_lock_is_no_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    with EngineCache(tmp_path / "file" / "engines", "tower").lock() as locked:
        assert not locked


def test_an_engine_copied_from_another_board_is_refused(cache: EngineCache, tmp_path: Path) -> None:
    there = tmp_path / "other-board"
    shutil.copytree(cache.directory, there)
    here = dataclasses.replace(KEY, gpu="Thor", compute_capability="11.0", platform="L4T 38.2")
    assert reason(EngineCache(there, "tower-fp16"), here) == (
        "gpu changed from Orin to Thor; compute capability changed from 8.7 to 11.0; "
        "platform changed from L4T 36.4.3 to L4T 38.2"
    )
