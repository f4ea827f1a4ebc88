"""The record's invariants that JSON Schema cannot say, and both checks for a whole stream of lines."""

from __future__ import annotations

import functools
import json
from pathlib import Path
from typing import Any

import jsonschema

import edge_runtime


@functools.lru_cache(maxsize=None)
def validator() -> Any:
    """Validator of the schema that ships in the package."""
    path = Path(edge_runtime.__file__).parent / "record.schema.json"
    schema = json.loads(path.read_text())
    jsonschema.Draft202012Validator.check_schema(schema)
    return jsonschema.Draft202012Validator(schema)


def problems(record: dict[str, Any], max_age_ms: float) -> list[str]:
    """What is wrong with one track record, empty when it keeps schema and invariants."""
    found = [f"{'/'.join(map(str, e.path))}: {e.message}" for e in validator().iter_errors(record)]
    if found:
        return found
    may_be_valid = (
        record["state"] == "TRACKING" and record["box_src"] == "det" and record["age_ms"] <= max_age_ms
    )
    rules = {
        "valid if and only if tracking, detected and young": record["valid"] == may_be_valid,
        "box exactly while tracking or coasting": (record["box"] is not None)
        == (record["state"] in ("TRACKING", "COASTING")),
        "score exactly for a detection": (record["score"] is not None) == (record["box_src"] == "det"),
        "emitted after captured": record["t_emit_mono_ns"] >= record["t_cap_mono_ns"],
        "age is emission minus capture": abs(
            record["age_ms"] - (record["t_emit_mono_ns"] - record["t_cap_mono_ns"]) / 1e6
        )
        <= 0.001,
        "a probability of presence only of a map that was judged": record["p_present"] is None
        or (record["presence"] is not None and None not in record["class_probs"]),
        "corners in order": all(
            b is None or (b[0] < b[2] and b[1] < b[3])
            for b in [record["box"], *(o["box"] for o in record["others"])]
        ),
    }
    return [rule for rule, kept in rules.items() if not kept]


def check_stream(lines: list[str]) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """Assert that a whole JSONL stream keeps every rule; returns the header and the track records."""
    header, *records = (json.loads(line) for line in lines)
    validator().validate(header)
    assert header["type"] == "header"
    for record in records:
        assert record["type"] == "track"
        assert problems(record, header["max_age_ms"]) == []
    assert [r["seq"] for r in records] == list(range(len(records)))
    for before, after in zip(records, records[1:]):
        assert after["frame"]["idx"] > before["frame"]["idx"]
        assert after["t_cap_mono_ns"] >= before["t_cap_mono_ns"]
        assert ("dropped" in after["flags"]) == (after["frame"]["idx"] > before["frame"]["idx"] + 1)
    return header, records
