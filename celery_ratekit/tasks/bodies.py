"""What a body can do about the limits of its own call."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from typing import TYPE_CHECKING

from ..errors import LimiterUnavailableError
from ..limits import Concurrency, Limit
from ..limits.checks import checked_cost
from ..rules import ENFORCE, SHADOW
from ..signals import rate_limit_hit
from .matching import meant, the_only
from .run import Run, run_of

if TYPE_CHECKING:
    from .base import RateLimitedTask

__all__ = ["may_go_on", "refund", "settle"]

logger = logging.getLogger(__name__)


def may_go_on(task: RateLimitedTask, limit: Limit) -> bool:
    """Whether a body may go on: for what its start was charged, once; else if there is more now.

    True in direct calls and eager mode. Outside of any task it asks.
    """
    run = run_of(task.request)
    if run is None:
        return task.request_stack.top is not None or _has_more(task, limit)
    if not run.is_limited:
        return True
    run.asked.append(limit)
    if run.charges.take(limit) or _has_more(task, limit):
        return True
    mode = SHADOW if run.is_shadow else ENFORCE
    rate_limit_hit.send(sender=task, task_id=task.request.id, limit=limit, reason="rate", mode=mode)
    return run.is_shadow


def refund(task: RateLimitedTask) -> bool:
    """Gives back what the start was charged, once; whether Redis took it."""
    run = run_of(task.request)
    if run is None or not run.is_limited:
        return False
    charges = run.charges
    return _try(task, "refunded", lambda: charges.refund(task.ratekit.limiter))


def settle(task: RateLimitedTask, actual_cost: float, limit: str | Limit | None) -> bool:
    """Corrects what the start was charged; whether Redis took it.

    Raises BadLimitError for what is no cost, or where it is unclear which limit is meant.
    """
    checked_cost(actual_cost, task.name)
    run = run_of(task.request)
    if run is None or not run.is_limited:
        return False
    charged = _limit_to_settle(task, run, limit)
    if charged is None:
        return False
    now_us = int(time.time() * 1_000_000)
    return _try(
        task,
        "settled",
        lambda: run.charges.settle(task.ratekit.limiter, charged, actual_cost, now_us),
    )


def _limit_to_settle(task: RateLimitedTask, run: Run, limit: str | Limit | None) -> Limit | None:
    """The limit that is meant; None where it counts nothing."""
    limits = [one for one in run.limits if not isinstance(one, Concurrency)]
    if limit is not None:
        limits = meant(limits, limit, task.name)
    if run.is_shadow:
        limits = [one for one in limits if run.charges.has(one)]
    counting = [one for one in limits if not one.is_unlimited]
    return the_only(counting, task.name) if counting else None


def _has_more(task: RateLimitedTask, limit: Limit) -> bool:
    """Takes what a call costs, at once or not at all."""
    runtime = task.ratekit
    return not runtime.settings.is_enabled(task.name) or runtime.limiter.acquire(limit).granted


def _try(task: RateLimitedTask, what: str, change: Callable[[], bool]) -> bool:
    """Makes a change that no body shall fail for; False where Redis did not take it."""
    try:
        return change()
    except LimiterUnavailableError as error:
        logger.warning("rate limits: %s[%s] is not %s: %s", task.name, task.request.id, what, error)
        return False
