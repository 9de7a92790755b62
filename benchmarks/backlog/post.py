"""Puts many tasks into a queue before anybody takes them: to send each would take longer."""

from __future__ import annotations

import json
from base64 import b64encode
from collections.abc import Iterable, Iterator
from datetime import datetime, timezone
from itertools import islice
from typing import Any
from uuid import uuid4

import redis
from celery import Celery

from .setup import EXPIRED

__all__ = ["Post"]

AT_ONCE = 1_000

NOTHING_BEHIND = {"callbacks": None, "errbacks": None, "chain": None, "chord": None}

LONG_AGO = datetime(2000, 1, 1, tzinfo=timezone.utc)

Task = tuple[str, tuple[Any, ...]]


class Post:
    """The queues of a Redis as kombu fills them.

    One message of each task and queue is sent by Celery itself. The others are its copies, with
    arguments, ids and a delivery tag of their own.
    """

    def __init__(self, app: Celery, client: redis.Redis) -> None:
        self._app = app
        self._client = client
        self._originals: dict[tuple[str, str], dict[str, Any]] = {}

    def fill(self, queue: str, tasks: Iterable[Task]) -> int:
        """Adds tasks (name, arguments) to a queue that nobody consumes; bytes of all messages."""
        texts = (self._text(queue, name, arguments) for name, arguments in tasks)
        size = 0
        for piece in _pieces(texts):
            self._client.lpush(queue, *piece)  # kombu takes from the other end
            size += sum(map(len, piece))
        return size

    def _text(self, queue: str, name: str, arguments: tuple[Any, ...]) -> str:
        original = self._original(queue, name, arguments)
        task_id = str(uuid4())
        body = json.dumps([arguments, {}, NOTHING_BEHIND])
        ids = {"id": task_id, "root_id": task_id, "argsrepr": repr(arguments)}
        own = {"correlation_id": task_id, "delivery_tag": str(uuid4())}
        return json.dumps(
            {
                **original,
                "body": b64encode(body.encode()).decode(),
                "headers": {**original["headers"], **ids},
                "properties": {**original["properties"], **own},
            }
        )

    def _original(self, queue: str, name: str, arguments: tuple[Any, ...]) -> dict[str, Any]:
        key = (queue, name)
        if key not in self._originals:
            self._app.send_task(name, arguments, queue=queue)
            message: Any = self._client.lpop(queue)  # the last that was put there
            original = self._originals[key] = json.loads(message)
            if name == EXPIRED:  # As a sender, Celery knows better.
                original["headers"]["expires"] = LONG_AGO.isoformat()
        return self._originals[key]


def _pieces(texts: Iterator[str]) -> Iterator[list[str]]:
    while piece := list(islice(texts, AT_ONCE)):
        yield piece
