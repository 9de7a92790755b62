"""From which queue a message came, and whether its queue's messages may wait elsewhere."""

from __future__ import annotations

from typing import Any

from celery.utils.nodenames import WORKER_DIRECT_EXCHANGE

__all__ = ["Sources"]


MOST_REMEMBERED = 10_000


class Sources:
    """The queues of one consumer, as long as its connection lasts.

    Messages of queues that go with their worker (broadcast, worker-direct, exclusive,
    auto-delete) are meant for this worker alone, and must not wait anywhere else.
    """

    def __init__(self, task_consumer: Any) -> None:
        self._consumer = task_consumer
        self._found: dict[tuple[int, str, str], str | None] = {}

    @property
    def lasting(self) -> list[str]:
        """The names of the queues that are there for any worker."""
        return [queue.name for queue in self._consumer.queues if _lasts(queue)]

    def queue_of(self, message: Any) -> str | None:
        """The lasting queue that a message came from; None where it is another, or not known."""
        info = message.delivery_info or {}
        tag = info.get("consumer_tag")
        if tag is not None:
            name = self._by_tag(tag)
            return name if name in self.lasting else None
        exchange, key = str(info.get("exchange") or ""), str(info.get("routing_key") or "")
        place = (len(self._consumer.queues), exchange, key)  # Queues may be added at run time.
        if place not in self._found:
            if len(self._found) >= MOST_REMEMBERED:
                self._found.clear()  # Routing keys come with the messages.
            self._found[place] = self._looked_up(message.channel, exchange, key)
        return self._found[place]

    def _by_tag(self, tag: str) -> str | None:
        tags = self._consumer._active_tags
        return next((name for name, one in tags.items() if one == tag), None)

    def _looked_up(self, channel: Any, exchange: str, routing_key: str) -> str | None:
        """Where kombu's own transports put what has this address; they do not say where it was."""
        if exchange:
            found = set(
                channel.typeof(exchange).lookup(
                    channel.get_table(exchange), exchange, routing_key, None
                )
            )
        else:
            found = {routing_key}
        consumed = [queue for queue in self._consumer.queues if queue.name in found]
        # In several of them it could have come from any.
        return consumed[0].name if len(consumed) == 1 and _lasts(consumed[0]) else None


def _lasts(queue: Any) -> bool:
    exchange = queue.exchange
    is_fanout = exchange is not None and exchange.type == "fanout"
    # A worker-direct queue is durable, but nobody else consumes it.
    is_direct = exchange is not None and exchange.name == WORKER_DIRECT_EXCHANGE.name
    return not (queue.auto_delete or queue.exclusive or is_fanout or is_direct)
