"""What a worker counts of the starts under each limit."""

from __future__ import annotations

from celery_ratekit import Concurrency, TokenBucket
from celery_ratekit.worker.observing.started import MOST_NAMES, Started


def test_starts_and_their_lateness_add_up_by_name_and_once_for_each_call() -> None:
    started = Started()
    plain, places = TokenBucket("a", 1), Concurrency("a", 2)
    started.count([plain], 0.5)
    started.count([plain, places, TokenBucket("b", 1, key="user")], 0.25)

    assert started.shown() == {"a": [2, 0.75], "b": [1, 0.25]}


def test_however_many_names_there_are_as_many_are_kept() -> None:
    started = Started()
    for number in range(MOST_NAMES + 5):
        started.count([TokenBucket(f"n{number}", 1)], 0.0)

    assert len(started.shown()) == MOST_NAMES
    assert "n0" not in started.shown()
    assert f"n{MOST_NAMES + 4}" in started.shown()
