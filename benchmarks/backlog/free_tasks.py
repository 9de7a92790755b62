"""a. Unlimited tasks of a queue in which throttled ones were sent before them."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace

from celery_ratekit.demo.figures import percentile

from ..figures import Target
from ..report.measured import Measured, at_most
from .crew import Crew, Size
from .effort import Effort
from .setup import ACKNOWLEDGED, EXPIRED, FREE, LIMITED
from .stage import NEVER, Stage, new_name, stage

__all__ = ["measure"]

MULTIPLIERS = (4, 1)
TURNS = (LIMITED, EXPIRED, ACKNOWLEDGED)
WORKERS, PROCESSES = 1, 4

PAUSE_SECONDS = 0.02
"""Between two free tasks whose latency is measured: none waits for another one."""

MOST_SECONDS = 0.5
MOST_RATIO = 1.5
MOST_GROWTH_MB = 5.0


def measure(effort: Effort) -> list[Measured]:
    """Two rows and more for each prefetch multiplier."""
    with stage() as one:
        return [row for number in MULTIPLIERS for row in _with_multiplier(one, effort, number)]


@dataclass(slots=True)
class _Seen:
    """What one multiplier's runs showed: seconds, and MiB."""

    behind: list[float] = field(default_factory=list)
    expired: list[float] = field(default_factory=list)
    acknowledged: list[float] = field(default_factory=list)
    p50: list[float] = field(default_factory=list)
    p99: list[float] = field(default_factory=list)
    resident: list[float] = field(default_factory=list)


def _with_multiplier(stage: Stage, effort: Effort, multiplier: int) -> list[Measured]:
    seen = _Seen()
    warming_up = replace(effort, parked=effort.parked // 10)
    with stage.crew(NEVER, Size(WORKERS, PROCESSES, multiplier)) as crew:
        for turn in TURNS:
            _take_turn(stage, crew, warming_up, turn, _Seen())
        for number in range(effort.repeats):
            for turn in TURNS if number % 2 == 0 else reversed(TURNS):
                _take_turn(stage, crew, effort, turn, seen)
            seen.resident += crew.resident_mb()
    group = f"a. {effort.free} free tasks behind {effort.parked:,}, multiplier {multiplier}"
    return list(_rows(group, seen, judged=effort.is_judged))


def _take_turn(stage: Stage, crew: Crew, effort: Effort, turn: str, seen: _Seen) -> None:
    if turn == ACKNOWLEDGED:
        seen.acknowledged.append(_drop(stage, crew, turn, effort.parked))
    elif turn == EXPIRED:
        seen.expired.append(_drop(stage, crew, turn, effort.parked))
    else:
        seconds, latencies = _pass(stage, crew, effort.parked, effort.free)
        seen.behind.append(seconds)
        seen.p50.append(percentile(latencies, 0.50))
        seen.p99.append(percentile(latencies, 0.99))


def _rows(group: str, seen: _Seen, *, judged: bool) -> Iterator[Measured]:
    def row(name: str, values: list[float], unit: str, target: Target | None = None) -> Measured:
        return Measured(group, name, values, unit, target, judged=judged)

    def times(others: list[float]) -> list[float]:
        return [one / other for one, other in zip(seen.behind, others, strict=True)]

    yield row("latency once all are parked, p99", seen.p99, "s", at_most(MOST_SECONDS))
    yield row("latency once all are parked, p50", seen.p50, "s")
    yield row(
        "right behind: time / Celery drops them", times(seen.expired), "x", at_most(MOST_RATIO)
    )
    yield row("right behind: time / acknowledged at once", times(seen.acknowledged), "x")
    yield row("right behind: until all are done", seen.behind, "s")
    yield row("  until as many expired ones are dropped", seen.expired, "s")
    yield row("  until as many are acknowledged at once", seen.acknowledged, "s")
    yield row("resident memory of the worker", seen.resident, "MB")
    growth = seen.resident[-1] - seen.resident[0]
    yield row("  more at the end", [growth], "MB", at_most(MOST_GROWTH_MB))


def _drop(stage: Stage, crew: Crew, name: str, number: int) -> float:
    """Seconds until so many messages of a task that no worker runs are received and gone."""
    queue = new_name()
    stage.post.fill(queue, ((name, (queue, index)) for index in range(number)))
    with _consumed(stage, crew, queue) as began_at:
        stage.wait_until_taken(queue, crew)
        return time.time() - began_at


def _pass(stage: Stage, crew: Crew, parked: int, free: int) -> tuple[float, list[float]]:
    """Seconds until free tasks behind throttled ones are done; latencies once all are parked."""
    queue, behind, later = new_name(), new_name(), new_name()
    stage.post.fill(queue, ((LIMITED, (queue, number, queue)) for number in range(parked)))
    stage.post.fill(queue, ((FREE, (behind, number)) for number in range(free)))
    with _consumed(stage, crew, queue) as began_at:
        stage.wait_for_starts(behind, free, crew)
        stage.wait_until_taken(queue, crew)
        latencies = _latencies(stage, crew, queue, later, free)
    stage.backlog.purge(queue)
    return stage.book.starts(behind)[-1].started_at - began_at, latencies


def _latencies(stage: Stage, crew: Crew, queue: str, label: str, number: int) -> list[float]:
    """Seconds from a task's sending to its start, sorted."""
    sent_at = []
    with stage.app.producer_pool.acquire(block=True) as producer:
        for index in range(number):
            sent_at.append(time.time())
            stage.app.send_task(FREE, (label, index), queue=queue, producer=producer)
            time.sleep(PAUSE_SECONDS)
    stage.wait_for_starts(label, number, crew)
    starts = stage.book.starts(label)
    return sorted(start.started_at - sent_at[start.number] for start in starts)


@contextmanager
def _consumed(stage: Stage, crew: Crew, queue: str) -> Iterator[float]:
    """While the workers take a queue's tasks; gives the moment when they began to."""
    yield stage.consume(queue, crew)
    crew.cancel(queue)
