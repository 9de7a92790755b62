"""One bucket of tokens in a queue: takes, adds and counts them over a connection that is reused."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timezone
from typing import Any, TypeVar

from ....errors import BadOptionError, TokenBucketUnavailableError
from ....tasks.runtime import runtime_of
from ..token_bucket import TokenBucket
from .channels import channel_of, forget_channel
from .on_amqp import AmqpTokens
from .on_redis import RedisTokens
from .refill import Refill
from .tokens import Tokens

__all__ = ["QueueBucket"]

ATTEMPTS = 2
"""How often something is tried: a connection that was idle for long may turn out to be lost."""

KINDS: dict[str, type[Tokens]] = {"amqp": AmqpTokens, "redis": RedisTokens}

T = TypeVar("T")


class QueueBucket:
    """The tokens of one bucket in the queues of an app's broker, RabbitMQ or Redis.

    The queue's name begins with the app's ``ratekit_namespace``. Every method raises
    TokenBucketUnavailableError where the broker does not answer, and BadOptionError where it is one
    whose queues cannot be kept from holding too many.
    """

    def __init__(self, app: Any, bucket: TokenBucket) -> None:
        self._app = app
        self._bucket = bucket
        namespace = runtime_of(app).settings.namespace
        self.queue_name = f"{namespace}.token_bucket.{bucket.name}"

    def take(self) -> bool:
        """Whether there was a token; it is taken out."""
        return self._try("give a token", lambda tokens: tokens.take())

    def refill(self, now: datetime | None = None) -> int:
        """Adds the tokens of each instant since the last refill, up to the maximum.

        The first one adds those of one instant. ``now``: default the present. Returns how many.
        """
        refill = Refill(self._bucket, now or datetime.now(timezone.utc))
        return self._try("be refilled", lambda tokens: tokens.refill(refill))

    def count(self) -> int:
        """How many tokens there are."""
        return self._try("count its tokens", lambda tokens: tokens.count())

    def _try(self, what: str, act: Callable[[Tokens], T]) -> T:
        with self._app.pool.acquire(block=True) as connection:
            errors = (*connection.channel_errors, *connection.connection_errors)
            error: BaseException | None = None
            for _ in range(ATTEMPTS):
                try:
                    return act(self._tokens(connection))
                except errors as met:
                    error = met
                    forget_channel(connection)
        raise TokenBucketUnavailableError(
            f"the token bucket {self._bucket.name!r} could not {what}: {error}; see whether the "
            "broker is running"
        ) from error

    def _tokens(self, connection: Any) -> Tokens:
        kind = KINDS.get(connection.transport.driver_type)
        if kind is None:
            raise BadOptionError(
                f"expected RabbitMQ or Redis as the broker of the token bucket "
                f"{self._bucket.name!r}, whose tokens are in a queue, got "
                f'{connection.transport.driver_type!r}; keep it in a Redis, with backend="redis"'
            )
        return kind(channel_of(connection), self.queue_name, int(self._bucket.maximum))
