"""On a Redis Cluster every kind works, and several limits are taken together or in turn."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import redis
from celery.schedules import crontab
from support.clusters import on_different_nodes

from celery_ratekit.embedded import EmbeddedCluster, EmbeddedRedis
from celery_ratekit.errors import LimiterUnavailableError
from celery_ratekit.limiter import Limiter
from celery_ratekit.limiter.redis_url import client_from_url
from celery_ratekit.limits import (
    Concurrency,
    FixedWindow,
    Limit,
    ScheduledBucket,
    SlidingWindow,
    TokenBucket,
)

pytestmark = pytest.mark.cluster

NEVER = crontab(minute=0, hour=0, day_of_month=1, month_of_year=1)
KINDS: dict[str, Limit] = {
    "token bucket": TokenBucket("kinds-t", "1/d", burst=5),
    "fixed window": FixedWindow("kinds-f", "5/d"),
    "sliding window": SlidingWindow("kinds-s", "5/d"),
    "scheduled bucket": ScheduledBucket("kinds-c", NEVER, 5),
    "concurrency": Concurrency("kinds-p", 5),
}
by_kind = pytest.mark.parametrize("limit", KINDS.values(), ids=KINDS)


def cluster_url(cluster: EmbeddedCluster) -> str:
    hosts = ",".join(f"{host}:{port}" for host, port in cluster.startup_nodes)
    return f"redis+cluster://:{cluster.password}@{hosts}"


@pytest.fixture
def limiter(cluster: EmbeddedCluster) -> Iterator[Limiter]:
    for node in cluster.nodes:
        with node.client() as client:
            client.flushall()
            client.script_flush()
    one = Limiter(cluster_url(cluster), timeout_seconds=10)
    yield one
    one.close()


def available(limiter: Limiter, *limits: Limit) -> list[float]:
    return [round(state.available, 3) for state in limiter.inspect(limits)]


@by_kind
def test_every_kind_grants_what_it_holds_and_no_more(limit: Limit, limiter: Limiter) -> None:
    decisions = [limiter.acquire(limit) for _ in range(7)]

    assert [one.granted for one in decisions] == [True] * 5 + [False] * 2
    assert decisions[5].blocked_by == limit
    assert decisions[5].wait_seconds > 0


@by_kind
def test_every_kind_counts_its_keys_apart(limit: Limit, limiter: Limiter) -> None:
    for user in range(20):  # on all nodes
        keyed = limit.with_key(user)
        assert [limiter.acquire(keyed).granted for _ in range(6)] == [True] * 5 + [False]


@by_kind
def test_every_kind_can_be_refunded_reserved_and_reset(limit: Limit, limiter: Limiter) -> None:
    decision = limiter.acquire(limit)
    assert available(limiter, limit) == [4]
    limiter.refund(decision)
    assert available(limiter, limit) == [5]

    reserved = limiter.reserve(limit, 9, horizon=1)

    assert list(reserved) == [0.0] * 5
    assert reserved.blocked_by == limit
    limiter.reset(limit)
    assert available(limiter, limit) == [5]


@by_kind
def test_a_freeze_of_the_whole_name_stops_each_key(limit: Limit, limiter: Limiter) -> None:
    limiter.freeze(limit, 30)

    for user in range(10):
        decision = limiter.acquire(limit.with_key(user))
        assert (decision.granted, decision.reason) == (False, "frozen")
        assert 0 < decision.wait_seconds <= 30
        assert limiter.reserve(limit.with_key(user), 3).reason == "frozen"
        assert limiter.inspect(limit.with_key(user))[0].reason == "frozen"
    assert available(limiter, *(limit.with_key(user) for user in range(10))) == [5] * 10
    limiter.freeze(limit, 0)
    assert limiter.acquire(limit.with_key(1)).granted


@by_kind
def test_a_freeze_of_one_key_stops_no_other(limit: Limit, limiter: Limiter) -> None:
    limiter.freeze(limit.with_key(1), 30)

    assert limiter.acquire(limit.with_key(1)).reason == "frozen"
    assert limiter.acquire(limit.with_key(2)).granted


def test_limits_with_one_tag_are_taken_in_a_single_call(
    limiter: Limiter, cluster: EmbeddedCluster
) -> None:
    limits: list[Limit] = [
        TokenBucket("minute", "1/d", burst=5, tag="api"),
        SlidingWindow("user", "5/d", key=42, tag="api"),
        Concurrency("database", 2, tag="api"),
    ]
    limiter.acquire(limits)  # the script is there from now on
    before = evalsha_calls(cluster)

    assert limiter.acquire(limits).granted
    third = limiter.acquire(limits)

    assert not third
    assert third.blocked_by == limits[2]
    assert evalsha_calls(cluster) - before == 2
    assert available(limiter, *limits) == [3, 3, 0]


def evalsha_calls(cluster: EmbeddedCluster) -> int:
    total = 0
    for node in cluster.nodes:
        with node.client() as client:
            total += client.info("commandstats").get("cmdstat_evalsha", {"calls": 0})["calls"]
    return total


def test_limits_with_one_tag_can_be_promised_ahead(limiter: Limiter) -> None:
    limits: list[Limit] = [
        TokenBucket("minute", "100/s", burst=1, tag="api"),
        SlidingWindow("user", "5/d", key=42, tag="api"),
    ]

    starts = limiter.reserve(limits, 10, horizon=1)

    assert list(starts) == pytest.approx([0, 0.01, 0.02, 0.03, 0.04])
    assert starts.blocked_by == limits[1]


ON_NODES: list[Limit] = [
    SlidingWindow("sliding", "5/d"),
    FixedWindow("fixed", "5/d"),
    TokenBucket("bucket", "1/d", burst=5),
    Concurrency("places", 5),
    ScheduledBucket("scheduled", NEVER, 5),
]


def test_limits_of_several_nodes_are_all_granted(
    limiter: Limiter, cluster: EmbeddedCluster
) -> None:
    limits = on_different_nodes(cluster, limiter, ON_NODES)

    assert limiter.acquire(limits).granted
    assert available(limiter, *limits) == [4] * 5


@pytest.mark.parametrize("narrow", range(5))
def test_a_denial_of_one_node_charges_nothing_on_the_others(
    narrow: int, limiter: Limiter, cluster: EmbeddedCluster
) -> None:
    limits = on_different_nodes(cluster, limiter, ON_NODES)
    assert len(limiter.reserve(limits[narrow], 5)) == 5  # nothing left

    decision = limiter.acquire(limits)

    assert not decision
    assert decision.blocked_by == limits[narrow]
    assert available(limiter, *limits) == [0 if n == narrow else 5 for n in range(5)]


def test_what_several_nodes_granted_can_be_refunded(
    limiter: Limiter, cluster: EmbeddedCluster
) -> None:
    limits = on_different_nodes(cluster, limiter, ON_NODES)
    limiter.acquire(limits)
    decision = limiter.acquire(limits)
    assert available(limiter, *limits) == [3] * 5

    limiter.refund(decision)

    assert available(limiter, *limits) == [4] * 5


def test_what_several_nodes_granted_can_be_settled(
    limiter: Limiter, cluster: EmbeddedCluster
) -> None:
    limits = on_different_nodes(cluster, limiter, ON_NODES[:3])
    decision = limiter.acquire(limits)

    for limit in limits:
        limiter.settle(decision, 3, limit=limit)

    assert available(limiter, *limits) == [2] * 3


def test_several_nodes_are_reserved_one_call_at_a_time_and_each_can_be_refunded(
    limiter: Limiter, cluster: EmbeddedCluster
) -> None:
    limits = on_different_nodes(cluster, limiter, ON_NODES)

    reserved = limiter.reserve(limits, 9)

    assert list(reserved) == [0.0] * 5
    assert available(limiter, *limits) == [0] * 5
    for number in range(2):
        limiter.refund(reserved.decision(number))
    assert available(limiter, *limits) == [2] * 5


def test_a_reservation_is_redeemed_once_by_its_owner(limiter: Limiter) -> None:
    limit = TokenBucket("stripe", "1/m", key="u1")
    limiter.acquire(limit)
    reserved = limiter.reserve(limit, horizon=100, owner="task-1")
    assert reserved[0] == pytest.approx(60, abs=1)

    assert not limiter.redeem(reserved.id, "task-2", limit, early=100).used
    assert limiter.redeem(reserved.id, "task-1", limit, early=0.1).early_seconds > 50
    assert limiter.redeem(reserved.id, "task-1", limit, early=100).used
    assert not limiter.redeem(reserved.id, "task-1", limit, early=100).used


@pytest.mark.parametrize("keyed", [False, True])
def test_a_reservation_is_not_used_while_its_limit_is_frozen(keyed: bool, limiter: Limiter) -> None:
    limit = TokenBucket("stripe", "1/m", key="u1")
    limiter.acquire(limit)
    reserved = limiter.reserve(limit, horizon=100, owner="task-1")
    limiter.freeze(limit if keyed else limit.with_key(""), 30)

    redemption = limiter.redeem(reserved.id, "task-1", limit, early=100)

    assert 0 < redemption.frozen_seconds <= 30


def test_scripts_that_a_node_lost_are_sent_again(
    limiter: Limiter, cluster: EmbeddedCluster
) -> None:
    limits = on_different_nodes(cluster, limiter, ON_NODES)
    decision = limiter.acquire(limits)
    for node in cluster.nodes:
        with node.client() as client:
            client.script_flush()

    assert limiter.acquire(limits).granted
    limiter.refund(decision)
    assert available(limiter, *limits) == [4] * 5


def test_a_client_of_redis_py_does_as_well_as_an_address(cluster: EmbeddedCluster) -> None:
    limit = TokenBucket("from-client", "1/d", burst=2)
    with cluster.client(decode_responses=True) as client:
        limiter = Limiter(client)

        assert [limiter.acquire(limit).granted for _ in range(3)] == [True, True, False]
        assert client.get("nothing") is None
        limiter.close()


def test_one_living_node_is_enough_to_find_the_others(cluster: EmbeddedCluster) -> None:
    host, port = cluster.startup_nodes[1]
    url = f"redis+cluster://:{cluster.password}@127.0.0.1:1,{host}:{port},127.0.0.1:2/0"
    limiter = Limiter(url)

    for user in range(20):
        assert limiter.acquire(TokenBucket("found", "1/d", key=user)).granted
    limiter.close()


def test_an_address_gives_a_client_too(cluster: EmbeddedCluster) -> None:
    client = client_from_url(cluster_url(cluster), decode_responses=True)

    assert isinstance(client, redis.RedisCluster)
    for number in range(20):
        client.set(f"key-{number}", "value")
        assert client.get(f"key-{number}") == "value"
    client.close()


def test_a_server_that_is_no_cluster_says_so(redis_executable: str) -> None:
    with EmbeddedRedis(tcp=True, executable=redis_executable) as server:
        limiter = Limiter(f"redis+cluster://:{server.password}@127.0.0.1:{server.port}")
        with pytest.raises(LimiterUnavailableError, match="cluster support disabled"):
            limiter.acquire(TokenBucket("stripe", "1/s"))


def test_the_limiter_does_not_use_the_clients_own_connections(cluster: EmbeddedCluster) -> None:
    with cluster.client() as client:
        limiter = Limiter(client)
        limiter.acquire(TokenBucket("own", "1/s"))
        client.close()

        assert limiter.acquire(TokenBucket("own-2", "1/s")).granted
        limiter.close()
