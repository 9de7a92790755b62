"""Tokens in a queue of RabbitMQ."""

from __future__ import annotations

from typing import Any

from amqp.exceptions import NotFound, PreconditionFailed

from .amqp_queue import declare, publish_all
from .mark import Mark
from .refill import Refill
from .tokens import Tokens

__all__ = ["AmqpTokens"]


class AmqpTokens(Tokens):
    """The broker itself keeps the queue at its maximum: what is beyond it is dropped.

    A channel that the broker closes because of an error is opened again by itself.
    """

    def refill(self, refill: Refill) -> int:
        missing = self.maximum - self._declare()
        mark = Mark(self.channel, self.mark_name)
        before = mark.take()
        tokens = refill.tokens_since(before)
        if not tokens:
            mark.put_back()
            return 0
        # Who dies between the two lines leaves a bucket with too few tokens, never with too many.
        mark.replace(refill.instant)
        added = max(0, min(tokens, missing))
        self._publish([self._token() for _ in range(added)])
        return added

    def count(self) -> int:
        try:
            return int(self.channel.queue_declare(self.queue_name, passive=True).message_count)
        except NotFound:
            return 0

    def take(self) -> bool:
        try:
            return super().take()
        except NotFound:  # It was never refilled.
            return False

    def _declare(self) -> int:
        """Makes the queue where there is none; returns how many tokens it holds."""
        try:
            return self._declare_as_is()
        except PreconditionFailed:  # It was made with another maximum, which cannot be changed.
            held = int(self.channel.queue_delete(self.queue_name))
            self._declare_as_is()
            kept = min(held, self.maximum)
            self._publish([self._token() for _ in range(kept)])
            return kept

    def _declare_as_is(self) -> int:
        return declare(self.channel, self.queue_name, self.maximum)

    def _publish(self, tokens: list[Any]) -> None:
        publish_all(self.channel, self.queue_name, tokens)
