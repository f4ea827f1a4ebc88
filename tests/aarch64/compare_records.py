"""Are the records of two machines the same, but for times and the last digits of floats?

python tests/aarch64/compare_records.py A.jsonl B.jsonl --box 0.001 --score 0.001

Prints every record that is not the same and the largest differences; exit code 1 where one is not.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable

EXACT = ("seq", "state", "tid", "cls", "box_src", "flags")  # `valid` too would tell how fast a machine is
SCORES = ("score", "presence", "class_probs")


def differences(a: dict[str, Any], b: dict[str, Any]) -> tuple[list[str], dict[str, float]]:
    """What must be equal and is not, and the largest difference of boxes and scores of two records."""
    unequal = [f"{key} {a[key]!r} and {b[key]!r}" for key in EXACT if a[key] != b[key]]
    if a["frame"] != b["frame"]:
        unequal.append(f"frame {a['frame']} and {b['frame']}")
    worst = {"box": 0.0, "score": 0.0}
    for kind, keys in (("box", ("box",)), ("score", SCORES)):
        for key in keys:
            left, right = _numbers(a[key]), _numbers(b[key])
            if len(left) != len(right):
                unequal.append(f"{key} {a[key]} and {b[key]}")
            else:
                worst[kind] = max([worst[kind], *(abs(x - y) for x, y in zip(left, right, strict=True))])
    return unequal, worst


def compare(
    a: list[dict[str, Any]], b: list[dict[str, Any]], allowed: dict[str, float]
) -> tuple[list[str], dict[str, float]]:
    """Lines about what differs (none: the same), and the largest differences of all records.

    Args:
        a, b: track records, as many in both.
        allowed: largest difference of "box" (fractions of the frame) and "score" (0..1).
    """
    wrong = [] if len(a) == len(b) > 0 else [f"{len(a)} records and {len(b)}"]
    worst = {"box": 0.0, "score": 0.0}
    for left, right in zip(a, b, strict=False):
        unequal, here = differences(left, right)
        unequal += [f"{kind} differs by {here[kind]:.2g}" for kind in here if here[kind] > allowed[kind]]
        wrong += [f"record {left['seq']}: {what}" for what in unequal]
        worst = {kind: max(worst[kind], here[kind]) for kind in worst}
    return wrong, worst


def tracks(lines: Iterable[str]) -> list[dict[str, Any]]:
    """The records of frames, without header and trailer."""
    return [record for record in map(json.loads, lines) if record["type"] == "track"]


def _numbers(value: Any) -> list[float]:
    if value is None:
        return []
    return value if isinstance(value, list) else [value]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("a", type=Path)
    parser.add_argument("b", type=Path)
    parser.add_argument("--box", type=float, default=0.001, help="fractions of the frame")
    parser.add_argument("--score", type=float, default=0.001)
    args = parser.parse_args()
    a, b = (tracks(path.read_text().splitlines()) for path in (args.a, args.b))
    wrong, worst = compare(a, b, {"box": args.box, "score": args.score})
    print(*wrong, sep="\n", end="\n" if wrong else "")
    others = sum(len(left["others"]) != len(right["others"]) for left, right in zip(a, b, strict=False))
    found = sum(record["box"] is not None for record in a[: len(b)])
    print(
        f"{min(len(a), len(b))} records, {found} with a box: "
        f"{'the same' if not wrong else f'{len(wrong)} differences'}; "
        f"largest difference of a box {worst['box']:.2g}, of a score {worst['score']:.2g}; "
        f"another number of lesser regions in {others}"
    )
    return bool(wrong)


if __name__ == "__main__":
    sys.exit(main())
