"""Lets a call take its token, or sends it again to ask once more later."""

from __future__ import annotations

import random
import time
from datetime import datetime, timezone
from typing import TYPE_CHECKING, Any, NamedTuple

from celery import Task

from ...errors import TokenBucketEmptyError, TokenBucketUnavailableError
from ...limiter.schedule import following
from ...rules import DEGRADED, ENFORCE, SHADOW
from ...signals import rate_limit_admitted, rate_limit_hit
from ...tasks.admission import SINCE_HEADER, checked_since
from ...tasks.reschedule import send_again
from ...tasks.runtime import Runtime, runtime_of
from .queue_bucket import QueueBucket
from .token_bucket import TokenBucket

if TYPE_CHECKING:
    from .bucket_limit import BucketLimit

__all__ = ["wait_for_token"]

AFTER_REFILL_SECONDS = (1.0, 5.0)
"""How long after a refill to ask again: it takes a moment until its tokens are in the queue, and
those who wait shall not come all at once."""

SHORTEST_WAIT_SECONDS = 1.0


class Answer(NamedTuple):
    """Whether there was a token, else why not; ``wait_seconds`` is when there may be one."""

    granted: bool
    reason: str = ""
    wait_seconds: float = 0.0
    is_degraded: bool = False


def wait_for_token(task: Task, request: Any, limit: BucketLimit) -> None:
    """Returns once the call has a token; raises celery's Retry where it was sent again instead.

    Raises TokenBucketEmptyError where the call was to spend retries on waiting, and has none left.
    """
    runtime = runtime_of(task.app)
    if not runtime.settings.is_enabled(task.name):
        return
    bucket = limit.bucket
    headers = request.headers if isinstance(request.headers, dict) else {}
    waited_before = SINCE_HEADER in headers
    since = checked_since(headers.pop(SINCE_HEADER, None))
    while not (answer := _take(task.app, runtime, bucket)).granted:
        is_shadow = runtime.settings.mode == SHADOW
        if not waited_before:
            waited_before = True
            _tell_hit(task, request, bucket, answer, SHADOW if is_shadow else ENFORCE)
        if is_shadow:
            break
        _send_again(task, request, limit, answer, since)
    _tell_start(task, request, bucket, answer, since)


def _take(app: Any, runtime: Runtime, bucket: TokenBucket) -> Answer:
    if not bucket.is_queued:
        decision = runtime.limiter.acquire(bucket.limit)
        return Answer(
            decision.granted, decision.reason, decision.wait_seconds, bool(decision.degraded)
        )
    try:
        has_token = QueueBucket(app, bucket).take()
    except TokenBucketUnavailableError:
        # Whoever cannot reach the broker cannot be sent again either: it waits here until it can.
        return Answer(False, "unavailable", SHORTEST_WAIT_SECONDS)
    return Answer(True) if has_token else Answer(False, "rate", _seconds_to_refill(bucket))


def _seconds_to_refill(bucket: TokenBucket) -> float:
    now = datetime.now(timezone.utc)
    refill = following(bucket.schedule, now) - now
    return refill.total_seconds() + random.uniform(*AFTER_REFILL_SECONDS)


def _send_again(task: Task, request: Any, limit: BucketLimit, answer: Answer, since: float) -> None:
    seconds = limit.backoff_seconds
    if seconds is None:
        longest = runtime_of(task.app).settings.max_reschedule
        seconds = min(max(answer.wait_seconds, SHORTEST_WAIT_SECONDS), longest)
    if limit.spends_retries:
        raise task.retry(countdown=seconds, exc=TokenBucketEmptyError(limit.name, seconds))
    reason = f"rate limit {limit.name!r}: waits {seconds:.3f} s"
    send_again(task, request, time.monotonic() + seconds, reason, {SINCE_HEADER: since})


def _tell_hit(task: Task, request: Any, bucket: TokenBucket, answer: Answer, mode: str) -> None:
    rate_limit_hit.send(
        sender=task, task_id=request.id, limit=bucket.limit, reason=answer.reason, mode=mode
    )


def _tell_start(
    task: Task, request: Any, bucket: TokenBucket, answer: Answer, since: float
) -> None:
    mode = ENFORCE if answer.granted else SHADOW
    rate_limit_admitted.send(
        sender=task,
        task_id=request.id,
        limits=() if answer.is_degraded else (bucket.limit,),
        mode=DEGRADED if answer.is_degraded else mode,
        wait_seconds=max(0.0, time.time() - since),
        lateness_seconds=0.0,
    )
