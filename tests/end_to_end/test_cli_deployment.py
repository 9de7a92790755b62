"""The commands that look at a whole deployment: real workers, Redis, and what waits."""

from __future__ import annotations

import json
import os
import pty
import re
import select
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import redis
from celery import Celery
from end_to_end.apps.adjustable import MODULE, sender
from support.given import journal, label
from support.journal import Journal
from support.parked import backlog, wait_until_parked
from support.program import BIN, Program
from support.workers import Setup, workers

from celery_ratekit.backlog import Backlog
from celery_ratekit.embedded import EmbeddedRabbitMQ, EmbeddedRedis

__all__ = ["backlog", "journal", "label"]

pytestmark = [pytest.mark.redis, pytest.mark.workers]

HOSTILE = "\x1b[2J[red]\nrow"


@pytest.fixture
def setup(private_redis: EmbeddedRedis, redis_url: str) -> Setup:
    conf = {"ratekit_overflow": "backlog"}
    return Setup(private_redis.celery_url, redis_url, conf=conf, module=MODULE)


@pytest.fixture
def program(setup: Setup) -> Program:
    return Program(setup)


@pytest.fixture
def app(setup: Setup) -> Iterator[Celery]:
    with sender(setup) as app:
        yield app


def test_what_waits_is_listed_peeked_explained_purged_and_released(  # noqa: PLR0917 - what it is given
    setup: Setup,
    app: Celery,
    program: Program,
    label: str,
    backlog: Backlog,
    private_redis: EmbeddedRedis,
) -> None:
    with workers(setup, 1, "--concurrency", "2"):
        ids = [app.tasks["slow"].delay(label, number).id for number in range(4)]
        ids.append(app.tasks["slow"].delay(HOSTILE, 7).id)
        wait_until_parked(backlog, "celery", 4)
        explained = program.shown("explain", ids[-1])
    listed = program.shown("backlog", "list")
    (sizes,) = program.json("backlog", "list")
    peeked = program.shown("backlog", "peek", "celery")
    with_arguments = program.shown("backlog", "peek", "celery", "--arguments")
    plain = program.json("backlog", "peek", "celery", "--arguments", "--count", "4")
    nothing = program.shown("backlog", "purge", "celery", "--task", "charge", "--yes")
    released = program.shown("backlog", "release", "--yes")

    assert explained.startswith(f"slow[{ids[-1]}] waits in the backlog of the queue 'celery'")
    assert "3 come before it" in explained
    assert re.search(r"^celery +4 +0 +1 +\S+ .*slow: 4 *$", listed, re.MULTILINE)
    assert sizes["by_limit"] == {"slow": 4}
    assert [line.split()[1] for line in peeked.splitlines()[1:]] == ids[1:]
    assert label not in peeked
    assert with_arguments.count(label) == 3
    assert "\x1b" not in with_arguments
    assert len(with_arguments.splitlines()) == 5
    assert plain[-1]["arguments"]["args"] == [HOSTILE, 7]
    assert nothing == "0 deleted\n"
    assert released == "4 released\n"
    with private_redis.client() as client:
        assert client.llen("celery") == 4
    assert program.shown("backlog", "list") == "nothing waits in the backlog\n"
    assert program.run("explain", ids[-1]).returncode == 1


def test_purged_tasks_never_run(
    setup: Setup, app: Celery, program: Program, label: str, backlog: Backlog
) -> None:
    with workers(setup, 1, "--concurrency", "2"):
        for number in range(3):
            app.tasks["slow"].delay(label, number)
        wait_until_parked(backlog, "celery", 2)
        refused = program.run("backlog", "purge", "celery", stdin="n\n")
        assert backlog.sizes("celery").waiting == 2
        purged = program.shown("backlog", "purge", "celery", "--limit", "slow", "--yes")

    assert refused.returncode == 1
    assert "Delete all of the 2 tasks that wait in 'celery'?" in refused.stderr
    assert purged == "2 deleted\n"
    assert backlog.sizes("celery").waiting == 0


def test_the_monitor_tells_the_rate_that_workers_reach(
    setup: Setup, app: Celery, program: Program, label: str, journal: Journal
) -> None:
    with workers(setup, 2, "--concurrency", "2"):
        for number in range(400):
            app.tasks["charge"].delay(label, number)
        journal.wait_for_starts(label, 20)
        report = program.json("monitor", "--once")
        starts = journal.starts(label)
        shown = program.shown("monitor", "--once")
    charge = next(one for one in report["limits"] if one["name"] == "charge")
    lately = [one for one in starts if report["at"] - 1 < one["at"] <= report["at"]]

    # 20/s is allowed. Workers count between two looks of about a second, so by one start each more
    # or less, and the machine may be slow: what they say is held against what tasks noted.
    assert charge["allowed"] == 20
    assert charge["reached"] == pytest.approx(len(lately), abs=6)
    assert charge["waiting"] > 100
    assert charge["late_seconds"] >= 0
    assert [one["gate"] for one in report["workers"]] == ["on", "on"]
    assert "Redis 7" in shown or "Redis 6" in shown
    assert re.search(r"^charge +20/s +\d", shown, re.MULTILINE)
    assert "\x1b" not in shown


def test_the_monitor_goes_on_in_a_pipe_until_it_is_interrupted(setup: Setup) -> None:
    command = [str(BIN / "celery-ratekit"), "monitor", "0.4", "-A", MODULE]
    popen = subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=setup.environment()
    )
    assert popen.stdout is not None
    heads = [line for _ in range(30) if "workers: 0" in (line := popen.stdout.readline())][:2]
    popen.send_signal(signal.SIGINT)
    rest, problem = popen.communicate(timeout=20)

    assert len(heads) == 2
    assert "\x1b" not in rest
    assert (popen.returncode, problem) == (0, "")


def test_the_monitor_says_that_redis_is_away(
    program: Program, private_redis: EmbeddedRedis
) -> None:
    private_redis.kill()
    ended = program.run("monitor", "--once")

    assert ended.returncode == 1
    assert "Redis gives no answer" in ended.stdout
    assert "The broker gives no answer" in ended.stdout


def test_the_doctor_finds_what_is_wrong_with_a_deployment(
    setup: Setup, app: Celery, program: Program, label: str, backlog: Backlog
) -> None:
    with workers(setup, 1, "--concurrency", "1"):
        for number in range(3):
            app.tasks["slow"].delay(label, number)
        wait_until_parked(backlog, "celery", 2)
        well = program.run("doctor", "--json")
        strict = program.run("doctor", "--strict")
    alone = program.run("doctor")

    found = {one["check"]: one["level"] for one in json.loads(well.stdout)}
    assert found == {
        "settings": "ok",
        "redis": "ok",
        "persistence": "warning",
        "eviction": "ok",
        "embedded": "warning",
        "time-outs": "ok",
        "prefetch": "ok",
        "bursts": "ok",
        "gate": "ok",
        "releases": "ok",
    }
    assert (well.returncode, strict.returncode, alone.returncode) == (0, 1, 1)
    assert "error    gate: 2 tasks wait in the backlog of 'celery'" in alone.stdout


def test_the_doctor_finds_what_redis_and_the_settings_say(
    setup: Setup, private_redis: EmbeddedRedis, redis_url: str
) -> None:
    with private_redis.client() as client:
        client.config_set("maxmemory", "100mb")
        client.config_set("maxmemory-policy", "allkeys-lru")
        client.config_set("appendonly", "yes")
    conf = {**setup.conf, "ratekit_max_reschedule": 7_200, "worker_prefetch_multiplier": 0}
    ended = Program(Setup(setup.broker, redis_url, conf=conf, module=MODULE)).run("doctor")
    misspelt = {"ratekit_overflw\x1b": "hold"}
    wrong = Program(Setup(setup.broker, redis_url, conf=misspelt, module=MODULE)).run("doctor")
    private_redis.kill()
    away = Program(setup).run("doctor")

    assert (ended.returncode, wrong.returncode, away.returncode) == (1, 1, 1)
    assert "error    eviction: Redis drops keys" in ended.stdout
    assert "error    time-outs: tasks are held for up to 7200 s" in ended.stdout
    assert "ok       persistence" in ended.stdout
    assert "did you mean 'ratekit_overflow'?" in wrong.stdout
    assert "\x1b" not in wrong.stdout
    assert "error    redis: Redis gives no answer" in away.stdout


def test_a_redis_of_ones_own_lives_until_it_is_interrupted(setup: Setup) -> None:
    popen = subprocess.Popen(
        [str(BIN / "celery-ratekit"), "redis"],
        stdout=subprocess.PIPE,
        text=True,
        env=setup.environment(),
    )
    assert popen.stdout is not None
    lines = [popen.stdout.readline() for _ in range(3)]
    url = lines[2].removeprefix("export REDIS_URL=").strip().strip("'")
    with redis.Redis.from_url(url) as client:
        assert client.ping()
    popen.send_signal(signal.SIGINT)
    rest, _ = popen.communicate(timeout=20)

    assert lines[1].startswith("export CELERY_BROKER_URL=")
    assert (popen.returncode, rest) == (0, "# stopped\n")
    path = re.search(r"unix://([^?]*)", url)
    assert path is not None
    assert not Path(path[1]).exists()


def read_until(terminal: int, is_enough: Callable[[bytes], bool]) -> bytes:
    """What a program draws, until there is enough of it."""
    found, deadline = b"", time.monotonic() + 30
    while not is_enough(found):
        left = deadline - time.monotonic()
        assert select.select([terminal], [], [], max(0.0, left))[0], found[-500:]
        found += os.read(terminal, 65_536)
    return found


@pytest.mark.parametrize(
    ("columns", "wide", "number"), [(80, False, signal.SIGINT), (140, True, signal.SIGTERM)]
)
def test_in_a_terminal_the_monitor_draws_in_place_and_leaves_it_as_it_was(
    setup: Setup, columns: int, wide: bool, number: signal.Signals
) -> None:
    main, child = pty.openpty()
    environment = {
        **setup.environment(),
        "TERM": "xterm-256color",
        "COLUMNS": str(columns),
        "LINES": "40",
        "PYTHONUTF8": "1",
    }
    popen = subprocess.Popen(
        [str(BIN / "celery-ratekit"), "monitor", "0.4", "-A", MODULE],
        stdin=child,
        stdout=child,
        stderr=child,
        env=environment,
    )
    os.close(child)
    try:
        drawn = read_until(main, lambda found: found.count(b"workers: 0") >= 2)
        popen.send_signal(number)
        drawn += read_until(main, lambda found: b"\x1b[?1049l" in found)
        exit_code = popen.wait(20)
    finally:
        popen.kill()
        popen.wait()
        os.close(main)

    assert exit_code == 0
    assert b"\x1b[?1049h" in drawn
    # The graph is as wide as the screen allows; its heading is empty, so the columns tell.
    line = re.search(rb"charge +20/s.*", drawn)
    assert line is not None
    assert (len(line[0].strip()) > 80) == wide


@pytest.mark.rabbitmq
def test_on_rabbitmq_the_doctor_holds_redis_against_a_durable_broker(
    rabbitmq: EmbeddedRabbitMQ, private_redis: EmbeddedRedis, redis_url: str
) -> None:
    conf = {"ratekit_overflow": "backlog", "ratekit_redis_url": private_redis.url}
    setup = Setup(rabbitmq.url, redis_url, conf=conf, module=MODULE)
    with workers(setup, 1, "--concurrency", "1"):
        ended = Program(setup).run("doctor", "--json")
        report = Program(setup).json("monitor", "--once")

    found = {one["check"]: one for one in json.loads(ended.stdout)}
    assert found["persistence"]["level"] == "error"
    assert "less safe there than in their broker (amqp)" in found["persistence"]["text"]
    assert "the consumer time-out is 1800 s" in found["time-outs"]["text"]
    assert found["gate"]["level"] == "ok"
    assert [one["gate"] for one in report["workers"]] == ["on"]
