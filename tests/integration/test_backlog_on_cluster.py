"""Queues lie on different nodes of a Redis Cluster, each whole."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from support.backlogs import KEYS, connect, messages, parking, user
from support.clusters import Move, moving

from celery_ratekit.backlog import Backlog, Draw, Return
from celery_ratekit.backlog.ids import text
from celery_ratekit.embedded import EmbeddedCluster
from celery_ratekit.embedded.ports import LOOPBACK
from celery_ratekit.errors import LimiterUnavailableError
from celery_ratekit.limits import Concurrency

pytestmark = pytest.mark.cluster

QUEUES = [f"queue {number}" for number in range(12)]


@pytest.fixture
def backlog(cluster: EmbeddedCluster) -> Iterator[Backlog]:
    for node in cluster.nodes:
        with node.client() as client:
            client.flushall()
            client.script_flush()
    hosts = ",".join(f"{host}:{port}" for host, port in cluster.startup_nodes)
    transport = connect(f"redis+cluster://:{cluster.password}@{hosts}")
    yield Backlog(transport, KEYS)
    transport.close()


def count_keys(cluster: EmbeddedCluster) -> int:
    total = 0
    for node in cluster.nodes:
        with node.client() as client:
            total += client.dbsize()
    return total


def test_lines_of_every_queue_are_found_and_drawn_from(backlog: Backlog) -> None:
    limit = user(name="api/one")
    backlog.park(
        [parking(f"{queue} {n}", limit, queue=queue) for n in range(3) for queue in QUEUES]
    )
    for queue in QUEUES:
        assert backlog.soonest(queue) == 0
        (line,) = backlog.due_lines(queue, "api/", 10, 10).lines
        (claims,) = backlog.draw(queue, "w", [Draw(line, limit, 2, 9.0, 0)])
        assert [text(one.message) for one in claims] == [f"{queue} 0", f"{queue} 1"]
        assert 8 < backlog.soonest(queue) <= 9
        assert backlog.finish(queue, "w", [one.entry_id for one in claims]) == 2


def test_queues_are_spread_and_drained(cluster: EmbeddedCluster, backlog: Backlog) -> None:
    nodes = {cluster.node_of(KEYS.backlog(queue)).port for queue in QUEUES}
    assert len(nodes) == 3
    limits = (user("a"), Concurrency("places", 2, key="b"))
    parkings = [
        parking(f"{queue} {number}", limits, queue=queue, wait_seconds=1 - number % 2)
        for number in range(3)
        for queue in QUEUES
    ]
    assert backlog.park(parkings) == [True] * 36
    assert backlog.queues() == sorted(QUEUES)
    assert set(backlog.dues(QUEUES, ["send"])) == set(QUEUES)
    for queue in QUEUES:
        backlog.wake(queue, limit_name="api")
        claimed = backlog.claim(queue, "w", ["send"], 2, freed=[limits[1]])
        assert messages(claimed) == [f"{queue} 0", f"{queue} 1"]
        backlog.give_back("w", [Return(claimed.claims[0], limits[1], 60)])
        assert backlog.sizes(queue).claimed == 1
        assert [one.before for one in backlog.peek(queue, 9)] == [0, 1]
        assert backlog.give_back_all(queue, "w") == 1
        assert backlog.purge(queue, limit_name="places", key="b") == 3
    assert count_keys(cluster) == 0


def test_a_queue_that_moves_is_left_alone_until_it_is_whole_again(
    cluster: EmbeddedCluster, backlog: Backlog
) -> None:
    backlog.park([parking(f"m{number}") for number in range(4)])
    claims = backlog.claim("q", "w", ["send"], 2).claims
    entries = [one.entry_id for one in claims]
    with moving(cluster, KEYS.backlog("q")) as move:
        for carry in (lambda: None, lambda: carry_some(move), move.carry_keys):
            carry()
            for touch in (
                lambda: backlog.claim("q", "w", ["send"], 2),
                lambda: backlog.finish("q", "w", entries),
                lambda: backlog.give_back_all("q", "w"),
                lambda: backlog.park([parking("more")]),
            ):
                with pytest.raises(LimiterUnavailableError, match="moving"):
                    touch()
        move.finish()
        assert backlog.finish("q", "w", entries) == 2
        assert messages(backlog.claim("q", "w", ["send"], 9)) == ["m2", "m3"]
    assert backlog.sizes("q").claimed == 2
    assert backlog.give_back_all("q", "w") == 2
    assert backlog.purge("q") == 2


def carry_some(move: Move) -> None:
    """Moves the messages, but not what stands about them elsewhere."""
    key = KEYS.backlog("q") + "m"
    with move.source.client() as client:
        client.execute_command(
            *("MIGRATE", LOOPBACK, move.target.port, key, 0, 5_000, "AUTH", move.source.password)
        )
