"""The decorator that has a task take a token before it starts."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, TypeVar, cast

from celery import Task

from ...errors import BadOptionError
from ...tasks.function_limits import limited
from .bucket_limit import BucketLimit

__all__ = ["LONGEST_BACKOFF_SECONDS", "rate_limit"]

LONGEST_BACKOFF_SECONDS = 31 * 86_400.0

F = TypeVar("F", bound=Callable[..., Any])


def rate_limit(
    token_bucket: str | None = None,
    retry_backoff: float | None = None,
    *,
    token_bucket_name: str | None = None,
    countdown: float | None = None,
    affect_task_retries: bool = False,
) -> Callable[[F], F]:
    """Has each start of a task take a token of a bucket of ``CELERY_TOKEN_BUCKETS``.

        @shared_task
        @rate_limit("my_api")
        def call_my_api(): ...

    It stands below ``@app.task`` or ``@shared_task``, and goes with any class of tasks. Direct
    calls and eager mode take no token.

    - ``token_bucket``, also ``token_bucket_name``: the bucket's name.
    - ``retry_backoff``, also ``countdown``: seconds, more than 0 and at most 31 days. A call that
      finds no token is sent again to run so much later. Default: None; it waits in the worker or
      in the backlog and starts the moment that it is its turn. A bucket whose tokens are in a
      queue has no turns: there it is sent again to the next refill.
    - ``affect_task_retries``: whether a wait is one of the task's retries, so that a call fails
      with TokenBucketEmptyError once it has waited ``max_retries`` times. Default: False.

    Raises BadOptionError for what cannot work. A bucket that is not registered is told of by
    ``manage.py check``, and by a worker at its start.
    """
    name = _one_of("token_bucket", token_bucket, "token_bucket_name", token_bucket_name)
    if not isinstance(name, str):
        raise BadOptionError(
            f"expected the name of a token bucket as token_bucket of rate_limit, got {name!r:.60}; "
            'write for example @rate_limit("my_api"), with the parentheses'
        )
    seconds = _one_of("retry_backoff", retry_backoff, "countdown", countdown)
    limit = BucketLimit(
        name, backoff_seconds=_checked_seconds(seconds), spends_retries=affect_task_retries
    )

    def decorate(function: F) -> F:
        if isinstance(function, Task) or hasattr(function, "apply_async"):
            raise BadOptionError(
                f"expected a function below rate_limit, got the task {function!r:.80}; put "
                "@rate_limit under @app.task or @shared_task"
            )
        limit.note(function)
        return cast("F", limited(function, limit))

    return decorate


def _one_of(first: str, value: Any, second: str, alias: Any) -> Any:
    if value is not None and alias is not None:
        raise BadOptionError(
            f"expected {first} or {second} in rate_limit, which mean the same, got both; leave "
            f"{second} out"
        )
    return alias if value is None else value


def _checked_seconds(value: Any) -> float | None:
    if value is None:
        return None
    is_number = isinstance(value, (int, float)) and not isinstance(value, bool)
    if not is_number or not (math.isfinite(value) and 0 < value <= LONGEST_BACKOFF_SECONDS):
        raise BadOptionError(
            "expected seconds, more than 0 and at most "
            f"{LONGEST_BACKOFF_SECONDS:.0f}, as retry_backoff of rate_limit, got {value!r:.40}"
        )
    return float(value)
