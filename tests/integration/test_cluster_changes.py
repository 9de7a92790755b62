"""While slots move and nodes die, a limiter follows what moved and asks those who live."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress

import pytest
from support.away import RECOVERY_SECONDS, Told, wait_until_recovered
from support.clusters import Move, moving, on_different_nodes

from celery_ratekit.embedded import EmbeddedCluster
from celery_ratekit.embedded.waiting import NotYetError, wait_for
from celery_ratekit.errors import LimiterUnavailableError
from celery_ratekit.limiter import Limiter
from celery_ratekit.limits import Limit, TokenBucket

pytestmark = pytest.mark.cluster

BURST = 1_000
LIMIT = TokenBucket("moving", "1/d", burst=BURST)


@pytest.fixture(scope="module")
def own(redis_executable: str) -> Iterator[EmbeddedCluster]:
    """A cluster of this module's own, whose nodes go on without each other."""
    config = {"cluster-require-full-coverage": False}
    with EmbeddedCluster(executable=redis_executable, config=config) as servers:
        yield servers


@pytest.fixture
def told() -> Told:
    return Told()


@pytest.fixture
def limiter(own: EmbeddedCluster, told: Told) -> Iterator[Limiter]:
    for node in own.nodes:
        with node.client() as client:
            client.flushall()
    hosts = ",".join(f"{host}:{port}" for host, port in own.startup_nodes)
    one = Limiter(f"redis+cluster://:{own.password}@{hosts}", timeout_seconds=2, on_degraded=told)
    yield one
    one.close()


def left(limiter: Limiter, limit: Limit = LIMIT) -> int:
    return round(limiter.inspect(limit)[0].available)


def redirections(cluster: EmbeddedCluster, kind: str) -> int:
    """How often the nodes answered MOVED, ASK or TRYAGAIN."""
    total = 0
    for node in cluster.nodes:
        with node.client() as client:
            stats = client.info("errorstats")
        total += stats.get(f"errorstat_{kind}", {"count": 0})["count"]
    return total


def test_a_moved_slot_is_followed_and_remembered(
    limiter: Limiter, own: EmbeddedCluster, told: Told
) -> None:
    limiter.acquire(LIMIT)
    with moving(own, limiter.keys.state(LIMIT)) as move:
        move.carry_keys()
        move.finish()
        before = redirections(own, "MOVED")

        for _ in range(10):
            assert limiter.acquire(LIMIT).granted

        assert redirections(own, "MOVED") - before == 1
        assert left(limiter) == BURST - 11
    assert limiter.acquire(LIMIT).granted
    assert left(limiter) == BURST - 12
    assert told.changes == []


def test_a_slot_that_is_moving_is_asked_where_its_keys_are(
    limiter: Limiter, own: EmbeddedCluster, told: Told
) -> None:
    # The freeze must be there too: Redis refuses keys of which only some are (TRYAGAIN).
    limiter.acquire(LIMIT)
    with own.client() as client:
        client.set(limiter.keys.freeze(LIMIT), bytes(16), ex=60)  # ended long ago
    with moving(own, limiter.keys.state(LIMIT)) as move:
        assert limiter.acquire(LIMIT).granted  # still in its old place
        assert move.carry_keys() == 2
        before = redirections(own, "ASK")
        for node in own.nodes:
            with node.client() as client:
                client.script_flush()

        for _ in range(5):
            assert limiter.acquire(LIMIT).granted  # already in its new one
        assert left(limiter) == BURST - 7
        assert redirections(own, "ASK") > before
    assert left(limiter) == BURST - 7
    assert told.changes == []


def test_a_question_whose_keys_are_half_moved_is_refused_alone_and_charges_nothing(
    limiter: Limiter, own: EmbeddedCluster, told: Told
) -> None:
    limiter.acquire(LIMIT)
    same_node = same_node_as(own, limiter, LIMIT)
    with moving(own, limiter.keys.state(LIMIT)) as move:
        move.carry_keys()

        with pytest.raises(LimiterUnavailableError, match="moving") as caught:
            limiter.acquire(LIMIT)

        assert not caught.value.maybe_charged
        assert limiter.acquire(same_node).granted
    assert left(limiter) == BURST - 1
    assert told.changes == []


def same_node_as(cluster: EmbeddedCluster, limiter: Limiter, limit: TokenBucket) -> TokenBucket:
    """Another limit of the same node, in another slot."""
    node = cluster.node_of(limiter.keys.state(limit))
    others = (limit.with_name(f"other-{number}") for number in range(1_000))
    return next(one for one in others if cluster.node_of(limiter.keys.state(one)) is node)


def test_a_move_that_ends_soon_is_waited_for(limiter: Limiter, own: EmbeddedCluster) -> None:
    limiter.acquire(LIMIT)
    with moving(own, limiter.keys.state(LIMIT)) as move:
        move.carry_keys()
        finishing = FinishAfterTryAgain(own, move)
        finishing.start()

        wait_for("grant", lambda: limiter.acquire(LIMIT), timeout=20)

        finishing.join()
    assert left(limiter) == BURST - 2


class FinishAfterTryAgain:
    """Finishes a move as soon as a question was told to try again."""

    def __init__(self, cluster: EmbeddedCluster, move: Move) -> None:
        before = redirections(cluster, "TRYAGAIN")

        def finish() -> None:
            while redirections(cluster, "TRYAGAIN") == before:
                pass
            move.finish()

        self._thread = threading.Thread(target=finish)
        self.start = self._thread.start
        self.join = self._thread.join


def test_a_dead_master_stops_only_its_own_limits(
    limiter: Limiter, own: EmbeddedCluster, told: Told
) -> None:
    dead, living = on_different_nodes(own, limiter, [LIMIT, LIMIT])
    for limit in [dead, living]:
        limiter.acquire(limit)
    victim = own.node_of(limiter.keys.state(dead))
    keyed = [living.with_key(user) for user in range(20)]
    users = [limit for limit in keyed if own.node_of(limiter.keys.state(limit)) is not victim]
    assert users

    victim.kill()
    try:
        for _ in range(3):
            with pytest.raises(LimiterUnavailableError) as caught:
                limiter.acquire(dead)
            assert limiter.acquire(living).granted
            assert all(limiter.acquire(user).granted for user in users)
        assert told.changes == [True]
        # Nothing stays charged of a call that one node could not answer.
        available = left(limiter, living)
        with pytest.raises(LimiterUnavailableError) as caught:
            limiter.acquire([living, dead])
        assert not caught.value.maybe_charged
        assert left(limiter, living) == available
    finally:
        victim.restart()
        own.wait_until_complete()

    wait_until_recovered(limiter, dead)
    assert told.changes == [True, False]


def test_a_hung_master_costs_its_own_limits_one_timeout_and_the_others_nothing(
    limiter: Limiter, own: EmbeddedCluster, told: Told
) -> None:
    hung, living = on_different_nodes(own, limiter, [LIMIT, LIMIT])
    for limit in [hung, living]:
        limiter.acquire(limit)
    victim = own.node_of(limiter.keys.state(hung))

    victim.pause()
    try:
        with pytest.raises(LimiterUnavailableError) as caught:
            limiter.acquire(hung)
        assert caught.value.maybe_charged
        for _ in range(20):
            assert limiter.acquire(living).granted
    finally:
        victim.resume()
        own.wait_until_complete()

    wait_until_recovered(limiter, hung)
    assert told.changes == [True, False]


def test_a_cluster_that_does_not_answer_at_all_is_asked_once_and_found_later(
    own: EmbeddedCluster, told: Told
) -> None:
    hosts = ",".join(f"{host}:{port}" for host, port in own.startup_nodes)
    limiter = Limiter(
        f"redis+cluster://:{own.password}@{hosts}", timeout_seconds=0.3, on_degraded=told
    )
    for node in own.nodes:
        node.pause()
    try:
        begin = time.monotonic()
        for _ in range(20):
            with pytest.raises(LimiterUnavailableError) as caught:
                limiter.acquire(LIMIT)
            assert not caught.value.maybe_charged
        assert time.monotonic() - begin < 5  # one time-out for each node, not for each question
        assert told.changes == [True]
    finally:
        for node in own.nodes:
            node.resume()
        own.wait_until_complete()

    wait_until_recovered(limiter, LIMIT)
    wait_until(lambda: told.changes == [True, False], limiter)
    limiter.close()


def wait_until(done: Callable[[], bool], limiter: Limiter) -> None:
    """Goes on asking for limits of all nodes until something has come about."""

    def check() -> None:
        for number in range(30):
            with suppress(LimiterUnavailableError):
                limiter.acquire(LIMIT.with_name(f"any-{number}"))
        if not done():
            raise NotYetError("it has not come about")

    wait_for("change", check, timeout=RECOVERY_SECONDS)


def test_a_replica_that_took_over_is_asked_by_the_same_limiter(redis_executable: str) -> None:
    told = Told()
    with EmbeddedCluster(3, 1, executable=redis_executable) as servers:
        hosts = ",".join(f"{host}:{port}" for host, port in servers.startup_nodes)
        limiter = Limiter(
            f"redis+cluster://:{servers.password}@{hosts}", on_failure="wait", on_degraded=told
        )
        limiter.acquire(LIMIT)
        master = servers.node_of(limiter.keys.state(LIMIT))
        with master.client() as client:
            client.wait(1, 5_000)
        master.kill()
        assert limiter.acquire(LIMIT).degraded

        wait_until_recovered(limiter)
        wait_until_recovered(limiter, LIMIT)

        assert left(limiter) == BURST - 2
        assert told.changes[-1] is False
        limiter.close()
