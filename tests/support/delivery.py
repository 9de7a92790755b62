"""Whether each of the numbered tasks of a test has run, and how often."""

from __future__ import annotations

from collections import Counter

from support.journal import Journal, not_yet

from celery_ratekit.embedded.waiting import wait_for


def runs_by_number(journal: Journal, label: str) -> Counter[int]:
    """How often the task of each number has begun."""
    return Counter(start["number"] for start in journal.starts(label))


def wait_for_numbers(journal: Journal, label: str, count: int, timeout: float = 60) -> None:
    """Waits until each of the numbers below ``count`` has begun, however often."""

    def check() -> None:
        missing = set(range(count)) - runs_by_number(journal, label).keys()
        not_yet(missing=bool(missing), what=f"{len(missing)} have not begun: {sorted(missing)[:9]}")

    wait_for("start of every task", check, timeout=timeout)
