"""Puts the tasks of a run into their queue, before anybody takes them."""

from __future__ import annotations

from itertools import count
from typing import Any

import redis
from celery import Celery

from .variant import TASK_NAME

__all__ = ["Sender"]

_numbers = count(1)


class Sender:
    """Sends through one broker; ``redis_url`` where that is a Redis, on which copies are cheap."""

    def __init__(self, broker_url: str, redis_url: str | None) -> None:
        self._app = Celery("sender", broker=broker_url, set_as_current=False)
        self._redis = redis.Redis.from_url(redis_url) if redis_url else None
        self._originals: dict[int, str] = {}

    def fill_queue(self, tasks: int) -> str:
        """The name of a new queue with so many tasks, numbered from 0."""
        queue = f"benchmark-{next(_numbers)}"
        if self._redis is None:
            self._publish(queue, tasks)
        else:
            # To publish takes longer than to run, and would be most of the benchmark.
            original = self._original(tasks)
            messages: Any = self._redis.lrange(original, 0, -1)
            # A task that sends itself again does so to the queue that its message names.
            self._redis.rpush(
                queue, *(message.replace(original.encode(), queue.encode()) for message in messages)
            )
        return queue

    def delete(self, queue: str) -> None:
        """Deletes a queue and what is left in it."""
        with self._app.connection_for_write() as connection:
            connection.default_channel.queue_delete(queue)

    def tell(self, command: str, hostnames: list[str], *, timeout: float, **arguments: Any) -> Any:
        """What workers answer to a control command; less answers where some are silent."""
        return self._app.control.broadcast(
            command, arguments, hostnames, reply=True, limit=len(hostnames), timeout=timeout
        )

    def close(self) -> None:
        """Closes its connections."""
        self._app.close()
        if self._redis is not None:
            self._redis.close()

    def _original(self, tasks: int) -> str:
        if tasks not in self._originals:
            queue = self._originals[tasks] = f"benchmark-original-{next(_numbers)}"
            self._publish(queue, tasks)
        return self._originals[tasks]

    def _publish(self, queue: str, tasks: int) -> None:
        with self._app.producer_pool.acquire(block=True) as producer:
            for number in range(tasks):
                self._app.send_task(TASK_NAME, (number,), queue=queue, producer=producer)
