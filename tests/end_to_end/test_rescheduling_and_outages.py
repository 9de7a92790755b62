"""Without a gate: nothing is lost or runs too often while a server or a worker is away."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from celery import Celery
from end_to_end.apps.limited import sender
from support.journal import Journal, granted, most_beyond, not_yet
from support.workers import Setup, run_worker_to_its_end, workers

from celery_ratekit import Limiter, TokenBucket
from celery_ratekit.embedded import EmbeddedRedis
from celery_ratekit.embedded.waiting import wait_for

VISIBILITY_TIMEOUT_SECONDS = 3
"""When what a killed worker held may be delivered again; longer than any wait in these tests."""

TOLERANCE_SECONDS = 0.05
"""How long may pass between the answer of the limiter and the first line of the body."""

pytestmark = [pytest.mark.redis, pytest.mark.workers]


@pytest.fixture
def broker(redis_executable: str) -> Iterator[EmbeddedRedis]:
    """A broker that keeps its messages when it is killed."""
    with EmbeddedRedis(
        executable=redis_executable, config={"appendonly": True, "appendfsync": "always"}
    ) as server:
        yield server


def setup_of(broker: EmbeddedRedis, journal: str, limits: str, **conf: Any) -> Setup:
    return Setup(
        broker=broker.celery_url,
        journal=journal,
        conf={
            "ratekit_gate": False,
            "ratekit_redis_url": limits,
            "broker_transport_options": {"visibility_timeout": VISIBILITY_TIMEOUT_SECONDS},
            **conf,
        },
    )


def redeliver_until(done: Callable[[], bool], app: Celery) -> None:
    """Does what workers do every other minute: puts back what nobody acknowledged in time."""

    def check() -> None:
        with app.connection_for_read() as connection:
            connection.default_channel.qos.restore_visible()
        not_yet(missing=not done())

    wait_for("redelivery", check, timeout=30)


def test_tasks_wait_while_redis_is_away_and_run_once_when_it_is_back(
    broker: EmbeddedRedis, private_redis: EmbeddedRedis, redis_url: str
) -> None:
    setup, journal = setup_of(broker, redis_url, private_redis.url), Journal(redis_url)
    with workers(setup, 1, "--concurrency", "4"), sender(setup) as app:
        for number in range(20):
            app.tasks["note"].delay("away", ["away", "10/s"], number)
        journal.wait_for_starts("away", 3)
        private_redis.kill()
        journal.wait_for_throttles("away", 25)
        private_redis.restart()

        starts = journal.wait_for_starts("away", 20)

        private_redis.pause()
        waits = journal.count_throttles("away")
        for number in range(20, 30):
            app.tasks["note"].delay("away", ["away", "10/s"], number)
        journal.wait_for_throttles("away", waits + 12)
        private_redis.resume()

        starts = journal.wait_for_starts("away", 30)

    assert sorted(start["number"] for start in starts) == list(range(30))
    assert len(journal.starts("away")) == 30


@pytest.mark.parametrize(
    ("conf", "warnings"),
    [
        ({"ratekit_on_redis_failure": "allow"}, [1, 2]),  # once per process, not per task
        ({"ratekit_enabled": False}, [0]),
    ],
)
def test_tasks_run_unlimited_while_redis_is_away_where_that_is_allowed(
    conf: dict[str, Any],
    warnings: list[int],
    broker: EmbeddedRedis,
    private_redis: EmbeddedRedis,
    redis_url: str,
) -> None:
    setup = setup_of(broker, redis_url, private_redis.url, **conf)
    private_redis.kill()
    with workers(setup, 1, "--concurrency", "2") as [worker], sender(setup) as app:
        for number in range(10):
            app.tasks["note"].delay("allowed", ["allowed", "1/d"], number)

        starts = Journal(redis_url).wait_for_starts("allowed", 10)

        assert {start["number"] for start in starts} == set(range(10))
        assert worker.log.count("Redis does not answer") in warnings


@pytest.mark.parametrize("rate", ["1/3s", "1/s"], ids=["until it takes one", "until it may start"])
def test_a_call_waits_in_its_worker_where_the_broker_takes_no_message(
    rate: str, broker: EmbeddedRedis, redis_url: str
) -> None:
    setup, journal = setup_of(broker, redis_url, redis_url), Journal(redis_url)
    with workers(setup, 1, "--concurrency", "2") as [worker], sender(setup) as app:
        Limiter(redis_url).acquire(TokenBucket("broker away", rate))
        app.tasks["note_when_told"].delay("told", ["broker away", rate])
        journal.wait_for_word("told", "asking")
        broker.kill()
        journal.say("told", "ask")
        journal.say("told", "ask")  # once more when its message has come back
        worker.wait_for_log("waits here")
        if rate == "1/s":
            journal.wait_for_starts("told", 1)
        broker.restart()

        starts = journal.wait_for_starts("told", 1)

    assert len(journal.starts("told")) == len(starts) == 1


def test_starts_that_a_worker_slept_through_make_no_burst(
    broker: EmbeddedRedis, redis_url: str
) -> None:
    setup, journal = setup_of(broker, redis_url, redis_url), Journal(redis_url)
    with workers(setup, 1, "--concurrency", "4") as [worker], sender(setup) as app:
        for number in range(40):
            app.tasks["note"].delay("asleep", ["asleep", "20/s"], number)
        journal.wait_for_throttles("asleep", 39)
        worker.process.pause()  # its children have nothing to do without it
        time.sleep(1)  # the starts of these moments pass
        worker.process.resume()

        starts = journal.wait_for_starts("asleep", 40)

    assert {start["number"] for start in starts} == set(range(40))
    assert most_beyond(granted(starts), 20) <= 1 + 20 * TOLERANCE_SECONDS
    assert max(start["lateness"] for start in starts) <= 0.1 + TOLERANCE_SECONDS
    assert journal.count_throttles("asleep") >= 39 + 10  # what came too late was asked anew


def test_a_message_that_is_delivered_again_is_charged_again(
    broker: EmbeddedRedis, redis_url: str
) -> None:
    setup, journal = setup_of(broker, redis_url, redis_url), Journal(redis_url)
    bucket = ["again", "1/s"]
    limiter, limit = Limiter(redis_url), TokenBucket("again", "1/s")
    with sender(setup) as app:
        with workers(setup, 1, "--concurrency", "1") as [worker]:
            limiter.acquire(limit)
            result = app.tasks["late_ack"].delay("again", bucket, seconds=60)
            journal.wait_for_starts("again", 1)
            assert journal.throttles([result.id]) == [1]  # it came with a reservation
            worker.kill()
        with workers(setup, 1, "--concurrency", "1") as [worker]:
            redeliver_until(lambda: len(journal.starts("again")) > 1, app)
            starts = journal.starts("again")
            available = limiter.inspect(limit)[0].available
            worker.kill()

    assert {start["id"] for start in starts} == {result.id}
    assert available < 0.9
    assert most_beyond([start["at"] for start in starts], 1) <= 1.1


def test_a_worker_does_not_start_without_a_redis_for_its_limits(redis_url: str) -> None:
    ended = run_worker_to_its_end(Setup("", redis_url), "end_to_end.apps.without_redis")

    assert ended.returncode != 0
    assert "expected ratekit_redis_url, since neither the broker nor" in ended.stderr
