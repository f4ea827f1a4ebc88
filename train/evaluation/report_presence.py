"""The part of report.html on P(in view): said against happened, beside the scores it is made from."""

from __future__ import annotations

from html import escape
from typing import TYPE_CHECKING, Any

from train.evaluation.presence import KEY
from train.evaluation.report_charts import reliability_chart

if TYPE_CHECKING:
    from collections.abc import Mapping

_NAMES = {
    "calibrated": "P(in view), calibrated",
    "map": "presence score as it is",
    "class": "class head as it is",
}


def presence_section(metrics: Mapping[str, Any]) -> str:
    """Chart, table and a word on how far to trust it, of the best checkpoint; empty for runs from before."""
    part = metrics["best"]
    fitted = part.get(KEY)
    if not fitted:
        return ""
    title = "<h2>Is the asset in view?</h2>"
    note = f"{fitted['note'][:1].upper()}{fitted['note'][1:]}." if fitted["note"] else ""
    if fitted["coefficients"] is None:
        return f"{title}<p>No calibrated probability: {escape(fitted['note'])}.</p>"
    splits = {"val, cross-validated": fitted["cross_validation"]}
    test = part.get("test", {})
    if test.get("presence_reliability"):
        splits["test"] = {name: _of_test(test, name) for name in test["presence_reliability"]}
    chart = reliability_chart({split: _curves(found) for split, found in splits.items()})
    counts = fitted["coefficients"]
    return (
        f"{title}{chart}{_table(splits)}"
        f"<p>Fitted to {counts['positives']} val photos with and {counts['negatives']} without the asset; "
        "val photos are judged here by coefficients fitted to other stretches of val. ECE is the mean "
        "distance of a dot from the diagonal, over bins of equally many photos; by chance is what exactly "
        f"right probabilities would show on so few. {escape(note)} P(in view) decides nothing: the presence "
        "threshold does.</p>"
    )


def _of_test(test: Mapping[str, Any], name: str) -> dict[str, Any]:
    suffix = "" if name == "calibrated" else f"_{name}"
    return {
        "ece": test[f"presence_ece{suffix}"],
        "chance_ece": test["presence_ece_chance"] if name == "calibrated" else None,
        "brier": test[f"presence_brier{suffix}"],
        "curve": test["presence_reliability"][name],
    }


def _curves(found: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    return {_NAMES[name]: one["curve"] for name, one in found.items()}


def _table(splits: Mapping[str, Mapping[str, Mapping[str, Any]]]) -> str:
    rows = "".join(
        f"<tr><th>{_NAMES[name]}</th><td class='note'>{split}</td>"
        + "".join(f"<td>{_number(one[key])}</td>" for key in ("ece", "chance_ece", "brier"))
        + f"<td>{len(one['curve'])}</td></tr>"
        for split, found in splits.items()
        for name, one in found.items()
    )
    head = "<th></th><th class='note'>photos</th><th>ECE</th><th>by chance</th><th>Brier</th><th>bins</th>"
    return f"<table><tr>{head}</tr>{rows}</table>"


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.3f}"
