"""d. Many waiting tasks: their memory, how fast they are parked, and how fast drained."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from celery_ratekit.demo.figures import most_in_window, percentile, share_of_limit
from celery_ratekit.manager import RateLimitManager

from ..figures import Target, at_least
from ..report.measured import Measured, at_most
from .crew import Crew, Size
from .effort import Effort
from .setup import ACKNOWLEDGED, EXPIRED, LIMIT, LIMITED
from .stage import NEVER, Stage, new_name, stage

__all__ = ["measure"]

MOST_MB = 20.0
MOST_OF_MESSAGE, MOST_BYTES = 1.3, 150
LEAST_RATIO = 0.70
TURNS = (LIMITED, ACKNOWLEDGED, EXPIRED)

DRAINED_PER_SECOND = 200
MOST_SECONDS = 2.0
LEAST_SHARE_PERCENT = 99.0

PARKING = Size(workers=2, processes=4)
"""One of them parks, and the other has nothing to do."""

DRAINING = Size(workers=2, processes=4)


@dataclass(slots=True)
class _Parked:
    """What was seen while the tasks were parked; rates are messages per second."""

    message_bytes: float
    redis_bytes: float
    rates: dict[str, list[float]]
    busy_mb: float
    idle_mb: float


def measure(effort: Effort) -> list[Measured]:
    """Parks and drops in turns, looks at memory, then sets a higher rate."""
    with stage() as one:
        queue, label = new_name(), new_name()
        parked = _park(one, effort, queue, label)
        rows = [*_memory_rows(effort, parked), *_rate_rows(effort, parked)]
        return [*rows, *_drain_rows(one, effort, queue, label)]


def _park(stage: Stage, effort: Effort, queue: str, label: str) -> _Parked:
    rates: dict[str, list[float]] = {name: [] for name in TURNS}
    turns = effort.waiting // effort.turn
    size = 0
    with stage.crew(NEVER, PARKING) as crew:
        busy = crew.hostnames[0]
        _warm_up(stage, crew, busy, effort.turn)
        before = _used_bytes(stage)
        for number in range(turns):
            for name in TURNS if number % 2 == 0 else reversed(TURNS):
                to = queue if name == LIMITED else new_name()
                numbers = range(number * effort.turn, (number + 1) * effort.turn)
                filled = stage.post.fill(to, ((name, _arguments(name, label, n)) for n in numbers))
                size += filled if name == LIMITED else 0
                rates[name].append(_per_second(stage, crew, busy, to, effort.turn))
        waiting = stage.backlog.sizes(queue).waiting
        busy_mb, idle_mb = crew.resident_mb()
    return _Parked(
        message_bytes=size / (turns * effort.turn),
        redis_bytes=(_used_bytes(stage) - before) / waiting,
        rates=rates,
        busy_mb=busy_mb,
        idle_mb=idle_mb,
    )


def _arguments(name: str, label: str, number: int) -> tuple[Any, ...]:
    return (label, number, label) if name == LIMITED else (label, number)


def _warm_up(stage: Stage, crew: Crew, worker: str, number: int) -> None:
    for name in TURNS:
        queue, label = new_name(), new_name()
        stage.post.fill(queue, ((name, _arguments(name, label, n)) for n in range(number)))
        _per_second(stage, crew, worker, queue, number)
        stage.backlog.purge(queue)


def _per_second(stage: Stage, crew: Crew, worker: str, queue: str, number: int) -> float:
    """Messages per second that leave the broker, without the first and the last quarter."""
    crew.consume(queue, [worker])
    begin = _moment_of(stage, crew, queue, number * 3 // 4)
    end = _moment_of(stage, crew, queue, number // 4)
    stage.wait_until_taken(queue, crew)
    crew.cancel(queue, [worker])
    return (begin[1] - end[1]) / (end[0] - begin[0])


def _moment_of(stage: Stage, crew: Crew, queue: str, number: int) -> tuple[float, int]:
    """When at most so many messages were left, and how many that were."""
    seen = (0.0, 0)

    def is_reached() -> bool:
        nonlocal seen
        seen = (time.monotonic(), stage.left(queue))
        return seen[1] <= number

    stage.wait("fewer messages", is_reached, crew)
    return seen


def _used_bytes(stage: Stage) -> int:
    info: dict[str, Any] = stage.limits.info("memory")
    return int(info["used_memory"])


def _memory_rows(effort: Effort, parked: _Parked) -> Iterator[Measured]:
    group = _group(effort)
    judged = effort.is_judged
    allowed = MOST_OF_MESSAGE * parked.message_bytes + MOST_BYTES
    more = parked.busy_mb - parked.idle_mb
    yield Measured(group, "resident memory, the worker that parked", [parked.busy_mb], "MB")
    yield Measured(
        group, "  more than an idle worker's", [more], "MB", at_most(MOST_MB), judged=judged
    )
    yield Measured(group, "bytes of a message in its queue", [parked.message_bytes], "")
    yield Measured(
        group,
        "bytes of a waiting task in Redis",
        [parked.redis_bytes],
        "",
        at_most(round(allowed)),
        judged=judged,
    )


def _rate_rows(effort: Effort, parked: _Parked) -> Iterator[Measured]:
    group = _group(effort)
    rates = parked.rates

    def ratio(name: str, reference: str, target: Target | None = None) -> Measured:
        pairs = zip(rates[LIMITED], rates[reference], strict=True)
        values = [one / other for one, other in pairs]
        return Measured(group, name, values, target=target, judged=effort.is_judged)

    yield ratio("parked / received and acknowledged", ACKNOWLEDGED, at_least(LEAST_RATIO))
    yield ratio("parked / dropped by Celery", EXPIRED)
    yield Measured(group, "parked", rates[LIMITED], "/s")
    yield Measured(group, "received and acknowledged", rates[ACKNOWLEDGED], "/s")
    yield Measured(group, "expired, and dropped by Celery", rates[EXPIRED], "/s")


def _drain_rows(stage: Stage, effort: Effort, queue: str, label: str) -> Iterator[Measured]:
    """Sets a higher rate while workers are there that had the old one."""
    group = f"d. {DRAINED_PER_SECOND}/s, set while they wait at {NEVER}"
    before = stage.book.count(label)
    number = min(round(DRAINED_PER_SECOND * effort.drain_seconds), effort.waiting - before)
    with stage.crew(NEVER, DRAINING) as crew:
        crew.consume(queue)
        set_at = time.time()
        RateLimitManager(stage.app).adjust_rate(LIMIT, f"{DRAINED_PER_SECOND}/s")
        stage.wait_for_starts(label, before + number, crew)
    starts = stage.book.starts(label)[before : before + number]

    def row(name: str, value: float, unit: str, target: Target | None = None) -> Measured:
        return Measured(group, name, [value], unit, target, judged=effort.is_judged)

    moments = [start.started_at for start in starts]
    lateness_ms = sorted(start.lateness_seconds * 1_000 for start in starts)
    grants = most_in_window(sorted(start.granted_at for start in starts))
    share = share_of_limit(moments, DRAINED_PER_SECOND, 1) * 100
    yield row("until it was felt", moments[0] - set_at, "s", at_most(MOST_SECONDS))
    yield row("share of the new rate", share, "%", at_least(LEAST_SHARE_PERCENT))
    yield row("most grants in a second", grants, "", at_most(1 + DRAINED_PER_SECOND))
    yield row("lateness, p50", percentile(lateness_ms, 0.50), "ms")
    yield row("lateness, p99", percentile(lateness_ms, 0.99), "ms")


def _group(effort: Effort) -> str:
    return f"d. {effort.waiting:,} waiting tasks"
