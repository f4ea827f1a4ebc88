"""Ablations of DiPS: rows of a comparison that are DiPS with a few settings changed.

`--ablate GROUP,...` ──▶ names of rows ──settings over those of dips──▶ flags of `dips-edge train`

A value that is that of `dips` already makes no row of its own, so a group may list the defaults of either
preset. To add one: a line in `_rows`; a new group needs nothing more.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from edge_runtime.errors import UsageError
from train.baselines.methods import DIPS
from train.config import UNSTRETCHED

if TYPE_CHECKING:
    from collections.abc import Mapping

    from train.config import TrainConfig

PREFIX = f"{DIPS}_"
ALL = "all"


@dataclass(frozen=True)
class Ablation:
    """`group`: one name, or several. `settings`: by dotted key, over those of dips. `where_off`: only where
    dips has 0 there."""

    group: str
    about: str
    settings: Mapping[str, Any] = field(default_factory=dict)
    where_off: Mapping[str, Any] = field(default_factory=dict)


CLS_ON = {"losses.cls": 0.3}  # off by default where no negative class holds it back
NO_CRF, NO_CLS, NO_AREA = {"losses.crf": 0.0}, {"losses.cls": 0.0}, {"losses.area": 0.0}
ATTENTION = {"sst.maps": "attention"}
EVERY_PIXEL = 10**7  # more than any view has


def _rows() -> Mapping[str, Ablation]:
    rows = {
        "cpa": Ablation("losses", "CPA alone", {**NO_CRF, **NO_CLS, **NO_AREA}),
        "cpa+crf": Ablation("losses", "CPA and CRF (paper, Table A2)", {**NO_CLS, **NO_AREA}),
        "cpa+cls": Ablation("losses", "CPA and CLS (paper, Table A2)", {**NO_CRF, **NO_AREA}, CLS_ON),
        "cpa+crf+cls": Ablation("losses", "the paper's three terms, no price on area", NO_AREA, CLS_ON),
        "labels-once": Ablation(
            "labels", "pseudo-pixels drawn once per photo and proposal (fixed)", {"sampling.draw": "once"}
        ),
        "labels-every": Ablation(
            "labels",
            "no drawing: every pixel that may be drawn is labelled (fixed, hard)",
            {"sampling.n_fg": EVERY_PIXEL, "sampling.n_bg": EVERY_PIXEL},
        ),
        "maps-tokens": Ablation("maps", "proposals from the map of patch tokens", {"sst.maps": "tokens"}),
        "maps-both": Ablation("maps", "proposals from both", {"sst.maps": "both"}),
        "maps-likeness": Ablation(
            "maps",
            "the map of patch tokens knows no background prototypes",
            {"sst.maps": "tokens", "sst.prototypes": 0},
        ),
        "objects-all": Ablation(
            "objects", "all kept proposals of a map teach together", {"sampling.objects": "all"}
        ),
        "selftrain-off": Ablation(
            "selftrain", "no view learns from the localizer's own maps", {"selftrain.from_epoch": 0}
        ),
        "selftrain-on": Ablation(
            "selftrain",
            "from the third epoch on, half of the views learn from the localizer's own sure maps",
            {"selftrain.from_epoch": 3},
        ),
        "polish-off": Ablation("polish", "no last epochs at the size of flight", {"polish.epochs": 0}),
        "polish2": Ablation(
            "polish", "two last epochs at the size of flight, taught by own maps", {"polish.epochs": 2}
        ),
        "polish-soft": Ablation(
            "polish",
            "the own maps that teach there as they are, not stretched",
            {"polish.contrast": UNSTRETCHED},
        ),
        "rest0.3": Ablation(
            "rest", "what the map leaves out must look like the negative class", {"losses.rest": 0.3}
        ),
        "ema0.9": Ablation("ema", "a moving average of the weights is judged and flown", {"optim.ema": 0.9}),
        "head-trained": Ablation(
            "class-head",
            "the class head as the epochs leave it, not fitted anew",
            {"localizer.class_head": "trained"},
        ),
        "heads-mean": Ablation(
            "heads", "proposals from attention, the mean of all heads", {**ATTENTION, "sst.heads": "mean"}
        ),
        "heads-first4": Ablation(
            "heads", "from attention, the mean and heads 0 to 3 (paper)", {**ATTENTION, "sst.heads": "first4"}
        ),
        "heads-all": Ablation(
            "maps heads", "from attention, the mean and every head", {**ATTENTION, "sst.heads": "all"}
        ),
        "code-cls": Ablation(
            "code",
            "CLS of the released code: the classifier sees photo x attention, no gradient",
            {"losses.cls_source": "attention"},
            CLS_ON,
        ),
    }
    for p in (1, 2, 5):
        rows[f"top{p}"] = Ablation("top-p", f"the best {p} proposals of a photo", {"proposals.top_p": p})
    for area in (0.005, 0.02, 0.06, 0.1):
        about = f"boxes above {100 * area:g} % of the photo"
        rows[f"min-area{area:g}"] = Ablation("min-area", about, {"proposals.min_area": area})
    for side in (288, 320):
        rows[f"size{side}"] = Ablation("size", f"training crops of {side} px", {"localizer.size": side})
    for side in (224, 320, 384, 448):
        about = f"{side} px at val and test"
        rows[f"eval-size{side}"] = Ablation("size", about, {"localizer.eval_size": side})
    return {PREFIX + name: row for name, row in rows.items()}


ABLATIONS = _rows()
GROUPS = tuple(dict.fromkeys(group for row in ABLATIONS.values() for group in row.group.split()))


def parse_groups(text: str) -> list[str]:
    """Names of the rows of the groups in `losses,top-p`. Raises UsageError for a group there is not."""
    asked = list(dict.fromkeys(name.strip().lower() for name in text.split(",") if name.strip()))
    groups = list(GROUPS) if asked == [ALL] else asked
    wrong = [name for name in groups if name not in GROUPS]
    if wrong or not groups:
        what = repr(wrong[0]) if wrong else "nothing"
        raise UsageError(f"--ablate: {what}: expected some of {', '.join(GROUPS)}, or {ALL}")
    found = [name for group in groups for name, row in ABLATIONS.items() if group in row.group.split()]
    return list(dict.fromkeys(found))


def settings_for(name: str, dips: TrainConfig) -> Mapping[str, Any]:
    """What the row changes about `dips`, whose losses are resolved; by dotted key."""
    from train.settings import flatten

    row, now = ABLATIONS[name], flatten(dips)
    return {**row.settings, **{key: value for key, value in row.where_off.items() if now[key] == 0}}


def is_ablation(method: str) -> bool:
    """Whether a method of a comparison is a row of this kind, known here or not."""
    return method.startswith(PREFIX)


def is_dips(method: str) -> bool:
    """Whether a method is DiPS, with its own settings or with some of them changed."""
    return method == DIPS or is_ablation(method)


def about(method: str) -> str:
    """The row in one line; empty for one that is not known here."""
    row = ABLATIONS.get(method)
    return "" if row is None else row.about
