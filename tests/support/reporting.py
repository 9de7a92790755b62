"""What the workers of the end-to-end tests note by themselves, beside what their tasks write."""

from __future__ import annotations

from typing import Any

from celery.signals import task_retry, worker_ready
from support.journal import Journal

__all__ = ["report"]


def report(journal: Journal) -> None:
    """Lets this worker note that it is ready, and why tasks were sent again."""

    def on_ready(**_: Any) -> None:
        journal.write_ready()

    def on_retry(request: Any, reason: Any, **_: Any) -> None:
        journal.write_retry(request, str(reason))

    worker_ready.connect(on_ready, weak=False)
    task_retry.connect(on_retry, weak=False)
