"""Types of options that several commands take."""

from __future__ import annotations

import click

from ..errors import BadRateError
from ..rates import Rate

__all__ = ["RATE"]


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


RATE = RateType()
