"""Types of options that several commands take."""

from __future__ import annotations

import math
import re

import click

from ..errors import BadRateError
from ..rates import Rate

__all__ = ["DURATION", "RATE"]

UNIT_SECONDS = {"": 1, "s": 1, "m": 60, "h": 3_600, "d": 86_400}

DURATION_FORM = re.compile(r"(\d+(?:\.\d+)?)([smhd]?)", re.ASCII)


class RateType(click.ParamType):  # type: ignore[type-arg,unused-ignore]  # generic from click 8.4
    """A rate in any form that `Rate.parse` reads."""

    name = "rate"

    def convert(
        self, value: object, param: click.Parameter | None, ctx: click.Context | None
    ) -> Rate:
        if isinstance(value, Rate):
            return value
        try:
            return Rate.parse(str(value))
        except BadRateError as error:
            self.fail(str(error), param, ctx)


class DurationType(click.ParamType):  # type: ignore[type-arg,unused-ignore]  # as above
    """A time of more than 0, in seconds: ``90``, ``90s``, ``10m``, ``2h``, ``1d``."""

    name = "time"

    def convert(
        self, value: object, param: click.Parameter | None, ctx: click.Context | None
    ) -> float:
        if isinstance(value, float):
            return value
        found = DURATION_FORM.fullmatch(str(value).strip())
        seconds = float(found[1]) * UNIT_SECONDS[found[2]] if found else 0.0
        if not 0 < seconds < math.inf:
            self.fail(
                "expected a time of more than 0, such as 90, 90s, 10m, 2h or 1d, got "
                f"{str(value)!r:.40}",
                param,
                ctx,
            )
        return seconds


RATE = RateType()

DURATION = DurationType()
