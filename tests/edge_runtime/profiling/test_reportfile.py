"""Reports on disk: whole or not at all, and nothing that is none gets in."""

from __future__ import annotations

import copy
import json
import random

import jsonschema
import pytest

from edge_runtime.errors import ProfileError, SinkError
from edge_runtime.profiling.reportfile import SCHEMA, check, load, save
from edge_runtime.profiling.schemacheck import first_error
from tests.edge_runtime.profiling.samples import profile

REPORT = profile(frames=30)
TEXT = json.dumps(REPORT)


def changed(*place, value):
    report = copy.deepcopy(REPORT)
    at = report
    for key in place[:-1]:
        at = at[key]
    at[place[-1]] = value
    return json.dumps(report)


def test_what_was_saved_is_loaded_again(tmp_path):
    path = tmp_path / "a.json"
    save(path, REPORT)
    assert load(path) == REPORT
    assert [each.name for each in tmp_path.iterdir()] == ["a.json"]


def test_a_failed_save_leaves_the_former_file_and_nothing_else(tmp_path):
    path = tmp_path / "a.json"
    path.write_text("former")
    with pytest.raises(ValueError, match="not JSON compliant"):
        save(path, {"fps": float("nan")})
    assert [each.read_text() for each in tmp_path.iterdir()] == ["former"]


def test_a_folder_that_is_not_there_is_said_in_a_line(tmp_path):
    with pytest.raises(SinkError, match="the profile could not be written: No such file"):
        save(tmp_path / "none" / "a.json", REPORT)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        pytest.param("", "no JSON, or cut short, at line 1 column 1", id="empty"),
        pytest.param(TEXT[: len(TEXT) // 2], "no JSON, or cut short", id="cut short"),
        pytest.param("\x00\x01", "no JSON", id="binary"),
        pytest.param("[" * 100_000, "no JSON", id="nested too deep"),
        pytest.param(changed("pipeline", "fps", value=float("nan")), "no JSON that can be read", id="NaN"),
        pytest.param("[1, 2]", "no profile: it has no type", id="a list"),
        pytest.param('{"type": "summary", "v": 1}', "no profile: its type is 'summary'", id="a summary"),
        pytest.param(changed("v", value=2), "version 2, this dips-edge reads version 1", id="newer"),
        pytest.param(changed("v", value=None), "version None", id="no version"),
        pytest.param(changed("v", value=True), "version True", id="a version that only looks like 1"),
        pytest.param(changed("engine", "fps", value="9"), "engine.fps is '9', expected number", id="text"),
        pytest.param(changed("model", value={}), "model lacks 'name'", id="a field is missing"),
        pytest.param(changed("model", "sha256", value="xy"), "model.sha256 is 'xy'", id="no hash"),
        pytest.param(
            changed("engine", "total", value="all"),
            "engine has no times of its stage 'all'",
            id="no such stage",
        ),
        pytest.param(
            changed("engine", "histogram", "edges_ms", value=[1.0]), "the histogram of engine", id="edges"
        ),
        pytest.param(
            TEXT.replace('"fps": null', '"fps": 1e999'), "source.fps is inf", id="a number without end"
        ),
        pytest.param(changed("settings", "deadline_ms", value=10**400), "deadline_ms is", id="a huge number"),
    ],
)
def test_what_is_no_profile_is_refused_in_one_line(tmp_path, content, said):
    path = tmp_path / "a.json"
    path.write_text(content)
    with pytest.raises(ProfileError) as caught:
        load(path)
    message = str(caught.value)
    assert message.startswith(f"{path}: ")
    assert said in message
    assert "\n" not in message
    assert len(message) < 300


def test_text_of_another_encoding_and_a_missing_file_are_refused(tmp_path):
    path = tmp_path / "a.json"
    path.write_bytes(b"\xff\xfe{}")
    with pytest.raises(ProfileError, match="no JSON that can be read"):
        load(path)
    with pytest.raises(ProfileError, match="cannot be read: No such file"):
        load(tmp_path / "none.json")


def test_unknown_keys_are_ignored():
    check({**REPORT, "weather": "fine"}, "a")


def test_our_check_agrees_with_the_jsonschema_package_on_damaged_reports():
    schema = json.loads(SCHEMA.read_text())
    judge = jsonschema.Draft202012Validator(schema)
    report = profile(frames=3)
    places = list(_places(report))
    rng = random.Random(5)
    values = [None, -1, 0, 7, 1.5, True, "x", "", [], {}, [1, 2], [1, 2, 3], {"a": "b"}]
    refused = 0
    for _ in range(150):
        damaged = copy.deepcopy(report)
        *way, last = rng.choice(places)
        at = damaged
        for key in way:
            at = at[key]
        if rng.random() < 0.2:
            del at[last]
        else:
            at[last] = rng.choice(values)
        valid = judge.is_valid(damaged)
        refused += not valid
        assert (first_error(damaged, schema, schema) is None) == valid, (way, last)
    assert 50 < refused < 150


def _places(value, way=()):
    for key, each in value.items() if isinstance(value, dict) else enumerate(value):
        yield (*way, key)
        if isinstance(each, (dict, list)):
            yield from _places(each, (*way, key))
