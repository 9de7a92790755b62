"""A task with one rate for all of its calls, fixed in code."""

from __future__ import annotations

from typing import Any, ClassVar

from ..limits import Limit, RateSource, TokenBucket
from ..limits.checks import checked_text
from . import bucket_names
from .base import RateLimitedTask
from .buckets import bucket
from .call import Call
from .options import option_of

__all__ = ["StaticRateLimitTask"]


class StaticRateLimitTask(RateLimitedTask):
    """A task with one rate for all of its calls, over all workers, fixed in code.

    - ``global_rate_limit``: the rate, required; any form, such as ``"100/m"``. As many may start at
      once after a pause as the rate says (``"100/m:20"``), else 1, which spaces them evenly.
    - ``global_rate_limit_key``: the name of the limit; tasks with the same one share it. Default:
      the task's own name; with a word behind it where another of the task's classes has that name
      already: ``"charge (static)"``.

    Nobody changes the rate at run time, so that what was reviewed in code holds: where it is to be
    changed, take `DynamicRateLimitTask`. It can be paused, frozen and disabled like any other.
    """

    abstract = True
    ratekit_options: ClassVar[tuple[str, ...]] = ("global_rate_limit", "global_rate_limit_key")
    ratekit_bucket: ClassVar[str] = bucket_names.STATIC

    global_rate_limit: RateSource | None = None
    global_rate_limit_key: str | None = None

    @classmethod
    def static_limit(cls) -> TokenBucket:
        """The limit that is fixed in code."""
        return bucket(_name(cls), cls.global_rate_limit)

    @classmethod
    def declared_limits(cls) -> list[Limit]:
        with option_of(cls, "global_rate_limit_key"):
            checked_text("name", _name(cls))
        with option_of(cls, "global_rate_limit"):
            bucket = TokenBucket(_name(cls), cls.global_rate_limit)
        return [*super().declared_limits(), bucket]

    def rate_limits(self, call: Call) -> list[Limit]:
        bucket = self.static_limit()
        return [*super().rate_limits(call), bucket]


def _name(cls: Any) -> str:
    return cls.global_rate_limit_key or bucket_names.default_name(cls, bucket_names.STATIC)
