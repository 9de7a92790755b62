"""What a body does when the service that it calls answers "too many requests"."""

from __future__ import annotations

import logging
import time
from typing import TYPE_CHECKING, NoReturn

from ..errors import LimiterUnavailableError, RateLimitedError, RateLimitedTooOftenError
from ..limits import Limit
from ..signals import rate_limit_frozen
from .matching import meant, narrowest
from .reschedule import send_again
from .retry_after import default_seconds, seconds_from
from .run import RATE_LIMITED_HEADER, Run, run_of

if TYPE_CHECKING:
    from .base import RateLimitedTask

__all__ = ["rate_limited"]

logger = logging.getLogger(__name__)

SOON_SECONDS = 2.0
"""After how long a message is sent again whose moment passed before a broker took it."""

SHORTEST_SECONDS = 0.1
"""What a service that says "0" is given: asking again at once is what it complains about."""


def rate_limited(task: RateLimitedTask, retry_after: object, limit: str | Limit | None) -> NoReturn:
    """Freezes a limit of the running call and sends the task again to when that is over.

    Raises celery's Retry; RateLimitedError where there is no broker; RateLimitedTooOftenError after
    too many times in a row; BadLimitError where it is unclear which limit is meant.
    """
    request = task.request
    run = run_of(request)
    count = 1 if run is None else run.rate_limited_count + 1
    seconds = _wait_seconds(task, retry_after, count)
    if run is None or request.is_eager:
        raise RateLimitedError(task.name, seconds)
    frozen = _limit_to_freeze(task, run, limit)
    if frozen is not None:
        seconds = max(seconds, _freeze(task, frozen, seconds))
    task._meet_refusal(run, frozen, seconds)
    if count > task.max_rate_limited:
        raise RateLimitedTooOftenError(task.name, count)
    _send_again(task, frozen, seconds, count)


def _wait_seconds(task: RateLimitedTask, retry_after: object, count: int) -> float:
    seconds = seconds_from(retry_after, time.time())
    if seconds is None:
        if retry_after is not None:
            logger.warning(
                "rate limits: %s cannot read how long to wait: %.100r", task.name, retry_after
            )
        seconds = default_seconds(count)
    return min(max(seconds, SHORTEST_SECONDS), task.ratekit.settings.max_freeze)


def _limit_to_freeze(task: RateLimitedTask, run: Run, limit: str | Limit | None) -> Limit | None:
    """The limit that is meant; None where limits are switched off."""
    if not run.is_limited:
        return None
    limits = run.limits
    if limit is not None:
        return narrowest(meant(limits, limit, task.name), task.name)
    return task._limit_of_service(limits) or narrowest(limits, task.name)


def _freeze(task: RateLimitedTask, limit: Limit, seconds: float) -> float:
    """Freezes a limit; the seconds for which it is frozen now, as others may have done so."""
    try:
        frozen_seconds = task.ratekit.limiter.freeze(limit, seconds)
    except LimiterUnavailableError as error:
        logger.warning("rate limits: %r is not frozen: %s", limit.name, error)
        return 0.0
    rate_limit_frozen.send(sender=task, limit=limit, seconds=frozen_seconds, reason="rate_limited")
    return frozen_seconds


def _send_again(
    task: RateLimitedTask, frozen: Limit | None, seconds: float, count: int
) -> NoReturn:
    """Sends the task again, if need be a little later than asked for."""
    what = "" if frozen is None else f" {frozen.name!r}"
    reason = f"rate limit{what} of the called service: waits {seconds:.3f} s"
    # Brokers deliver again what is held for too long; a freeze goes on meanwhile.
    seconds = min(seconds, task.ratekit.settings.max_reschedule)
    while True:
        deadline = time.monotonic() + seconds
        send_again(task, task.request, deadline, reason, {RATE_LIMITED_HEADER: count})
        seconds = SOON_SECONDS
