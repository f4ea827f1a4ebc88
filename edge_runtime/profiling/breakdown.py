"""Where the time of a mode goes: its stages in order, their shares, and what limits its frame rate."""

from __future__ import annotations

from typing import Any, NamedTuple

from edge_runtime.profiling.words import percent, plain

BEFORE_THE_AGE = ("capture", "decode")  # a picture's age begins when it is there, or `wait` holds the rest
OTHER = "other"
BUSY_AT = 0.85  # of a thread's time: nothing else is waited for


class Part(NamedTuple):
    """Mean time of one piece of the judged stage, and its share of the whole."""

    name: str
    mean_ms: float
    share: float


def stages_in_order(mode: dict[str, Any]) -> list[tuple[str, dict[str, Any], int]]:
    """Name, statistics and depth of each stage; parts follow what they are parts of."""
    stages = mode["stages"]
    found: list[tuple[str, dict[str, Any], int]] = []

    def add(name: str, depth: int) -> None:
        found.append((name, stages[name], depth))
        for part in stages:
            if stages[part].get("inside") == name and depth < 3 and part != name:
                add(part, depth + 1)

    for name, stage in stages.items():
        if stage.get("inside") not in stages or stage.get("inside") == name:
            add(name, 0)
    return found


def parts_of_total(mode: dict[str, Any]) -> list[Part]:
    """What the mean of the judged stage is made of, in order; what no stage explains is `OTHER`.

    The parts inside the judged stage where it has some, else the stages before it in the table.
    """
    stages, total = mode["stages"], mode["total"]
    whole_ms = stages[total]["mean_ms"] or 0.0
    names = [name for name in stages if stages[name].get("inside") == total]
    if not names:
        before = list(stages)[: list(stages).index(total)]
        names = [name for name in before if not stages[name].get("inside") and name not in BEFORE_THE_AGE]
    means = {name: stages[name]["mean_ms"] or 0.0 for name in names}
    rest_ms = whole_ms - sum(means.values())
    if rest_ms > 0.01 * whole_ms or not means:
        means[OTHER if means else total] = max(rest_ms, 0.0)
    scale = sum(means.values()) or 1.0
    return [Part(name, value, value / scale) for name, value in means.items()]


def largest_part(mode: dict[str, Any]) -> Part:
    """The part in which most of the judged time goes."""
    return max(parts_of_total(mode), key=lambda part: part.mean_ms)


def busiest_thread(mode: dict[str, Any]) -> tuple[str, float] | None:
    """Thread that works most, and its share of the time; None where no stage names a thread.

    Waiting for a picture is no work: `capture` is left out, `decode` counts for its thread.
    """
    spent_ms: dict[str, float] = {}
    for name, stage in mode["stages"].items():
        thread = stage.get("thread")
        if name == "decode":
            thread = thread or "capture"
        if thread and name != "capture" and (name == "decode" or not stage.get("inside")):
            spent_ms[thread] = spent_ms.get(thread, 0.0) + (stage["mean_ms"] or 0.0) * stage["n"]
    if not spent_ms or mode["seconds"] <= 0:
        return None
    name = max(spent_ms, key=lambda thread: spent_ms[thread])
    return name, min(1.0, spent_ms[name] / mode["seconds"] / 1e3)


def bound_by(report: dict[str, Any], name: str) -> str:
    """What limits the frame rate of a mode, in a few words."""
    mode = report[name]
    if name == "engine":
        return "the network: nothing else runs in this mode"
    busiest = busiest_thread(mode)
    if busiest is None:
        return "unknown: no stage names its thread"
    thread, share = busiest
    if share >= BUSY_AT:
        return f"thread {plain(thread, 40)}, busy {percent(share)} of the time"
    if report["source"]["live"]:
        return f"the source: the busiest thread, {plain(thread, 40)}, works {percent(share)} of the time"
    return f"no thread alone: the busiest, {plain(thread, 40)}, works {percent(share)} of the time"
