"""Many questions at once on a Redis Cluster: by node, and in turn where limits span nodes."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from support.clusters import moving, on_different_nodes

from celery_ratekit.embedded import EmbeddedCluster
from celery_ratekit.errors import LimiterUnavailableError, RatekitError
from celery_ratekit.limiter import Ask, Limiter, Reservations
from celery_ratekit.limits import Concurrency, FixedWindow, Limit, SlidingWindow, TokenBucket

pytestmark = pytest.mark.cluster


@pytest.fixture
def limiter(cluster: EmbeddedCluster) -> Iterator[Limiter]:
    for node in cluster.nodes:
        with node.client() as client:
            client.flushall()
            client.script_flush()
    hosts = ",".join(f"{host}:{port}" for host, port in cluster.startup_nodes)
    one = Limiter(f"redis+cluster://:{cluster.password}@{hosts}", timeout_seconds=10)
    yield one
    one.close()


def granted(answers: list[Reservations | RatekitError]) -> list[int]:
    for answer in answers:
        assert isinstance(answer, Reservations), repr(answer)
    return [len(answer) for answer in answers if isinstance(answer, Reservations)]


def test_questions_about_many_nodes_are_each_answered(limiter: Limiter) -> None:
    limits: list[Limit] = [TokenBucket("batch", "1/d", burst=2, key=user) for user in range(40)]
    limits += [SlidingWindow("batch", "2/d", tag=f"tag {number}") for number in range(40)]
    asks = [Ask(limit) for limit in limits] * 3

    assert granted(limiter.reserve_many(asks)) == [1] * 160 + [0] * 80


def test_each_question_is_put_to_its_node_once(limiter: Limiter, cluster: EmbeddedCluster) -> None:
    asks = [Ask(TokenBucket(f"batch {number}", "1/d", burst=9)) for number in range(60)]
    limiter.reserve_many(asks)

    def asked() -> int:
        total = 0
        for node in cluster.nodes:
            with node.client() as client:
                total += int(client.info("commandstats")["cmdstat_evalsha"]["calls"])
        return total

    before = asked()
    assert granted(limiter.reserve_many(asks)) == [1] * 60
    assert asked() - before == 60  # Nothing was refused and asked again.


def test_limits_on_several_nodes_are_taken_in_turn_and_given_back_on_denial(
    limiter: Limiter, cluster: EmbeddedCluster
) -> None:
    limits = on_different_nodes(
        cluster,
        limiter,
        [TokenBucket("a", "1/d", burst=9), TokenBucket("b", "1/d", burst=2)],
    )
    limits = sorted(limits, key=lambda limit: limit.name)

    answers = limiter.reserve_many([Ask(limits)] * 5)

    assert granted(answers) == [1, 1, 0, 0, 0]
    assert [round(state.available, 3) for state in limiter.inspect(limits)] == [7, 0]
    first = answers[0]
    assert isinstance(first, Reservations)
    assert limiter.refund_many([first.decision(0)]) == [None]
    assert [round(state.available, 3) for state in limiter.inspect(limits)] == [8, 1]


def test_a_freeze_of_a_name_on_another_node_denies_its_own_questions_only(
    limiter: Limiter,
) -> None:
    frozen, free = FixedWindow("frozen", "5/d"), FixedWindow("free", "5/d")
    limiter.freeze(frozen, 30)

    asks = [Ask(limit.with_key(user)) for user in range(10) for limit in (frozen, free)]

    assert granted(limiter.reserve_many(asks)) == [0, 1] * 10


def test_places_on_many_nodes_are_extended_and_released(limiter: Limiter) -> None:
    places = [Concurrency(f"places {number}", 1) for number in range(30)]
    answers = limiter.reserve_many([Ask(one) for one in places])
    decisions = [one.decision(0) for one in answers if isinstance(one, Reservations)]

    assert limiter.extend_many(decisions) == [True] * 30
    assert limiter.release_many(decisions[:10]) == [None] * 10
    assert limiter.extend_many(decisions) == [False] * 10 + [True] * 20


def test_a_node_that_is_gone_concerns_its_own_questions_only(
    own_cluster: tuple[EmbeddedCluster, Limiter],
) -> None:
    cluster, limiter = own_cluster
    limits = [TokenBucket(f"batch {number}", "1/d", burst=9) for number in range(30)]
    asks = [Ask(limit) for limit in limits]
    assert granted(limiter.reserve_many(asks)) == [1] * 30
    gone = cluster.nodes[0]
    on_gone = [cluster.node_of(limiter.keys.state(limit)).port == gone.port for limit in limits]
    gone.kill()

    answers = limiter.reserve_many(asks)

    assert [isinstance(answer, LimiterUnavailableError) for answer in answers] == on_gone
    assert any(on_gone)


@pytest.fixture
def own_cluster(redis_executable: str) -> Iterator[tuple[EmbeddedCluster, Limiter]]:
    """A cluster that the test may break; its other nodes go on without the one that is gone."""
    with EmbeddedCluster(executable=redis_executable) as cluster:
        for node in cluster.nodes:
            with node.client() as client:
                client.config_set("cluster-require-full-coverage", "no")
        hosts = ",".join(f"{host}:{port}" for host, port in cluster.startup_nodes)
        limiter = Limiter(f"redis+cluster://:{cluster.password}@{hosts}")
        yield cluster, limiter
        limiter.close()


def test_keys_that_move_are_followed_by_each_question_that_is_about_them(
    own_cluster: tuple[EmbeddedCluster, Limiter],
) -> None:
    cluster, limiter = own_cluster
    here = TokenBucket("moving", "1/d", burst=100)
    there = on_different_nodes(cluster, limiter, [here, here])[1]
    asks = [Ask(here), Ask(there), Ask(here, 2)]
    assert granted(limiter.reserve_many(asks)) == [1, 1, 2]
    with cluster.client() as client:
        client.set(limiter.keys.freeze(here), bytes(16), ex=60)  # ended long ago
    with moving(cluster, limiter.keys.state(here)) as move:
        assert move.carry_keys() == 2
        assert granted(limiter.reserve_many(asks)) == [1, 1, 2]  # sent on by ASK
        move.finish()
        assert granted(limiter.reserve_many(asks)) == [1, 1, 2]  # sent on by MOVED
        assert granted(limiter.reserve_many(asks)) == [1, 1, 2]
    assert [round(one.available) for one in limiter.inspect([here, there])] == [100 - 12, 100 - 4]
