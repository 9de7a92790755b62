"""Throttled queues where the broker is not the Redis of the limits, or that is a cluster."""

from __future__ import annotations

from uuid import uuid4

import pytest
from celery import Celery
from support.journal import Journal, most_beyond
from support.throttled import BROKER, LIMITS, close, prefixed, programs, wait_for_stats

from celery_ratekit.embedded import EmbeddedCluster, EmbeddedRabbitMQ, EmbeddedRedis
from celery_ratekit.throttle import CeleryThrottle

pytestmark = [pytest.mark.redis, pytest.mark.workers]

LATENESS_SECONDS = 0.15
"""How far a start may lie from its grant on a busy machine."""

MODULE = "end_to_end.apps.throttle_existing"
PER_SECOND, BURST, COUNT = 20, 5, 60


def check_queues(
    server: EmbeddedRedis, monkeypatch: pytest.MonkeyPatch, *, broker: str, limits: str
) -> None:
    """Starts, order, counts and changes of a queue that two workers serve."""
    label = uuid4().hex
    names = {
        # What the programs would else be told; empty is not there.
        **dict.fromkeys(("REDIS_HOST", "REDIS_PORT", "REDIS_PASSWORD"), ""),
        "QUEUE_PREFIX": label,
        "TARGET_QUEUE": f"target{label}",
    }
    for name, value in prefixed(names).items():
        monkeypatch.setenv(name, value)
    app = Celery("my-app", broker=broker, set_as_current=False)
    app.conf.update(ratekit_redis_url=limits, ratekit_redis_timeout=10)
    throttle = CeleryThrottle(celery_app=app)
    journal = Journal(server.url_for(9))
    with programs(server, **names) as running:
        for _ in range(2):
            more = {BROKER: broker, LIMITS: limits}
            running.worker(command="dedicated-worker", module=MODULE, **more)
        queue = throttle.create_queue(f"{PER_SECOND}/s:{BURST}")
        tasks = [app.signature("my_existing_task", (label, n)) for n in range(COUNT)]
        throttle.submit_many(queue, tasks)
        starts = journal.wait_for_starts(label, COUNT)
        assert sorted(start["number"] for start in starts) == list(range(COUNT))
        moments = [start["at"] for start in starts]
        assert most_beyond(moments, PER_SECOND) <= BURST + PER_SECOND * LATENESS_SECONDS
        stats = wait_for_stats(throttle, queue, lambda one: one.tasks_completed == COUNT)
        assert (stats.tasks_waiting, stats.tasks_processing, stats.tasks_failed) == (0, 0, 0)
        slow = throttle.create_queue("1/1h")
        throttle.submit_many(
            slow, [app.signature("my_existing_task", (f"{label} slow", n)) for n in range(5)]
        )
        journal.wait_for_starts(f"{label} slow", 1)
        throttle.update_rate_limit(slow, "50/s")
        journal.wait_for_starts(f"{label} slow", 5, timeout=10)
        assert {one.name for one in throttle.list_queues()} == {queue, slow}
        assert throttle.get_worker_queue_summary()[f"target{label}"].total_size == 0
    close(throttle)


@pytest.mark.rabbitmq
def test_throttled_queues_with_messages_in_rabbitmq(
    rabbitmq: EmbeddedRabbitMQ, redis_server: EmbeddedRedis, monkeypatch: pytest.MonkeyPatch
) -> None:
    check_queues(redis_server, monkeypatch, broker=rabbitmq.url, limits=redis_server.url)


@pytest.mark.cluster
def test_throttled_queues_with_limits_in_a_cluster(
    cluster: EmbeddedCluster, redis_server: EmbeddedRedis, monkeypatch: pytest.MonkeyPatch
) -> None:
    limits = cluster.url.replace("redis://", "redis+cluster://")
    check_queues(redis_server, monkeypatch, broker=redis_server.celery_url_for(5), limits=limits)
