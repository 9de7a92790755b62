"""EmbeddedSentinel fails over when told, or when its master dies, and leaves nothing behind."""

from __future__ import annotations

import os
from collections.abc import Iterator

import celery
import kombu
import pytest
import redis
from support.processes import command_and_environment, listening, runs

from celery_ratekit.embedded import EmbeddedSentinel
from celery_ratekit.embedded.descendants import descendants
from celery_ratekit.embedded.ports import LOOPBACK
from celery_ratekit.errors import BadOptionError, EmbeddedServerError

pytestmark = pytest.mark.sentinel


@pytest.fixture(scope="module", params=["redis_executable", "redis62_executable"])
def either(request: pytest.FixtureRequest) -> Iterator[EmbeddedSentinel]:
    """Three Sentinels with a master and a replica, on either version of Redis."""
    with EmbeddedSentinel(executable=request.getfixturevalue(request.param)) as servers:
        yield servers


def test_redis_py_finds_the_master_through_the_sentinels(sentinel: EmbeddedSentinel) -> None:
    client = sentinel.client()
    client.set("key", "value")

    assert sentinel.master.client().get("key") == b"value"
    assert sentinel.manager().discover_master(sentinel.service_name) == sentinel.master_address
    client.connection_pool.disconnect()


def test_celery_finds_the_master_through_the_sentinels(sentinel: EmbeddedSentinel) -> None:
    options = sentinel.transport_options
    sentinel.master.client().set("here", "yes")

    with kombu.Connection(sentinel.celery_url, transport_options=options) as connection:
        assert connection.default_channel.client.get("here") == b"yes"
    with celery.Celery(set_as_current=False, backend=sentinel.celery_url) as app:
        app.conf.result_backend_transport_options = options
        assert app.backend.get("here") == b"yes"
        app.backend.client.close()


def test_everything_listens_on_loopback_only_with_a_password(sentinel: EmbeddedSentinel) -> None:
    for node in [*sentinel.nodes, *sentinel.sentinel_nodes]:
        assert listening(node.pid) == {(LOOPBACK, node.port)}
        assert sentinel.password not in command_and_environment(node.pid)
        with (
            redis.Redis.from_url(f"redis://{LOOPBACK}:{node.port}", retry=None) as stranger,
            pytest.raises(redis.AuthenticationError),
        ):
            stranger.ping()


def test_a_failover_makes_the_replica_master_and_keeps_the_data(either: EmbeddedSentinel) -> None:
    old = either.master
    with old.client() as client:
        client.set("key", "kept")
        client.wait(1, 5_000)

    address = either.failover()

    assert address == either.master_address != (LOOPBACK, old.port)
    assert either.master.client().get("key") == b"kept"
    assert either.master.client().set("key", "new")
    either.wait_until_complete()
    with old.client() as client:
        assert client.info("replication")["master_port"] == address[1]


def test_a_second_failover_follows_the_first(sentinel: EmbeddedSentinel) -> None:
    first = sentinel.failover()
    second = sentinel.failover()

    assert first != second == sentinel.master_address


def test_the_replica_of_a_killed_master_takes_over(either: EmbeddedSentinel) -> None:
    either.wait_until_complete()
    killed = either.master
    old = either.kill_master()
    assert old == (LOOPBACK, killed.port)

    new = either.wait_for_new_master(old)

    assert new != old
    assert either.client().set("key", "value")
    killed.restart()
    either.wait_until_complete()
    assert either.master_address == new, "\n".join(node.log for node in either.sentinel_nodes)


def test_waiting_for_a_new_master_ends_at_its_deadline(sentinel: EmbeddedSentinel) -> None:
    with pytest.raises(EmbeddedServerError, match=r"no new master within 0\.1 s"):
        sentinel.wait_for_new_master(sentinel.master_address, timeout=0.1)


def test_stopping_leaves_no_process(redis_executable: str) -> None:
    before = descendants(os.getpid())
    servers = EmbeddedSentinel(0, 1, executable=redis_executable).start()
    pids = [node.pid for node in [*servers.nodes, *servers.sentinel_nodes]]

    servers.stop()
    servers.stop()

    assert [pid for pid in pids if runs(pid)] == []
    assert descendants(os.getpid()) == before


def test_it_can_be_started_again(redis_executable: str) -> None:
    servers = EmbeddedSentinel(1, 1, executable=redis_executable)
    for _ in range(2):
        with servers:
            assert servers.client().set("key", "value")


@pytest.mark.parametrize(("replicas", "sentinels"), [(-1, 3), (1, 0)])
def test_impossible_numbers_are_refused(
    replicas: int, sentinels: int, redis_executable: str
) -> None:
    with pytest.raises(BadOptionError):
        EmbeddedSentinel(replicas, sentinels, executable=redis_executable)
