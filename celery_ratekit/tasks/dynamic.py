"""A task with one rate for all of its calls, meant to be changed while workers run."""

from __future__ import annotations

from typing import ClassVar

from ..limits import Limit, RateSource, TokenBucket
from ..limits.checks import checked_rate, checked_text
from . import bucket_names
from .base import RateLimitedTask
from .buckets import bucket
from .call import Call
from .options import option_of

__all__ = ["DynamicRateLimitTask"]


class DynamicRateLimitTask(RateLimitedTask):
    """A task with one rate for all of its calls, over all workers, to be changed at run time.

        RateLimitManager(app).adjust_rate("charge", "20/m")  # or: celery control rate_limit ...

    Limits of other classes can be changed too; this one's has the task's name.

    - ``default_rate_limit``: the rate until another is set, required; any form, such as
      ``"100/m"``. As many may start at once after a pause as the rate says (``"100/m:20"``), else
      1, which spaces them evenly.
    - ``dynamic_rate_limit_key``: the name of the limit, by which it is changed; tasks with the same
      one share it. Default: the task's own name.
    """

    abstract = True
    ratekit_options: ClassVar[tuple[str, ...]] = ("default_rate_limit", "dynamic_rate_limit_key")
    ratekit_bucket: ClassVar[str] = bucket_names.DYNAMIC

    default_rate_limit: RateSource | None = None
    dynamic_rate_limit_key: str | None = None

    @classmethod
    def declared_limits(cls) -> list[Limit]:
        with option_of(cls, "dynamic_rate_limit_key"):
            name = checked_text("name", cls.dynamic_rate_limit_key or cls.name)
        with option_of(cls, "default_rate_limit"):
            checked_rate(cls.default_rate_limit, name)
            limit = cls.dynamic_limit()
        return [*super().declared_limits(), limit]

    def rate_limits(self, call: Call) -> list[Limit]:
        return [*super().rate_limits(call), self.dynamic_limit()]

    @classmethod
    def dynamic_limit(cls) -> TokenBucket:
        """The limit at the rate that the code gives it."""
        name = cls.dynamic_rate_limit_key or cls.name
        return bucket(name, cls.default_rate_limit)
