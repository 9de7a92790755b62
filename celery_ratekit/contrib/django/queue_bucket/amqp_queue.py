"""Queues of RabbitMQ that hold a most of messages, whoever sends how many."""

from __future__ import annotations

from typing import Any

__all__ = ["declare", "publish_all"]


def declare(channel: Any, name: str, most: int) -> int:
    """Makes a queue for at most so many messages where there is none; returns how many it holds."""
    arguments = {
        "x-max-length": most,
        "x-overflow": "drop-head",
        "x-queue-type": "classic",  # It counts exactly.
    }
    answer = channel.queue_declare(name, durable=True, auto_delete=False, arguments=arguments)
    return int(answer.message_count)


def publish_all(channel: Any, name: str, messages: list[Any]) -> None:
    """Sends messages to a queue; returns once all of them are in it."""
    if not messages:
        return
    # They arrive in order: where the last has arrived, all have. Once a channel confirms messages
    # it confirms each, so it is a new one.
    with channel.connection.channel() as own:
        for message in messages[:-1]:
            own.basic_publish(message, exchange="", routing_key=name)
        own.basic_publish_confirm(messages[-1], exchange="", routing_key=name)
