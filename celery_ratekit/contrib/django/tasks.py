"""The tasks of token buckets whose tokens are in a queue."""

from __future__ import annotations

from typing import Any

from celery import shared_task

from .buckets import token_bucket
from .queue_bucket import QueueBucket
from .queue_bucket.tokens import TOKEN_TASK

__all__ = ["REFILL_TASK", "token_bucket_refill", "token_bucket_token"]

REFILL_TASK = f"{__name__}.token_bucket_refill"
"""Its name: a task that is asked for its own has Celery look for all tasks, which is too early
while Django is being set up."""


@shared_task(name=REFILL_TASK, bind=True, ignore_result=True)
def token_bucket_refill(self: Any, name: str) -> int:
    """Refills the bucket of this name; returns how many tokens were added.

    Raises UnknownTokenBucketError where none is registered under it.
    """
    bucket = token_bucket(name)
    if not bucket.is_queued:
        return 0  # It was queued once; its periodic task is still there.
    return QueueBucket(self.app, bucket).refill()


@shared_task(name=TOKEN_TASK, ignore_result=True)
def token_bucket_token() -> None:
    """Does nothing: it is what the tokens are messages of."""
