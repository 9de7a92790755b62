"""Hears in the worker's main process which tasks were sent again because of a limit.

A pool's child that ran such a task may be gone the next moment, with all that it counted. What it
raised comes back to the request, whichever pool it was, and with or without a gate.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any

from billiard.einfo import ExceptionWithTraceback
from celery import bootsteps
from celery.exceptions import Retry
from celery.utils.imports import symbol_by_name

from ...signals import rate_limit_retried, says_rate_limit

__all__ = ["HearOfRetries"]


class HearOfRetries(bootsteps.Step):
    """Has every task of a worker's app tell of such retries, before its consumer is made."""

    def __init__(self, worker: Any, **options: Any) -> None:
        super().__init__(worker, **options)
        for task in worker.app.tasks.values():
            task.Request = _telling(symbol_by_name(task.Request))


@lru_cache(None)
def _telling(base: Any) -> Any:
    """The same request class, which tells of retries."""
    if issubclass(base, _Telling):
        return base
    return type(base.__name__, (_Telling, base), {"__module__": base.__module__})


class _Telling:
    """Goes before a request class of Celery's; its subclasses do not override `on_retry`."""

    task: Any
    id: str

    def on_retry(self, exc_info: Any) -> Any:
        reason = exc_info.exception
        if isinstance(reason, ExceptionWithTraceback):
            reason = reason.exc
        if isinstance(reason, Retry) and says_rate_limit(reason):
            rate_limit_retried.send(sender=self.task, task_id=self.id, reason=reason)
        return super().on_retry(exc_info)  # type: ignore[misc]  # the class that it goes before
