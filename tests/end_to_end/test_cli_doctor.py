"""What the doctor finds in deployments that are made to have it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest
from celery import Celery
from end_to_end.apps.adjustable import MODULE, RATE_VARIABLE, sender
from support.fleet import fleet
from support.given import journal, label
from support.parked import backlog, wait_until_parked
from support.program import Program
from support.workers import Setup, workers

from celery_ratekit.backlog import Backlog
from celery_ratekit.embedded import EmbeddedRedis
from celery_ratekit.embedded.waiting import NotYetError, wait_for
from celery_ratekit.throttle import CeleryThrottle

__all__ = ["backlog", "journal", "label"]

pytestmark = [pytest.mark.redis, pytest.mark.workers]


@pytest.fixture
def setup(private_redis: EmbeddedRedis, redis_url: str) -> Setup:
    conf = {"ratekit_overflow": "backlog"}
    return Setup(private_redis.celery_url, redis_url, conf=conf, module=MODULE)


@pytest.fixture
def app(setup: Setup) -> Iterator[Celery]:
    with sender(setup) as app:
        yield app


def told(setup: Setup, check: str, *options: str) -> tuple[int, list[dict[str, Any]]]:
    """The exit code, and what one of the checks said."""
    ended = Program(setup).run("doctor", "--json", *options)
    found = json.loads(ended.stdout)
    return ended.returncode, [one for one in found if one["check"] == check]


def with_conf(setup: Setup, **conf: Any) -> Setup:
    return replace(setup, conf={**setup.conf, **conf})


def wait_for_finding(setup: Setup, check: str, words: str) -> list[dict[str, Any]]:
    """What a check says, as soon as some of it has these words."""

    def look() -> list[dict[str, Any]]:
        _, found = told(setup, check)
        if not any(words in one["text"] for one in found):
            raise NotYetError(str(found))
        return found

    return wait_for(f"finding of {check}", look, timeout=60)


def test_a_window_that_is_full_of_held_tasks_is_found(
    setup: Setup, app: Celery, label: str
) -> None:
    holding = with_conf(setup, ratekit_overflow="hold", worker_prefetch_multiplier=2)
    with workers(holding, 1, "--concurrency", "1"):
        for number in range(6):
            app.tasks["slow"].delay(label, number)
        found = wait_for_finding(holding, "prefetch", "holds as many tasks as it may fetch")

    assert [one["level"] for one in found] == ["warning"]
    assert "w0@localhost" in found[0]["text"]


def test_a_worker_that_fetches_without_a_bound_is_found(setup: Setup) -> None:
    without = with_conf(setup, ratekit_overflow="hold", worker_prefetch_multiplier=0)
    code, (found, *_) = told(without, "prefetch")

    assert (code, found["level"]) == (0, "warning")
    assert "worker_prefetch_multiplier is 0" in found["text"]


def test_a_bucket_that_lets_days_of_its_rate_go_at_once_is_found(setup: Setup) -> None:
    large = with_conf(setup, ratekit_limits={"imports": "60/h:6000"})
    code, (found,) = told(large, "bursts")
    strict, _ = told(large, "bursts", "--strict")

    assert (code, strict, found["level"]) == (0, 1, "warning")
    assert "'imports' holds 6000" in found["text"]
    assert "in 4d 4h" in found["text"]


def test_workers_without_the_gate_are_found_where_a_backlog_waits(
    setup: Setup, app: Celery, label: str, backlog: Backlog
) -> None:
    with workers(setup, 1, "--concurrency", "1"):
        for number in range(4):
            app.tasks["slow"].delay(label, number)
        wait_until_parked(backlog, "celery", 3)
    with workers(with_conf(setup, ratekit_gate=False), 1, "--concurrency", "1"):
        code, found = told(setup, "gate")
    with workers(setup, 1, "--concurrency", "1"):
        well, (gate,) = told(setup, "gate")

    assert (code, [one["level"] for one in found]) == (1, ["error", "warning"])
    assert "3 tasks wait in the backlog of 'celery'" in found[0]["text"]
    assert "1 of 1 workers run without the gate: w0@localhost" in found[1]["text"]
    assert (well, gate["level"]) == (0, "ok")


def test_what_waits_in_throttled_queues_may_be_a_dispatchers(setup: Setup) -> None:
    with sender(setup) as app:
        throttle = CeleryThrottle(celery_app=app)
        throttle.create_queue("1/h", "stripe")
        throttle.submit_many("stripe", [app.tasks["celerys"].s(str(n)) for n in range(4)])
        code, (found,) = told(setup, "gate")

    assert (code, found["level"]) == (0, "warning")
    assert "3 tasks wait in the backlog of 'throttle_rate_limited'" in found["text"]
    assert "see that a dispatcher runs" in found["advice"]


def test_two_releases_with_different_rates_are_found(
    setup: Setup, app: Celery, label: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with fleet(setup, "--concurrency", "1") as both:
        both.start()
        monkeypatch.setenv(RATE_VARIABLE, "4/s")
        both.start()
        for number in range(40):  # Who uses a limit says what it has.
            app.tasks["charge"].delay(label, number)
        found = wait_for_finding(setup, "releases", "for 'released'")

    assert [one["level"] for one in found] == ["warning"]
    assert "4/s" in found[0]["text"]
    assert "10/s" in found[0]["text"]


@pytest.mark.parametrize(
    ("conf", "words"),
    [
        ({"ratekit_overflw": "hold"}, "there is no setting 'ratekit_overflw'"),
        ({"ratekit_overflow": "sideways"}, "sideways"),
        ({"ratekit_rules": {"slow": "5 per minute"}}, "5 per minute"),
        ({"ratekit_redis_url": "http://localhost"}, "http"),
    ],
)
def test_settings_that_cannot_be_are_found_without_a_traceback(
    setup: Setup, conf: dict[str, Any], words: str
) -> None:
    code, (found, *_) = told(with_conf(setup, **conf), "settings")

    assert (code, found["level"]) == (1, "error")
    assert words in found["text"]


def test_a_redis_that_evicts_or_gives_no_answer_is_found(
    setup: Setup, private_redis: EmbeddedRedis
) -> None:
    with private_redis.client() as client:
        client.config_set("maxmemory", "100mb")
        client.config_set("maxmemory-policy", "allkeys-lru")
    evicting, (found,) = told(setup, "eviction")
    private_redis.kill()
    away, (redis,) = told(setup, "redis")

    assert (evicting, away) == (1, 1)
    assert "maxmemory-policy allkeys-lru" in found["text"]
    assert "Redis gives no answer" in redis["text"]
