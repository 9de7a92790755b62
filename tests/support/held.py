"""Which tasks workers hold, as `celery inspect ratekit` tells it."""

from __future__ import annotations

from typing import Any

from celery import Celery
from support.journal import not_yet

from celery_ratekit.embedded.waiting import wait_for

__all__ = ["NODE", "held_ids", "reply_of", "wait_until_held"]

NODE = "w0@localhost"
REPLY_SECONDS = 5.0


def reply_of(app: Celery, command: str, node: str = NODE, **arguments: Any) -> Any:
    """What one worker answers to a control command."""
    replies = app.control.broadcast(
        command, arguments=arguments, destination=[node], reply=True, limit=1, timeout=REPLY_SECONDS
    )
    not_yet(missing=not replies, what=f"no answer to {command}")
    return replies[0][node]


def held_ids(app: Celery, node: str = NODE) -> list[str]:
    """The ids of the tasks that a worker holds, in the order of their starts and arrivals."""
    return [held["id"] for held in reply_of(app, "ratekit", node)["held"]]


def wait_until_held(app: Celery, task_ids: list[str], node: str = NODE) -> None:
    """Waits until a worker holds all of these."""

    def check() -> None:
        missing = set(task_ids) - set(held_ids(app, node))
        not_yet(missing=bool(missing), what=f"{len(missing)} of {len(task_ids)} are not held")

    wait_for("tasks that are held", check, timeout=30)
