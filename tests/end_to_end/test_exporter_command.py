"""``celery-ratekit exporter`` tells what waits, also while no worker runs."""

from __future__ import annotations

import re
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from celery import Celery
from end_to_end.apps.metered import MODULE, make_app
from support.given import journal, label
from support.journal import Journal
from support.parked import backlog_of, wait_until_parked
from support.scraped import Scrape, scrape, scrape_until
from support.workers import Setup, workers

from celery_ratekit.embedded import EmbeddedRedis

__all__ = ["journal", "label"]

pytestmark = [pytest.mark.redis, pytest.mark.workers]

BIN = Path(sys.executable).parent
OURS = [str(BIN / "celery-ratekit"), "exporter", "-A", MODULE]
CELERYS = [str(BIN / "celery"), "-A", MODULE, "ratekit", "exporter"]
END_SECONDS = 20


@pytest.fixture
def setup(private_redis: EmbeddedRedis, redis_url: str) -> Setup:
    conf = {"ratekit_overflow": "backlog"}
    return Setup(private_redis.celery_url, redis_url, conf=conf, module=MODULE)


@pytest.fixture
def app(setup: Setup) -> Iterator[Celery]:
    app = make_app(setup)
    yield app
    app.close()


@contextmanager
def exporter(setup: Setup, *command: str) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """The running command, and the address that it serves."""
    popen = subprocess.Popen(
        [*command, "--port", "0"], stdout=subprocess.PIPE, text=True, env=setup.environment()
    )
    try:
        assert popen.stdout is not None
        line = next(line for line in popen.stdout if "http://" in line)
        found = re.search(r"http://127\.0\.0\.1:\d+/metrics", line)
        assert found is not None, line
        yield popen, found[0]
    finally:
        popen.kill()
        popen.communicate()


def waiting(found: Scrape) -> float:
    return found.value("celery_ratekit_backlog_size", queue="celery", task_name="note")


@pytest.mark.parametrize("command", [OURS, CELERYS], ids=["celery-ratekit", "celery ratekit"])
def test_it_tells_what_waits_after_every_worker_has_ended(  # noqa: PLR0917 - what it is given
    command: list[str],
    setup: Setup,
    app: Celery,
    journal: Journal,
    label: str,
    private_redis: EmbeddedRedis,
) -> None:
    with backlog_of(private_redis.url) as backlog, workers(setup, 1, "--concurrency", "1"):
        for number in range(6):
            app.tasks["note"].delay(label, [label, "1/h", 1], number)
        wait_until_parked(backlog, "celery", 5)

    with exporter(setup, *command) as (popen, url):
        found = scrape(url)
        private_redis.kill()
        without_redis = scrape_until(url, lambda one: one.value("celery_ratekit_up") == 0)
        popen.send_signal(signal.SIGTERM)
        exit_code = popen.wait(END_SECONDS)

    assert found.value("celery_ratekit_up") == 1
    assert waiting(found) == 5
    assert found.value("celery_ratekit_capacity", limit_name="service") == 1000
    assert without_redis.labels("celery_ratekit_backlog_size") == []
    assert exit_code == 0


def test_a_port_that_is_taken_ends_it_with_an_error(setup: Setup) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        ended = run(setup, *OURS, "--port", str(port))

    assert ended.returncode == 1
    assert f"cannot serve 127.0.0.1 port {port}" in ended.stderr


def test_without_an_app_it_says_how_to_name_one(setup: Setup) -> None:
    ended = run(setup, OURS[0], "exporter")

    assert ended.returncode == 2
    assert "say which with -A" in ended.stderr


def test_an_app_that_is_not_there_is_named(setup: Setup) -> None:
    ended = run(setup, OURS[0], "exporter", "-A", "no_such_shop")

    assert ended.returncode == 2
    assert "there is no app 'no_such_shop'" in ended.stderr


def run(setup: Setup, *command: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        command,
        env=setup.environment(),
        capture_output=True,
        text=True,
        timeout=END_SECONDS,
        check=False,
    )
