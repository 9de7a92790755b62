"""When bodies began and ended, and how many of them ran at once."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from itertools import accumulate
from typing import Any, NamedTuple

from support.journal import Journal, not_yet

from celery_ratekit.embedded.waiting import wait_for

ENDS = "journal:ends:"  # + the label of a test: a line for each end of a body


class Span(NamedTuple):
    """One run of a body; moments as in the journal."""

    number: int
    begin: float
    end: float


@contextmanager
def noted_span(journal: Journal, task: Any, label: str, **more: Any) -> Iterator[None]:
    """Notes that a body begins, and that it ends; a body that is killed notes no end.

    ``more`` has to have a ``number`` for `spans`.
    """
    run = f"{task.request.id} {os.getpid()} {time.monotonic_ns()}"
    journal.write_start(task, label, pid=os.getpid(), run=run, **more)
    try:
        yield
    finally:
        journal.client.rpush(ENDS + label, json.dumps({"run": run, "at": time.time()}))


def ends(journal: Journal, label: str) -> dict[str, float]:
    """When each run ended that did."""
    lines: Iterable[Any] = journal.client.lrange(ENDS + label, 0, -1)
    return {end["run"]: end["at"] for end in map(json.loads, lines)}


def wait_for_ends(journal: Journal, label: str, count: int, timeout: float = 60) -> None:
    """Waits until so many bodies of a label have ended by themselves."""

    def check() -> None:
        ended = journal.client.llen(ENDS + label)
        not_yet(missing=ended < count, what=f"{ended} of {count} have ended")

    wait_for("end of every body", check, timeout=timeout)


def spans(journal: Journal, label: str, killed_at: float = float("inf")) -> list[Span]:
    """The runs of a label in the order of their beginnings.

    One that noted no end ended at ``killed_at``; without it, it still runs.
    """
    ended = ends(journal, label)
    starts = sorted(journal.starts(label), key=lambda start: start["at"])
    return [
        Span(start["number"], start["at"], ended.get(start["run"], killed_at)) for start in starts
    ]


def most_at_once(runs: Iterable[Span]) -> int:
    """The most runs at any moment; one that ends as another begins is over."""
    changes = [change for run in runs for change in ((run.begin, 1), (run.end, -1))]
    return max(accumulate(change for _, change in sorted(changes)), default=0)
