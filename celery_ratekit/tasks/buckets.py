"""Token buckets of the tasks' classes, each made once."""

from __future__ import annotations

from functools import lru_cache

from ..limits import RateSource, TokenBucket

__all__ = ["bucket"]


@lru_cache(4_096)
def bucket(name: str, rate: RateSource | None) -> TokenBucket:
    """The bucket of this name and rate, the same object each time."""
    return TokenBucket(name, rate)
