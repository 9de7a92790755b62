"""e. How much of a rate is used through the backlog, while more arrive than may start."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence

from celery_ratekit.demo.figures import most_in_window, percentile, share_of_limit

from ..figures import Target, at_least
from ..report.measured import Measured, at_most
from .book import Start
from .crew import Crew, Size
from .effort import Effort
from .setup import LIMITED
from .stage import Stage, new_name, stage

__all__ = ["measure"]

PER_SECOND = 100
ARRIVING_PER_SECOND = 150
LEAST_SHARE_PERCENT = 99.5
SIZE = Size(workers=2, processes=4)


def measure(effort: Effort) -> list[Measured]:
    """Runs at 100/s for a while, several times."""
    with stage() as one, one.crew(f"{PER_SECOND}/s", SIZE) as crew:
        runs = [_run(one, crew, effort) for _ in range(effort.repeats)]
    return _rows(effort, runs)


def _run(stage: Stage, crew: Crew, effort: Effort) -> Sequence[Start]:
    """The starts in a time in which tasks always wait: one second's are there before."""
    queue, label = new_name(), new_name()
    stage.post.fill(queue, ((LIMITED, (label, n, label)) for n in range(PER_SECOND)))
    wanted = round(PER_SECOND * effort.steady_seconds)
    crew.consume(queue)
    _send(stage, crew, queue, label, wanted)
    crew.cancel(queue)
    stage.backlog.purge(queue)
    return stage.book.starts(label)[:wanted]


def _send(stage: Stage, crew: Crew, queue: str, label: str, wanted: int) -> None:
    """Sends tasks at their own pace until so many have started."""
    began_at = time.monotonic()
    sent = 0
    with stage.app.producer_pool.acquire(block=True) as producer:

        def are_enough() -> bool:
            nonlocal sent
            due = round((time.monotonic() - began_at) * ARRIVING_PER_SECOND)
            for number in range(PER_SECOND + sent, PER_SECOND + due):
                arguments = (label, number, label)
                stage.app.send_task(LIMITED, arguments, queue=queue, producer=producer)
            sent = max(sent, due)
            return stage.book.count(label) >= wanted

        stage.wait(f"{wanted} starts", are_enough, crew)


def _rows(effort: Effort, runs: Sequence[Sequence[Start]]) -> list[Measured]:
    group = (
        f"e. {PER_SECOND}/s through the backlog, {ARRIVING_PER_SECOND}/s arriving, "
        f"{len(runs[0]):,} starts"
    )

    def row(
        name: str,
        of_run: Callable[[Sequence[Start]], float],
        unit: str,
        target: Target | None = None,
        judge: Callable[[Sequence[float]], float] = max,
    ) -> Measured:
        values = [of_run(run) for run in runs]
        return Measured(group, name, values, unit, target, judge, effort.is_judged)

    return [
        row("share of the allowed rate", _share_percent, "%", at_least(LEAST_SHARE_PERCENT), min),
        row("most grants in a second", _most_grants, "", at_most(1 + PER_SECOND)),
        row("lateness, p50", lambda run: _lateness_ms(run, 0.50), "ms"),
        row("lateness, p99", lambda run: _lateness_ms(run, 0.99), "ms"),
        row("places out of order, most", _most_out_of_order, ""),
    ]


def _share_percent(run: Sequence[Start]) -> float:
    return share_of_limit([start.started_at for start in run], PER_SECOND, 1) * 100


def _most_grants(run: Sequence[Start]) -> float:
    return most_in_window(sorted(start.granted_at for start in run))


def _lateness_ms(run: Sequence[Start], share: float) -> float:
    return percentile(sorted(start.lateness_seconds * 1_000 for start in run), share)


def _most_out_of_order(run: Sequence[Start]) -> float:
    granted = sorted(run, key=lambda start: start.granted_at)
    return max(abs(start.number - place) for place, start in enumerate(granted))
