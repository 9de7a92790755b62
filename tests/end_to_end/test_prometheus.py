"""A real Prometheus reads what workers serve, and what the docs tell it to ask for."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from celery import Celery
from end_to_end.apps.metered import MODULE, make_app
from support.documented import alert_expressions, dashboard_expressions
from support.given import journal, label
from support.journal import Journal
from support.prometheus import prometheus
from support.scraped import url_of
from support.workers import Setup, workers

from celery_ratekit.embedded import EmbeddedRedis

__all__ = ["journal", "label"]

pytestmark = [pytest.mark.redis, pytest.mark.workers]


@pytest.fixture
def setup(private_redis: EmbeddedRedis, redis_url: str) -> Setup:
    conf = {"ratekit_metrics_port": 0}
    return Setup(private_redis.celery_url, redis_url, conf=conf, module=MODULE)


@pytest.fixture
def app(setup: Setup) -> Iterator[Celery]:
    app = make_app(setup)
    yield app
    app.close()


def test_prometheus_scrapes_a_worker_and_answers_the_dashboard_and_the_alerts(
    prometheus_executable: str, setup: Setup, app: Celery, journal: Journal, label: str
) -> None:
    with workers(setup, 1, "--concurrency", "2") as [worker]:
        for number in range(5):
            app.tasks["note"].delay(label, [label, 10, 1], number)
        journal.wait_for_starts(label, 5)

        with prometheus(prometheus_executable, url_of(worker)) as server:
            server.wait_for_value('celery_ratekit_admitted_total{task_name="note"}', 5)

            [waits] = server.values('celery_ratekit_wait_seconds_count{task_name="note"}')
            rules = server.ask("rules")["groups"][0]["rules"]
            for expression in [*dashboard_expressions(), *alert_expressions()]:
                server.values(expression)

    assert waits == 5
    assert len(rules) == len(alert_expressions())
