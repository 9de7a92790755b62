"""EmbeddedCluster is a whole Redis Cluster, private, and gone when it is stopped."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest
import redis
from support.processes import listening, runs

from celery_ratekit.embedded import EmbeddedCluster
from celery_ratekit.embedded.descendants import descendants
from celery_ratekit.embedded.ports import LOOPBACK
from celery_ratekit.errors import BadOptionError, EmbeddedServerError

pytestmark = pytest.mark.cluster

BUS_OFFSET = 10_000
SLOTS = 16_384


@pytest.fixture(scope="module", params=["redis_executable", "redis62_executable"])
def doubled(request: pytest.FixtureRequest) -> Iterator[EmbeddedCluster]:
    """Three masters with a replica each, on either version of Redis."""
    with EmbeddedCluster(3, 1, executable=request.getfixturevalue(request.param)) as cluster:
        yield cluster


def test_every_node_serves_all_slots_and_knows_all_nodes(cluster: EmbeddedCluster) -> None:
    for node in cluster.nodes:
        with node.client(decode_responses=True) as client:
            facts = dict(client.execute_command("CLUSTER INFO"))
        assert facts["cluster_state"] == "ok"
        assert int(facts["cluster_slots_ok"]) == SLOTS
        assert int(facts["cluster_known_nodes"]) == len(cluster.nodes) == 3


def test_its_client_writes_and_reads_on_every_node(cluster: EmbeddedCluster) -> None:
    with cluster.client() as client:
        for number in range(100):
            client.set(f"key-{number}", number)
        assert [client.get(f"key-{number}") for number in range(100)] == [
            str(number).encode() for number in range(100)
        ]

    assert {cluster.node_of(f"key-{number}").port for number in range(100)} == {
        port for _, port in cluster.startup_nodes
    }


def test_its_nodes_listen_on_loopback_only_with_a_password(cluster: EmbeddedCluster) -> None:
    for node in cluster.nodes:
        assert listening(node.pid) == {(LOOPBACK, node.port), (LOOPBACK, node.port + BUS_OFFSET)}
        with (
            redis.Redis.from_url(f"redis://{LOOPBACK}:{node.port}", retry=None) as stranger,
            pytest.raises(redis.AuthenticationError),
        ):
            stranger.ping()


def test_a_replica_takes_over_from_a_killed_master_which_comes_back_as_its_replica(
    doubled: EmbeddedCluster,
) -> None:
    old = doubled.node_of("key")
    with old.client() as client:
        client.set("key", "kept")
        assert client.wait(1, 5_000) == 1

    old.kill()
    doubled.wait_until_complete()
    new = doubled.node_of("key")
    assert new is not old
    with doubled.client() as client:
        assert client.get("key") == b"kept"

    old.restart()
    doubled.wait_until_complete()
    assert doubled.node_of("key") is new
    with old.client() as client:
        assert client.info("replication")["master_port"] == new.port


def test_one_master_is_a_cluster_too(redis_executable: str) -> None:
    with EmbeddedCluster(1, executable=redis_executable) as cluster, cluster.client() as client:
        assert client.set("key", "value")


def test_stopping_leaves_no_node(redis_executable: str) -> None:
    before = descendants(os.getpid())
    cluster = EmbeddedCluster(1, 1, executable=redis_executable).start()
    pids = [node.pid for node in cluster.nodes]

    cluster.stop()
    cluster.stop()

    assert [pid for pid in pids if runs(pid)] == []
    assert descendants(os.getpid()) == before
    with pytest.raises(EmbeddedServerError, match="was stopped"):
        _ = cluster.url


def test_a_cluster_that_cannot_form_in_time_fails_and_leaves_nothing(redis_executable: str) -> None:
    before = descendants(os.getpid())

    with pytest.raises(EmbeddedServerError, match="no complete Redis Cluster within"):
        EmbeddedCluster(executable=redis_executable, timeout=0.05).start()

    assert descendants(os.getpid()) == before


@pytest.mark.parametrize(("masters", "replicas"), [(0, 0), (3, -1)])
def test_a_cluster_without_masters_is_refused(
    masters: int, replicas: int, redis_executable: str
) -> None:
    with pytest.raises(BadOptionError):
        EmbeddedCluster(masters, replicas, executable=redis_executable)
