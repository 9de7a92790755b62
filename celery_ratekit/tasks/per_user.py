"""A task whose calls are counted for each user on their own."""

from __future__ import annotations

from enum import Enum
from functools import lru_cache
from typing import Any, ClassVar, Final

from ..limits import FixedWindow, Key, Limit, RateSource
from ..rates import Rate
from . import bodies
from .arguments import ArgumentKey, check_argument, checked_value, parameters_of
from .base import RateLimitedTask
from .call import Call
from .options import option_of

__all__ = ["PerUserRateLimitTask"]

USUAL_ARGUMENT = "user_id"


class Unset(Enum):
    """What tells an option that nobody set from one that was set to None."""

    UNSET = "unset"


UNSET: Final = Unset.UNSET


class PerUserRateLimitTask(RateLimitedTask):
    """A task that each user may start so often.

    - ``user_rate_limit``: calls per user, default ``"10/m"``; any form of rate. Counted in a window
      that begins with the user's first call (see `FixedWindow`), named after the task.
    - ``user_argument``: which argument says who the user is: a text, a whole number or a UUID.
      Default: ``"user_id"`` where the function has a parameter of that name. None, or a function
      without it, leaves the question to the body: see `check_user_limit`.

    A name that is given and that the function does not have raises BadOptionError when the task is
    defined. A call whose user is None or empty fails with BadKeyError instead of running unlimited.
    """

    abstract = True
    ratekit_options: ClassVar[tuple[str, ...]] = ("user_argument", "user_rate_limit")

    user_rate_limit: RateSource = "10/m"
    user_argument: str | Unset | None = UNSET

    @classmethod
    def declared_limits(cls) -> list[Limit]:
        with option_of(cls, "user_rate_limit"):
            window = FixedWindow(cls.name, cls.user_rate_limit)
        if cls.user_argument not in (UNSET, None):
            check_argument(cls, "user_argument")
        return [*super().declared_limits(), *_by_argument(cls, window)]

    def rate_limits(self, call: Call) -> list[Limit]:
        window = _window(self.name, self.user_rate_limit)
        return [*super().rate_limits(call), *_by_argument(type(self), window)]

    def check_user_limit(self, user_id: Key) -> bool:
        """Whether the call may go on for this user: True once for what its start was charged.

        Each further call, and a call for another user, is charged anew: at once or not at all. In a
        direct call and in eager mode it is always True; outside a task it asks for one call.
        Raises BadKeyError for what cannot tell users apart.
        """
        user = checked_value(user_id, f"the user of the task {self.name!r}")
        return bodies.may_go_on(self, _window(self.name, self.user_rate_limit).with_key(user))

    def _parse_rate(self, rate_str: RateSource) -> tuple[float, float]:
        """The calls and the seconds of a rate: ``"10/m"`` is (10, 60)."""
        rate = Rate.parse(rate_str)
        return _whole(rate.amount), _whole(rate.period_seconds)


def _by_argument(cls: Any, window: FixedWindow) -> list[Limit]:
    """The limit of the user whom an argument names; none where that is left to the body."""
    argument = cls.user_argument
    if argument is UNSET:
        argument = USUAL_ARGUMENT if USUAL_ARGUMENT in parameters_of(cls) else None
    return [] if argument is None else [window.with_key(ArgumentKey(argument))]


@lru_cache(1_024)
def _window(name: str, rate: RateSource) -> FixedWindow:
    return FixedWindow(name, rate)


def _whole(number: float) -> float:
    return int(number) if number.is_integer() else number
