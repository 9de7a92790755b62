"""A consumer whose loop nobody can wake naps while tasks are held, and only then."""

from __future__ import annotations

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest
from kombu.asynchronous.timer import Timer

from celery_ratekit.worker.naps import NAP_SECONDS, Naps


class Connection:
    """Remembers how it was asked for messages."""

    def __init__(self) -> None:
        self.calls: list[dict[str, Any]] = []

    def drain_events(self, **options: Any) -> str:
        self.calls.append(options)
        return "drained"


def begin(connection: Connection, is_holding: Callable[[], bool]) -> None:
    """What a worker without an event loop does with each new connection."""
    consumer = SimpleNamespace(connection=connection, hub=None, pool=object(), timer=Timer())
    Naps(consumer, is_holding).start()


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
    begin(connection, lambda: is_holding)

    assert connection.drain_events(timeout=asked) == "drained"
    assert connection.calls == [{"timeout": expected}]


def test_it_looks_at_each_call_whether_tasks_are_held() -> None:
    connection = Connection()
    held = [1]
    begin(connection, lambda: bool(held))

    connection.drain_events(timeout=2.0)
    held.clear()
    connection.drain_events(timeout=2.0)

    assert [call["timeout"] for call in connection.calls] == [NAP_SECONDS, 2.0]


def test_other_options_are_passed_on() -> None:
    connection = Connection()
    begin(connection, lambda: True)

    connection.drain_events(timeout=1.0, ignore_timeouts=False)

    assert connection.calls == [{"timeout": NAP_SECONDS, "ignore_timeouts": False}]


def consumer_of(pool: str, hub: Any) -> Any:
    """A consumer with an event loop; its pool was not started."""
    from celery.concurrency import get_implementation

    cls = get_implementation(pool)
    return SimpleNamespace(connection=Connection(), hub=hub, pool=cls.__new__(cls), timer=Timer())


def entries(consumer: Any) -> int:
    return sum(not one.entry.canceled for one in consumer.timer.queue)


def test_a_loop_that_threads_cannot_wake_is_kept_awake_until_the_connection_ends() -> None:
    consumer = consumer_of("threads", SimpleNamespace())
    naps = Naps(consumer, lambda: True)

    naps.start()
    assert entries(consumer) == 1
    naps.stop()

    assert entries(consumer) == 0
    naps.stop()


@pytest.mark.parametrize(
    ("pool", "hub"),
    [
        ("prefork", SimpleNamespace()),
        ("solo", SimpleNamespace()),
        ("threads", SimpleNamespace(_create_waker=None)),  # can be woken, since kombu 5.7
    ],
)
def test_a_loop_that_needs_none_takes_no_naps(pool: str, hub: Any) -> None:
    consumer = consumer_of(pool, hub)

    Naps(consumer, lambda: True).start()
    consumer.connection.drain_events(timeout=2.0)

    assert entries(consumer) == 0
    assert consumer.connection.calls == [{"timeout": 2.0}]
