"""A note in a queue of RabbitMQ: the last instant for which a bucket was refilled."""

from __future__ import annotations

import time
from typing import Any

from amqp.exceptions import NotFound

from .amqp_queue import declare, publish_all

__all__ = ["Mark"]

INSTANT_HEADER = "instant"

HELD_SECONDS = 5.0
"""How long to wait for whoever refills at this moment; a mark that is away for longer was lost."""

STEP_SECONDS = 0.05


class Mark:
    """The only message of its queue. Who has taken it is the only one that refills meanwhile."""

    def __init__(self, channel: Any, queue_name: str) -> None:
        self._channel = channel
        self._queue_name = queue_name
        self._taken: Any = None

    def take(self) -> int | None:
        """The instant, seconds since 1970; None where the bucket was never refilled."""
        try:
            self._channel.queue_declare(self._queue_name, passive=True)
        except NotFound:
            declare(self._channel, self._queue_name, 1)
            return None
        deadline = time.monotonic() + HELD_SECONDS
        while (message := self._channel.basic_get(self._queue_name)) is None:
            if time.monotonic() > deadline:
                return None
            time.sleep(STEP_SECONDS)
        self._taken = message
        return int(message.headers[INSTANT_HEADER])

    def put_back(self) -> None:
        """Leaves it as it was."""
        if self._taken is not None:
            self._channel.basic_reject(self._taken.delivery_tag, requeue=True)

    def replace(self, instant: int) -> None:
        """Notes another instant."""
        message = self._channel.prepare_message(
            b"", headers={INSTANT_HEADER: instant}, properties={"delivery_mode": 2}
        )
        publish_all(self._channel, self._queue_name, [message])
        if self._taken is not None:
            self._channel.basic_ack(self._taken.delivery_tag)
