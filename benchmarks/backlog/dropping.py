"""Messages that are received like all others, and acknowledged at once instead of run."""

from __future__ import annotations

from typing import Any

from celery.worker import state
from celery.worker.strategy import default

__all__ = ["PATH", "strategy"]

PATH = f"{__name__}:strategy"
"""What Celery calls the strategy."""


def strategy(task: Any, app: Any, consumer: Any, **options: Any) -> Any:
    """Celery's own way to receive a message, up to where the gate would have it."""
    return default(task, app, _Dropping(consumer), **options)


class _Dropping:
    """A consumer that drops every request."""

    def __init__(self, consumer: Any) -> None:
        self._consumer = consumer

    def __getattr__(self, name: str) -> Any:
        return getattr(self._consumer, name)

    def on_task_request(self, request: Any) -> None:
        """The least that ends a request."""
        state.task_ready(request)
        request.acknowledge()
