"""Which layers stay float: the worst ones, and no more of them than it takes for a gate to hold.

layers, worst first ──1, 2, 4, ... until the gate holds, then halving──▶ the shortest prefix that holds
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence


def shortest_prefix(
    layers: Sequence[str], holds: Callable[[Sequence[str]], bool], most: int
) -> tuple[str, ...] | None:
    """The shortest prefix of `layers` with which `holds`, as if longer ones could only be better.

    Args:
        layers: worst first. The empty prefix is not tried: whoever asks knows that it fails.
        holds: tried at most 2 log2(most) times.
        most: length of the longest prefix tried.

    Returns:
        None when not even the longest holds.
    """
    most = min(most, len(layers))
    fails, tried = 0, 1
    while tried <= most and not holds(layers[:tried]):
        fails, tried = tried, (most if tried < most < 2 * tried else 2 * tried)
    if tried > most:
        return None
    while tried - fails > 1:
        middle = (fails + tried) // 2
        if holds(layers[:middle]):
            tried = middle
        else:
            fails = middle
    return tuple(layers[:tried])
