"""The baselines by name. Each lives in a file of its own, imported when chosen."""

from __future__ import annotations

import importlib
from dataclasses import dataclass
from typing import TYPE_CHECKING

from edge_runtime.errors import UsageError

if TYPE_CHECKING:
    from train.baselines.base import Baseline

DIPS = "dips"
CNN, VIT, NONE = "cnn", "vit", "none"


@dataclass(frozen=True)
class Method:
    """`place`: module:class. `backbone`: kind of pretrained network it stands on. `seeded`: False when no
    random draw plays a part, so that one run says all."""

    place: str
    about: str
    backbone: str = CNN
    seeded: bool = True


METHODS = {
    "cam": Method("cam:Cam", "class activation maps (Zhou et al., 2016)"),
    "has": Method("has:HideAndSeek", "CAM trained on photos with hidden patches (Singh & Lee, 2017)"),
    "acol": Method("acol:Acol", "two branches, one erases what the other sees (Zhang et al., 2018)"),
    "spg": Method("spg:Spg", "self-produced guidance (Zhang et al., 2018)"),
    "adl": Method("adl:Adl", "CAM with attention-based dropout (Choe & Shim, 2019)"),
    "cutmix": Method("cutmix:CutMix", "CAM trained on photos pasted into each other (Yun et al., 2019)"),
    "tscam": Method("tscam:TsCam", "token semantics times transformer attention (Gao et al., 2021)", VIT),
    "layercam": Method("layercam:LayerCam", "CAM of several layers (Jiang et al., 2021)"),
    "sst": Method("sst:RawAttention", "attention of the self-supervised transformer as it is", VIT, False),
    "center": Method("center:Center", "a box in the middle of every photo", NONE, False),
}


def method_class(name: str) -> type[Baseline]:
    """The class of a baseline. Raises UsageError for a name that does not exist."""
    if name not in METHODS:
        raise UsageError(f"method {name!r}: expected one of {', '.join((DIPS, *METHODS))}")
    module, _, attribute = METHODS[name].place.partition(":")
    found: type[Baseline] = getattr(importlib.import_module(f"train.baselines.{module}"), attribute)
    return found
