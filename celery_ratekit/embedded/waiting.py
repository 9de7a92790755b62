"""Waiting for a server to reach a state, with a deadline."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

import redis
import tenacity

from ..errors import EmbeddedServerError

__all__ = ["NotYetError", "wait_for"]

T = TypeVar("T")

FIRST_PAUSE_SECS = 0.005  # a unix-socket Redis answers within about 10 ms
LONGEST_PAUSE_SECS = 0.1


class NotYetError(Exception):
    """Raised by a check whose state is not reached yet; the text says what is missing."""


def wait_for(what: str, check: Callable[[], T], *, timeout: float) -> T:
    """What ``check`` returns, once it neither raises `NotYetError` nor fails to connect.

    ``timeout`` is in seconds. `EmbeddedServerError` at its end names ``what`` and the last reason.
    """
    attempts = tenacity.Retrying(
        retry=tenacity.retry_if_exception_type((NotYetError, OSError, redis.RedisError)),
        stop=tenacity.stop_after_delay(timeout),
        wait=tenacity.wait_exponential(multiplier=FIRST_PAUSE_SECS, max=LONGEST_PAUSE_SECS),
        reraise=True,
    )
    try:
        return attempts(check)
    except (NotYetError, OSError, redis.RedisError) as error:
        raise EmbeddedServerError(f"no {what} within {timeout:g} s; last: {error}") from error
