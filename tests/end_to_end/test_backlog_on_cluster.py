"""The backlog on a Redis Cluster: each queue on a node of its own, and limits on others."""

from __future__ import annotations

from uuid import uuid4

import pytest
from end_to_end.apps.gate import MODULE, sender
from support.delivery import runs_by_number
from support.journal import Journal
from support.pace import check_exact
from support.parked import backlog_of, wait_until_drained
from support.workers import Setup, workers

from celery_ratekit.embedded import EmbeddedCluster, EmbeddedRedis

pytestmark = [pytest.mark.cluster, pytest.mark.redis, pytest.mark.workers]

PER_SECOND = 20
COUNT = 30


def test_queues_on_several_nodes_are_parked_in_and_pulled_from(
    cluster: EmbeddedCluster, redis_server: EmbeddedRedis, redis_url: str
) -> None:
    journal, label = Journal(redis_url), uuid4().hex
    queues = [f"{label}-{number}" for number in range(3)]
    url = cluster.url.replace("redis://", "redis+cluster://")
    conf = {
        "ratekit_overflow": "backlog",
        "ratekit_redis_url": url,
        "ratekit_namespace": label,
        "task_default_queue": queues[0],
    }
    setup = Setup(redis_server.celery_url, redis_url, conf=conf, module=MODULE)
    with (
        workers(setup, 1, "--concurrency", "4", "--queues", ",".join(queues)),
        sender(setup) as app,
        backlog_of(url, label) as backlog,
    ):
        for number in range(COUNT):
            for queue in queues:
                arguments = (queue, [queue, PER_SECOND, 1], number)
                app.tasks["note"].apply_async(arguments, queue=queue)
        starts = [journal.wait_for_starts(queue, COUNT) for queue in queues]
        for queue in queues:
            wait_until_drained(backlog, queue)
        assert backlog.queues() == []

    for queue, of_queue in zip(queues, starts, strict=True):
        assert runs_by_number(journal, queue) == dict.fromkeys(range(COUNT), 1)
        check_exact(of_queue, PER_SECOND)
