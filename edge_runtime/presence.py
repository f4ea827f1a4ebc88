"""How likely the asset is in view: the two scores a frame has, to one calibrated probability.

warmth of the map, probability of any object class ──PresenceCalibration──▶ P(in view)

The coefficients come with the model file; `calibration/presence.py` fits them on val. Nothing is decided by
this number: boxes appear and vanish by the presence threshold (`edge_runtime.boxes`).
"""

from __future__ import annotations

import dataclasses
import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Sequence

SATURATED = 1e-4  # scores nearer to 0 or 1 than this are taken as equal


@dataclass(frozen=True)
class PresenceCalibration:
    """P(in view) = sigmoid(bias + map_weight * logit(presence) + class_weight * logit(object probability)).

    Weights are at least 0: a warmer map or a surer class never makes the asset less likely. `positives`,
    `negatives`: val photos with and without the asset. P holds where the asset is in view as often as in
    them, and comes no nearer to 0 or 1 than so many photos can vouch for (the targets of Platt, 1999).
    """

    bias: float
    map_weight: float
    class_weight: float
    positives: int
    negatives: int

    @property
    def prior(self) -> float:
        """Share of the val photos with the asset: what P says on average over photos like them."""
        return self.positives / (self.positives + self.negatives)

    def probability(self, presence: float, object_probability: float) -> float | None:
        """P(in view) of one frame.

        Args:
            presence: `edge_runtime.boxes.presence_score` of its map, in [0, 1].
            object_probability: of any class but the negative one, in [0, 1].

        Returns:
            In (0, 1); None where a score is not finite.
        """
        if not (math.isfinite(presence) and math.isfinite(object_probability)):
            return None
        said = self.bias + self.map_weight * log_odds(presence)
        said += self.class_weight * log_odds(object_probability)
        p = 1.0 / (1.0 + math.exp(-min(max(said, -50.0), 50.0)))
        return min(max(p, 1.0 / (self.negatives + 2)), (self.positives + 1) / (self.positives + 2))

    @classmethod
    def from_json(cls, raw: Any) -> PresenceCalibration:
        """What `dataclasses.asdict` has written; keys of later versions are ignored.

        Raises:
            ValueError: a coefficient missing, of the wrong type or out of range.
        """
        if not isinstance(raw, dict):
            raise ValueError(f"presence calibration {raw!r}, expected an object with coefficients")
        names = [f.name for f in dataclasses.fields(cls)]
        missing = [name for name in names if name not in raw]
        if missing:
            raise ValueError(f"presence calibration without {', '.join(missing)}")
        for name in names:
            value, counted = raw[name], name in ("positives", "negatives")
            kind, least = (int, 1) if counted else ((int, float), -math.inf if name == "bias" else 0)
            if isinstance(value, bool) or not isinstance(value, kind) or not math.isfinite(value):
                raise ValueError(f"presence calibration: {name} = {value!r}, expected a finite number")
            if value < least:
                raise ValueError(f"presence calibration: {name} = {value!r}, expected at least {least}")
        return cls(**{name: raw[name] for name in names})


def object_probability(class_probs: Sequence[float], negative: int | None) -> float:
    """Probability of any class but `negative`, the index of the one without an object (None: all have one).

    NaN where any of the (K,) class probabilities is.
    """
    objects = sum(class_probs) - (0.0 if negative is None else class_probs[negative])
    return min(max(objects, 0.0), 1.0)


def log_odds(score: float) -> float:
    """ln(s / (1 - s)) of a score in [0, 1], kept within the log-odds of `SATURATED`."""
    clipped = min(max(score, SATURATED), 1.0 - SATURATED)
    return math.log(clipped / (1.0 - clipped))
