"""Where the parts run: a Redis with queues and backlog, and workers at some rate."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager
from itertools import count
from typing import Any

import redis
from celery import Celery

from celery_ratekit.backlog import Backlog
from celery_ratekit.embedded import EmbeddedRedis
from celery_ratekit.embedded.home import Home
from celery_ratekit.errors import EmbeddedServerError
from celery_ratekit.limits import TokenBucket
from celery_ratekit.tasks.runtime import runtime_of

from .book import Book
from .crew import Crew, Size
from .post import Post
from .setup import LIMIT, WorkerSetup
from .tasks import make_app

__all__ = ["NEVER", "Stage", "new_name", "stage"]

NEVER = "1/d"
"""A rate at which the first task of a user starts, and none after it while a benchmark runs."""

STEP_SECONDS = 0.005
LONGEST_SECONDS = 300.0

_numbers = count(1)


class Stage:
    """Servers that run, and what one does with them."""

    def __init__(self, stack: ExitStack, broker: EmbeddedRedis, limits: EmbeddedRedis) -> None:
        self._home = Home()
        stack.callback(self._home.close)
        self._broker, self._limits = broker, limits
        self.broker: redis.Redis = stack.enter_context(broker.client())
        self.limits: redis.Redis = stack.enter_context(limits.client())
        self.book = Book(self._home.path)
        self.app: Celery = make_app(self._setup(NEVER))
        stack.callback(self.app.close)
        self.post = Post(self.app, self.broker)
        self.backlog: Backlog = runtime_of(self.app).backlog

    @contextmanager
    def crew(self, rate: str, size: Size) -> Iterator[Crew]:
        """Workers that are ready, with their tasks limited to a rate for each user."""
        crew = Crew(self._home, self._setup(rate), size, self.app)
        try:
            crew.wait_until_ready()
            yield crew
        finally:
            crew.stop()

    def fill_buckets(self, users: Iterable[str]) -> None:
        """Lets users begin anew, as if none of their tasks had ever run."""
        limiter = runtime_of(self.app).limiter
        for user in users:
            limiter.reset(TokenBucket(LIMIT, NEVER, 1, key=user))

    def left(self, queue: str) -> int:
        """How many messages of a queue the broker still has; delivered ones of any queue count."""
        pipeline: Any = self.broker.pipeline(transaction=False)
        waiting, delivered = pipeline.llen(queue).hlen("unacked").execute()
        return int(waiting) + int(delivered)

    def consume(self, queue: str, crew: Crew) -> float:
        """Has a crew take what lies in a queue; the moment (``time.time()``) when it begins to.

        That is up to a second later: so long a worker with nothing to do asks Redis for messages
        of the queues that it had.
        """
        number = self.broker.llen(queue)
        crew.consume(queue)
        self.wait("first message taken", lambda: self.broker.llen(queue) < number, crew)
        return time.time()

    def wait_until_taken(self, queue: str, crew: Crew) -> None:
        """Waits until the broker has nothing left of a queue."""
        self.wait("all messages taken", lambda: self.left(queue) == 0, crew)

    def wait_for_starts(self, label: str, number: int, crew: Crew) -> None:
        """Waits until so many tasks of a label have begun."""
        self.wait(f"{number} starts", lambda: self.book.count(label) >= number, crew)

    def wait(self, what: str, is_so: Callable[[], bool], crew: Crew) -> None:
        """Waits until something is so; raises EmbeddedServerError where it takes too long."""
        deadline = time.monotonic() + LONGEST_SECONDS
        while not is_so():
            crew.check_alive()
            if time.monotonic() > deadline:
                raise EmbeddedServerError(f"no {what} within {LONGEST_SECONDS:g} s")
            time.sleep(STEP_SECONDS)

    def _setup(self, rate: str) -> WorkerSetup:
        home = str(self._home.path)
        return WorkerSetup(self._broker.celery_url, self._limits.url, home, rate)


def new_name() -> str:
    """A name that nothing else has, for a queue or a label."""
    return f"benchmark-{next(_numbers)}"


@contextmanager
def stage(*, apart: bool = False) -> Iterator[Stage]:
    """A stage of its own: one Redis, or ``apart`` another one for limits and backlog."""
    with ExitStack() as stack:
        broker = stack.enter_context(EmbeddedRedis(tcp=True))
        limits = stack.enter_context(EmbeddedRedis(tcp=True)) if apart else broker
        yield Stage(stack, broker, limits)
