"""A gatehouse with the real way into the backlog and back.

Messages come through kombu's in-memory broker and Celery's own consumer; the backlog is in the
test's Redis, and goes by the test's clock.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from typing import Any
from uuid import uuid4

import pytest
from celery import Celery
from celery.utils.timer2 import Schedule
from celery.worker.consumer import Consumer
from celery.worker.request import Request
from kombu import Queue
from kombu.common import QoS

from celery_ratekit.backlog import Backlog
from celery_ratekit.limiter import Limiter
from celery_ratekit.limiter.breaker import Degradation
from celery_ratekit.limiter.keys import KeySpace
from celery_ratekit.limiter.transport import transport_for
from celery_ratekit.limits import Limit, TokenBucket
from celery_ratekit.tasks.base import RateLimitedTask
from celery_ratekit.tasks.call_limits import CallLimits
from celery_ratekit.tasks.runtime import runtime_of
from celery_ratekit.worker.backlog.backlogging import Backlogging
from celery_ratekit.worker.building import make_overflow
from celery_ratekit.worker.gate.overflow import Overflow

from .gatehouse import Gatehouse, Job, clean_state
from .unsteady import Unsteady
from .world import Clock

__all__ = ["Backloghouse", "Open", "clock", "open_house", "queue", "store", "together", "unsteady"]

CALL_HEADER = "house_call"
STEP_SECONDS = 0.005
ANY = TokenBucket("any", "1/s")  # Only to have one: the house says what limits a message.


class Backloghouse(Gatehouse):
    """Drives one gate that parks; the test's Redis is the backlog of ``queue``."""

    def __init__(  # noqa: PLR0917 - as its base
        self,
        app: Celery,
        limiter: Limiter,
        clock: Clock,
        store: Backlog,
        queue: str,
        calls: list[tuple[Limit, ...]],
        slots: int = 4,
        **options: Any,
    ) -> None:
        self.store = store
        self.queue = queue
        self.overflow: Backlogging
        self.consumer: Any = None
        self._limiter = limiter
        self._calls = calls  # which limits messages have, by the number that they carry
        self._connection: Any = None
        super().__init__(app, limiter, clock, slots, **options)
        self.connect()

    def _make_overflow(self) -> Overflow:
        self.consumer = Consumer(
            self._on_request,
            hostname=f"{uuid4().hex}@house",
            app=self.app,
            pool=self.pool,
            timer=Schedule(),
            controller=self.controller,
            disable_rate_limits=True,
            worker_options={
                "without_gossip": True,
                "without_mingle": True,
                "without_heartbeat": True,
            },
        )
        self.consumer.event_dispatcher = None
        runtime = runtime_of(self.app)
        runtime.backlog = self.store
        overflow = make_overflow(
            self.consumer,
            runtime,
            lambda: self._limiter,
            lambda: self.gate.poke(),  # noqa: PLW0108 - there is no gate yet
            self.now,
        )
        assert isinstance(overflow, Backlogging)
        self.overflow = overflow
        return overflow

    # -- the connection ---------------------------------------------------------------------

    def connect(self, *more: Queue) -> None:
        """The consumer begins to consume."""
        consumer = self.consumer
        self._connection = consumer.connection = self.app.connection_for_read()
        queues = [Queue(self.queue), *more]
        consumer.task_consumer = self.app.amqp.TaskConsumer(self._connection, queues=queues)
        consumer.update_strategies()
        consumer.task_consumer.on_message = consumer.create_task_handler()
        consumer.task_consumer.consume()
        self.gate.open()
        self.settle()

    @property
    def channel(self) -> Any:
        return self.consumer.task_consumer.channel

    @property
    def unacknowledged(self) -> int:
        """How many messages the broker has delivered and not been told of since."""
        return len(self.channel.qos._delivered) - len(self.channel.qos._dirty)

    def limit_window(self, size: int) -> None:
        """The broker delivers so many messages before one of them is acknowledged."""
        self.consumer.qos = QoS(lambda **_: None, size)

    def lose_connection(self) -> None:
        """As Celery; the broker puts back what it was not told of."""
        super().lose_connection()
        self.channel.basic_recover(requeue=True)
        self._connection.release()

    def shut_down(self) -> None:
        """As at the end of a worker whose tasks have ended."""
        self.lose_connection()
        self.gate.abandon()

    # -- what comes -------------------------------------------------------------------------

    def publish(
        self, *limits: Limit, name: str = "limited", queue: Queue | None = None, **options: Any
    ) -> str:
        """Sends a task that has these limits; its id."""
        if limits not in self._calls:
            self._calls.append(limits)
        headers = {CALL_HEADER: self._calls.index(limits), **options.pop("headers", {})}
        with self.app.connection_for_write() as connection:
            sent = self.app.send_task(
                name,
                queue=queue or Queue(self.queue),
                headers=headers,
                connection=connection,
                **options,
            )
        return str(sent.id)

    def deliver(self) -> None:
        """The consumer takes in all that the broker has."""
        with suppress(TimeoutError):
            while True:
                self._connection.drain_events(timeout=0)
                self.consumer.perform_pending_operations()

    def come(self, *limits: Limit, **options: Any) -> str:
        """A task comes from the broker; its id."""
        task_id = self.publish(*limits, **options)
        self.deliver()
        return task_id

    def _on_request(self, request: Request) -> None:
        self.received.append(request)
        limits = self._calls[request.request_dict[CALL_HEADER]]
        self.enforced[request.id] = limits
        if limits:
            self.gate.enter(request, CallLimits(limits))
        elif self.gate.watches_all:
            self.gate.pass_on(request)
        else:
            self.controller.process_task(request)

    def settle(self) -> None:
        while True:
            super().settle()
            if not self.consumer._pending_operations:
                return
            self.consumer.perform_pending_operations()

    # -- what became of it ------------------------------------------------------------------

    def running(self, task_id: str) -> Job:
        """The job of a task that runs."""
        return next(job for job in self.pool.jobs if job.request.id == task_id)

    def end_task(self, task_id: str) -> None:
        self.running(task_id).succeed()
        self.settle()

    @property
    def waiting(self) -> int:
        """How many wait in the backlog."""
        return self.store.sizes(self.queue).waiting

    @property
    def claimed(self) -> int:
        """How many the backlog knows as claimed."""
        return self.store.sizes(self.queue).claimed

    @property
    def next_ids(self) -> list[str]:
        """Who waits in the backlog, in the order of their turns."""
        return [one.task_id for one in self.store.peek(self.queue, 100)]

    def requests_of(self, task_id: str) -> list[Request]:
        """All requests that a task's messages became."""
        return [request for request in self.received if request.id == task_id]


Open = Callable[..., Backloghouse]


class TickingClock(Clock):
    """Goes on by a microsecond with each question, as real ones do."""

    def __call__(self) -> int:
        self.step(1)
        return self.now


def together(houses: Sequence[Backloghouse], seconds: float) -> None:
    """Time passes for several workers."""
    clock = houses[0].clock
    for _ in range(round(seconds / STEP_SECONDS)):
        clock.step(round(STEP_SECONDS * 1e6))
        for house in houses:
            house.advance(0)


@pytest.fixture
def clock() -> Clock:
    """Both servers' clock: that of the limits and that of the backlog."""
    return TickingClock()


@pytest.fixture
def unsteady(redis_url: str) -> Iterator[Unsteady]:
    """The way that the backlog's questions go."""
    transport = Unsteady(transport_for(redis_url, 20.0, Degradation()))
    yield transport
    transport.close()


@pytest.fixture
def store(unsteady: Unsteady, clock: Clock) -> Backlog:
    """The backlog in an empty Redis, by the test's clock."""
    return Backlog(unsteady, KeySpace("ratekit"), clock=clock)


@pytest.fixture
def queue() -> str:
    """A queue that no other test has."""
    return f"house {uuid4().hex}"


@pytest.fixture(params=["semaphore", "own"])
def open_house(  # noqa: PLR0917 - fixtures are what it is made from
    request: pytest.FixtureRequest,
    redis_url: str,
    limiter: Limiter,
    clock: Clock,
    store: Backlog,
    queue: str,
) -> Iterator[Open]:
    """Opens gates that park; all work for one queue. Both kinds of slots."""
    houses: list[Backloghouse] = []
    calls: list[tuple[Limit, ...]] = []

    def open_house(
        slots: int = 4,
        *,
        limiter: Limiter = limiter,
        conf: dict[str, Any] | None = None,
        **options: Any,
    ) -> Backloghouse:
        app = _app(redis_url, **(conf or {}))
        options.setdefault("with_semaphore", request.param == "semaphore")
        house = Backloghouse(app, limiter, clock, store, queue, calls, slots, **options)
        houses.append(house)
        return house

    with clean_state():
        yield open_house
        for house in houses:
            house.gate.abandon()
            house.app.close()


def _app(redis_url: str, **conf: Any) -> Celery:
    app = Celery("tests", broker="memory://", set_as_current=False)
    app.conf.update(
        ratekit_redis_url=redis_url,
        ratekit_overflow="backlog",
        ratekit_gate=False,  # The house has the gate.
        **conf,
    )
    options = {"shared": False, "lazy": False}
    app.task(name="plain", **options)(_body)
    app.task(name="limited", base=RateLimitedTask, limits=[ANY], **options)(_body)
    app.task(name="late", base=RateLimitedTask, limits=[ANY], acks_late=True, **options)(_body)
    app.task(name="held", base=RateLimitedTask, limits=[ANY], overflow="hold", **options)(_body)
    app.finalize()
    return app


def _body() -> None:
    pass
