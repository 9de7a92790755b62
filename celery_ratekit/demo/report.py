"""What the figures say, in words."""

from __future__ import annotations

import math

from .figures import Figures
from .plan import Plan
from .progress import Progress

__all__ = ["complaints", "rows", "waiting_text"]


def rows(figures: Figures, plan: Plan) -> list[tuple[str, str, str]]:
    """The final table: for each line a name, a value and a remark, which may be empty."""
    allowed = math.floor(plan.most_per_second)
    return [
        ("allowed", plan.limit_text, ""),
        ("waiting tasks", plan.wait_text, "" if plan.gate else "no gate in the workers"),
        ("reached", f"{figures.reached_per_second:.2f}/s", f"{figures.share:.1%} of the limit"),
        (
            "worst one-second window",
            f"{figures.worst_window} starts",
            f"{figures.worst_granted_window} granted, {allowed} allowed",
        ),
        ("lateness p50", _milliseconds(figures.lateness_p50_seconds), "after the granted start"),
        ("lateness p99", _milliseconds(figures.lateness_p99_seconds), ""),
        ("retries spent", str(figures.retries), f"{figures.resent} messages sent again to wait"),
        ("starts in all", str(figures.starts), f"of {plan.tasks} tasks"),
    ]


def waiting_text(progress: Progress, width: int = 0) -> str:
    """How many tasks wait, and with the gate how many of them in the workers.

    Each number takes up ``width`` characters at least.
    """
    waiting = f"{progress.waiting:{width}} waiting"
    return f"{waiting} ({progress.held:{width}} held)" if progress.plan.gate else waiting


def complaints(figures: Figures, plan: Plan) -> list[str]:
    """A sentence for each promise that was not kept."""
    found = []
    if figures.done < plan.tasks:
        found.append(f"{plan.tasks - figures.done} of {plan.tasks} tasks did not run")
    if figures.starts > figures.done:
        found.append(f"{figures.starts - figures.done} starts were of tasks that ran before")
    if not figures.keeps_limit:
        found.append(
            f"{figures.worst_granted_window} starts were granted within one second, "
            f"{math.floor(plan.most_per_second)} allowed"
        )
    return found


def _milliseconds(seconds: float) -> str:
    return f"{seconds * 1000:.1f} ms"
