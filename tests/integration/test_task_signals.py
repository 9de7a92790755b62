"""What tasks tell that wait without a gate, and whose bodies ask and freeze."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any, NoReturn

import pytest
from celery import Celery
from celery.app.trace import build_tracer
from celery.exceptions import Retry
from support.heard import Told, heard

from celery_ratekit import RateLimitedTask, TokenBucket, TokenBucketTask, signals
from celery_ratekit.embedded import EmbeddedRedis
from celery_ratekit.errors import LimiterUnavailableError
from celery_ratekit.manager import RateLimitManager
from celery_ratekit.tasks.admission import SINCE_HEADER
from celery_ratekit.tasks.runtime import runtime_of

pytestmark = pytest.mark.redis


@pytest.fixture
def app(redis_url: str) -> Iterator[Celery]:
    """An app whose tasks a test runs as a pool's process does, without a gate."""
    app = Celery("signals", broker="memory://", backend="cache+memory://", set_as_current=False)
    app.conf.ratekit_redis_url = redis_url
    yield app
    app.close()


def run(task: Any, *args: Any, headers: dict[str, Any] | None = None) -> Any:
    """What a task answers whose message came with these headers."""
    request = {"id": "the id", "is_eager": False, "headers": headers or {}, "delivery_info": {}}
    trace = build_tracer(task.name, task, app=task.app, eager=False, propagate=False)
    return trace("the id", args, {}, request)


def of(told: list[Told], signal: str) -> list[Told]:
    return [one for one in told if one.signal == signal]


def limited(app: Celery, *limits: TokenBucket, **options: Any) -> Any:
    @app.task(base=RateLimitedTask, limits=limits, name="limited", shared=False, **options)
    def body() -> None:
        pass

    return body


def test_a_start_is_told_by_the_process_that_runs_the_task(app: Celery) -> None:
    limit = TokenBucket("wide", "10/s", burst=5)
    task = limited(app, limit)
    with heard() as told:
        run(task)

    [start] = told
    assert start.signal == "rate_limit_admitted"
    assert start.sender.name == "limited"
    assert start.fields["task_id"] == "the id"
    assert start.fields["limits"] == (limit,)
    assert start.fields["mode"] == "enforce"
    assert 0 <= start.fields["wait_seconds"] < 5
    assert 0 <= start.fields["lateness_seconds"] < 5


def test_the_wait_began_when_a_worker_first_saw_the_call(app: Celery) -> None:
    task = limited(app, TokenBucket("wide", "10/s", burst=5))
    with heard() as told:
        run(task, headers={SINCE_HEADER: time.time() - 100})

    assert told[0].fields["wait_seconds"] == pytest.approx(100, abs=5)


@pytest.mark.parametrize(
    "since", ["yesterday", None, True, -1e300, float("nan"), float("inf"), 10**400, [1]]
)
def test_a_beginning_that_makes_no_sense_is_not_believed(since: Any, app: Celery) -> None:
    task = limited(app, TokenBucket("wide", "10/s", burst=5))
    with heard() as told:
        run(task, headers={SINCE_HEADER: since})

    assert 0 <= told[0].fields["wait_seconds"] < 5


def test_a_call_that_is_sent_again_keeps_the_moment_at_which_it_came(app: Celery) -> None:
    task = limited(app, TokenBucket("slow", "1/m", burst=1))
    sent: list[dict[str, Any]] = []

    def signature(*_: Any, **options: Any) -> Sent:
        sent.append(options)
        return Sent()

    task.signature_from_request = signature
    since = time.time() - 7
    with heard() as told:
        run(task)
        run(task, headers={SINCE_HEADER: since})

    assert sent[-1]["headers"][SINCE_HEADER] == since
    assert [one.signal for one in told] == ["rate_limit_admitted", "rate_limit_hit"]
    assert told[1].fields["limit"].name == "slow"


class Sent:
    """A message that was sent, as far as the test needs one."""

    def apply_async(self) -> None:
        pass


def test_shadowed_limits_are_told_in_their_mode(app: Celery) -> None:
    limit = TokenBucket("slow", "1/m", burst=1)
    task = limited(app, limit, mode="shadow")
    with heard() as told:
        run(task)
        run(task)

    assert [one.signal for one in told] == [
        "rate_limit_admitted",
        "rate_limit_hit",
        "rate_limit_admitted",
    ]
    assert {one.fields["mode"] for one in told} == {"shadow"}


def test_a_body_that_asks_for_more_than_there_is_tells_a_hit(app: Celery) -> None:
    @app.task(base=TokenBucketTask, bind=True, tokens_per_second="1/h", bucket_size=2, shared=False)
    def asks(self: Any) -> list[bool]:
        return [self.acquire_token() for _ in range(4)]

    with heard() as told:
        answer = run(asks)

    assert answer.retval == [True, True, False, False]
    hits = of(told, "rate_limit_hit")
    assert [(one.fields["task_id"], one.fields["mode"]) for one in hits] == [
        ("the id", "enforce"),
        ("the id", "enforce"),
    ]


def test_a_freeze_is_told_with_how_long_it_lasts(app: Celery) -> None:
    @app.task(
        base=RateLimitedTask,
        bind=True,
        limits=[TokenBucket("service", "10/s", burst=5)],
        shared=False,
    )
    def refused(self: Any) -> NoReturn:
        raise self.rate_limited(7)

    with heard() as told:
        run(refused)

    [freeze] = of(told, "rate_limit_frozen")
    assert freeze.fields["limit"].name == "service"
    assert freeze.fields["seconds"] == pytest.approx(7, abs=0.5)
    assert freeze.fields["reason"] == "rate_limited"


def test_an_outage_and_its_end_are_told_once_each(
    app: Celery, private_redis: EmbeddedRedis
) -> None:
    app.conf.ratekit_redis_url = private_redis.url
    app.conf.ratekit_on_redis_failure = "allow"
    task = limited(app, TokenBucket("wide", "10/s", burst=50))
    with heard() as told:
        private_redis.kill()
        run(task)
        run(task)
        private_redis.restart()
        deadline = time.monotonic() + 20
        while len(of(told, "limiter_degraded")) < 2 and time.monotonic() < deadline:
            run(task)
            time.sleep(0.05)

    away, back = of(told, "limiter_degraded")
    assert away.sender is app
    assert (away.fields["degraded"], away.fields["policy"]) == (True, "allow")
    assert isinstance(away.fields["error"], LimiterUnavailableError)
    assert (back.fields["degraded"], back.fields["error"]) == (False, None)
    starts = of(told, "rate_limit_admitted")
    assert starts[0].fields["mode"] == "degraded"
    assert starts[-1].fields["mode"] == "enforce"


@pytest.fixture
def broken_receivers() -> Iterator[None]:
    """One for each signal."""

    def broken(**_: Any) -> NoReturn:
        raise RuntimeError("broken")

    known = [getattr(signals, name) for name in signals.__all__]
    for signal in known:
        signal.connect(broken, weak=False)
    yield
    for signal in known:
        signal.disconnect(broken)


@pytest.mark.usefixtures("broken_receivers")
def test_receivers_that_raise_change_no_answer_of_a_body(app: Celery) -> None:
    @app.task(base=TokenBucketTask, bind=True, tokens_per_second="1/h", bucket_size=2, shared=False)
    def asks(self: Any) -> list[bool]:
        answers = [self.acquire_token() for _ in range(3)]
        with pytest.raises(Retry):
            self.rate_limited(0.2)
        return answers

    assert run(asks).retval == [True, True, False]


@pytest.mark.usefixtures("broken_receivers")
def test_receivers_that_raise_change_nothing_of_what_is_set_at_run_time(app: Celery) -> None:
    limit = TokenBucket("service", "10/s", burst=5)
    limited(app, limit)
    manager = RateLimitManager(app)
    manager.adjust_rate("service", "5/s")
    manager.freeze("service", 30)

    limiter = runtime_of(app).limiter
    assert limiter.inspect(limit)[0].frozen_seconds > 20
    rated = limiter.override_book.refresh().rated(limit)
    assert isinstance(rated, TokenBucket)
    assert rated.rate.per_second == 5


@pytest.mark.usefixtures("broken_receivers")
def test_receivers_that_raise_change_nothing_of_an_outage(
    app: Celery, private_redis: EmbeddedRedis
) -> None:
    app.conf.ratekit_redis_url = private_redis.url
    app.conf.ratekit_on_redis_failure = "allow"
    task = limited(app, TokenBucket("wide", "10/s", burst=5))
    private_redis.kill()

    assert run(task).info is None
