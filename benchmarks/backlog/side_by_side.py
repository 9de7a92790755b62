"""f. How much of their rates several limits use that wait in one queue, for slots of one pool."""

from __future__ import annotations

import time

from celery_ratekit.demo.figures import share_of_limit

from ..figures import at_least
from ..report.measured import Measured
from .crew import Crew, Size
from .effort import Effort
from .setup import LIMITED
from .stage import Stage, new_name, stage

__all__ = ["measure"]

PER_SECOND = 5
LIMITS = 12
"""More than there are slots, and each so slow that its next start lies far ahead."""

LEAST_SHARE_PERCENT = 99.0
SIZE = Size(workers=2, processes=4)


def measure(effort: Effort) -> list[Measured]:
    """Runs all limits for a while, several times."""
    with stage() as one, one.crew(f"{PER_SECOND}/s", SIZE) as crew:
        shares = [share for _ in range(effort.repeats) for share in _shares(one, crew, effort)]
    group = (
        f"f. {LIMITS} limits at {PER_SECOND}/s side by side, {SIZE.workers * SIZE.processes} slots"
    )
    return [
        Measured(
            group,
            "share of the allowed rate, of each limit",
            [share * 100 for share in shares],
            "%",
            at_least(LEAST_SHARE_PERCENT),
            min,
            effort.is_judged,
        )
    ]


def _shares(stage: Stage, crew: Crew, effort: Effort) -> list[float]:
    """What each limit uses once all tasks are parked, while some of each wait."""
    queue, label = new_name(), new_name()
    labels = [f"{label}-{number}" for number in range(LIMITS)]
    each = round(PER_SECOND * effort.steady_seconds)
    stage.post.fill(queue, ((LIMITED, (of, n, of)) for n in range(each) for of in labels))
    crew.consume(queue)
    stage.wait_until_taken(queue, crew)
    taken_at = time.time()
    for of in labels:
        stage.wait_for_starts(of, each, crew)
    crew.cancel(queue)
    return [_share(stage, of, taken_at) for of in labels]


def _share(stage: Stage, label: str, since: float) -> float:
    moments = [start.started_at for start in stage.book.starts(label)]
    return share_of_limit([moment for moment in moments if moment >= since], PER_SECOND, 1)
