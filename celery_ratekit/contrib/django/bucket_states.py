"""What each token bucket of the project holds now."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timezone
from typing import Any

from ...errors import LimiterUnavailableError, RedisNotConfiguredError, TokenBucketUnavailableError
from ...limiter.schedule import following
from ...manager import RateLimitManager
from ...manager.rates_now import PAUSED, UNLIMITED, rate_now
from ...tasks.runtime import runtime_of
from .buckets import project_app, token_bucket, token_buckets
from .queue_bucket import QueueBucket
from .token_bucket import TokenBucket

__all__ = ["BucketState", "states"]


@dataclass(frozen=True)
class BucketState:
    """One bucket; ``next_refill`` is in the time zone of its schedule.

    ``held_up`` says what was done to it at run time: "paused", "frozen" or "switched off".
    ``problem`` says why nothing is known of it. Both are empty otherwise.
    """

    name: str
    backend: str
    tokens: float
    amount: float
    maximum: float
    next_refill: datetime
    held_up: str = ""
    problem: str = ""

    def as_dict(self) -> dict[str, Any]:
        """The same as plain data; ``tokens`` is None where nothing is known."""
        return {
            "name": self.name,
            "backend": self.backend,
            "tokens": None if self.problem else self.tokens,
            "amount": self.amount,
            "maximum": self.maximum,
            "next_refill": self.next_refill.isoformat(),
            "held_up": self.held_up,
            "problem": self.problem,
        }


def states() -> list[BucketState]:
    """The state of each bucket, in the order of the settings.

    Raises BadOptionError where a bucket cannot work.
    """
    return [_state(token_bucket(name)) for name in token_buckets()]


def _state(bucket: TokenBucket) -> BucketState:
    tokens, held_up, problem = 0.0, "", ""
    try:
        tokens, held_up = _asked(bucket)
    except (
        LimiterUnavailableError,
        RedisNotConfiguredError,
        TokenBucketUnavailableError,
    ) as error:
        problem = str(error)
    schedule: Any = bucket.schedule
    refill = following(schedule, datetime.now(timezone.utc)).astimezone(schedule.tz)
    return BucketState(
        bucket.name, bucket.backend, tokens, bucket.amount, bucket.maximum, refill, held_up, problem
    )


def _asked(bucket: TokenBucket) -> tuple[float, str]:
    """How many tokens it holds, and what was done to it at run time."""
    app = project_app()
    if bucket.is_queued:
        return QueueBucket(app, bucket).count(), ""
    view, _ = RateLimitManager(app).look()
    if rate_now(view, bucket.limit) == UNLIMITED:
        return bucket.maximum, "switched off"
    (state,) = runtime_of(app).limiter.inspect(bucket.limit)
    held_up = "frozen" if state.frozen_seconds else ""
    if rate_now(view, bucket.limit) == PAUSED:
        held_up = "paused"
    return max(0.0, state.available), held_up
