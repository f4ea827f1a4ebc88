"""What every figure of an evaluation is called and means, for the table of `evaluate` and for report.html."""

from __future__ import annotations

import textwrap
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from train.evaluation.metrics_errors import KINDS

if TYPE_CHECKING:
    from collections.abc import Mapping


@dataclass(frozen=True)
class Figure:
    """One figure: its key in the JSON, a short label, what it means, and its unit."""

    key: str
    label: str
    meaning: str
    unit: str = "%"


DEPLOYED = (
    Figure(
        "box_acc_deployed",
        "Box accuracy, IoU .5",
        "As in flight: absolute thresholds from val, presence test included; first box against any true box.",
    ),
    Figure("box_acc_deployed_30", "Box accuracy, IoU .3", "The same, a looser match."),
    Figure("box_acc_deployed_70", "Box accuracy, IoU .7", "The same, a tighter match."),
    Figure("box_recall_deployed", "Recall per true box", "True boxes met by any reported box at IoU .5."),
    Figure(
        "missed_by_presence", "Missed by presence", "Photos with boxes that the presence test turned down."
    ),
    Figure(
        "false_alarm_rate", "False alarms", "Photos without an object where a box is reported all the same."
    ),
    Figure("presence_hit_rate", "Presence hits", "Photos with an object that pass the presence test."),
    Figure(
        "presence_auc", "Presence AUC", "Chance that a photo with an object scores above one without.", "0..1"
    ),
    Figure(
        "presence_ece",
        "P(in view): ECE",
        "Expected calibration error of `p_present`: how far what it says is from what happens, mean over "
        "bins of equally many photos. It was fitted on val, where it looks better than it is.",
        "0..1",
    ),
    Figure(
        "presence_ece_chance",
        "  by chance alone",
        "What the same probabilities would show if each were exactly right, as there are so few photos.",
        "0..1",
    ),
    Figure("presence_ece_map", "  of the presence score", "Taken for a probability as it is.", "0..1"),
    Figure("presence_ece_class", "  of the class head", "P(any object class), as it is.", "0..1"),
    Figure("presence_brier", "P(in view): Brier score", "Mean squared error of `p_present`.", "0..1"),
    Figure("presence_brier_map", "  of the presence score", "As it is.", "0..1"),
    Figure("presence_brier_class", "  of the class head", "As it is.", "0..1"),
    Figure("class_acc", "Class accuracy", "Photos whose most probable class is right."),
)
PROTOCOL = (
    Figure(
        "max_box_acc_v2",
        "MaxBoxAccV2",
        "Boxes of all contours; mean over IoU .3, .5, .7 of the accuracy at each one's best threshold on "
        "this very split.",
    ),
    Figure(
        "max_box_acc", "MaxBoxAcc", "Box of the largest contour, IoU .5, best threshold on this very split."
    ),
    Figure(
        "box_acc_fixed_tau",
        "Box accuracy at the val threshold",
        "As MaxBoxAcc, but the threshold (relative to the map's maximum) was chosen on val.",
    ),
    Figure("box_acc_fixed_tau_30", "  the same, IoU .3", "A looser match."),
    Figure("box_acc_fixed_tau_70", "  the same, IoU .7", "A tighter match."),
    Figure("top1_loc", "Top-1 Loc", "As MaxBoxAcc, and the most probable class must be right."),
    Figure("top5_loc", "Top-5 Loc", "As MaxBoxAcc, and the class must be among the five most probable."),
    Figure(
        "curve_width",
        "Curve width",
        "Share of thresholds with at least 90 % of the best accuracy: how little the choice matters.",
        "0..1",
    ),
    Figure(
        "center_box_acc", "Centre box, IoU .5", "Baseline: one centred box for every photo, size from val."
    ),
    Figure("center_box_acc_v2", "Centre box, mean of IoU .3/.5/.7", "The same baseline beside MaxBoxAccV2."),
    Figure("pxap", "PxAP", "Average precision over pixels against masks."),
    Figure(
        "proposal_agreement",
        "Agreement with proposals",
        "MaxBoxAcc with the best proposals in place of truth: not an accuracy, but needs no boxes.",
    ),
)
GROUPS = {"Deployed": DEPLOYED, "WSOL protocol": PROTOCOL}
ERROR_MEANINGS = {
    "correct": "IoU over .5",
    "class": "class wrong (only where it is judged)",
    "multi": "several objects in one box",
    "part": "LPE: the box lies on the object and misses much of it",
    "more": "LME: the box holds the object and much else",
    "wrong": "elsewhere",
}
ERROR_MODES = {
    "val_tau": "threshold from val",
    "best_tau": "best threshold of this split",
    "oracle_tau": "best threshold of each photo (upper bound)",
}


def format_value(figure: Figure, value: float | None) -> str:
    """`80.6 %`, `0.996`, or a dash where a figure cannot be told."""
    if value is None:
        return "-"
    return f"{value:.1f} %" if figure.unit == "%" else f"{value:.3f}"


def text_table(figures: Mapping[str, Any]) -> str:
    """The figures of one split as lines for a terminal; those that do not apply are left out."""
    lines = []
    for title, group in GROUPS.items():
        present = [f for f in group if f.key in figures]
        if present:
            lines.append(f"\n{title}")
        for figure in present:
            start = f"  {figure.label:<33}{format_value(figure, figures[figure.key]):>8}  "
            lines.append(textwrap.fill(figure.meaning, 110, initial_indent=start, subsequent_indent=" " * 45))
    if "errors" in figures:
        lines += _error_lines(figures["errors"])
    return "\n".join(lines)


def _error_lines(errors: Mapping[str, Any]) -> list[str]:
    lines = ["\nOutcomes, % of photos with boxes (part is LPE, more is LME)"]
    lines.append(" " * 60 + "".join(f"{kind:>8}" for kind in KINDS))
    for judged, name in (("class_known", "box only"), ("by_class", "class and box")):
        for mode, meaning in ERROR_MODES.items():
            shares = "".join(f"{errors[judged][mode][kind]:8.1f}" for kind in KINDS)
            lines.append(f"  {f'{name}, {meaning}':<58}{shares}")
    return lines
