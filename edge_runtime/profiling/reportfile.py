"""Reports on disk: saved whole or not at all, read back with every field checked.

report ──save──▶ a.json ──load──▶ report that the table, the page and --compare may trust
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, NoReturn

from edge_runtime.errors import ProfileError
from edge_runtime.profiling.schemacheck import first_error
from edge_runtime.summary import write_json

VERSION = 1
SCHEMA = Path(__file__).with_name("report.schema.json")
MOST_BYTES = 64_000_000  # a report of twenty minutes has less than 1 MB
_EXPECTED = "expected a file that `dips-edge profile --json` wrote"


def save(path: Path, report: dict[str, Any]) -> None:
    """Write the report, or nothing.

    Raises:
        SinkError: it cannot be written.
    """
    write_json(path, report, "profile")


def load(path: Path) -> dict[str, Any]:
    """The report in a file.

    Raises:
        ProfileError: the file cannot be read, is no profile, is damaged, or has another version.
    """
    try:
        size = path.stat().st_size
        if size > MOST_BYTES:
            raise ProfileError(f"{path}: {size / 1e6:.0f} MB are too many for a profile; {_EXPECTED}")
        report = json.loads(path.read_text(encoding="utf-8"), parse_constant=_refuse_constant)
    except OSError as error:
        raise ProfileError(f"{path}: cannot be read: {error.strerror}") from error
    except json.JSONDecodeError as error:
        raise ProfileError(
            f"{path}: no JSON, or cut short, at line {error.lineno} column {error.colno}; {_EXPECTED}"
        ) from error
    except (ValueError, RecursionError) as error:
        raise ProfileError(f"{path}: no JSON that can be read; {_EXPECTED}") from error
    check(report, str(path))
    return report  # type: ignore[no-any-return]  # `check` has looked


def check(report: Any, name: str) -> None:
    """Look at a report from elsewhere; `name` is how errors call it.

    Raises:
        ProfileError: it is no profile, has another version, or a field is missing or cannot be.
    """
    if not isinstance(report, dict) or report.get("type") != "profile":
        kind = report.get("type") if isinstance(report, dict) else None
        found = f"its type is {ascii(kind)[:40]}" if isinstance(kind, str) else "it has no type"
        raise ProfileError(f"{name}: no profile: {found}; {_EXPECTED}")
    if report.get("v") != VERSION or isinstance(report["v"], bool):
        raise ProfileError(
            f"{name}: a profile of version {ascii(report.get('v'))[:40]}, this dips-edge reads version "
            f"{VERSION}: measure again with this one, or compare with the one that wrote it"
        )
    schema = json.loads(SCHEMA.read_text(encoding="utf-8"))
    error = first_error(report, schema, schema) or _contradiction(report)
    if error:
        raise ProfileError(f"{name}: a damaged profile: {error}")


def _contradiction(report: dict[str, Any]) -> str | None:
    """What no schema can say."""
    for name in ("engine", "pipeline"):
        mode = report[name]
        if mode is None:
            continue
        if mode["total"] not in mode["stages"]:
            return f"{name} has no times of its stage {ascii(mode['total'])[:40]}"
        edges, counts = mode["histogram"]["edges_ms"], mode["histogram"]["counts"]
        if len(edges) != len(counts) + 1 or edges != sorted(edges) or any(n < 0 for n in counts):
            return f"the histogram of {name} does not fit its edges"
    return None


def _refuse_constant(text: str) -> NoReturn:
    raise ValueError(f"{text} is no JSON")
