"""A gate with its real room, its real questions and slots, in a worker that a test drives.

The clock, the alarm and the pool are the test's own; requests are Celery's.
"""

from __future__ import annotations

import math
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime, timedelta, timezone
from itertools import count
from typing import Any

from celery import Celery
from celery.exceptions import TaskRevokedError
from celery.worker import state
from celery.worker.request import Request
from kombu.asynchronous.semaphore import LaxBoundedSemaphore

from celery_ratekit.limiter import Limiter
from celery_ratekit.limits import Limit
from celery_ratekit.tasks.base import RateLimitedTask
from celery_ratekit.tasks.call_limits import CallLimits
from celery_ratekit.tasks.grant import GRANT_HEADER, Grant
from celery_ratekit.worker.gate.asking import Asking
from celery_ratekit.worker.gate.gate import Gate
from celery_ratekit.worker.gate.held import Held
from celery_ratekit.worker.gate.overflow import Hold, Overflow
from celery_ratekit.worker.gate.pool_memory import CompletePoolMemory
from celery_ratekit.worker.gate.slots import OwnSlots, SemaphoreSlots

from .world import Clock

__all__ = ["Controller", "Gatehouse", "Job", "Pool", "SetAlarm", "Started", "app_of_tests"]

GATE_BEGINS_AT = 1_024.0
"""The gate's clock when the limiter's stands at its beginning, seconds."""

MOST_ROUNDS = 10_000
"""More than any test needs: a gate that never comes to rest must fail, not hang."""


class Message:
    """What Celery's Request reads of a message."""

    content_type = "application/json"
    content_encoding = "utf-8"
    body = b"[[], {}, {}]"
    payload: tuple[Any, ...] = ((), {}, {})

    def __init__(self, headers: dict[str, Any]) -> None:
        self.headers = headers
        self.delivery_info: dict[str, Any] = {}
        self.properties: dict[str, Any] = {}


class Job:
    """One task in the pool."""

    def __init__(self, pool: Pool, callbacks: dict[str, Any]) -> None:
        self._pool = pool
        self._callbacks = callbacks
        self.request: Request = callbacks["accept_callback"].__self__

    def succeed(self) -> None:
        self._end("callback", (False, None, 0.0))

    def time_out(self) -> None:
        """As at a hard time limit, whose child is killed after."""
        self._callbacks["timeout_callback"](False, 1.0)
        self._end("callback", (False, None, 0.0))

    def _end(self, callback: str, *args: Any) -> None:
        self._pool.jobs.remove(self)
        self._pool.release()  # Celery's pool gives its slot back first.
        self._callbacks[callback](*args)


class Pool:
    """Takes tasks and ends them when the test says so."""

    def __init__(self, size: int) -> None:
        self.num_processes = size
        self.is_green = False
        self.jobs: list[Job] = []
        self.flush: Callable[..., object] | None = None
        #: The most that it ran at a time.
        self.most = 0
        #: Called with each task that comes.
        self.on_start: Callable[[Request], None] = _nothing
        #: Gives back the slot of a task that ended.
        self.release: Callable[[], object] = lambda: None

    def apply_async(self, target: Any, args: Any, **callbacks: Any) -> Job:
        job = Job(self, callbacks)
        self.jobs.append(job)
        self.most = max(self.most, len(self.jobs))
        self.on_start(job.request)
        callbacks["accept_callback"](1, time.monotonic())
        return job


def _nothing(request: Request) -> None:
    pass


class Controller:
    """What slots use of Celery's WorkController; its semaphore is the real one."""

    max_concurrency: int | None = None
    state = state
    use_eventloop = False

    def __init__(self, size: int, *, with_semaphore: bool) -> None:
        self.pool = Pool(size)
        self.semaphore = LaxBoundedSemaphore(size)
        self.process_task = self._process_task_sem if with_semaphore else self._process_task
        if with_semaphore:
            self.pool.release = self.semaphore.release
            self.pool.flush = _nothing  # As prefork's pool once it has started.

    def _process_task_sem(self, request: Request) -> None:
        self.semaphore.acquire(self._process_task, request)

    def _process_task(self, request: Request) -> None:
        try:
            request.execute_using_pool(self.pool)
        except TaskRevokedError:
            self._quick_release()

    def _quick_release(self) -> None:
        self.semaphore.release()


class SetAlarm:
    """Remembers when to ring."""

    def __init__(self, ring: Callable[[], None]) -> None:
        self._ring = ring
        self.moment: float | None = None

    def set(self, moment: float | None) -> None:
        self.moment = moment

    def close(self) -> None:
        self.moment = None

    def ring(self) -> None:
        self.moment = None
        self._ring()


class Started:
    """A task that came to the pool."""

    def __init__(self, request: Request, now_us: int) -> None:
        self.request = request
        self.id: str = request.id
        #: When, by the limiter's clock.
        self.at_us = now_us
        header = request.request_dict.get(GRANT_HEADER)
        self.grant = None if header is None else Grant(*header[1:])

    @property
    def late_us(self) -> int:
        """How long after its granted moment."""
        assert self.grant is not None
        return self.at_us - self.grant.start_us


def app_of_tests() -> Celery:
    """An app without servers."""
    app = Celery("tests", broker="memory://", set_as_current=False)
    app.conf.worker_state_db = None
    app.task(name="plain", shared=False, lazy=False)(_body)
    app.task(name="limited", base=RateLimitedTask, shared=False, lazy=False)(_body)
    app.finalize()
    return app


def _body() -> None:
    pass


class Gatehouse:
    """Drives one gate; time passes only in `advance`, and nothing runs but what it says."""

    def __init__(
        self,
        app: Celery,
        limiter: Limiter,
        clock: Clock,
        slots: int = 4,
        *,
        with_semaphore: bool = True,
        longest_hold_seconds: float = 3_600.0,
    ) -> None:
        self.app = app
        self.clock = clock
        self.soon: deque[Callable[[], None]] = deque()
        self._numbers = count(1)
        self.controller = Controller(slots, with_semaphore=with_semaphore)
        self.pool = self.controller.pool
        self.pool.on_start = self._on_start
        self.asking = Asking(lambda: limiter, self.now)
        self.alarm: SetAlarm
        self.started: list[Started] = []
        #: All that came, in this order, and what limits each.
        self.received: list[Request] = []
        self.enforced: dict[str, tuple[Limit, ...]] = {}
        #: All that were revoked or have expired.
        self.revoked: list[Request] = []
        #: Requests that were held for too long.
        self.sent_again: list[Request] = []
        #: How long each task runs; None: until the test ends it.
        self.run_seconds: float | None = None
        self._ends: list[tuple[int, Job]] = []
        self.gate = Gate(
            asking=self.asking,
            slots=(SemaphoreSlots if with_semaphore else OwnSlots)(self.controller),
            overflow=self._make_overflow(),
            memory=CompletePoolMemory(self.pool),
            longest_hold_seconds=longest_hold_seconds,
            resend=self._resend,
            make_alarm=self._make_alarm,
            soon=self.soon.append,
            clock=self.now,
        )

    def _make_overflow(self) -> Overflow:
        return Hold()

    def _make_alarm(self, ring: Callable[[], None]) -> SetAlarm:
        self.alarm = SetAlarm(ring)
        return self.alarm

    def _resend(self, held: list[Held], take_back: Callable[[Held], None]) -> None:
        self.sent_again += [one.request for one in held]

    def _on_start(self, request: Request) -> None:
        self.started.append(Started(request, self.clock.now))

    def now(self) -> float:
        """The gate's clock, seconds."""
        return self._gates_clock_at(self.clock.now)

    def _gates_clock_at(self, us: int) -> float:
        return GATE_BEGINS_AT + (us - self.clock.begin) / 1e6

    # -- what comes and goes ----------------------------------------------------------------

    def request(self, name: str = "limited", **headers: Any) -> Request:
        """A request as Celery has received it."""
        number = next(self._numbers)
        message = Message({"id": f"{name}-{number}", "task": name, **headers})
        request = Request(message, app=self.app, task=self.app.tasks[name])
        state.task_reserved(request)
        self.received.append(request)
        self.enforced[request.id] = ()
        return request

    def receive(self, *limits: Limit, shadow: Sequence[Limit] = (), **headers: Any) -> Request:
        """A task with limits comes."""
        request = self.request(**headers)
        self.enforced[request.id] = limits
        self.gate.enter(request, CallLimits(limits, tuple(shadow)))
        return request

    def receive_plain(self) -> Request:
        """A task without a limit comes."""
        request = self.request("plain")
        if self.gate.watches_all:
            self.gate.pass_on(request)
        else:
            self.controller.process_task(request)
        return request

    def settle(self) -> None:
        """The loop runs what is there."""
        for _ in range(MOST_ROUNDS):
            if not self.soon:
                return
            self.soon.popleft()()
        raise AssertionError("the gate never comes to rest")

    def end(self, request: Request) -> None:
        """A task ends."""
        next(job for job in self.pool.jobs if job.request is request).succeed()
        self.settle()

    def end_all(self) -> None:
        """All that run now end."""
        for job in list(self.pool.jobs):
            job.succeed()
        self.settle()

    def revoke(self, request: Request) -> None:
        state.revoked.add(request.id)
        self.revoked.append(request)

    def expire(self, request: Request) -> None:
        self.revoked.append(request)
        request.expires = datetime.now(timezone.utc) - timedelta(seconds=1)

    def lose_connection(self) -> None:
        """What a consumer does when its connection is lost, in its order."""
        self.controller.semaphore.clear()
        state.reserved_requests.clear()
        self.gate.close()

    # -- time -------------------------------------------------------------------------------

    def advance(self, seconds: float) -> None:
        """Time passes; the alarm rings, and tasks end, at their moments."""
        self.settle()
        until = self.clock.now + round(seconds * 1e6)
        for _ in range(MOST_ROUNDS):
            moment = self._next_moment_us()
            if moment is None or moment > until:
                self.clock.step(max(0, until - self.clock.now))
                return
            self.clock.step(max(0, moment - self.clock.now))
            self._happen()
        raise AssertionError("the gate never comes to rest")

    def block(self, seconds: float) -> None:
        """Time passes while the loop does nothing."""
        self.clock.step(round(seconds * 1e6))

    def _next_moment_us(self) -> int | None:
        self._plan_ends()
        moments = [moment for moment, _ in self._ends]
        if self.alarm.moment is not None:
            moments.append(self._us_of(self.alarm.moment))
        return min(moments, default=None)

    def _us_of(self, moment: float) -> int:
        """The first whole microsecond at which the gate's clock has come to a moment."""
        us = self.clock.begin + math.floor((moment - GATE_BEGINS_AT) * 1e6)
        while self._gates_clock_at(us) < moment:
            us += 1
        return us

    def _plan_ends(self) -> None:
        if self.run_seconds is None:
            return
        known = [job for _, job in self._ends]
        for job in self.pool.jobs:
            if job not in known:
                self._ends.append((self.clock.now + round(self.run_seconds * 1e6), job))

    def _happen(self) -> None:
        over = [one for one in self._ends if one[0] <= self.clock.now]
        for one in over:
            self._ends.remove(one)
            if one[1] in self.pool.jobs:
                one[1].succeed()
        if self.alarm.moment is not None and self.alarm.moment <= self.now():
            self.alarm.ring()
        self.settle()

    # -- what became of it ------------------------------------------------------------------

    @property
    def started_ids(self) -> list[str]:
        """Who came to the pool, in this order."""
        return [one.id for one in self.started]

    def starts_us(self) -> list[int]:
        """When tasks came to the pool, from the clock's beginning."""
        return [one.at_us - self.clock.begin for one in self.started]

    @property
    def held_count(self) -> int:
        """How many wait in the gate."""
        return len(self.gate.room)


@contextmanager
def clean_state() -> Iterator[None]:
    """Celery's books of a worker, empty before and after."""
    state.reset_state()
    yield
    state.reset_state()
