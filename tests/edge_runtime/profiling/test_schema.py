"""The report's JSON Schema, which ships in the package."""

from __future__ import annotations

import json
from pathlib import Path

import jsonschema
import pytest

import edge_runtime.profiling
from tests.edge_runtime.profiling.samples import profile

SCHEMA = json.loads((Path(edge_runtime.profiling.__file__).parent / "report.schema.json").read_text())


@pytest.mark.parametrize("board", [True, False])
def test_a_report_fits_the_schema_with_and_without_a_board(board):
    jsonschema.Draft202012Validator.check_schema(SCHEMA)
    jsonschema.validate(profile(frames=40, board=board), SCHEMA)


@pytest.mark.parametrize(
    ("place", "value"),
    [
        pytest.param(("pipeline", "missed", "share"), 1.5, id="a share above 1"),
        pytest.param(("pipeline", "stages", "infer", "p99_ms"), -1.0, id="a negative time"),
        pytest.param(("v",), 2, id="another version"),
        pytest.param(("settings", "deadline_ms"), 0, id="no deadline"),
    ],
)
def test_what_cannot_be_is_refused(place, value):
    report = profile(frames=40)
    at = report
    for key in place[:-1]:
        at = at[key]
    at[place[-1]] = value
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(report, SCHEMA)
