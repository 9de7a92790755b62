"""Every error that celery_ratekit raises, under one base class.

Each message says what was expected, what came, and what to do about it. Errors that a program
may want to act on carry their facts as attributes as well as in the text.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable

__all__ = [
    "BadKeyError",
    "BadLimitError",
    "BadOptionError",
    "BadRateError",
    "BadRedisURLError",
    "BrokerUnavailableError",
    "CostExceedsCapacityError",
    "EmbeddedServerError",
    "LimiterUnavailableError",
    "QueueNotFound",
    "RateLimitedError",
    "RateLimitedTooOftenError",
    "RatekitError",
    "RedisNotConfiguredError",
    "ReservationError",
    "StateVersionError",
    "TokenBucketEmptyError",
    "TokenBucketUnavailableError",
    "TooManyOverridesError",
    "UnknownLimitError",
    "UnknownTokenBucketError",
    "did_you_mean",
]


class RatekitError(Exception):
    """Base class of every error that celery_ratekit raises."""


class BadRateError(RatekitError, ValueError):
    """A rate could not be read."""


class BadLimitError(RatekitError, ValueError):
    """A limit was described in a way that cannot be enforced."""


class BadKeyError(RatekitError, ValueError):
    """A name or key has a type that cannot be counted under."""


class BadOptionError(RatekitError, ValueError):
    """A setting or a task option is misspelt, clashes with another, or has an impossible value."""


class BadRedisURLError(BadOptionError):
    """A Redis address is of a form that cannot be used."""


class RedisNotConfiguredError(BadOptionError):
    """No Redis was configured, neither directly nor as broker or result backend."""


class CostExceedsCapacityError(RatekitError, ValueError):
    """A call asks for more of a limit than the limit can ever hold, so waiting would never end."""

    def __init__(self, limit_name: str, cost: float, capacity: float, task_name: str = "") -> None:
        self.limit_name = limit_name
        self.cost = cost
        self.capacity = capacity
        self.task_name = task_name
        super().__init__(limit_name, cost, capacity, task_name)

    def __str__(self) -> str:
        call = f"a call of the task {self.task_name!r}" if self.task_name else "a call"
        return (
            f"{call} costs {self.cost:g} of the limit {self.limit_name!r}, which never holds more "
            f"than {self.capacity:g}; lower the cost or raise the capacity (its burst or amount)"
        )


class LimiterUnavailableError(RatekitError):
    """Redis gave no usable answer.

    ``maybe_charged`` is True where the question was sent and only its answer was lost, so that
    the limit may have been charged all the same. ``__cause__`` holds the driver's error.
    """

    def __init__(self, message: str, *, maybe_charged: bool = False) -> None:
        self.maybe_charged = maybe_charged
        super().__init__(message)


class BrokerUnavailableError(RatekitError):
    """The broker gave no usable answer; the text is the driver's."""


class StateVersionError(RatekitError):
    """A limit's state in Redis was written in a format that this release does not know."""


class ReservationError(RatekitError, ValueError):
    """A reservation was asked for or used in a way that cannot work."""


class RateLimitedError(RatekitError):
    """A called service answered "too many requests" where no broker can send the task again.

    ``retry_after`` says in how many seconds it is worth trying again.
    """

    def __init__(self, task_name: str, retry_after: float) -> None:
        self.task_name = task_name
        self.retry_after = retry_after
        super().__init__(task_name, retry_after)

    def __str__(self) -> str:
        return (
            f"the task {self.task_name!r} met a rate limit of the service that it calls; it was "
            f"run directly, so call it again yourself, in {self.retry_after:g} s"
        )


class RateLimitedTooOftenError(RatekitError):
    """A called service answered "too many requests" too often in a row for one task.

    ``count`` is how often.
    """

    def __init__(self, task_name: str, count: int) -> None:
        self.task_name = task_name
        self.count = count
        super().__init__(task_name, count)

    def __str__(self) -> str:
        return (
            f"the task {self.task_name!r} met a rate limit of the service that it calls "
            f"{self.count} times in a row; lower the task's own rate, or raise its max_rate_limited"
        )


class TooManyOverridesError(RatekitError):
    """More rates, pauses and switches were to be set at run time than are kept.

    ``most`` is how many are; ``wanted`` how many were to be set at once. Nothing was changed.
    """

    def __init__(self, most: int, wanted: int) -> None:
        self.most = most
        self.wanted = wanted
        super().__init__(most, wanted)

    def __str__(self) -> str:
        return (
            f"expected at most {self.most:,} rates, pauses and switches that are set at run time, "
            f"got more by setting {self.wanted:,}; nothing was changed. Lift what is not needed, "
            "or give many keys one rate through a limit of another name"
        )


class UnknownLimitError(BadOptionError):
    """A name is that of no limit and no task that is known.

    ``name`` is what came, ``known`` what could have been meant.
    """

    def __init__(self, name: str, known: Iterable[str] = (), *, is_task: bool = False) -> None:
        self.name = name
        self.known = tuple(sorted(known))
        self.is_task = is_task
        super().__init__(name, self.known, is_task)

    def __str__(self) -> str:
        if self.is_task:
            return (
                f"expected the name of a limit, since the limits of the task {self.name!r:.80} are "
                "switched off, or made for each call; name one, with force=True"
            )
        near = did_you_mean(self.name, self.known)
        return (
            f"expected the name of a limit or of a task, got {self.name!r:.80}"
            f"{near or '; '}{'' if near else 'where only another app has it, pass force=True'}"
        )


class UnknownTokenBucketError(BadOptionError):
    """A name is that of no token bucket of a Django project's settings.

    ``name`` is what came, ``known`` what could have been meant.
    """

    def __init__(self, name: str, known: Iterable[str] = ()) -> None:
        self.name = name
        self.known = tuple(sorted(map(str, known)))
        super().__init__(name, self.known)

    def __str__(self) -> str:
        near = did_you_mean(str(self.name)[:80], self.known)
        return (
            f"the token bucket {self.name!r:.80} is not registered in CELERY_TOKEN_BUCKETS"
            f"{near or '; add it there'}"
        )


class TokenBucketEmptyError(RatekitError):
    """A call found no token, and was to spend its retries on waiting for one.

    ``bucket_name`` is the bucket, ``wait_seconds`` when to try again.
    """

    def __init__(self, bucket_name: str, wait_seconds: float) -> None:
        self.bucket_name = bucket_name
        self.wait_seconds = wait_seconds
        super().__init__(bucket_name, wait_seconds)

    def __str__(self) -> str:
        return (
            f"no token is left under the rate limit {self.bucket_name!r}; try again in "
            f"{self.wait_seconds:g} s, raise the task's max_retries, or spend none on waiting"
        )

    # The reason of a retry is shown by this, and has to say that it was a limit.
    __repr__ = __str__


class TokenBucketUnavailableError(RatekitError):
    """The broker that keeps a token bucket's messages gave no usable answer."""


class QueueNotFound(RatekitError, LookupError):  # noqa: N818 - the name that is documented
    """There is no throttled queue of a name; ``queue_name`` and ``prefix`` say which."""

    def __init__(self, queue_name: str, prefix: str) -> None:
        self.queue_name = queue_name
        self.prefix = prefix
        super().__init__(queue_name, prefix)

    def __str__(self) -> str:
        return (
            f"expected the name of a throttled queue under the prefix {self.prefix!r:.80}, got "
            f"{self.queue_name!r:.80}; it was never created, was removed, or had no name of its "
            "own and was idle for an hour. Create it with create_queue"
        )


class EmbeddedServerError(RatekitError, RuntimeError):
    """A private server could not be found, started or reached."""


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """A clause naming the nearest of ``known`` to a misspelt ``word``; empty if none is near."""
    near = difflib.get_close_matches(word, sorted(known), n=1)
    return f"; did you mean {near[0]!r}?" if near else ""
