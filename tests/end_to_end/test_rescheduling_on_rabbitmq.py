"""Without a gate: limited tasks on RabbitMQ, which may delay messages by whole seconds only."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from celery import Celery, chord
from end_to_end.apps.limited import sender
from support.given import journal
from support.journal import Journal, granted, most_beyond
from support.workers import Setup, workers

from celery_ratekit import TokenBucket
from celery_ratekit.embedded import EmbeddedRabbitMQ, EmbeddedRedis

__all__ = ["journal"]

pytestmark = [pytest.mark.rabbitmq, pytest.mark.redis, pytest.mark.workers]

TOLERANCE_SECONDS = 0.05
"""How long may pass between the answer of the limiter and the first line of the body."""

MAX_RESCHEDULE_SECONDS = 1.5
"""Short, so that a task that waits for long waits often."""

QUEUES: dict[str, dict[str, Any]] = {
    # The worker keeps what is sent with a countdown, and waits itself.
    "classic": {"task_default_queue": "classic"},
    # RabbitMQ keeps it, for whole seconds, and refuses less than one.
    "quorum": {
        "task_default_queue": "quorum",
        "task_default_queue_type": "quorum",
        "task_default_exchange_type": "topic",
        "broker_transport_options": {"confirm_publish": True},
    },
}


@pytest.fixture(scope="module", params=QUEUES)
def setup(
    request: pytest.FixtureRequest, rabbitmq: EmbeddedRabbitMQ, redis_executable: str
) -> Iterator[Setup]:
    """Two workers on one kind of queue."""
    with EmbeddedRedis(executable=redis_executable) as server:
        setup = Setup(
            broker=rabbitmq.url,
            backend=server.celery_url_for(1),
            journal=server.url_for(2),
            conf={
                **QUEUES[request.param],
                "ratekit_gate": False,
                "ratekit_redis_url": server.url,
                "ratekit_max_reschedule": MAX_RESCHEDULE_SECONDS,
            },
        )
        with workers(setup, 2, "--concurrency", "2"):
            yield setup


@pytest.fixture(scope="module")
def app(setup: Setup) -> Iterator[Celery]:
    with sender(setup) as app:
        yield app


def test_waits_of_less_and_more_than_a_second_keep_the_rate(app: Celery, journal: Journal) -> None:
    for number in range(30):
        app.tasks["note"].delay("short", ["short", "10/s"], number)

    starts = journal.wait_for_starts("short", 30)

    assert {start["number"] for start in starts} == set(range(30))
    assert len(starts) == 30
    assert most_beyond(granted(starts), 10) <= 1 + 10 * TOLERANCE_SECONDS


def test_a_task_that_waits_many_times_arrives_all_the_same(app: Celery, journal: Journal) -> None:
    show, bucket = app.tasks["show"], ["many", "100/s"]
    show.ratekit.limiter.freeze(TokenBucket("many", "100/s"), 6.5)

    show.apply_async(("many", bucket), priority=4, headers={"x-tenant": "acme"})

    [start] = journal.wait_for_starts("many", 1)
    assert journal.throttles([start["id"]])[0] >= 5  # of at most MAX_RESCHEDULE_SECONDS
    assert start["shown"]["headers"] == {"x-tenant": "acme"}
    assert start["shown"]["priority"] == 4
    assert start["retries"] == 0


def test_a_chord_completes_and_a_retry_is_charged(app: Celery, journal: Journal) -> None:
    add, bucket = app.tasks["add"], ["chord", "4/s"]
    header = [add.s(n, 0, "chord", bucket) for n in range(5)]

    result = chord(header, add.s(100, "chord", bucket))()
    failing = app.tasks["fails"].delay("fails", ["fails", "4/s"])

    assert result.get(timeout=20) == 110
    with pytest.raises(KeyError):
        failing.get(timeout=20)
    starts = journal.wait_for_starts("fails", 4)
    assert [start["retries"] for start in starts] == [0, 1, 2, 3]
    assert most_beyond(granted(starts), 4) <= 1 + 4 * TOLERANCE_SECONDS
