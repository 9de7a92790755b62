"""Lets a worker fail at its start, not at each task, where its settings cannot work."""

from __future__ import annotations

from typing import Any

from celery import bootsteps
from celery.utils.log import get_logger

from ..tasks.runtime import runtime_of

__all__ = ["CheckSettings"]

logger = get_logger(__name__)


class CheckSettings(bootsteps.Step):
    """Raises BadOptionError or RedisNotConfiguredError before the worker takes a task."""

    def __init__(self, worker: Any, **options: Any) -> None:
        super().__init__(worker, **options)
        runtime = runtime_of(worker.app)
        tasks = list(worker.app.tasks.values())
        for warning in runtime.book.check(tasks):
            logger.warning("rate limits: %s", warning)
        plans = [runtime.book.plan(task) for task in tasks]
        if any(plan.is_limited or plan.declared() for plan in plans):
            _ = runtime.limiter  # Reads the address, and connects to nothing.
