"""A token bucket as a project's settings say it; importing this needs nothing of Django."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cached_property

from ...errors import BadOptionError, RatekitError
from ...limits import Schedule, ScheduledBucket
from ...limits.checks import checked_size
from ...rules import MAX_NAME_LENGTH

__all__ = ["BACKENDS", "QUEUE", "REDIS", "TokenBucket"]

REDIS, QUEUE = "redis", "queue"
BACKENDS = (REDIS, QUEUE)

NAME = re.compile(r"[A-Za-z0-9_]+")

MOST_QUEUED = 100_000
"""The most tokens of a bucket in a queue: each is a message, and a refill sends many at once."""


@dataclass(frozen=True)
class TokenBucket:
    """A bucket of ``CELERY_TOKEN_BUCKETS``: each start of a task that it limits takes a token.

        CELERY_TOKEN_BUCKETS = {
            "my_api": TokenBucket("my_api", crontab(minute=0), amount=1000, maximum=1000),
        }

    - ``name``: letters, digits and underscores, and the same as its key.
    - ``schedule``: a ``celery.schedules.crontab``; at its instants the bucket is refilled.
    - ``amount``: how many tokens a refill adds.
    - ``maximum``: the most tokens that the bucket holds.
    - ``token_refill_queue``: the queue to which the task that refills a bucket of the backend
      ``"queue"`` is sent; None: where the project's tasks go by default.
    - ``backend``: ``"redis"`` (default): refills are worked out when a token is asked for, so
      nothing has to run at them, and the bucket starts full. ``"queue"``: the tokens are messages
      in a queue of the broker, which a periodic task of django-celery-beat refills; the bucket
      starts empty.

    Nothing is checked here, so that `manage.py check` can tell of all that is wrong; a worker
    refuses to start with what cannot work.
    """

    name: str
    schedule: Schedule = field(hash=False)  # A crontab has no hash.
    amount: float
    maximum: float
    token_refill_queue: str | None = None
    backend: str = REDIS

    @property
    def is_queued(self) -> bool:
        """Whether the tokens are messages in a queue of the broker."""
        return self.backend == QUEUE

    @cached_property
    def limit(self) -> ScheduledBucket:
        """The bucket as the limiter knows it; raises BadOptionError where it cannot work."""
        for problem in self.problems():
            raise BadOptionError(f"the token bucket {self.name!r:.60} cannot work: {problem}")
        return self._limit()

    def problems(self) -> Iterator[str]:
        """What is wrong with the bucket, one sentence each."""
        if not isinstance(self.name, str) or not NAME.fullmatch(self.name):
            yield (
                "expected a name of letters, digits and underscores, got "
                f"{self.name!r:.60}; write for example my_api"
            )
            return
        if len(self.name) > MAX_NAME_LENGTH:
            yield (
                f"expected a name of at most {MAX_NAME_LENGTH} characters, got one of "
                f"{len(self.name)}; shorten it"
            )
        if self.backend not in BACKENDS:
            yield f"expected one of {BACKENDS} as backend, got {self.backend!r:.40}"
        queue = self.token_refill_queue
        if queue is not None and (not isinstance(queue, str) or not queue):
            yield f"expected the name of a queue or None as token_refill_queue, got {queue!r:.60}"
        try:
            # A limit may do without a maximum, and takes the amount; a bucket says both.
            checked_size("maximum", self.maximum, self.name)
            self._limit()
        except RatekitError as error:
            yield str(error)
        else:
            yield from self._problems_of_queue()

    def _limit(self) -> ScheduledBucket:
        return ScheduledBucket(self.name, self.schedule, self.amount, self.maximum)

    def _problems_of_queue(self) -> Iterator[str]:
        if not self.is_queued:
            return
        for option, value in (("amount", self.amount), ("maximum", self.maximum)):
            if value != int(value):
                yield (
                    f"expected a whole number as {option} of a bucket in a queue, got {value!r}; "
                    "half a message cannot be sent"
                )
        if self.maximum > MOST_QUEUED:
            yield (
                f"expected a maximum of at most {MOST_QUEUED:,} for a bucket in a queue, got "
                f'{self.maximum:,}; keep it in Redis instead, with backend="redis"'
            )
