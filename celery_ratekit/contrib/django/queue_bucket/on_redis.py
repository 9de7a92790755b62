"""Tokens in a queue that kombu keeps in Redis."""

from __future__ import annotations

from typing import Any

from kombu.utils.json import dumps

from .refill import Refill
from .tokens import Tokens

__all__ = ["RedisTokens"]

INSTANT = "instant"

MARK_LIFETIME_MS = 400 * 86_400_000
"""Longer than a year: where a bucket was not refilled for so long, it begins anew."""


class RedisTokens(Tokens):
    """A queue there has no maximum: it is counted and refilled in one transaction."""

    def refill(self, refill: Refill) -> int:
        added = 0

        def add(pipe: Any) -> None:
            nonlocal added
            before = pipe.hget(self.mark_name, INSTANT)
            tokens = refill.tokens_since(None if before is None else int(before))
            missing = self.maximum - int(pipe.llen(self.queue_name))
            added = max(0, min(tokens, missing))
            pipe.multi()
            for _ in range(-missing):  # The maximum was higher.
                pipe.rpop(self.queue_name)
            for _ in range(added):
                pipe.lpush(self.queue_name, self._stored())
            if tokens:
                pipe.hset(self.mark_name, INSTANT, refill.instant)
                pipe.pexpire(self.mark_name, MARK_LIFETIME_MS)

        with self.channel.conn_or_acquire() as client:
            client.transaction(add, self.queue_name, self.mark_name)
        return added

    def count(self) -> int:
        return int(self.channel._size(self.queue_name))

    def _stored(self) -> str:
        """A token as kombu stores a message, for the queue of its name."""
        message = self._token()
        self.channel._inplace_augment_message(message, "", self.queue_name)
        text: str = dumps(message)
        return text
