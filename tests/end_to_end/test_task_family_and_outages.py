"""What bodies do about their limits while the Redis of the limits is away."""

from __future__ import annotations

from uuid import uuid4

import pytest
from end_to_end.apps.family import MODULE, sender
from support.journal import Journal
from support.workers import Setup, workers

from celery_ratekit.embedded import EmbeddedRedis

pytestmark = [pytest.mark.redis, pytest.mark.workers]


def test_without_redis_nothing_is_frozen_and_the_task_is_sent_again_all_the_same(
    redis_executable: str, private_redis: EmbeddedRedis
) -> None:
    label = uuid4().hex
    with EmbeddedRedis(executable=redis_executable) as server:
        setup = Setup(
            broker=server.celery_url,
            backend=server.celery_url_for(1),
            journal=server.url_for(2),
            conf={
                "ratekit_redis_url": private_redis.url,
                "ratekit_on_redis_failure": "allow",
                "ratekit_redis_timeout": 0.2,
            },
            module=MODULE,
        )
        journal = Journal(setup.journal)
        with workers(setup, 1, "--concurrency", "1") as (worker,), sender(setup) as app:
            result = app.tasks["refused_when_told"].delay(label)
            journal.wait_for_starts(label, 1)
            private_redis.stop()
            journal.say(label, "refused")

            assert result.get(timeout=20) == [False, False]

            first, second = journal.wait_for_starts(label, 2)
            assert (first["id"], first["retries"]) == (second["id"], second["retries"])
            assert second["at"] - first["at"] >= 0.2
            worker.wait_for_log("'service' is not frozen")
