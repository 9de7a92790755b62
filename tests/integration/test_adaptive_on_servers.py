"""What a fleet has learned reaches every process on a cluster, and on the oldest Redis, too."""

from __future__ import annotations

import pytest

from celery_ratekit import Limiter, TokenBucket
from celery_ratekit.adaptive.law import Bounds
from celery_ratekit.adaptive.state import SharedRates
from celery_ratekit.embedded import EmbeddedCluster, EmbeddedRedis

BOUNDS = Bounds(100.0, 1.0, 100.0)
NAMES = [f"partner {number}" for number in range(20)]  # On all nodes of a cluster.


@pytest.mark.cluster
def test_on_a_cluster(cluster: EmbeddedCluster) -> None:
    for node in cluster.nodes:
        with node.client() as client:
            client.flushall()
    hosts = ",".join(f"{host}:{port}" for host, port in cluster.startup_nodes)
    check(f"redis+cluster://:{cluster.password}@{hosts}")


@pytest.mark.redis
def test_on_redis_6_2(redis62_server: EmbeddedRedis) -> None:
    with redis62_server.client() as client:
        client.flushall()
    check(redis62_server.url)


def check(url: str) -> None:
    limiter, other = Limiter(url, timeout_seconds=20), Limiter(url, timeout_seconds=20)
    rates = SharedRates(limiter)
    for name in NAMES:
        assert rates.throttled(name, BOUNDS, None, 1.0).per_second == 95.0
        assert rates.succeeded(name, BOUNDS, 10).per_second == 95.0

    view = other.override_book.refresh()

    for name in NAMES:
        limit = view.effective(TokenBucket(name, "100/s"))
        assert isinstance(limit, TokenBucket)
        assert limit.rate.per_second == 95.0
    limiter.close()
    other.close()
