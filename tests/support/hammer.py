"""Processes that hammer one limit, each with a clock of its own that is hours wrong."""

from __future__ import annotations

import math
import multiprocessing
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from multiprocessing.connection import Connection
from typing import Any

import redis

from celery_ratekit.limiter import Limiter
from celery_ratekit.limits import Limit

HOUR_SECONDS = 3_600
ANSWER_SECONDS = 60.0  # how long a round may take at most, before the test gives up

now = time.perf_counter  # the one clock that nobody sets


@dataclass(frozen=True)
class Order:
    """What each process does for ``seconds``: ask for ``limits``, again and again.

    ``count`` above 0 reserves that many starts at a time, within ``horizon`` seconds.
    """

    url: str
    limits: tuple[Limit, ...]
    seconds: float
    count: int = 0
    horizon: float = 0.0


class Hammers:
    """``number`` processes that carry out one order after the other, all at the same time."""

    def __init__(self, number: int) -> None:
        context = multiprocessing.get_context("spawn")
        self._pipes: list[Connection] = []
        self._processes = []
        for index in range(number):
            ours, theirs = context.Pipe()
            hours = 5 * (index - number // 2)
            process = context.Process(target=_serve, args=(theirs, hours), daemon=True)
            process.start()
            theirs.close()
            self._pipes.append(ours)
            self._processes.append(process)
        for pipe in self._pipes:
            assert _received(pipe) == "ready"

    def starts(self, order: Order) -> list[int]:
        """Every start that was granted to any of them, us by Redis' clock, in order of time."""
        for pipe in self._pipes:
            pipe.send(order)
        return sorted(start for pipe in self._pipes for start in _received(pipe))

    def most_at_a_time(self, order: Order) -> int:
        """The most places that were taken at a time, as Redis counts them."""
        for pipe in self._pipes:
            pipe.send((order,))
        return max(int(most) for pipe in self._pipes for most in _received(pipe))

    def stop(self) -> None:
        for pipe in self._pipes:
            pipe.close()
        for process in self._processes:
            process.join(10)


def _received(pipe: Connection) -> Any:
    assert pipe.poll(ANSWER_SECONDS), "a process that hammers a limit does not answer"
    return pipe.recv()


def _serve(pipe: Connection, hours: int) -> None:
    _set_clock(hours * HOUR_SECONDS)
    pipe.send("ready")
    while True:
        try:
            order = pipe.recv()
        except EOFError:
            return
        pipe.send([_taken(*order)] if isinstance(order, tuple) else _carry_out(order))


def _set_clock(seconds: float) -> None:
    """Sets every clock of this process but `now` wrong."""
    for name in ("time", "monotonic"):
        real: Callable[[], float] = getattr(time, name)
        setattr(time, name, lambda real=real: real() + seconds)
        real_ns: Callable[[], int] = getattr(time, f"{name}_ns")
        setattr(time, f"{name}_ns", lambda real=real_ns: real() + int(seconds * 1e9))


def _carry_out(order: Order) -> list[int]:
    limiter = Limiter(order.url, timeout_seconds=10)
    starts: list[int] = []
    until = now() + order.seconds
    while now() < until:
        if order.count:
            promised = limiter.reserve(order.limits, order.count, order.horizon)
            starts += [promised.asked_us + promised.start_us(n) for n in range(len(promised))]
        else:
            decision = limiter.acquire(order.limits)
            if decision:
                starts.append(decision.start_us)
    limiter.close()
    return starts


def _taken(order: Order) -> int:
    """The most places that this process ever saw taken, its own among them."""
    limiter = Limiter(order.url, timeout_seconds=10)
    counter = redis.Redis.from_url(order.url)
    most = 0
    until = now() + order.seconds
    while now() < until:
        decision = limiter.acquire(order.limits)
        if decision:
            most = max(most, int(counter.incr("taken")))
            counter.decr("taken")
            limiter.release(decision)
    limiter.close()
    counter.close()
    return most


def bucket_excess(starts: Sequence[int], *, burst: float, interval_us: int) -> float:
    """The most starts that any stretch of time holds above ``burst + rate x W``."""
    worst = latest = -math.inf
    for index, start in enumerate(starts):
        latest = max(latest, start - index * interval_us)
        worst = max(worst, latest - (start - (index + 1) * interval_us))
    return worst / interval_us - burst


def left_in_bucket(starts: Sequence[int], *, burst: int, interval_us: int) -> float:
    """The tokens that a bucket still holds after the last start; what overflowed is gone."""
    empty_at = -math.inf
    for start in starts:
        empty_at = max(empty_at, start - burst * interval_us) + interval_us
    return (starts[-1] - empty_at) / interval_us


def shortest_stretch_us(starts: Sequence[int], number: int) -> int:
    """The shortest time from a start to the ``number``-th after it."""
    return min(later - earlier for earlier, later in zip(starts, starts[number:], strict=False))


def fixed_windows(starts: Sequence[int], *, period_us: int) -> list[int]:
    """How many starts each fixed window holds, counted from the first start in it."""
    counts: list[int] = []
    begins = -math.inf
    for start in starts:
        if start >= begins + period_us:
            begins = start
            counts.append(0)
        counts[-1] += 1
    return counts
