"""Plain Celery tasks: their own limit per worker is changed by asking the workers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from ..errors import BadOptionError
from ..rates import Rate

__all__ = ["broadcast_rate", "celerys_text"]

REPLY_SECONDS = 1.0
"""How long to wait for the workers' answers; those that come later are not reported."""

CELERYS_UNITS = {1.0: "s", 60.0: "m", 3_600.0: "h"}


def broadcast_rate(
    app: Any, task_name: str, rate: str, workers: Sequence[str] | None, *, waits: bool
) -> Mapping[str, Any]:
    """What each worker answered to the command ``rate_limit``, by its name, if one ``waits``."""
    replies = app.control.rate_limit(
        task_name,
        rate,
        destination=None if workers is None else list(workers),
        reply=waits,
        timeout=REPLY_SECONDS,
    )
    return {worker: answer for reply in replies or () for worker, answer in reply.items()}


def celerys_text(rate: Rate, task_name: str) -> str:
    """The rate as Celery's own limit reads it.

    Raises BadOptionError for a rate of 0, which means unlimited there, and for one that is so rare
    that it cannot be said there.
    """
    if rate.is_unlimited:
        return "0"
    if rate.is_paused:
        raise BadOptionError(
            f"expected a rate of more than 0 for the task {task_name!r:.80}, which has Celery's "
            "own limit, where 0 means unlimited; to stop the task consume its queue no more, to "
            'lift the limit write "unlimited"'
        )
    for period, unit in CELERYS_UNITS.items():
        if rate.period_seconds == period:
            return f"{rate.amount:.12g}/{unit}"
    return f"{rate.per_second * 3_600:.12g}/h"
