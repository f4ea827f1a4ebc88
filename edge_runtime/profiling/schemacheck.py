"""Checks a value against the few keywords of JSON Schema that the report's schema uses.

A board has no jsonschema package. A test holds this against that package.
"""

from __future__ import annotations

import math
import re
from typing import Any

MOST = 1e18  # no time, frequency or size of a report comes near
_TYPES: dict[str, tuple[type, ...]] = {
    "object": (dict,),
    "array": (list,),
    "string": (str,),
    "boolean": (bool,),
    "null": (type(None),),
    "integer": (int,),
    "number": (int, float),
}


def first_error(value: Any, schema: dict[str, Any], root: dict[str, Any], at: str = "") -> str | None:
    """Where `value` does not fit and why, in a few words; None when it fits.

    Args:
        value: as `json.load` gives it.
        root: the document that `$ref` points into.
        at: place of the value, e.g. "pipeline.total".
    """
    if "$ref" in schema:
        return first_error(value, _find(schema["$ref"], root), root, at)
    place = at or "the report"
    if "const" in schema and value != schema["const"]:
        return f"{place} is {_short(value)}, expected {_short(schema['const'])}"
    if "type" in schema:
        kinds = schema["type"] if type(schema["type"]) is list else [schema["type"]]
        if not any(_is(value, kind) for kind in kinds):
            return f"{place} is {_short(value)}, expected {' or '.join(kinds)}"
    if "anyOf" in schema:
        errors = [first_error(value, each, root, at) for each in schema["anyOf"]]
        if None not in errors:
            return errors[-1]
    for each in schema.get("allOf", ()):
        error = first_error(value, each, root, at)
        if error:
            return error
    return _error_of_kind(value, schema, root, at)


def _error_of_kind(value: Any, schema: dict[str, Any], root: dict[str, Any], at: str) -> str | None:
    if isinstance(value, dict):
        return _error_of_object(value, schema, root, at)
    if isinstance(value, list):
        if not schema.get("minItems", 0) <= len(value) <= schema.get("maxItems", len(value)):
            return f"{at} has {len(value)} items"
        if "items" in schema:
            errors = (first_error(each, schema["items"], root, f"{at}[{i}]") for i, each in enumerate(value))
            return next(filter(None, errors), None)
    elif isinstance(value, str):
        if "pattern" in schema and not re.search(schema["pattern"], value):
            return f"{at} is {_short(value)}"
    elif _is(value, "number"):
        low, high = schema.get("minimum", -MOST), schema.get("maximum", MOST)
        if not low <= value <= high or value <= schema.get("exclusiveMinimum", -math.inf):
            return f"{at} is {_short(value)}, out of its range"
    return None


def _error_of_object(
    value: dict[str, Any], schema: dict[str, Any], root: dict[str, Any], at: str
) -> str | None:
    missing = [key for key in schema.get("required", ()) if key not in value]
    if missing:
        return f"{at or 'the report'} lacks {_short(missing[0])}"
    known = schema.get("properties", {})
    other = schema.get("additionalProperties")
    for key, each in value.items():
        below = known.get(key, other)
        if below is not None:
            error = first_error(each, below, root, f"{at}.{key}" if at else key)
            if error:
                return error
    return None


def _is(value: Any, kind: str) -> bool:
    if kind in ("integer", "number") and (isinstance(value, bool) or not _is_finite(value)):
        return False
    return isinstance(value, _TYPES[kind])


def _is_finite(value: Any) -> bool:
    return isinstance(value, int) or (isinstance(value, float) and math.isfinite(value))


def _find(reference: str, root: dict[str, Any]) -> dict[str, Any]:
    found = root
    for key in reference.lstrip("#/").split("/"):
        found = found[key]
    return found


def _short(value: Any) -> str:
    """The value for an error's line, cut at 40 characters."""
    if isinstance(value, (dict, list)):
        return "an object" if isinstance(value, dict) else "a list"
    if value is None:
        return "null"
    text = repr(value) if not isinstance(value, str) else ascii(value)
    return text if len(text) <= 40 else text[:39] + "…"
