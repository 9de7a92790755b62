"""EmbeddedRabbitMQ is a private broker that leaves neither itself nor its port mapper behind."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

import amqp
import kombu
import pytest
from support.processes import (
    command_and_environment,
    listening,
    run_python,
    runs,
    wait_until_gone,
)

from celery_ratekit.embedded import EmbeddedRabbitMQ
from celery_ratekit.embedded.descendants import descendants
from celery_ratekit.errors import EmbeddedServerError

pytestmark = pytest.mark.rabbitmq

LOOPBACKS = {"127.0.0.1", "::1"}


def put(url: str, queue: str, body: str) -> None:
    options = {"confirm_publish": True}  # returns once the broker has it on disk
    with (
        kombu.Connection(url, transport_options=options) as connection,
        connection.SimpleQueue(queue) as simple,
    ):
        simple.put(body)


def take(url: str, queue: str) -> object:
    with kombu.Connection(url) as connection, connection.SimpleQueue(queue) as simple:
        message = simple.get(timeout=10)
        message.ack()
        return message.payload


def test_a_message_goes_in_and_comes_out(rabbitmq: EmbeddedRabbitMQ) -> None:
    put(rabbitmq.url, "in-and-out", "hello")

    assert take(rabbitmq.url, "in-and-out") == "hello"


@pytest.mark.parametrize(("user", "password"), [("guest", "guest"), (None, "wrong")])
def test_strangers_are_refused(user: str | None, password: str, rabbitmq: EmbeddedRabbitMQ) -> None:
    address = f"amqp://{user or rabbitmq.user}:{password}@127.0.0.1:{rabbitmq.port}//"

    with kombu.Connection(address) as connection, pytest.raises(amqp.AccessRefused):
        connection.connect()


def test_broker_and_port_mapper_listen_on_loopback_only(rabbitmq: EmbeddedRabbitMQ) -> None:
    broker, mapper = listening(rabbitmq.pid), listening(rabbitmq.epmd_pid)

    assert ("127.0.0.1", rabbitmq.port) in broker
    assert len(broker) == 2  # AMQP and Erlang's distribution
    assert mapper
    assert {address for address, _ in broker | mapper} <= LOOPBACKS


def test_its_secrets_are_on_no_command_line(rabbitmq: EmbeddedRabbitMQ) -> None:
    shown = command_and_environment(rabbitmq.pid) + command_and_environment(rabbitmq.epmd_pid)

    assert rabbitmq.password not in shown


def test_each_broker_is_its_own_and_stopping_leaves_nothing(
    rabbitmq: EmbeddedRabbitMQ,
    rabbitmq_executable: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    put(rabbitmq.url, "own", "the first's")
    before = descendants(os.getpid())
    other = EmbeddedRabbitMQ(executable=rabbitmq_executable).start()
    put(other.url, "own", "the second's")
    assert take(rabbitmq.url, "own") == "the first's"
    started = descendants(os.getpid()) - before
    assert {other.pid, other.epmd_pid} <= {one.pid for one in started}

    other.pause()
    other.stop()
    other.stop()

    assert [one for one in started if one.runs] == []
    assert descendants(os.getpid()) == before
    assert list(tmp_path.rglob("*rabbit*")) == []
    assert not other.alive
    with pytest.raises(EmbeddedServerError, match="was stopped"):
        _ = other.url


def test_a_killed_broker_comes_back_with_its_durable_messages(rabbitmq_executable: str) -> None:
    with EmbeddedRabbitMQ(executable=rabbitmq_executable) as broker:
        url, pid = broker.url, broker.pid
        put(url, "durable", "kept")
        broker.kill()
        assert not runs(pid)

        broker.restart()

        assert broker.url == url
        assert take(url, "durable") == "kept"


def test_it_ends_with_its_port_mapper_when_its_owner_is_killed(rabbitmq_executable: str) -> None:
    source = (
        "import sys\n"
        "from celery_ratekit.embedded import EmbeddedRabbitMQ\n"
        "broker = EmbeddedRabbitMQ().start()\n"
        "print(broker.pid, broker.epmd_pid, flush=True)\n"
        "sys.stdin.read()\n"
    )
    with run_python(source) as program:
        assert program.stdout is not None
        pid, epmd_pid = map(int, program.stdout.readline().split())
        home = Path(f"/proc/{pid}/cwd").readlink()
        assert home.name.startswith("ratekit-")
        strays = [one.pid for one in descendants(program.pid)]
        assert {pid, epmd_pid} < set(strays)

        program.kill()
        wait_until_gone(*strays, home)


def test_a_failing_start_tells_the_end_of_the_log_and_leaves_nothing(tmp_path: Path) -> None:
    broken = tmp_path / "rabbitmq-server"
    broken.write_text("#!/bin/sh\necho BOOT FAILED: no more carrots\nexit 3\n")
    broken.chmod(0o700)
    before = descendants(os.getpid())

    with pytest.raises(EmbeddedServerError, match=r"(?s)ended with status 3.*no more carrots"):
        EmbeddedRabbitMQ(executable=broken).start()

    assert descendants(os.getpid()) == before
