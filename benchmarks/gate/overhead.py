"""What the gate costs a task that need not wait, against plain Celery, in pairs of runs."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from statistics import mean
from typing import NamedTuple

from ..figures import Target, at_least, exactly
from ..pairing import Pair, order, ratios
from ..report.intervals import lower_bound
from ..report.measured import Measured
from .trial import Outcome, Servers, Trial, running
from .variant import Variant

__all__ = [
    "ABOVE_CAPACITY",
    "CONTROL",
    "UNLIMITED",
    "Comparison",
    "capacity_per_second",
    "compare",
    "costs_of",
]

PLAIN = Variant("plain Celery", installed=False)

CPU_TICK_SECONDS = 1 / os.sysconf("SC_CLK_TCK")
"""The system counts processor time in these steps: less than one may read as none at all."""

TURNS = (0, 1, 1, 0)
"""Who is first in each turn of a pair: so a machine that slows down, or does so ever faster, slows
both alike."""


@dataclass(frozen=True, slots=True)
class Comparison:
    """A variant and what it is to reach, both as ratios to plain Celery."""

    name: str
    subject: Variant
    least_ratio: float | None = None
    most_commands: float | None = None


UNLIMITED = Comparison(
    "a. Unlimited tasks with the gate installed", Variant("unlimited"), 0.97, most_commands=0
)
ABOVE_CAPACITY = Comparison(
    "b. Tasks limited to 100,000/s, burst 1,000",
    Variant("far above capacity", rate_per_second=100_000, burst=1_000),
    0.90,
)
CONTROL = Comparison("Control: plain Celery against itself", PLAIN)


@dataclass(frozen=True, slots=True)
class Costs:
    """What one task took in the middle half of a run: wall time and processor time, seconds.

    ``calls`` to the limits' Redis are per task too; ``commands`` are all that ran there.
    """

    wall: float
    parent: float
    children: float
    calls: float
    commands: int

    @property
    def cpu(self) -> float:
        """The processor time in the worker's main process and its children together."""
        return self.parent + self.children


def costs_of(outcomes: Sequence[Outcome]) -> Costs:
    """The costs per task over runs of equal size, without their first and their last quarters."""
    middles = [_middle_of(outcome) for outcome in outcomes]
    tasks = sum(middle.tasks for middle in middles)
    started = sum(len(outcome.starts) for outcome in outcomes)
    return Costs(
        wall=mean(middle.wall_per_task for middle in middles),
        parent=_counted(middle.parent for middle in middles) / tasks,
        children=_counted(middle.children for middle in middles) / tasks,
        calls=sum(outcome.calls for outcome in outcomes) / started,
        commands=sum(sum(outcome.commands.values()) for outcome in outcomes),
    )


def _counted(seconds: Iterable[float]) -> float:
    """The processor time of some runs, which is never nothing: it divides and is divided."""
    return max(sum(seconds), CPU_TICK_SECONDS)


class _Middle(NamedTuple):
    """Seconds per task, and the processor time of how many tasks."""

    wall_per_task: float
    parent: float
    children: float
    tasks: int


def _middle_of(outcome: Outcome) -> _Middle:
    moments = [start.started_at for start in outcome.starts]
    begin, end = len(moments) // 4, len(moments) * 3 // 4
    first, last = outcome.first, outcome.last
    return _Middle(
        (moments[end] - moments[begin]) / (end - begin),
        last.parents_seconds - first.parents_seconds,
        last.children_seconds - first.children_seconds,
        # It is looked at some moments after each quarter, so what counts is who started meanwhile.
        max(1, sum(first.at < moment <= last.at for moment in moments)),
    )


def compare(
    comparison: Comparison,
    servers: Servers,
    *,
    pairs: int,
    tasks: int,
    processes: int,
    judged: bool,
) -> list[Measured]:
    """Runs the variant and plain Celery in turns, on a new worker of each for every pair."""
    taken = [_pair(comparison, servers, number, tasks, processes) for number in range(pairs)]
    return _rows(comparison, *zip(*taken, strict=True), judged=judged)


def _pair(
    comparison: Comparison, servers: Servers, number: int, tasks: int, processes: int
) -> tuple[Costs, Costs]:
    """What the variant cost, and plain Celery."""
    trials = [Trial(variant, tasks, processes) for variant in (comparison.subject, PLAIN)]
    outcomes: dict[str, list[Outcome]] = {"subject": [], "reference": []}
    with running(servers, *trials) as (subject, reference):
        crews = {"subject": subject, "reference": reference}
        for turn in TURNS:
            for who in order(number + turn):
                outcomes[who].append(crews[who].run())
    return costs_of(outcomes["subject"]), costs_of(outcomes["reference"])


def _rows(
    comparison: Comparison, subject: Sequence[Costs], reference: Sequence[Costs], *, judged: bool
) -> list[Measured]:
    group = comparison.name

    def ratio(name: str, part: Callable[[Costs], float], target: Target | None = None) -> Measured:
        pairs = [
            Pair(part(one), part(other)) for one, other in zip(subject, reference, strict=True)
        ]
        return Measured(group, name, ratios(pairs), target=target, judge=lower_bound, judged=judged)

    least, most_commands = comparison.least_ratio, comparison.most_commands
    return [
        ratio("tasks per second / plain", _wall, at_least(least) if least is not None else None),
        ratio("tasks per CPU second / plain", _cpu),
        ratio("  of the main process", _parent),
        ratio("  of the pool's processes", _children),
        Measured(group, "tasks per second", [1 / one.wall for one in subject], "/s"),
        Measured(group, "tasks per second, plain", [1 / one.wall for one in reference], "/s"),
        *_microseconds(group, "main process", _parent, subject, reference),
        *_microseconds(group, "pool", _children, subject, reference),
        Measured(group, "calls to the limits' Redis per task", [one.calls for one in subject], ""),
        Measured(
            group,
            "commands that ran there",
            [one.commands for one in subject],
            "",
            target=exactly(most_commands) if most_commands is not None else None,
            judge=max,
            judged=judged,
        ),
    ]


def _microseconds(
    group: str,
    where: str,
    part: Callable[[Costs], float],
    subject: Sequence[Costs],
    reference: Sequence[Costs],
) -> list[Measured]:
    pairs = list(zip(subject, reference, strict=True))
    return [
        Measured(group, f"CPU per task, {where}", [part(one) * 1e6 for one in subject], "us"),
        Measured(
            group,
            f"  more than plain, {where}",
            [(part(one) - part(other)) * 1e6 for one, other in pairs],
            "us",
        ),
    ]


def _wall(costs: Costs) -> float:
    return costs.wall


def _cpu(costs: Costs) -> float:
    return costs.cpu


def _parent(costs: Costs) -> float:
    return costs.parent


def _children(costs: Costs) -> float:
    return costs.children


def capacity_per_second(servers: Servers, *, tasks: int, workers: int, processes: int) -> float:
    """How many tasks such workers run in a second without a limit."""
    with running(servers, Trial(PLAIN, tasks, processes, workers)) as (crew,):
        return 1 / costs_of([crew.run()]).wall
