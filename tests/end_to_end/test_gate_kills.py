"""Whole workers are killed again and again: every task runs, exactly at its rate, and no slower."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from itertools import pairwise
from statistics import median
from typing import Any
from uuid import uuid4

import pytest
from end_to_end.apps.gated import MODULE, sender
from redis import Redis
from support.delivery import DELIVERED_AGAIN_WITHIN_SECONDS
from support.fleet import Fleet, fleet
from support.journal import Journal, most_beyond, not_yet
from support.pace import LEAST_SHARE, ROUNDING
from support.workers import Setup

from celery_ratekit.embedded import EmbeddedRabbitMQ, EmbeddedRedis
from celery_ratekit.embedded.waiting import wait_for

pytestmark = [pytest.mark.redis, pytest.mark.workers, pytest.mark.slow]

RATE_PER_SECOND = 50
KILLS = 4
STARTS_BETWEEN_KILLS = 160  # 3.2 s at the rate: longer than a new worker needs to take tasks
COUNT = (KILLS + 1) * STARTS_BETWEEN_KILLS + 100  # so that there is work to the last

VISIBILITY_SECONDS = 4
"""When Redis delivers again what a killed worker had; far longer than a task waits in a worker."""

REDIS_OPTIONS = {
    "visibility_timeout": VISIBILITY_SECONDS,
    "unacked_restore_interval": 1,
    "unacked_restore_throttle": 1,
    "unacked_restore_limit": 1_000,
    "unacked_mutex_expire": 2,  # a worker may be killed while it looks for what to deliver again
}


@dataclass(frozen=True)
class Broker:
    """The settings of a broker, and a client of it where it is a Redis."""

    conf: dict[str, Any]
    redis: Redis | None = None

    def has_nothing_left(self, queue: str) -> bool:
        """Whether no message waits in Redis, nor may be delivered again."""
        return self.redis is not None and not self.redis.exists(queue, "unacked")


@pytest.fixture(params=["redis", pytest.param("rabbitmq", marks=pytest.mark.rabbitmq)])
def broker(request: pytest.FixtureRequest, redis_executable: str) -> Iterator[Broker]:
    if request.param == "rabbitmq":
        rabbitmq: EmbeddedRabbitMQ = request.getfixturevalue("rabbitmq")
        yield Broker({"broker_url": rabbitmq.url})
        return
    with EmbeddedRedis(executable=redis_executable) as server, server.client() as client:
        conf = {"broker_url": server.celery_url, "broker_transport_options": REDIS_OPTIONS}
        yield Broker(conf, client)


def kill_in_turn(workers: Fleet, journal: Journal, label: str) -> list[float]:
    """Kills the oldest worker and replaces it, whenever some more tasks have started.

    Returns when each was killed, and the end of the time after the last.
    """
    borders = []
    for number in range(1, KILLS + 1):
        journal.wait_for_starts(label, number * STARTS_BETWEEN_KILLS)
        workers.workers[number - 1].kill()
        borders.append(time.time())
        workers.launch()
    journal.wait_for_starts(label, (KILLS + 1) * STARTS_BETWEEN_KILLS)
    return [*borders, time.time()]


def typical_share(moments: list[float], borders: list[float]) -> float:
    """The share of the rate that was used in the middle one of the times between these borders.

    Not of all together: once in a while the machine itself may have no time for the workers.
    """
    return median(
        sum(begin <= moment < end for moment in moments) / (RATE_PER_SECOND * (end - begin))
        for begin, end in pairwise(borders)
    )


def wait_until_all_ran(broker: Broker, workers: Fleet, journal: Journal, ids: list[str]) -> None:
    """Waits until each task has begun that a worker could ever receive.

    Celery takes a message from Redis with one command and notes that it has it with another: who is
    killed in between loses it, with or without a gate, before any worker has received it.
    """
    queue = broker.conf["task_default_queue"]

    def check() -> None:
        missing = set(ids) - {start["id"] for start in journal.starts(queue)}
        lost = len(missing) <= KILLS and broker.has_nothing_left(queue)
        logs = [worker.log for worker in workers.workers] if lost else []
        received = [one for one in missing if any(f"[{one}] received" in log for log in logs)]
        not_yet(missing=bool(missing) and (not lost or bool(received)), what=f"{missing} left")

    wait_for("start of every task", check, timeout=DELIVERED_AGAIN_WITHIN_SECONDS)


def test_killed_workers_lose_no_task_and_hardly_any_of_the_rate(
    broker: Broker, private_redis: EmbeddedRedis, redis_url: str
) -> None:
    label = uuid4().hex
    broker.conf.update(ratekit_redis_url=private_redis.url, task_default_queue=label)
    setup = Setup("", redis_url, conf=broker.conf, module=MODULE)
    journal = Journal(redis_url)
    with fleet(setup, "--concurrency", "4") as workers, sender(setup) as app:
        for _ in range(3):
            workers.launch()
        workers.wait_until_ready(3)
        late = partial(app.tasks["late"].delay, label, [label, f"{RATE_PER_SECOND}/s", 1])
        ids = [late(number).id for number in range(COUNT)]

        borders = kill_in_turn(workers, journal, label)
        wait_until_all_ran(broker, workers, journal, ids)
        starts = journal.starts(label)

    moments = [start["granted_at"] for start in starts]
    assert most_beyond(moments, RATE_PER_SECOND) <= 1 + ROUNDING
    assert typical_share(moments, borders) >= LEAST_SHARE
