"""Limits that are changed while real workers run: what they start tells whether they follow."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from celery import Celery
from end_to_end.apps.adjustable import MODULE, RATE_VARIABLE, sender
from support.fleet import Fleet, fleet
from support.given import journal, label
from support.journal import Journal, granted, most_beyond
from support.pace import ROUNDING
from support.parked import backlog_of, wait_until_parked
from support.workers import Setup, workers

from celery_ratekit.embedded import EmbeddedRedis
from celery_ratekit.explain import TaskExplanation
from celery_ratekit.manager import RateLimitManager

__all__ = ["journal", "label"]

pytestmark = [pytest.mark.redis, pytest.mark.workers]

FELT_SECONDS = 3.0
"""Within how long each worker follows a change: in two seconds, and a busy machine in one more."""

LATE_SECONDS = 0.3
"""What a busy machine may add to a start beyond its grant."""


@pytest.fixture
def setup(private_redis: EmbeddedRedis, redis_url: str) -> Setup:
    return Setup(
        private_redis.celery_url, redis_url, private_redis.celery_url_for(1), module=MODULE
    )


@pytest.fixture
def app(setup: Setup) -> Iterator[Celery]:
    with sender(setup) as app:
        yield app


@pytest.fixture
def manager(app: Celery) -> RateLimitManager:
    return RateLimitManager(app)


@pytest.fixture
def started(setup: Setup) -> Iterator[Fleet]:
    """Workers that the test starts."""
    with fleet(setup, "--concurrency", "4", "--prefetch-multiplier", "40") as ours:
        yield ours


def send(app: Celery, name: str, count: int, *arguments: Any) -> None:
    for number in range(count):
        app.tasks[name].delay(*arguments, number)


def moments(journal: Journal, label: str, since: float = 0, until: float = 1e12) -> list[float]:
    """The granted moments of a label's starts within some time."""
    return sorted(at for at in granted(journal.starts(label)) if since <= at < until)


def check_rate(journal: Journal, label: str, rate: float, since: float, until: float) -> None:
    """Nowhere above a rate, and much of it used: machines are busy."""
    found = moments(journal, label, since, until)
    assert most_beyond(found, rate) <= 1 + ROUNDING
    assert len(found) >= rate * (until - since) / 2


def rate_between(journal: Journal, label: str, since: float, until: float) -> float:
    """Starts per second."""
    return len(moments(journal, label, since, until)) / (until - since)


def test_a_rate_is_felt_by_every_worker_survives_restarts_and_comes_back(
    app: Celery, manager: RateLimitManager, started: Fleet, journal: Journal, label: str
) -> None:
    started.start()
    started.start()
    send(app, "charge", 1_000, label)
    journal.wait_for_starts(label, 40)

    changed = time.time()
    manager.adjust_rate("charge", "5/s")
    time.sleep(FELT_SECONDS + 4)
    check_rate(journal, label, 5, changed + FELT_SECONDS, changed + FELT_SECONDS + 4)

    changed = time.time()
    manager.adjust_rate("charge", "40/s")
    time.sleep(FELT_SECONDS + 2)
    after = [s for s in journal.starts(label) if s["at"] >= changed + FELT_SECONDS]
    check_rate(journal, label, 40, changed + FELT_SECONDS, changed + FELT_SECONDS + 2)
    assert len({start["worker"] for start in after}) == 2

    started.start()
    third = time.time()
    time.sleep(3)
    check_rate(journal, label, 40, third, third + 3)

    for worker in started.workers:
        worker.stop()
    began = time.time()
    started.start()
    restarted = time.time()
    time.sleep(2)
    assert moments(journal, label, began)
    assert rate_between(journal, label, restarted, restarted + 2) <= 40 + LATE_SECONDS * 40


def test_a_rate_of_0_stops_everything_and_resume_goes_on_where_it_stood(
    app: Celery, manager: RateLimitManager, started: Fleet, journal: Journal, label: str
) -> None:
    started.start()
    manager.adjust_rate("charge", "30/s")
    send(app, "charge", 300, label)
    journal.wait_for_starts(label, 20)

    stopped = time.time()
    manager.adjust_rate("charge", 0)
    time.sleep(FELT_SECONDS + 2)
    assert moments(journal, label, stopped + FELT_SECONDS) == []

    resumed = time.time()
    manager.resume("charge")
    time.sleep(FELT_SECONDS + 2)
    assert moments(journal, label, resumed, resumed + FELT_SECONDS)
    check_rate(journal, label, 30, resumed + FELT_SECONDS, resumed + FELT_SECONDS + 2)


def test_disabled_limits_let_everything_pass_until_they_are_enabled(
    app: Celery, manager: RateLimitManager, started: Fleet, journal: Journal, label: str
) -> None:
    started.start()
    send(app, "slow", 60, label)
    send(app, "place", 5, f"{label} places")
    journal.wait_for_starts(label, 1)

    disabled = time.time()
    manager.disable()
    starts = journal.wait_for_starts(label, 60, FELT_SECONDS + 2)
    assert starts[-1]["at"] - disabled <= FELT_SECONDS + LATE_SECONDS

    manager.enable()
    time.sleep(FELT_SECONDS)
    send(app, "slow", 10, f"{label} again")
    time.sleep(2)
    assert len(journal.starts(f"{label} again")) <= 1


def test_what_waits_in_the_backlog_follows_within_two_seconds(
    private_redis: EmbeddedRedis, redis_url: str, journal: Journal, label: str
) -> None:
    conf = {"ratekit_overflow": "auto"}
    setup = Setup(private_redis.celery_url, redis_url, conf=conf, module=MODULE)
    with (
        sender(setup) as app,
        backlog_of(private_redis.url) as backlog,
        workers(setup, 2, "--concurrency", "4"),
    ):
        manager = RateLimitManager(app)
        send(app, "slow", 51, label)
        wait_until_parked(backlog, "celery", 50)
        [first] = backlog.peek("celery", 1)
        assert isinstance(manager.explain(first.task_id), TaskExplanation)
        assert "50 calls wait in the backlog" in str(manager.explain("slow"))

        raised = time.time()
        manager.adjust_rate("slow", "20/s")
        starts = journal.wait_for_starts(label, 51)
        assert starts[1]["at"] - raised <= FELT_SECONDS
        assert starts[-1]["at"] - raised <= FELT_SECONDS + 50 / 20 + 1
        assert most_beyond(granted(starts[1:]), 20) <= 1.5

        manager.pause("slow")
        send(app, "slow", 20, label)
        wait_until_parked(backlog, "celery", 20)
        resumed = time.time()
        manager.resume("slow")
        starts = journal.wait_for_starts(label, 71)
        assert starts[51]["at"] - resumed <= FELT_SECONDS

        manager.pause("slow")
        send(app, "slow", 20, label)
        wait_until_parked(backlog, "celery", 20)
        manager.disable(for_seconds=30)
        disabled = time.time()
        starts = journal.wait_for_starts(label, 91)
        assert starts[-1]["at"] - disabled <= FELT_SECONDS + LATE_SECONDS


def test_one_429_stops_its_customer_everywhere_and_nobody_else(
    app: Celery, started: Fleet, journal: Journal, label: str
) -> None:
    started.start()
    started.start()
    refused, other = f"ann {label}", f"bob {label}"
    for number in range(400):
        app.tasks["serve"].delay(other, other)
        app.tasks["serve"].delay(refused, refused, 7 if number == 20 else 0)
        if number % 2:
            app.tasks["fixed"].delay(f"{label} fixed")
    [at] = [start["at"] for start in journal.wait_for_starts(f"{refused} refused", 1)]
    time.sleep(7 + 4)

    frozen_from, frozen_until = at + LATE_SECONDS, at + 7
    assert moments(journal, refused, frozen_from, frozen_until - 0.05) == []
    # A machine that is busy still takes in what was sent, and has less time for starts.
    assert 20 / 4 <= rate_between(journal, other, at, at + 7) <= 20 * 1.1
    assert rate_between(journal, f"{label} fixed", at - 2, at) > 0
    after = moments(journal, refused, frozen_until)
    assert 0 <= after[0] - frozen_until <= 1
    assert most_beyond(after, 20) <= 1.5, "no burst for what was missed"


def test_celerys_own_command_sets_the_rate_for_all_workers(
    setup: Setup, app: Celery, started: Fleet, journal: Journal, label: str
) -> None:
    manager = RateLimitManager(app)
    started.start()
    started.start()

    def control(*words: str) -> str:
        done = subprocess.run(
            [sys.executable, "-m", "celery", "-A", setup.module, "control", "-t", "5", *words],
            env=setup.environment(),
            cwd=Path("/"),
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        return done.stdout + done.stderr

    assert control("rate_limit", "charge", "3/s").count("OK\n") == 2
    assert manager.current_rates()["charge"].rate == "3/s"
    assert "paused" in control("rate_limit", "charge", "0")
    assert manager.current_rates()["charge"].rate == "3/s"
    answers = app.control.rate_limit("charge", "5", reply=True, timeout=5)
    assert [answer["ok"] for one in answers for answer in one.values()] == [
        "new rate limit set successfully: 5/s for all workers"
    ] * 2
    assert "unknown task" in control("rate_limit", "chargee", "3/s")
    assert control("rate_limit", "celerys", "7/s").count("new rate limit set") == 2
    adjusted = manager.adjust_rate("celerys", "9/m", workers=["w0@localhost"])
    assert list(adjusted.replies.values()) == [{"ok": "new rate limit set successfully"}]

    send(app, "charge", 30, label)
    starts = journal.wait_for_starts(label, 10)
    assert most_beyond(granted(starts), 5) <= 1.5


def test_of_two_releases_the_lower_rate_counts_and_both_are_told_of(
    app: Celery,
    started: Fleet,
    journal: Journal,
    label: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    manager = RateLimitManager(app)
    old = started.start()
    monkeypatch.setenv(RATE_VARIABLE, "4/s")
    new = started.start()
    send(app, "charge", 8, label)  # Both use their limiter, and say what they have.
    for _ in range(60):
        app.tasks["released"].delay(f"{label} released")
    for worker in (old, new):
        worker.wait_for_log("declare different rates for 'released' (4/s, 10/s)")
    told = time.time()
    time.sleep(FELT_SECONDS + 3)

    assert (
        rate_between(journal, f"{label} released", told + FELT_SECONDS, told + FELT_SECONDS + 3)
        <= 4.5
    )
    shown = manager.current_rates()["released"]
    assert (shown.declared, shown.rate) == ("10/s", "4/s")
    assert shown.disagreement == ("4/s", "10/s")
    manager.adjust_rate("released", "30/s")
    journal.wait_for_starts(f"{label} released", 60, 10)


@pytest.mark.parametrize("gate", [True, False], ids=["gate", "no gate"])
def test_bodies_and_tasks_without_a_gate_follow_too(
    gate: bool, private_redis: EmbeddedRedis, redis_url: str, label: str
) -> None:
    setup = Setup(
        private_redis.celery_url,
        redis_url,
        private_redis.celery_url_for(1),
        {"ratekit_gate": gate},
        MODULE,
    )
    with sender(setup) as app, workers(setup, 1, "--concurrency", "1"):
        manager = RateLimitManager(app)
        asks = app.tasks["asks"]
        assert asks.delay(label).get(timeout=10) == [True, True, True, False]

        manager.disable("body")
        time.sleep(FELT_SECONDS)
        assert asks.delay(label).get(timeout=10) == [True] * 4
        manager.enable("body")
        manager.adjust_rate("body", "100000/s:2")  # Two calls are further apart than tokens.
        time.sleep(FELT_SECONDS)
        assert asks.delay(label).get(timeout=10)[:2] == [True, True]


@pytest.mark.parametrize(
    ("pool", "overflow"), [("threads", "backlog"), ("solo", "hold"), ("gevent", "backlog")]
)
def test_workers_of_other_pools_follow_too(
    pool: str, overflow: str, private_redis: EmbeddedRedis, redis_url: str
) -> None:
    if pool == "gevent":
        pytest.importorskip(pool, exc_type=ImportError)
    label, conf = f"{pool} {overflow}", {"ratekit_overflow": overflow}
    setup = Setup(private_redis.celery_url, redis_url, conf=conf, module=MODULE)
    journal = Journal(redis_url)
    with (
        sender(setup) as app,
        workers(setup, 1, "--pool", pool, "--concurrency", "4", "--prefetch-multiplier", "10"),
    ):
        manager = RateLimitManager(app)
        send(app, "slow", 20, label)
        journal.wait_for_starts(label, 1)
        time.sleep(1)  # The others are held, or parked, by then.

        raised = time.time()
        manager.adjust_rate("slow", "20/s")
        starts = journal.wait_for_starts(label, 20)

        assert starts[1]["at"] - raised <= FELT_SECONDS + LATE_SECONDS
        manager.pause("slow")
        time.sleep(FELT_SECONDS)
        send(app, "slow", 5, label)
        time.sleep(1)
        assert len(journal.starts(label)) == 20
        resumed = time.time()
        manager.resume("slow")
        starts = journal.wait_for_starts(label, 25)
        assert starts[20]["at"] - resumed <= FELT_SECONDS + LATE_SECONDS
