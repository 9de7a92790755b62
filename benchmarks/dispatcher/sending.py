"""a, b. How much of their rates queues are sent, and how exactly."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from celery_ratekit.demo.figures import most_in_window, percentile

from ..figures import Target, at_least
from ..report.measured import Measured, at_most
from .effort import Effort, Load
from .setup import SENT
from .stage import Stage, sleep_until, stage

__all__ = ["measure_full_speed", "measure_steady"]

LEAST_SHARE_PERCENT = 99.0
WARM_UP_SECONDS = 2.25
"""No multiple of the time between two tasks, so that none stands at the edge of what is watched."""

MORE_SECONDS = 5.0
"""How much longer the work lasts than it is watched."""

FAST = "q0"


@dataclass(frozen=True, slots=True)
class Run:
    """What was seen of one run; moments are ``time.time()``."""

    load: Load
    seconds: float
    sent: list[tuple[float, str]]
    granted: dict[str, list[float]]
    lateness: list[float]
    commands: int
    cpu_seconds: float

    def share_percent(self, queues: Callable[[str], bool], per_second: float) -> float:
        """How much of what some queues allow was sent."""
        number = sum(queues(queue) for _, queue in self.sent)
        return 100 * number / (per_second * self.seconds)


def measure_steady(effort: Effort, broker_url: str | None = None) -> list[Measured]:
    """At rates that one dispatcher is to keep up with."""
    return _measure("a", effort, effort.steady, at_least(LEAST_SHARE_PERCENT), broker_url)


def measure_full_speed(effort: Effort, broker_url: str | None = None) -> list[Measured]:
    """At rates that take all of one core or more, without a target."""
    return _measure("b", effort, effort.full_speed, None, broker_url)


def _measure(
    part: str, effort: Effort, load: Load, share: Target | None, broker_url: str | None
) -> list[Measured]:
    runs = []
    for _ in range(effort.repeats):
        with stage(broker_url) as one:
            runs.append(_run(one, load, effort.steady_seconds))
    broker = "" if broker_url is None else ", RabbitMQ"
    return _rows(f"{part}. {load.text}{broker}", effort, runs, share)


def _run(stage: Stage, load: Load, seconds: float) -> Run:
    """All queues are full before the dispatcher begins."""
    queues = stage.fill(load.rates(), WARM_UP_SECONDS + seconds + MORE_SECONDS)
    stage.start_plain_worker()
    dispatcher = stage.start_dispatcher()
    stage.wait("first task sent", lambda: stage.book.count(SENT) > 0)
    begin = stage.book.starts(SENT)[0].started_at + WARM_UP_SECONDS
    sleep_until(begin)
    commands, cpu = stage.commands(), _cpu_seconds(dispatcher)
    sleep_until(begin + seconds)
    commands, cpu = stage.commands() - commands, _cpu_seconds(dispatcher) - cpu
    watched = [one for one in stage.book.starts(SENT) if begin <= one.started_at < begin + seconds]
    dispatcher.kill()
    granted_at = stage.granted(queues, [one.number for one in watched])
    granted: dict[str, list[float]] = {}
    for number, moment in granted_at.items():
        granted.setdefault(queues[number], []).append(moment)
    return Run(
        load=load,
        seconds=seconds,
        sent=[(one.started_at, queues[one.number]) for one in watched],
        granted={queue: sorted(moments) for queue, moments in granted.items()},
        lateness=sorted(one.started_at - granted_at[one.number] for one in watched),
        commands=commands,
        cpu_seconds=cpu,
    )


def _cpu_seconds(process: object) -> float:
    times = process.cpu_times()  # type: ignore[attr-defined]  # psutil says nothing of types
    return float(times.user + times.system)


def _rows(group: str, effort: Effort, runs: Sequence[Run], share: Target | None) -> list[Measured]:
    load = runs[0].load

    def row(
        name: str,
        of_run: Callable[[Run], float],
        unit: str = "",
        target: Target | None = None,
        judge: Callable[[Sequence[float]], float] = max,
    ) -> Measured:
        values = [of_run(run) for run in runs]
        return Measured(group, name, values, unit, target, judge, effort.is_judged)

    return [
        row("share of all rates", lambda run: _share(run, load.per_second), "%", share, min),
        row("  of the fast queue", _share_of_fast, "%", share, min),
        row("  of the others", _share_of_slow, "%", share, min),
        row("most grants in a second, fast", _most_of_fast, "", at_most(1 + load.fast)),
        row("most grants in a second, others", _most_of_slow, "", at_most(1 + load.slow)),
        row(
            "lateness of a send, least",
            _least_lateness_ms,
            "ms",
            at_least(0),
            min,
        ),
        row("lateness of a send, p50", lambda run: _lateness_ms(run, 0.50), "ms"),
        row("lateness of a send, p99", lambda run: _lateness_ms(run, 0.99), "ms"),
        row("commands in Redis per task", lambda run: run.commands / len(run.sent)),
        row("CPU of the dispatcher", lambda run: 100 * run.cpu_seconds / run.seconds, "%"),
    ]


def _share(run: Run, per_second: float) -> float:
    return run.share_percent(lambda _: True, per_second)


def _share_of_fast(run: Run) -> float:
    return run.share_percent(lambda queue: queue == FAST, run.load.fast)


def _share_of_slow(run: Run) -> float:
    return run.share_percent(lambda queue: queue != FAST, run.load.number * run.load.slow)


def _most_of_fast(run: Run) -> float:
    return most_in_window(run.granted.get(FAST, []))


def _most_of_slow(run: Run) -> float:
    return max(
        (most_in_window(moments) for queue, moments in run.granted.items() if queue != FAST),
        default=0,
    )


def _least_lateness_ms(run: Run) -> float:
    return run.lateness[0] * 1_000


def _lateness_ms(run: Run, share: float) -> float:
    return percentile(run.lateness, share) * 1_000
