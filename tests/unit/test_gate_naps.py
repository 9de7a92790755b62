"""A consumer whose loop nobody can wake naps while tasks are held, and only then."""

from __future__ import annotations

from typing import Any

import pytest

from celery_ratekit.worker.naps import NAP_SECONDS, shorten


class Connection:
    """Remembers how it was asked for messages."""

    def __init__(self) -> None:
        self.calls: list[dict[str, Any]] = []

    def drain_events(self, **options: Any) -> str:
        self.calls.append(options)
        return "drained"


@pytest.mark.parametrize(
    ("is_holding", "asked", "expected"),
    [
        (True, 2.0, NAP_SECONDS),
        (True, None, NAP_SECONDS),
        (True, NAP_SECONDS / 2, NAP_SECONDS / 2),
        (True, 0, 0),
        (False, 2.0, 2.0),
        (False, None, None),
    ],
)
def test_it_waits_for_messages_no_longer_than_a_nap_while_tasks_are_held(
    is_holding: bool, asked: float | None, expected: float | None
) -> None:
    connection = Connection()
    shorten(connection, lambda: is_holding)

    assert connection.drain_events(timeout=asked) == "drained"
    assert connection.calls == [{"timeout": expected}]


def test_it_looks_at_each_call_whether_tasks_are_held() -> None:
    connection = Connection()
    held = [1]
    shorten(connection, lambda: bool(held))

    connection.drain_events(timeout=2.0)
    held.clear()
    connection.drain_events(timeout=2.0)

    assert [call["timeout"] for call in connection.calls] == [NAP_SECONDS, 2.0]


def test_other_options_are_passed_on() -> None:
    connection = Connection()
    shorten(connection, lambda: True)

    connection.drain_events(timeout=1.0, ignore_timeouts=False)

    assert connection.calls == [{"timeout": NAP_SECONDS, "ignore_timeouts": False}]
