"""Sends tasks, and knows of which the broker has said that it has them."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any
from uuid import uuid4

from celery import Celery
from kombu.exceptions import OperationalError

from .plan import Chaos
from .servers import Servers, broker_options

__all__ = ["Sender"]

QUEUE, TASK = "chaos", "work"

LOAD = 0.9
"""Of the rate of all users: some start at once, and others wait in the backlog."""

BATCH_SECONDS = 0.4
"""Between two batches: what comes at once has to wait for each other."""

AT_ONCE = {"max_retries": 1, "interval_start": 0, "interval_step": 0, "interval_max": 0}
"""How often to try to reach a broker: who sends also brings Redis back."""


class Sender:
    """Sends in batches, at random to one of the users; ``is_up`` tells whether Redis lives."""

    def __init__(self, chaos: Chaos, servers: Servers, is_up: Callable[[], bool]) -> None:
        self._chaos = chaos
        self._is_up = is_up
        self._app = Celery("chaos-sender", broker=servers.broker_url, set_as_current=False)
        self._app.conf.update(
            broker_transport_options={**broker_options(servers.broker_url), **AT_ONCE},
            task_default_queue=QUEUE,
        )
        self._chance = random.Random(f"sender {chaos.seed}")
        self._next = 0.0
        self._connection: Any = None
        self._producer: Any = None
        #: The ids of tasks that were accepted.
        self.accepted: set[str] = set()
        #: Those of which it is not known, because Redis was killed meanwhile.
        self.uncertain: set[str] = set()

    def send_due(self, now: float) -> None:
        """Sends a batch, where it is time to."""
        if now < self._next:
            return
        self._next = now + BATCH_SECONDS
        chaos = self._chaos
        mean = LOAD * chaos.users * chaos.per_second * BATCH_SECONDS
        for _ in range(round(self._chance.uniform(0, 2 * mean))):
            if self._is_up():
                self._send()

    def close(self) -> None:
        self._disconnect()
        self._app.close()

    def _send(self) -> None:
        user = f"u{self._chance.randrange(self._chaos.users)}"
        task_id = str(uuid4())
        try:
            self._app.send_task(
                TASK,
                (user, self._chaos.body_seconds),
                task_id=task_id,
                producer=self._connected(),
                retry=False,
            )
        except (OperationalError, OSError):
            self.uncertain.add(task_id)
            self._disconnect()
        else:
            (self.accepted if self._is_up() else self.uncertain).add(task_id)

    def _connected(self) -> Any:
        if self._producer is None:
            self._connection = self._app.connection_for_write()
            self._producer = self._app.amqp.Producer(self._connection)
        return self._producer

    def _disconnect(self) -> None:
        connection, self._connection, self._producer = self._connection, None, None
        if connection is not None:
            connection.collect()
