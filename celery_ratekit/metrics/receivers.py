"""Counts what signals tell."""

from __future__ import annotations

from typing import Any

from .. import signals
from ..limiter.watching import watch_round_trips
from ..limits import Limit
from ..rules import SHADOW
from ..settings import Settings
from ..tasks.runtime import runtime_of
from . import counted, labels
from .forking import unforked

__all__ = ["connect", "on_task_retry"]


def connect() -> None:
    """Begins to count; a second time is harmless."""
    signals.rate_limit_admitted.connect(on_admitted)
    signals.rate_limit_hit.connect(on_hit)
    signals.rate_limit_parked.connect(on_parked)
    signals.rate_limit_retried.connect(on_task_retry)
    signals.rate_limit_frozen.connect(on_frozen)
    signals.limiter_degraded.connect(on_degraded)
    watch_round_trips(on_round_trip)


def on_task_retry(sender: Any, reason: object, **_: Any) -> None:
    """Counts a retry of the task ``sender`` if its reason says that it is because of a limit.

    Connected to `celery_ratekit.signals.rate_limit_retried`, which the worker's main process tells:
    connected to Celery's ``task_retry`` as well, pools of threads would count twice.
    """
    if signals.says_rate_limit(reason):
        with unforked:
            counted.rate_limit_retries.labels(_task(sender)).inc()


def on_admitted(
    sender: Any, mode: str, wait_seconds: float, lateness_seconds: float, **_: Any
) -> None:
    task = _task(sender)
    with unforked:
        counted.admitted.labels(task, mode).inc()
        if mode != SHADOW:
            counted.wait_seconds.labels(task).observe(wait_seconds)
            counted.lateness_seconds.labels(task).observe(lateness_seconds)


def on_hit(sender: Any, limit: Limit, reason: str, mode: str, **_: Any) -> None:
    task, name = _task(sender), _limit(sender, limit)
    with unforked:
        if mode == SHADOW:
            counted.shadow_hits.labels(task, name).inc()
            return
        counted.rate_limit_hits.labels(task).inc()
        counted.limit_hits.labels(name, reason).inc()


def on_parked(sender: Any, **_: Any) -> None:
    task = _task(sender)
    with unforked:
        counted.parked.labels(task).inc()


def on_frozen(sender: Any, limit: Limit, reason: str, **_: Any) -> None:
    name = _limit(sender, limit)
    with unforked:
        counted.freezes.labels(name, reason).inc()


def on_degraded(degraded: bool, **_: Any) -> None:
    with unforked:
        counted.degraded.set(float(degraded))


def on_round_trip(seconds: float, failures: int) -> None:
    with unforked:
        counted.redis_round_trip_seconds.observe(seconds)
        if failures:
            counted.redis_errors.inc(failures)


def _task(sender: Any) -> str:
    return _label(labels.tasks, sender.name, sender)


def _limit(sender: Any, limit: Limit) -> str:
    return _label(labels.limits, limit.shown_name, sender)


def _label(names: labels.Names, name: str, sender: Any) -> str:
    return names.label(name, 0 if names.has(name) else _most(sender))


def _most(sender: Any) -> int:
    """How many names the app of a task allows; the default where there is no app."""
    app = getattr(sender, "app", None)
    return (
        Settings.metrics_max_limits if app is None else runtime_of(app).settings.metrics_max_limits
    )
