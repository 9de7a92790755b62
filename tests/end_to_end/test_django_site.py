"""Tasks of a Django project, each under a bucket of three tokens that is refilled once a year."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from celery import Celery
from celery.schedules import crontab
from end_to_end.apps.django_site import MODULE
from support.given import journal, label
from support.journal import Journal
from support.workers import Setup, workers

from celery_ratekit import Limiter, ScheduledBucket
from celery_ratekit.embedded import EmbeddedRedis
from celery_ratekit.errors import TokenBucketEmptyError

__all__ = ["journal", "label"]

pytestmark = [pytest.mark.redis, pytest.mark.workers]

TOKENS = 3
NEW_YEAR = crontab("0", "0", day_of_month="1", month_of_year="1")


@pytest.fixture(scope="module", params=["gate", "no gate"])
def setup(request: pytest.FixtureRequest, redis_executable: str) -> Iterator[Setup]:
    """One worker of the project, on a Redis of its own."""
    conf = {"ratekit_max_reschedule": 1.0}
    if request.param == "no gate":
        conf["ratekit_gate"] = False
    with EmbeddedRedis(executable=redis_executable) as server:
        setup = Setup(server.celery_url, server.url_for(2), server.celery_url_for(1), conf, MODULE)
        with workers(setup, 1, "--concurrency", "2"):
            yield setup


@pytest.fixture
def app(setup: Setup) -> Iterator[Celery]:
    """Sends tasks by their names, as a program does that knows nothing of Django."""
    app = Celery("sender", set_as_current=False)
    setup.configure(app)
    yield app
    app.backend.remove_pending_result = lambda result: result
    app.close()


@pytest.fixture
def fill(setup: Setup) -> Iterator[Any]:
    """Makes a bucket as full as it was at first."""
    limiter = Limiter(setup.broker, timeout_seconds=10)
    yield lambda name: limiter.reset(ScheduledBucket(name, NEW_YEAR, amount=TOKENS, maximum=TOKENS))
    limiter.close()


def send(app: Celery, name: str, label: str, count: int) -> list[Any]:
    return [app.send_task(name, (label, number)) for number in range(count)]


@pytest.mark.parametrize("name", ["plain", "bound", "asking", "classy"])
def test_as_many_start_as_there_are_tokens_and_the_others_when_there_are_more(
    app: Celery, journal: Journal, label: str, name: str, fill: Any
) -> None:
    fill(name)
    results = send(app, name, label, 5)
    first = journal.wait_for_starts(label, TOKENS)
    # Whoever would start too has had every chance: this one was sent behind them.
    assert app.send_task("bases", (name,)).get(timeout=20)
    assert len(journal.starts(label)) == TOKENS

    fill(name)

    starts = journal.wait_for_starts(label, 5)
    assert sorted(result.get(timeout=20) for result in results) == list(range(5))
    assert {start["retries"] for start in starts} == {0}
    assert len({start["id"] for start in starts}) == 5
    assert first == starts[:TOKENS]


def test_waits_are_retries_where_that_is_asked_for(
    app: Celery, journal: Journal, label: str, fill: Any
) -> None:
    fill("spending")
    results = send(app, "spending", label, TOKENS + 1)
    journal.wait_for_starts(label, TOKENS)

    failed = [result for result in results if not succeeds(result)]

    assert len(failed) == 1
    assert len(journal.reasons(failed[0].id)) == 2  # max_retries
    assert all("rate limit 'spending'" in reason for reason in journal.reasons(failed[0].id))


def succeeds(result: Any) -> bool:
    try:
        result.get(timeout=20)
    except TokenBucketEmptyError as error:
        return error.bucket_name != "spending"
    return True


def test_a_task_under_two_buckets_takes_a_token_of_each(
    app: Celery, journal: Journal, label: str, fill: Any
) -> None:
    fill("stacked")
    fill("called")
    send(app, "stacked", label, 4)
    journal.wait_for_starts(label, TOKENS)

    fill("stacked")  # which alone does not help
    assert app.send_task("bases", ("stacked",)).get(timeout=20)
    assert len(journal.starts(label)) == TOKENS
    fill("called")

    journal.wait_for_starts(label, 4)


def test_direct_calls_from_a_body_take_no_token(
    app: Celery, journal: Journal, label: str, fill: Any
) -> None:
    fill("plain")

    assert app.send_task("calls", (10,)).get(timeout=20) == list(range(10))

    send(app, "plain", label, TOKENS)
    journal.wait_for_starts(label, TOKENS)


def test_tasks_of_our_classes_are_sent_when_a_transaction_ends(
    app: Celery, journal: Journal, label: str, fill: Any
) -> None:
    fill("classy")

    assert app.send_task("commits", (label, TOKENS)).get(timeout=20) == 0

    journal.wait_for_starts(label, TOKENS)


@pytest.mark.parametrize("name", ["plain", "bound", "classy", "composed"])
def test_every_task_keeps_djangos_own_class_among_its_bases(app: Celery, name: str) -> None:
    assert "DjangoTask" in app.send_task("bases", (name,)).get(timeout=20)
