"""What the figures say, in words."""

from __future__ import annotations

import math

from .figures import Figures
from .plan import Plan

__all__ = ["complaints", "rows"]


def rows(figures: Figures, plan: Plan) -> list[tuple[str, str, str]]:
    """The final table: for each line a name, a value and a remark, which may be empty."""
    allowed = math.floor(plan.most_per_second)
    return [
        ("allowed", plan.limit_text, ""),
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
