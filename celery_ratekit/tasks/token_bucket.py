"""A task with a token bucket of its own, shared by all workers."""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from typing import Any, ClassVar

from ..limiter.redis_url import RedisClient
from ..limits import Cost, Limit, RateSource, TokenBucket
from ..limits.checks import checked_rate, checked_size, checked_text
from ..rates import Rate
from . import bodies, bucket_names
from .base import RateLimitedTask
from .call import Call
from .options import option_of

__all__ = ["TokenBucketTask"]

DEFAULT_BUCKET_SIZE = 100


class TokenBucketTask(RateLimitedTask):
    """A task that starts at most ``bucket_size + tokens_per_second x W`` times in any W seconds.

    - ``rate_limit_key``: the name of the bucket; tasks with the same one share it. Default: the
      task's own name; ``"charge (tokens)"`` where the task is a `DynamicRateLimitTask` too, whose
      limit has that name.
    - ``tokens_per_second``: the rate, default 10; a number or a rate such as ``"100/m"``.
    - ``bucket_size``: how many may start at once after a pause; default: what the rate says
      (``"100/m:20"``), else 100.
    - ``cost``: tokens that one call takes, default 1; a number or a function of the `Call`.
    """

    abstract = True
    ratekit_options: ClassVar[tuple[str, ...]] = (
        "bucket_size",
        "cost",
        "rate_limit_key",
        "tokens_per_second",
    )

    ratekit_bucket: ClassVar[str] = bucket_names.TOKENS

    rate_limit_key: str | None = None
    tokens_per_second: RateSource = 10.0
    bucket_size: float = DEFAULT_BUCKET_SIZE
    cost: Cost | Callable[[Call], Cost] = 1

    @classmethod
    def declared_limits(cls) -> list[Limit]:
        name = _name(cls)
        with option_of(cls, "rate_limit_key"):
            checked_text("name", name)
        with option_of(cls, "tokens_per_second"):
            checked_rate(cls.tokens_per_second, name)
        with option_of(cls, "bucket_size"):
            checked_size("bucket_size", cls.bucket_size, name)
        with option_of(cls, "cost"):
            bucket = _bucket(name, cls.tokens_per_second, cls.bucket_size, cls.cost)
        return [*super().declared_limits(), bucket]

    def rate_limits(self, call: Call) -> list[Limit]:
        return [*super().rate_limits(call), _bucket_of(self)]

    def acquire_token(self) -> bool:
        """Whether the call may go on: True once for the token that its start was charged.

        Each further call takes a token more, at once or not at all. In a direct call and in eager
        mode it is always True; outside a task it asks for a token.
        """
        bucket = _bucket_of(self)
        if callable(bucket.cost):
            bucket = bucket.with_cost(1)
        return bodies.may_go_on(self, bucket)

    @property
    def redis(self) -> RedisClient:
        """A client of the Redis that keeps the limits."""
        return self.ratekit.redis


def _name(cls: Any) -> str:
    return cls.rate_limit_key or bucket_names.default_name(cls, bucket_names.TOKENS)


def _bucket_of(task: TokenBucketTask) -> TokenBucket:
    return _kept_bucket(_name(type(task)), task.tokens_per_second, task.bucket_size, task.cost)


def _bucket(name: str, rate: RateSource, size: float, cost: Any) -> TokenBucket:
    burst = Rate.parse(rate).burst if size == DEFAULT_BUCKET_SIZE else None
    return TokenBucket(name, rate, burst=burst or size, cost=cost)


_kept_bucket = lru_cache(1_024)(_bucket)
