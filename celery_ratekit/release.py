"""Puts what waits in the backlog back on its own queues: before an uninstall or a rollback."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any

from kombu import Connection

from .backlog import Backlog, Claim
from .limiter.prepared import random_id
from .tasks.runtime import runtime_of
from .worker.backlog.parcel import unpack
from .worker.backlog.republishing import publish

__all__ = ["release"]

PIECE = 100
"""How many entries are taken, sent and forgotten at a time."""

ALIVE_SECONDS = 60.0
"""What was taken and not sent comes back to the backlog so long after this process has died."""


def release(app: Any, queues: Iterable[str] | None = None) -> int:
    """Sends what waits in the backlog of these queues (default: all) to them; returns how many.

    Each message goes to the end of the queue that it came from, as the bytes that came, with its
    headers and priority. It is forgotten here only once the broker has it: what is interrupted may
    run twice, and is not lost. What running workers have claimed stays with them.

    Stop the workers before, or start them with ``ratekit_overflow = "hold"`` or
    ``ratekit_enabled = False``; they would park again what its limits deny.

    Raises LimiterUnavailableError where Redis gives no answer, and kombu's OperationalError where
    the broker takes no message.
    """
    backlog = runtime_of(app).backlog
    names = backlog.queues() if queues is None else list(queues)
    # Without it RabbitMQ may lose what is under way.
    options = {**(app.conf.broker_transport_options or {}), "confirm_publish": True}
    with app.connection_for_write(transport_options=options) as connection:
        return sum(_release_queue(backlog, connection, queue) for queue in names)


def _release_queue(backlog: Backlog, connection: Connection, queue: str) -> int:
    worker = f"release:{random_id()}"
    released = 0
    try:
        while tasks := list(backlog.sizes(queue).by_task):
            backlog.say_alive(worker, ALIVE_SECONDS)
            claims = backlog.claim(queue, worker, tasks, PIECE, within_seconds=math.inf).claims
            if not claims:
                break
            _send(connection, queue, claims)
            released += backlog.finish(queue, worker, [claim.entry_id for claim in claims])
    finally:
        backlog.give_back_all(queue, worker)
        backlog.say_gone(worker)
    return released


def _send(connection: Connection, queue: str, claims: Iterable[Claim]) -> None:
    """Sends the messages of these claims straight to their queue, whatever exchange they took."""
    producer = connection.Producer(auto_declare=False)
    for claim in claims:
        publish(producer, queue, unpack(claim.message))
