"""A task of which only so many run at a time."""

from __future__ import annotations

from functools import lru_cache
from typing import ClassVar

from ..limits import Concurrency, Limit
from ..limits.checks import checked_text
from .arguments import ArgumentKey, check_argument
from .base import RateLimitedTask
from .call import Call
from .options import option_of

__all__ = ["ConcurrencyLimitTask"]


class ConcurrencyLimitTask(RateLimitedTask):
    """A task of which at most ``max_concurrent`` calls run at a time, over all workers.

    - ``max_concurrent``: places, a whole number, required; 0 pauses the task.
    - ``concurrency_key``: the name of the limit; tasks with the same one share the places. Default:
      the task's own name.
    - ``concurrency_argument``: an argument whose values have places of their own each, such as
      ``"user_id"``: a text, a whole number or a UUID. Default: None, all calls share the places.

    A name that the function does not have raises BadOptionError when the task is defined. A call
    whose argument is None or empty fails with BadKeyError instead of running unlimited.
    """

    abstract = True
    ratekit_options: ClassVar[tuple[str, ...]] = (
        "concurrency_argument",
        "concurrency_key",
        "max_concurrent",
    )

    max_concurrent: int | None = None
    concurrency_key: str | None = None
    concurrency_argument: str | None = None

    @classmethod
    def declared_limits(cls) -> list[Limit]:
        name = cls.concurrency_key or cls.name
        with option_of(cls, "concurrency_key"):
            checked_text("name", name)
        argument = cls.concurrency_argument
        if argument is not None:
            check_argument(cls, "concurrency_argument")
        with option_of(cls, "max_concurrent"):
            places = _places(name, cls.max_concurrent, argument)
        return [*super().declared_limits(), places]

    def rate_limits(self, call: Call) -> list[Limit]:
        name = self.concurrency_key or self.name
        places = _kept_places(name, self.max_concurrent, self.concurrency_argument)
        return [*super().rate_limits(call), places]


def _places(name: str, size: int | None, argument: str | None) -> Concurrency:
    return Concurrency(name, size, key="" if argument is None else ArgumentKey(argument))


_kept_places = lru_cache(1_024)(_places)
