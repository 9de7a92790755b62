"""What bodies of an adaptive task teach the fleet, by how they end."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import closing
from typing import Any
from uuid import uuid4

import pytest
import redis
from celery import Celery, states
from celery.app.trace import build_tracer

from celery_ratekit import (
    AdaptiveRateLimitTask,
    Limiter,
    PerUserRateLimitTask,
    TokenBucket,
    compose,
)
from celery_ratekit.adaptive.state import SharedRates
from celery_ratekit.embedded import EmbeddedRedis
from celery_ratekit.signals import rate_adjusted

pytestmark = pytest.mark.redis

PER_SECOND = 1_000.0
Run = Callable[..., str]


def app_on(url: str, **conf: Any) -> Celery:
    app = Celery("shop", broker="memory://", set_as_current=False)
    app.conf.update(ratekit_redis_url=url, ratekit_gate=False, **conf)
    return app


def runner(app: Celery, **options: Any) -> Run:
    """Runs bodies of a task in this process, as a worker's child does; gives their states."""
    base = options.pop("base", AdaptiveRateLimitTask)
    options.setdefault("max_rate", f"{PER_SECOND:g}/s:1000")

    @app.task(base=base, bind=True, name="charge", shared=False, lazy=False, **options)
    def charge(self: Any, user_id: int, end: str, limit: str | None = None) -> None:
        if end == "refused":
            raise self.rate_limited(0.1, limit)
        if end == "failed":
            raise ValueError(end)

    tracer = build_tracer(charge.name, charge, app=app)

    def run(end: str = "done", limit: str | None = None) -> str:
        request = {"delivery_info": {"routing_key": "celery"}, "args": (7, end, limit)}
        traced = tracer(str(uuid4()), (7, end, limit), {}, request)
        return str(traced.info.state) if traced.info else states.SUCCESS

    return run


@pytest.fixture
def app(redis_url: str) -> Iterator[Celery]:
    with app_on(redis_url) as app:
        yield app


@pytest.fixture
def limiter(redis_url: str) -> Iterator[Limiter]:
    """Another process."""
    with closing(Limiter(redis_url, timeout_seconds=20)) as limiter:
        yield limiter


@pytest.fixture
def seen(limiter: Limiter) -> Callable[[], float | None]:
    """The rate that another process goes by; None: the one where it starts."""
    rates = SharedRates(limiter)

    def look() -> float | None:
        limiter.override_book.refresh()
        return rates.seen("charge")

    return look


def test_a_refused_body_lowers_the_rate_and_freezes_the_limit(
    app: Celery, seen: Callable[[], float | None], limiter: Limiter
) -> None:
    run = runner(app)

    assert run("refused") == states.RETRY

    assert seen() == pytest.approx(0.95 * PER_SECOND)
    denial = limiter.acquire(TokenBucket("charge", 1_000.0, 1_000))
    assert (denial.granted, denial.reason) == (False, "frozen")


def test_the_process_that_changes_a_rate_tells_of_it(app: Celery) -> None:
    told: list[dict[str, Any]] = []

    def note(sender: Any, **fields: Any) -> None:
        told.append({"sender": sender, **fields})

    rate_adjusted.connect(note, sender=app)
    runner(app)("refused")

    (fields,) = told
    fields.pop("signal")
    assert fields == {
        "sender": app,
        "name": "charge",
        "key": "",
        "old": "1000/s",
        "new": "950/s",
        "by": "adaptive",
        "reason": "learned from how the called service answered",
    }


def test_bodies_that_end_well_raise_it_again(
    app: Celery, seen: Callable[[], float | None], limiter: Limiter
) -> None:
    run = runner(app)
    run("refused")
    lowered = seen()
    assert lowered is not None
    limiter.freeze(TokenBucket("charge", 1_000.0), 0)

    deadline = time.monotonic() + 30
    while (seen() or PER_SECOND) < 1.01 * lowered:  # Each body takes less than a millisecond.
        assert time.monotonic() < deadline
        assert run() == states.SUCCESS


@pytest.mark.parametrize("end", ["done", "failed", "refused"])
def test_only_bodies_that_end_well_and_only_limits_in_force_teach(
    end: str, redis_url: str, seen: Callable[[], float | None], limiter: Limiter
) -> None:
    def run(enabled: bool = True, **options: Any) -> None:
        with app_on(redis_url, ratekit_enabled=enabled) as app:
            # It starts below the ceiling, so that successes are told.
            runner(app, rate=PER_SECOND / 2, **options)(end)

    run(mode="shadow")
    run(enabled=False)
    assert not learned(redis_url)
    limiter.freeze(TokenBucket("charge", PER_SECOND), 0)  # Shadow mode freezes it, too.

    run()

    assert learned(redis_url) == (end != "failed")
    assert seen() == (pytest.approx(0.95 * PER_SECOND / 2) if end == "refused" else None)


def test_a_refusal_of_another_limit_teaches_nothing(
    app: Celery, redis_url: str, limiter: Limiter
) -> None:
    run = runner(app, limits=[TokenBucket("other", "1000/s")])

    assert run("refused", "other") == states.RETRY

    assert not learned(redis_url)
    assert limiter.acquire(TokenBucket("other", "1000/s")).reason == "frozen"
    assert limiter.acquire(TokenBucket("charge", "1000/s")).granted


def test_beside_limits_of_each_user_a_refusal_is_the_services_and_stops_all_users(
    app: Celery, seen: Callable[[], float | None], limiter: Limiter
) -> None:
    run = runner(app, base=compose(PerUserRateLimitTask, AdaptiveRateLimitTask))

    assert run("refused") == states.RETRY

    assert seen() == pytest.approx(0.95 * PER_SECOND)
    assert limiter.acquire(TokenBucket("charge", "1000/s")).reason == "frozen"


def test_no_body_fails_because_redis_is_away(private_redis: EmbeddedRedis) -> None:
    with app_on(private_redis.url, ratekit_on_redis_failure="allow") as app:
        run = runner(app, rate=PER_SECOND / 2)
        assert run() == states.SUCCESS
        private_redis.kill()

        assert run() == states.SUCCESS
        assert run("refused") == states.RETRY


def learned(url: str) -> bool:
    """Whether anything is known of any rate."""
    with redis.Redis.from_url(url) as client:
        return bool(client.keys("ratekit:a*"))
