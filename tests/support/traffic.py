"""What workers send and tell of by themselves: messages to the broker, and calls that had to wait.

A worker that holds what waits sends nothing.
"""

from __future__ import annotations

import json
from typing import Any

from celery.signals import after_task_publish
from support.journal import Journal

from celery_ratekit.signals import rate_limit_hit

__all__ = ["hits", "published", "report_traffic"]

PUBLISHED = "journal:published:"  # + a task's id: how many messages workers sent for it
HITS = "journal:hits:"  # + a task's name: a line for each call that was not granted at once


def report_traffic(journal: Journal) -> None:
    """Has this worker, and the children of its pool, note what they send and which calls wait."""

    def on_publish(headers: Any, **_: Any) -> None:
        journal.client.incr(PUBLISHED + headers["id"])

    def on_hit(sender: Any, limit: Any, reason: str, mode: str, **_: Any) -> None:
        hit = {"limit": limit.shown_name, "reason": reason, "mode": mode}
        journal.client.rpush(HITS + sender.name, json.dumps(hit))

    after_task_publish.connect(on_publish, weak=False)
    rate_limit_hit.connect(on_hit, weak=False)


def published(journal: Journal, task_ids: list[str]) -> int:
    """How many messages workers have sent for these tasks."""
    counts: list[Any] = journal.client.mget([PUBLISHED + task_id for task_id in task_ids])
    return sum(int(one or 0) for one in counts)


def hits(journal: Journal, task_name: str) -> list[dict[str, str]]:
    """What was told of the calls of a task that were not granted at once."""
    lines: list[Any] = journal.client.lrange(HITS + task_name, 0, -1)
    return [json.loads(line) for line in lines]
