"""A bucket in a queue of the broker, which a real beat refills at each full minute."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from celery import Celery
from end_to_end.apps.django_site import MODULE
from support.given import journal, label
from support.journal import Journal
from support.workers import Setup, workers

from celery_ratekit.embedded import EmbeddedRabbitMQ, EmbeddedRedis
from celery_ratekit.embedded.home import Home
from celery_ratekit.embedded.process import ServerProcess

__all__ = ["journal", "label"]

pytestmark = [pytest.mark.workers, pytest.mark.slow, pytest.mark.timeout(400)]

TOKENS = 3
MINUTE_SECONDS = 60
SCHEDULER = "django_celery_beat.schedulers:DatabaseScheduler"


@pytest.fixture(
    params=[
        pytest.param("rabbitmq", marks=pytest.mark.rabbitmq),
        pytest.param("redis", marks=pytest.mark.redis),
    ]
)
def setup(request: pytest.FixtureRequest, private_redis: EmbeddedRedis, tmp_path: Path) -> Setup:
    """A project without a Redis for its limits; the test's own keeps what its tasks note."""
    broker = private_redis.celery_url
    if request.param == "rabbitmq":
        server: EmbeddedRabbitMQ = request.getfixturevalue("rabbitmq")
        broker = server.url
    conf = {
        "site_database": str(tmp_path / "site.db"),
        "site_without_redis": True,
        "result_backend": None,
    }
    return Setup(broker, private_redis.url_for(2), None, conf, MODULE)


@pytest.fixture
def app(setup: Setup) -> Iterator[Celery]:
    app = Celery("sender", set_as_current=False)
    setup.configure(app)
    yield app
    app.close()


def manage(setup: Setup, *arguments: str) -> str:
    """What a command of the project prints."""
    done = subprocess.run(
        [sys.executable, "-m", "end_to_end.apps.django_manage", *arguments],
        env=setup.environment(),
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def beat(home: Home, setup: Setup, name: str) -> ServerProcess:
    command = [sys.executable, "-m", "celery", "-A", MODULE, "beat", "--scheduler", SCHEDULER]
    log = home.path / f"{name}.log"
    pidfile = ["--pidfile", str(home.path / f"{name}.pid"), "--loglevel", "INFO"]
    return ServerProcess(home, [*command, *pidfile], log=log, env=setup.environment())


def test_tokens_come_at_each_minute_also_after_beat_was_killed(
    setup: Setup, app: Celery, journal: Journal, label: str
) -> None:
    manage(setup, "migrate")
    assert "queued: created" in manage(setup, "token_bucket_register_periodic_tasks")
    assert "queued: its periodic task is as it" in manage(
        setup, "token_bucket_register_periodic_tasks"
    )
    home = Home()
    first = beat(home, setup, "first")
    second: Any = None
    try:
        with workers(setup, 1, "--concurrency", "2"):
            for number in range(2 * TOKENS + 1):
                app.send_task("queued", (label, number))
            starts = journal.wait_for_starts(label, TOKENS, 2 * MINUTE_SECONDS)
            first.kill()
            second = beat(home, setup, "second")
            starts = journal.wait_for_starts(label, 2 * TOKENS, 2 * MINUTE_SECONDS)
    finally:
        for process in filter(None, (first, second)):
            process.kill()
        for log in home.path.glob("*.log"):
            print(log.read_text())
        home.close()

    minutes = [int(start["at"] // MINUTE_SECONDS) for start in starts]
    for minute in set(minutes):
        assert minutes.count(minute) <= TOKENS
    assert {start["retries"] for start in starts} == {0}
    assert len({start["id"] for start in starts}) == 2 * TOKENS
