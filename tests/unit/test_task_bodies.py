"""What bodies call: where no worker runs them, and which limit they mean."""

from __future__ import annotations

import pickle
from collections.abc import Iterator
from typing import Any

import pytest
from celery import Celery
from celery.signals import before_task_publish

from celery_ratekit import (
    Concurrency,
    FixedWindow,
    PerUserRateLimitTask,
    RateLimitedTask,
    SlidingWindow,
    TokenBucket,
    TokenBucketTask,
    compose,
)
from celery_ratekit.errors import (
    BadLimitError,
    BadOptionError,
    RateLimitedError,
    RateLimitedTooOftenError,
)
from celery_ratekit.tasks.limit_book import LIMITS_HEADER
from celery_ratekit.tasks.matching import meant, narrowest, the_only


@pytest.fixture
def app() -> Iterator[Celery]:
    """An app whose servers do not exist."""
    app = Celery("shop", broker="redis://127.0.0.1:1/0", set_as_current=False)
    yield app
    app.close()


# -- without a worker -----------------------------------------------------------------------------


@pytest.fixture
def throttled(app: Celery) -> Any:
    @app.task(base=TokenBucketTask, bind=True, name="throttled", shared=False, max_retries=1)
    def throttled(self: Any, retry_after: Any) -> None:
        raise self.rate_limited(retry_after)

    return throttled


@pytest.mark.parametrize(
    ("retry_after", "seconds"),
    [(30, 30), ("7", 7), (None, 1), ("junk", 1), (0, 0.1), (-1, 0.1), (10**9, 3600)],
)
def test_without_a_broker_a_refusing_service_is_an_error_with_the_seconds_to_wait(
    retry_after: Any, seconds: float, throttled: Any
) -> None:
    with pytest.raises(RateLimitedError, match=r"'throttled' .*again yourself, in") as direct:
        throttled(retry_after)
    with pytest.raises(RateLimitedError) as eager:
        throttled.apply((retry_after,)).get()

    assert direct.value.retry_after == eager.value.retry_after == seconds


def test_the_longest_wait_is_a_setting(app: Celery, throttled: Any) -> None:
    app.conf.ratekit_max_freeze = 60

    with pytest.raises(RateLimitedError) as raised:
        throttled(3_600)
    assert raised.value.retry_after == 60


def test_a_value_that_cannot_be_read_is_logged(throttled: Any, caplog: Any) -> None:
    with pytest.raises(RateLimitedError):
        throttled("junk" * 1_000)

    assert "throttled cannot read how long to wait: 'junkjunk" in caplog.text
    assert len(caplog.text) < 500


def test_the_errors_survive_a_result_backend() -> None:
    for error in (RateLimitedError("charge", 2.5), RateLimitedTooOftenError("charge", 21)):
        copy = pickle.loads(pickle.dumps(error))
        assert str(copy) == str(error)
        assert vars(copy) == vars(error)
        assert type(error)(*error.args).args == error.args


def test_refunds_and_settlements_do_nothing_where_nothing_was_charged(app: Celery) -> None:
    @app.task(base=TokenBucketTask, bind=True, name="charge", shared=False)
    def charge(self: Any) -> list[bool]:
        return [self.refund(), self.settle(3), self.settle(3, "charge"), self.refund()]

    assert charge() == charge.apply().get() == [False] * 4


@pytest.mark.parametrize("cost", [-1, "3", None, float("nan"), float("inf"), True])
def test_what_is_no_cost_is_refused_everywhere(cost: Any, app: Celery) -> None:
    @app.task(base=TokenBucketTask, bind=True, name="charge", shared=False)
    def charge(self: Any) -> None:
        self.settle(cost)

    with pytest.raises(BadLimitError, match=r"finite cost of 0 or more .*'charge'"):
        charge()


def test_limited_tasks_of_several_kinds_may_ask_in_direct_calls_as_often_as_they_like(
    app: Celery,
) -> None:
    @app.task(
        base=compose(TokenBucketTask, PerUserRateLimitTask),
        bind=True,
        shared=False,
        user_rate_limit="1/d",
        bucket_size=1,
    )
    def both(self: Any, user_id: str) -> list[bool]:
        return [
            *(self.acquire_token() for _ in range(2)),
            *(self.check_user_limit(user_id) for _ in range(2)),
        ]

    assert both("ann") == both.apply(("ann",)).get() == [True] * 4


# -- which limit is meant -------------------------------------------------------------------------

GLOBAL = TokenBucket("charge", "100/s")
USER = FixedWindow("charge", "10/m", key=7)
TENANT = SlidingWindow("tenant", "100/m", key="acme")
PLACES = Concurrency("smtp", 8, key=7)


def test_the_narrowest_keyed_limit_is_taken_in_any_order() -> None:
    assert narrowest([GLOBAL, TENANT, USER, PLACES], "charge") == USER
    assert narrowest([PLACES, USER, TENANT, GLOBAL], "charge") == USER
    assert narrowest([GLOBAL, PLACES], "charge") == PLACES


def test_else_the_only_one() -> None:
    assert narrowest([GLOBAL], "charge") == GLOBAL


@pytest.mark.parametrize("limits", [[GLOBAL, TokenBucket("stripe", "1/s")], []])
def test_else_the_names_are_listed(limits: Any) -> None:
    listed = ", ".join(f"'{one.name}' .TokenBucket." for one in limits) or "none"

    with pytest.raises(BadLimitError, match=f"limit=.* of the task 'charge' .*has {listed}"):
        narrowest(limits, "charge")


def test_a_limit_is_found_by_its_name_or_as_it_was_written() -> None:
    limits = [GLOBAL, USER, TENANT]

    assert meant(limits, "tenant", "charge") == [TENANT]
    assert meant(limits, "charge", "charge") == [GLOBAL, USER]
    assert meant(limits, TokenBucket(rate="5/s"), "charge") == [GLOBAL]
    written = SlidingWindow("tenant", "1/m", key=lambda call: "x")
    assert meant(limits, written, "charge") == [TENANT]
    assert meant(limits, TENANT.with_key("acme"), "charge") == [TENANT]


@pytest.mark.parametrize(
    ("wanted", "message"),
    [
        ("tennant", "'tenant' .SlidingWindow.*got 'tennant'; did you mean 'tenant'"),
        (TENANT.with_key("other"), "got SlidingWindow"),
        (7, "expected the name of a limit of the task 'charge', or a limit, got 'int'"),
    ],
)
def test_a_limit_that_the_call_does_not_have_is_refused(wanted: Any, message: str) -> None:
    with pytest.raises(BadLimitError, match=message):
        meant([GLOBAL, TENANT], wanted, "charge")


def test_what_is_settled_has_to_be_clear() -> None:
    with pytest.raises(BadLimitError, match="where names are alike"):
        the_only([GLOBAL, USER], "charge")


# -- limits that callers choose -------------------------------------------------------------------


@pytest.fixture
def sent(app: Celery) -> Iterator[list[dict[str, Any]]]:
    """The headers of all messages of the task, as they go to a broker in memory."""
    app.conf.broker_url = "memory://"
    app.conf.ratekit_redis_url = "redis://127.0.0.1:1/0"
    kept: list[dict[str, Any]] = []

    def keep(headers: dict[str, Any], **_: Any) -> None:
        kept.append(headers)

    before_task_publish.connect(keep, sender="choose")
    yield kept
    before_task_publish.disconnect(keep, sender="choose")


@pytest.fixture
def choose(app: Celery) -> Any:
    @app.task(base=RateLimitedTask, name="choose", shared=False)
    def choose(number: int = 0) -> int:
        return number

    return choose


def test_names_of_limits_travel_in_the_messages_header(sent: Any, choose: Any) -> None:
    choose.apply_async((1,), limits=["stripe", "eu"], headers={"x-tenant": "acme"})
    choose.s(1).set(limits=["stripe"]).apply_async()
    choose.s(1).apply_async(limits=("stripe",))
    choose.signature((1,), limits=["stripe"]).delay()
    (choose.si(1) | choose.si(2)).apply_async(limits=["stripe"])
    choose.delay(1)
    choose.apply_async((1,), limits=[])

    assert [one.get(LIMITS_HEADER) for one in sent] == [
        ["stripe", "eu"],
        *[["stripe"]] * 4,
        None,
        [],
    ]
    assert sent[0]["x-tenant"] == "acme"


def test_names_that_are_given_go_over_those_of_a_header(sent: Any, choose: Any) -> None:
    given = {LIMITS_HEADER: ["old"]}

    choose.apply_async((1,), limits=["new"], headers=given)

    assert sent[0][LIMITS_HEADER] == ["new"]
    assert given == {LIMITS_HEADER: ["old"]}


@pytest.mark.parametrize("limits", ["stripe", 5, {"stripe": 1}, [5], [""], [None], [["stripe"]]])
def test_what_is_no_list_of_names_is_refused_where_it_is_sent(limits: Any, choose: Any) -> None:
    with pytest.raises(BadOptionError, match=r"list of names as limits of .* 'choose'.*stripe"):
        choose.apply_async((1,), limits=limits)


def test_in_eager_mode_chosen_limits_change_nothing(app: Celery, choose: Any) -> None:
    app.conf.task_always_eager = True

    assert choose.apply_async((3,), limits=["stripe"]).get() == 3
