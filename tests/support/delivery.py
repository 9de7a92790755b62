"""Whether each of the numbered tasks of a test has run, and how often."""

from __future__ import annotations

from collections import Counter

import kombu
from support.journal import Journal, not_yet

from celery_ratekit.embedded.waiting import wait_for

LOOKS_OFTEN_SINCE = (5, 6)
"""Since then kombu can be told how often to look for messages whose worker is gone."""

DELIVERED_AGAIN_WITHIN_SECONDS = 60.0 if kombu.VERSION[:2] >= LOOKS_OFTEN_SINCE else 240.0
"""The most that Redis as a broker takes; before, kombu looks every hundred seconds."""


def runs_by_number(journal: Journal, label: str) -> Counter[int]:
    """How often the task of each number has begun."""
    return Counter(start["number"] for start in journal.starts(label))


def wait_for_numbers(
    journal: Journal, label: str, count: int, timeout: float = DELIVERED_AGAIN_WITHIN_SECONDS
) -> None:
    """Waits until each of the numbers below ``count`` has begun, however often."""

    def check() -> None:
        missing = set(range(count)) - runs_by_number(journal, label).keys()
        not_yet(missing=bool(missing), what=f"{len(missing)} have not begun: {sorted(missing)[:9]}")

    wait_for("start of every task", check, timeout=timeout)
