"""How much of an allowed rate is used, and how exactly, by several workers together."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from celery_ratekit.demo.figures import most_in_window, percentile, share_of_limit

from ..figures import Target, at_least, exactly
from ..report.measured import Measured, at_most
from .trial import Outcome, Servers, Trial, running
from .variant import Variant

__all__ = ["PROCESSES", "WORKERS", "Allowed", "measure_share"]

WORKERS, PROCESSES = 2, 4
BURST = 1
LEAST_SHARE_PERCENT = 99.5


@dataclass(frozen=True, slots=True)
class Allowed:
    """A rate, as tasks per second, and how many tasks are to use it.

    Without ``gate`` they send themselves again to their start, and no target is set.
    """

    name: str
    per_second: float
    tasks: int
    gate: bool = True


@dataclass(frozen=True, slots=True)
class _Seen:
    """The numbers of one run."""

    share_percent: float
    most_starts: int
    most_grants: int
    lateness_p50_ms: float
    lateness_p99_ms: float
    calls: float
    sent: int
    twice: int
    retries: int


def measure_share(
    allowed: Allowed, servers: Servers, *, repeats: int, judged: bool
) -> list[Measured]:
    """Lets 2 workers of 4 processes run the tasks, several times."""
    variant = Variant(
        allowed.name,
        rate_per_second=allowed.per_second,
        burst=BURST,
        gate=allowed.gate,
        notes_grants=True,
    )
    trial = Trial(variant, allowed.tasks, PROCESSES, WORKERS)
    seen = []
    for _ in range(repeats):
        with running(servers, trial) as (crew,):
            seen.append(_seen(crew.run(), allowed))
    return _rows(allowed, seen, judged=judged)


def _seen(outcome: Outcome, allowed: Allowed) -> _Seen:
    starts = outcome.starts
    moments = [start.started_at for start in starts]
    lateness_ms = sorted(start.lateness_seconds * 1_000 for start in starts)
    return _Seen(
        share_percent=share_of_limit(moments, allowed.per_second, BURST) * 100,
        most_starts=most_in_window(moments),
        most_grants=most_in_window(sorted(start.granted_at for start in starts)),
        lateness_p50_ms=percentile(lateness_ms, 0.50),
        lateness_p99_ms=percentile(lateness_ms, 0.99),
        calls=outcome.calls / len(starts),
        sent=sum(start.sent for start in starts),
        twice=sum(start.runs > 1 for start in starts),
        retries=sum(start.retries for start in starts),
    )


def _rows(allowed: Allowed, seen: Sequence[_Seen], *, judged: bool) -> list[Measured]:
    group = f"{allowed.name}, {allowed.per_second:,g}/s, burst {BURST}, {allowed.tasks:,} tasks"

    def worst(name: str, values: Sequence[float], target: Target | None, unit: str) -> Measured:
        return Measured(group, name, values, unit, target, judge=max, judged=judged)

    nothing_more = exactly(0) if allowed.gate else None
    return [
        Measured(
            group,
            "share of the allowed rate",
            [one.share_percent for one in seen],
            "%",
            at_least(LEAST_SHARE_PERCENT) if allowed.gate else None,
            judged=judged,
        ),
        worst("most starts in a second", [one.most_starts for one in seen], None, ""),
        worst(
            "most grants in a second",
            [one.most_grants for one in seen],
            at_most(BURST + allowed.per_second),
            "",
        ),
        Measured(group, "lateness, p50", [one.lateness_p50_ms for one in seen], "ms"),
        Measured(group, "lateness, p99", [one.lateness_p99_ms for one in seen], "ms"),
        Measured(group, "calls to the limits' Redis per task", [one.calls for one in seen], ""),
        worst("messages sent again", [one.sent for one in seen], nothing_more, ""),
        worst("retries spent", [one.retries for one in seen], exactly(0), ""),
        worst("tasks that ran twice", [one.twice for one in seen], exactly(0), ""),
    ]
