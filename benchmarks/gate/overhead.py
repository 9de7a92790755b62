"""What the gate costs a task that need not wait, against plain Celery, in pairs of runs."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from ..figures import Target, at_least, exactly
from ..pairing import Pair, order, ratios
from .intervals import lower_bound
from .measured import Measured
from .trial import Outcome, Servers, Trial, run
from .variant import Variant

__all__ = ["ABOVE_CAPACITY", "CONTROL", "UNLIMITED", "Comparison", "capacity_per_second", "compare"]

PLAIN = Variant("plain Celery", installed=False)


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


def costs_of(outcome: Outcome) -> Costs:
    """The costs per task between the first and the last quarter: start and end are left out."""
    moments = [start.started_at for start in outcome.starts]
    first, last = len(moments) // 4, len(moments) * 3 // 4
    first_cpu, last_cpu = outcome.first, outcome.last
    # It is looked at some moments after the quarter, so what counts is who started in between.
    tasks = max(1, sum(first_cpu.at < moment <= last_cpu.at for moment in moments))
    return Costs(
        wall=(moments[last] - moments[first]) / (last - first),
        parent=(last_cpu.parents_seconds - first_cpu.parents_seconds) / tasks,
        children=(last_cpu.children_seconds - first_cpu.children_seconds) / tasks,
        calls=outcome.calls / len(moments),
        commands=sum(outcome.commands.values()),
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
    """Runs the variant and plain Celery in turns, each first every other time."""
    variants = {"subject": comparison.subject, "reference": PLAIN}
    taken: dict[str, list[Costs]] = {"subject": [], "reference": []}
    for number in range(pairs):
        for who in order(number):
            outcome = run(Trial(variants[who], tasks, processes), servers)
            taken[who].append(costs_of(outcome))
    return _rows(comparison, taken["subject"], taken["reference"], judged=judged)


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
    outcome = run(Trial(PLAIN, tasks, processes, workers), servers)
    return 1 / costs_of(outcome).wall
