"""Kinds of values of flags that click does not have."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    ParamType = click.ParamType[Any]
else:  # older releases of click know no type arguments
    ParamType = click.ParamType

_SECONDS = {"": 1.0, "ms": 1e-3, "s": 1.0, "m": 60.0, "min": 60.0, "h": 3600.0}


class Duration(ParamType):
    """`90`, `90s`, `20m`, `1.5h`: seconds as a float, above 0."""

    name = "duration"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        match = re.fullmatch(r"\s*(\d+(?:\.\d*)?)\s*(ms|s|min|m|h|)\s*", str(value))
        if match is None or float(match[1]) == 0:
            self.fail(f"{value!r} is no duration above 0; expected one such as 30s, 20m or 1h", param, ctx)
        return float(match[1]) * _SECONDS[match[2]]


class Size(ParamType):
    """`1280x720`: (width, height)."""

    name = "size"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> tuple[int, int]:
        if isinstance(value, tuple):
            return value
        match = re.fullmatch(r"(\d{1,4})x(\d{1,4})", str(value))
        if match is None or min(int(match[1]), int(match[2])) < 8:
            self.fail(
                f"{value!r} is no size; expected width x height of 8 or more, such as 1280x720", param, ctx
            )
        return int(match[1]), int(match[2])
