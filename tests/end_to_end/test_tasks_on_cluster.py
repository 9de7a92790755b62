"""Limited tasks whose limits are kept by a Redis Cluster."""

from __future__ import annotations

import pytest
from end_to_end.apps.limited import sender
from support.journal import Journal, granted, most_beyond
from support.workers import Setup, workers

from celery_ratekit.embedded import EmbeddedCluster, EmbeddedRedis

pytestmark = [pytest.mark.cluster, pytest.mark.redis, pytest.mark.workers]

TOLERANCE_SECONDS = 0.05


def test_limits_on_several_nodes_are_asked_for_in_turn_and_soon_again(
    cluster: EmbeddedCluster, redis_server: EmbeddedRedis, redis_url: str
) -> None:
    setup = Setup(
        redis_server.celery_url,
        redis_url,
        conf={"ratekit_redis_url": cluster.url.replace("redis://", "redis+cluster://")},
    )
    with workers(setup, 1, "--concurrency", "4"), sender(setup) as app:
        for _ in range(10):
            app.tasks["twice_limited"].delay("cluster")

        starts = Journal(redis_url).wait_for_starts("cluster", 10)

    assert len({start["id"] for start in starts}) == 10
    assert most_beyond(granted(starts), 5) <= 1 + 5 * TOLERANCE_SECONDS
