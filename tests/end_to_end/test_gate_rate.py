"""Two workers of four processes share one rate: exactly, to the full, without a message more."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any
from uuid import uuid4

import pytest
from celery import Celery
from end_to_end.apps.gate import MODULE, sender
from support.delivery import runs_by_number
from support.journal import Journal
from support.pace import LEAST_SHARE, check_exact, check_not_saved_up, used_share
from support.traffic import published
from support.workers import Setup, workers

from celery_ratekit.embedded import EmbeddedRabbitMQ, EmbeddedRedis

pytestmark = [pytest.mark.redis, pytest.mark.workers]

SECONDS = 4

QUEUES: dict[str, dict[str, Any]] = {
    "redis": {},
    "classic": {"task_default_queue": "gate-classic"},
    "quorum": {
        "task_default_queue": "gate-quorum",
        "task_default_queue_type": "quorum",
        "task_default_exchange_type": "topic",
        "broker_transport_options": {"confirm_publish": True},
    },
}


@pytest.fixture(
    scope="module",
    params=[
        "redis",
        pytest.param("classic", marks=pytest.mark.rabbitmq),
        pytest.param("quorum", marks=pytest.mark.rabbitmq),
    ],
)
def setup(request: pytest.FixtureRequest, redis_executable: str) -> Iterator[Setup]:
    """Two workers on one kind of queue, with a Redis for their limits."""
    with (
        EmbeddedRedis(executable=redis_executable) as server,
        EmbeddedRedis(executable=redis_executable) as redis_broker,
    ):
        broker = redis_broker.celery_url
        if request.param != "redis":
            rabbitmq: EmbeddedRabbitMQ = request.getfixturevalue("rabbitmq")
            broker = rabbitmq.url
        conf = {**QUEUES[request.param], "ratekit_redis_url": server.url}
        setup = Setup(broker, server.url_for(1), conf=conf, module=MODULE)
        with workers(setup, 2, "--concurrency", "4"):
            yield setup


@pytest.fixture(scope="module")
def app(setup: Setup) -> Iterator[Celery]:
    with sender(setup) as app:
        yield app


@pytest.mark.parametrize("per_second", [100, 20])
def test_two_workers_keep_one_rate_exactly_and_use_it_up(
    per_second: int, setup: Setup, app: Celery
) -> None:
    journal = Journal(setup.journal)
    label, count = uuid4().hex, SECONDS * per_second
    task_ids = [
        app.tasks["note"].delay(label, [label, per_second, 1], number).id for number in range(count)
    ]

    starts = journal.wait_for_starts(label, count)

    check_exact(starts, per_second)
    check_not_saved_up(starts, per_second)
    assert used_share(starts, per_second) >= LEAST_SHARE
    assert runs_by_number(journal, label) == dict.fromkeys(range(count), 1)
    assert published(journal, task_ids) == 0
    assert sum(len(journal.reasons(task_id)) for task_id in task_ids) == 0
