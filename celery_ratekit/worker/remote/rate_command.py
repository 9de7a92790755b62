"""The remote control command ``rate_limit``: for our limits it sets the rate of all workers."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from celery.utils.log import get_logger
from celery.worker.control import nok, ok

from ...errors import RatekitError
from ...manager import RateLimitManager
from ...manager.known import Known
from ...rates import Rate

__all__ = ["rate_command"]

REASON = "the control command rate_limit"

logger = get_logger(__name__)


def rate_command(
    state: Any, celerys: Callable[..., Any], task_name: Any, rate_limit: Any, **options: Any
) -> Any:
    """What the command answers, in the form that ``celery control`` and Flower expect.

    A task of ours, or the name of a limit, gets its rate in Redis: one for all workers, whichever
    were asked. For all other tasks it is Celery's own command (``celerys``).
    """
    known = Known(state.app)
    task = known.task(task_name) if isinstance(task_name, str) else None
    if not isinstance(task_name, str) or not _is_ours(known, task, task_name):
        return celerys(state, task_name, rate_limit, **options)
    try:
        rate = Rate.parse(rate_limit)
        if rate.is_paused:
            return nok(
                f"0 means unlimited to Celery and paused to the limits of {task_name!r:.80}: to "
                "stop them use pause of RateLimitManager, to lift them say unlimited"
            )
        adjusted = RateLimitManager(state.app).adjust_rate(task_name, rate_limit, reason=REASON)
    except RatekitError as error:
        return nok(str(error))
    logger.info("rate limits: %s is %s for all workers", adjusted.name, adjusted.new)
    return ok(f"new rate limit set successfully: {adjusted.new} for all workers")


def _is_ours(known: Known, task: Any, name: str) -> bool:
    return known.is_ours(task) if task is not None else known.has_limit(name)
