"""Which layers stay float: the worst ones, and no more of them than it takes for a gate to hold.

costs, worst first ──squares add up──▶ a guess ──try, step up or down, halve──▶ the shortest that holds
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence


def guess_prefix(costs: Sequence[float], aim: float) -> int:
    """How many of the worst must go for the rest to add up to `aim`, errors of layers being independent.

    Args:
        costs: error each layer causes alone, worst first.
    """
    left = np.sqrt(np.cumsum(np.square(np.asarray(costs, np.float64))[::-1])[::-1])
    return int((left > aim).sum())


def shortest_prefix(
    layers: Sequence[str], holds: Callable[[Sequence[str]], bool], most: int, guess: int = 1
) -> tuple[str, ...] | None:
    """The shortest prefix of `layers` with which `holds`, as if longer ones could only be better.

    Args:
        layers: worst first. The empty prefix is not tried: whoever asks knows that it fails.
        most: length of the longest prefix tried.
        guess: length to try first; a good one saves most of the trials.

    Returns:
        None when not even the longest holds.
    """
    most = min(most, len(layers))
    if most < 1:
        return None
    fails, works = 0, most + 1  # lengths known to fail, and to hold (or too long)
    length, step = min(max(guess, 1), most), 1
    while works - fails > 1:
        if holds(layers[:length]):
            works = length
            length = max(works - step, fails + 1) if fails == 0 else (fails + works) // 2
        else:
            fails = length
            length = min(fails + step, works - 1) if works > most else (fails + works) // 2
        step *= 2
    return None if works > most else tuple(layers[:works])
