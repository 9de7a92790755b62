"""A task whose rate follows what the service that it calls takes."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import Any, ClassVar

from ..adaptive.law import Bounds
from ..errors import BadRateError
from ..limits import Limit, RateSource, TokenBucket
from ..limits.checks import checked_rate, checked_text
from ..rates import Rate
from . import bucket_names
from .base import RateLimitedTask
from .buckets import bucket
from .call import Call
from .charges import is_same_counter
from .options import option_of
from .run import Run, run_of

__all__ = ["AdaptiveRateLimitTask"]

LEAST_SHARE = 0.01
"""The floor where none is said, as a share of the ceiling."""


class AdaptiveRateLimitTask(RateLimitedTask):
    """A task whose one rate, over all workers, follows what the service that it calls takes.

    Its body says when the service refuses, and that is all it has to do:

        if response.status_code == 429:
            raise self.rate_limited(response.headers.get("Retry-After"))

    A refusal lowers the rate of all workers at once, by 5 % if the rate had worked before, by up
    to a third if refusals go on; calls that end without an exception raise it again, slowly near
    the rate that was refused last. It follows published methods: AIMD, as in Netflix'
    concurrency-limits, and CUBIC, as in botocore's adaptive retry mode; see
    `celery_ratekit.adaptive.law`. Workers learn of a new rate within two seconds.

    - ``max_rate``: the ceiling, required; any form of rate, such as ``"100/s"``.
    - ``min_rate``: the floor, default a hundredth of the ceiling.
    - ``rate``: where it starts, and what may start at once after a pause (``"50/s:10"``), else 1.
      Default: the ceiling.
    - ``adaptive_rate_limit_key``: the name of the limit; tasks with the same one share what they
      learn. Default: the task's own name; with a word behind it where another of the task's
      classes has that name already: ``"charge (adaptive)"``.

    A refusal concerns this rate, not another limit of the task, unless `rate_limited` is given one.
    There is one rate for all calls: what each user may do on their own is for another class, by
    `compose`. A rate that is set at run time counts in place of what is learned. In shadow mode,
    in eager mode and where limits are switched off nothing is learned.
    """

    abstract = True
    ratekit_options: ClassVar[tuple[str, ...]] = (
        "adaptive_rate_limit_key",
        "max_rate",
        "min_rate",
        "rate",
    )
    ratekit_bucket: ClassVar[str] = bucket_names.ADAPTIVE

    rate: RateSource | None = None
    min_rate: RateSource | None = None
    max_rate: RateSource | None = None
    adaptive_rate_limit_key: str | None = None

    @classmethod
    def declared_limits(cls) -> list[Limit]:
        name = _name(cls)
        with option_of(cls, "adaptive_rate_limit_key"):
            checked_text("name", name)
        with option_of(cls, "max_rate"):
            most = _checked_bound(cls.max_rate, name)
        with option_of(cls, "min_rate"):
            least = _checked_least(cls.min_rate, most, name)
        with option_of(cls, "rate"):
            _check_start(cls.rate, least, most, name)
        return [*super().declared_limits(), cls._adaptive_limit()]

    def rate_limits(self, call: Call) -> list[Limit]:
        return [*super().rate_limits(call), self._adaptive_limit()]

    @classmethod
    def _adaptive_limit(cls) -> TokenBucket:
        return bucket(_name(cls), _start_of(cls))

    def _call_body(self, *args: Any, **kwargs: Any) -> Any:
        result = super()._call_body(*args, **kwargs)
        run = run_of(self.request)
        if run is not None and not run.was_refused and _learns(run):
            self.ratekit.learner.succeeded(_name(type(self)), _bounds_of(type(self)))
        return result

    def _limit_of_service(self, limits: Sequence[Limit]) -> Limit | None:
        ours = self._adaptive_limit()
        return next((limit for limit in limits if is_same_counter(limit, ours)), None)

    def _meet_refusal(self, run: Run, limit: Limit | None, freeze_seconds: float) -> None:
        super()._meet_refusal(run, limit, freeze_seconds)
        if limit is None or not is_same_counter(limit, self._adaptive_limit()):
            return
        if _learns(run):
            self.ratekit.learner.throttled(
                _name(type(self)), _bounds_of(type(self)), run.granted_us, freeze_seconds
            )


def _learns(run: Run) -> bool:
    """Whether the limits that let a call start are in force, so that its end says something."""
    return run.is_limited and not run.is_shadow


def _name(cls: Any) -> str:
    key = cls.adaptive_rate_limit_key
    return key or bucket_names.default_name(cls, bucket_names.ADAPTIVE)


def _start_of(cls: Any) -> RateSource | None:
    start: RateSource | None = cls.max_rate if cls.rate is None else cls.rate
    return start


def _bounds_of(cls: Any) -> Bounds:
    return _bounds(_start_of(cls), cls.min_rate, cls.max_rate)


@lru_cache(1_024)
def _bounds(start: RateSource, least: RateSource | None, most: RateSource) -> Bounds:
    highest = Rate.parse(most).per_second
    lowest = highest * LEAST_SHARE if least is None else Rate.parse(least).per_second
    return Bounds(Rate.parse(start).per_second, lowest, highest)


def _checked_bound(rate: object, name: str) -> Rate:
    checked = checked_rate(rate, name)
    if checked.is_unlimited or checked.is_paused:
        raise BadRateError(
            f'expected a rate between 0 and unlimited, such as "100/s", got "{checked}"; it bounds '
            "a rate that is learned"
        )
    return checked


def _checked_least(rate: object, most: Rate, name: str) -> Rate:
    if rate is None:
        return most.scaled(LEAST_SHARE)
    least = _checked_bound(rate, name)
    if least.per_second > most.per_second:
        raise BadRateError(f'expected a floor of at most max_rate ("{most}"), got "{least}"')
    return least


def _check_start(rate: object, least: Rate, most: Rate, name: str) -> None:
    if rate is None:
        return
    start = _checked_bound(rate, name)
    if not least.per_second <= start.per_second <= most.per_second:
        raise BadRateError(
            f'expected a start between min_rate ("{least}") and max_rate ("{most}"), got "{start}"'
        )
