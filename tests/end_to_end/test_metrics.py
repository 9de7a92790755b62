"""What workers serve to Prometheus is what their tasks did."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from celery import Celery
from end_to_end.apps.metered import BROKEN, MODULE, make_app
from support.delivery import runs_by_number
from support.given import journal, label
from support.journal import Journal
from support.parked import backlog_of, wait_until_parked
from support.processes import listening
from support.scraped import scrape, scrape_until, url_of
from support.traffic import hits
from support.workers import Setup, workers

from celery_ratekit.embedded import EmbeddedRedis
from celery_ratekit.embedded.descendants import descendants

__all__ = ["journal", "label"]

pytestmark = [pytest.mark.redis, pytest.mark.workers]

HITS, RETRIES = "celery_rate_limit_hits_total", "celery_rate_limit_retries_total"
ADMITTED = "celery_ratekit_admitted_total"
SIZE = "celery_ratekit_backlog_size"

POOLS = {
    "one task per child": ("--concurrency", "2", "--max-tasks-per-child", "1"),
    "threads": ("--pool", "threads", "--concurrency", "4"),
    "solo": ("--pool", "solo"),
    "gevent": ("--pool", "gevent", "--concurrency", "4"),
}


@pytest.fixture
def conf(private_redis: EmbeddedRedis) -> dict[str, Any]:
    """Settings of the test's workers, which it may add to before it starts them."""
    return {"ratekit_metrics_port": 0, "ratekit_redis_url": private_redis.url}


@pytest.fixture
def setup(private_redis: EmbeddedRedis, redis_url: str, conf: dict[str, Any]) -> Setup:
    return Setup(private_redis.celery_url, redis_url, conf=conf, module=MODULE)


@pytest.fixture
def app(setup: Setup) -> Iterator[Celery]:
    app = make_app(setup)
    yield app
    app.close()


@pytest.mark.parametrize("pool", POOLS)
def test_scraped_totals_are_the_true_counts(
    pool: str, setup: Setup, app: Celery, journal: Journal, label: str
) -> None:
    if pool == "gevent":
        pytest.importorskip(pool, exc_type=ImportError)
    count, told, times = 12, 2, 2
    with workers(setup, 1, *POOLS[pool]) as [worker]:
        for number in range(count):  # All at once, so that some have to wait.
            app.tasks["note"].delay(label, [label, 4, 2], number)
        for _ in range(count):
            app.tasks["measured"].delay(f"{label} shadow")
            app.tasks["plain"].delay(f"{label} plain")
        for _ in range(told):
            app.tasks["told_too_often"].delay(f"{label} told", times)
        journal.wait_for_starts(label, count)
        journal.wait_for_starts(f"{label} shadow", count)
        journal.wait_for_starts(f"{label} plain", count)
        journal.wait_for_starts(f"{label} told", told * (times + 1))
        found = scrape(url_of(worker))

    assert found.value(ADMITTED, task_name="note", mode="enforce") == count
    assert found.value("celery_ratekit_wait_seconds_count", task_name="note") == count
    assert found.value("celery_ratekit_lateness_seconds_count", task_name="note") == count
    assert found.value(HITS, task_name="note") == len(hits(journal, "note"))
    assert 0 < found.value(HITS, task_name="note") < count
    assert found.value(ADMITTED, task_name="measured", mode="shadow") == count
    shadow = found.value(
        "celery_ratekit_shadow_hits_total", task_name="measured", limit_name="measured"
    )
    assert shadow == count - 1
    assert found.value(HITS, task_name="measured") == 0
    assert found.value(RETRIES, task_name="told_too_often") == told * times
    admitted = found.value(ADMITTED, task_name="told_too_often", mode="enforce")
    assert admitted == told * (times + 1)
    assert {"task_name": "plain", "mode": "enforce"} not in found.labels(ADMITTED)
    assert found.value("celery_ratekit_up") == 1


def test_what_is_sent_again_without_a_gate_is_counted_in_the_main_process(
    setup: Setup, conf: dict[str, Any], app: Celery, journal: Journal, label: str
) -> None:
    conf["ratekit_gate"] = False
    with workers(setup, 1, "--concurrency", "2", "--max-tasks-per-child", "1") as [worker]:
        ids = [app.tasks["note"].delay(label, [label, 4, 1], number).id for number in range(6)]
        journal.wait_for_starts(label, 6)
        sent_again = sum(journal.throttles(ids))
        found = scrape(url_of(worker))

    assert sent_again > 0
    assert found.value(RETRIES, task_name="note") == sent_again


def test_only_retries_that_name_a_rate_limit_as_their_reason_are_counted(
    setup: Setup, app: Celery, journal: Journal, label: str
) -> None:
    with workers(setup, 1, "--concurrency", "2") as [worker]:
        app.tasks["retries"].delay(label, "Rate limit of the partner")
        app.tasks["retries"].delay(label, "no luck")
        journal.wait_for_starts(label, 4)
        found = scrape(url_of(worker))

    assert found.value(RETRIES, task_name="retries") == 1


def test_what_waits_is_told_by_queue_task_and_limit(
    setup: Setup, conf: dict[str, Any], app: Celery, journal: Journal, label: str
) -> None:
    conf["ratekit_overflow"] = "backlog"
    with (
        workers(setup, 1, "--concurrency", "2") as [worker],
        backlog_of(setup.conf["ratekit_redis_url"]) as backlog,
    ):
        for number in range(20):
            app.tasks["note"].delay(label, [label, "1/h", 1], number)
        wait_until_parked(backlog, "celery", 19)
        url = url_of(worker)
        found = scrape_until(
            url, lambda one: one.value(SIZE, queue="celery", task_name="note") == 19
        )

    assert found.value("celery_ratekit_parked_total", task_name="note") == 19
    by_limit = "celery_ratekit_backlog_limit_size"
    assert found.value(by_limit, queue="celery", limit_name=label) == 19
    assert found.value("celery_ratekit_backlog_claimed", queue="celery") == 0
    assert 0 < found.value("celery_ratekit_backlog_oldest_age_seconds", queue="celery") < 60
    assert found.value("celery_ratekit_held") == 0
    assert found.value("celery_ratekit_rate_per_second", limit_name="service") == 1000
    assert found.value("celery_ratekit_tokens_available", limit_name="service") == 1000


def test_what_is_held_is_told_by_its_worker(
    setup: Setup, app: Celery, journal: Journal, label: str
) -> None:
    with workers(setup, 1, "--concurrency", "2") as [worker]:
        for number in range(4):
            app.tasks["note"].delay(label, [label, "1/h", 1], number)
        journal.wait_for_starts(label, 1)
        scrape_until(url_of(worker), lambda one: one.value("celery_ratekit_held") == 3)


def test_a_port_that_is_taken_is_an_error_in_the_log_and_stops_no_task(
    setup: Setup, conf: dict[str, Any], app: Celery, journal: Journal, label: str
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        conf["ratekit_metrics_port"] = port = taken.getsockname()[1]
        with workers(setup, 1, "--concurrency", "1") as [worker]:
            app.tasks["note"].delay(label, [label, "1/s", 1])
            journal.wait_for_starts(label, 1)

            assert f"metrics cannot be served under 127.0.0.1 port {port}" in worker.log
            assert "Traceback" not in worker.log


def test_only_the_main_process_listens_and_only_on_loopback(
    setup: Setup, app: Celery, journal: Journal, label: str
) -> None:
    with workers(setup, 1, "--concurrency", "1", "--max-tasks-per-child", "1") as [worker]:
        for number in range(3):  # Of which the last two are processes that begin later.
            app.tasks["note"].delay(label, [label, 100, 10], number, seconds=0.2)
        journal.wait_for_starts(label, 3)
        port = int(url_of(worker).rpartition(":")[2].partition("/")[0])
        [child] = descendants(worker.process.pid)

        assert listening(worker.process.pid) == {("127.0.0.1", port)}
        assert listening(child.pid) == set()


@pytest.mark.parametrize("gate", [True, False])
def test_receivers_that_raise_change_nothing(  # noqa: PLR0917 - what the test is given
    gate: bool, setup: Setup, conf: dict[str, Any], app: Celery, journal: Journal, label: str
) -> None:
    conf.update(tests_broken_receivers=True, ratekit_gate=gate, ratekit_overflow="backlog")
    with workers(setup, 1, "--concurrency", "2") as [worker]:
        for number in range(6):
            app.tasks["note"].delay(label, [label, 10, 1], number)
        app.tasks["measured"].delay(f"{label} shadow")
        app.tasks["measured"].delay(f"{label} shadow")
        app.tasks["told_too_often"].delay(f"{label} told", 1)
        app.tasks["asks_for_more"].delay(f"{label} more", 4)
        journal.wait_for_starts(label, 6)
        journal.wait_for_starts(f"{label} shadow", 2)
        journal.wait_for_starts(f"{label} told", 2)
        [more] = journal.wait_for_starts(f"{label} more", 1)
        found = scrape_until(
            url_of(worker), lambda one: one.value(RETRIES, task_name="told_too_often") == 1
        )

        assert BROKEN in worker.log
    assert runs_by_number(journal, label) == dict.fromkeys(range(6), 1)
    assert more["got"] == [True, True, False, False]
    assert found.value(ADMITTED, task_name="note", mode="enforce") == (6 if gate else 0)


def test_what_children_count_is_served_in_prometheus_multiprocess_mode(  # noqa: PLR0917 - as above
    setup: Setup,
    app: Celery,
    journal: Journal,
    label: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("PROMETHEUS_MULTIPROC_DIR", str(tmp_path))
    with workers(setup, 1, "--concurrency", "2", "--max-tasks-per-child", "1") as [worker]:
        app.tasks["asks_for_more"].delay(f"{label} more", 4)
        for number in range(3):
            app.tasks["note"].delay(label, [label, 100, 100], number)
        [more] = journal.wait_for_starts(f"{label} more", 1)
        journal.wait_for_starts(label, 3)
        found = scrape(url_of(worker))

    assert more["got"] == [True, True, False, False]
    assert found.value(HITS, task_name="asks_for_more") == 2
    assert found.value(ADMITTED, task_name="note", mode="enforce") == 3
    assert found.value("celery_ratekit_degraded") == 0
    assert found.types["celery_ratekit_redis_round_trip_seconds"] == "histogram"
    assert found.value("celery_ratekit_up") == 1
