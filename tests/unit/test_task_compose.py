"""Several classes on one task: the same limits in any order, and what does not fit together."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import permutations
from typing import Any

import pytest
from celery import Celery, Task

from celery_ratekit import (
    Concurrency,
    ConcurrencyLimitTask,
    DynamicRateLimitTask,
    FixedWindow,
    Limit,
    PerUserRateLimitTask,
    RateLimitedTask,
    StaticRateLimitTask,
    TokenBucket,
    TokenBucketTask,
    compose,
)
from celery_ratekit.errors import BadOptionError
from celery_ratekit.tasks import Call

BRINGS: dict[type[RateLimitedTask], dict[str, Any]] = {
    RateLimitedTask: {},
    TokenBucketTask: {"tokens_per_second": 25},
    PerUserRateLimitTask: {"user_rate_limit": "5/m"},
    StaticRateLimitTask: {"global_rate_limit": "100/m"},
    DynamicRateLimitTask: {"default_rate_limit": "50/m"},
    ConcurrencyLimitTask: {"max_concurrent": 3},
}

COMBINATIONS = [order for count in (2, 3) for order in permutations(BRINGS, count)]


@pytest.fixture
def app() -> Iterator[Celery]:
    """An app whose servers do not exist."""
    app = Celery("shop", broker="redis://127.0.0.1:1/0", set_as_current=False)
    yield app
    app.close()


def define(app: Celery, base: Any, **options: Any) -> Any:
    def charge(user_id: int = 0) -> None:
        pass

    return app.task(base=base, name="charge", shared=False, lazy=False, **options)(charge)


def limits_of(task: Any, user: int = 7) -> list[Limit]:
    limits: list[Limit] = task.resolved_limits(Call(task.name, task.run, (user,), {}, "id"))
    return limits


def expected(classes: tuple[type[RateLimitedTask], ...]) -> set[Limit]:
    """What each class adds; buckets beyond the primary one have a word behind their name."""
    primary = next(
        (
            one
            for one in (DynamicRateLimitTask, TokenBucketTask, StaticRateLimitTask)
            if one in classes
        ),
        None,
    )
    limits: dict[type[RateLimitedTask], Limit] = {
        TokenBucketTask: TokenBucket("charge", 25, burst=100),
        PerUserRateLimitTask: FixedWindow("charge", "5/m", key=7),
        StaticRateLimitTask: TokenBucket("charge", "100/m"),
        DynamicRateLimitTask: TokenBucket("charge", "50/m"),
        ConcurrencyLimitTask: Concurrency("charge", 3),
    }
    words = {TokenBucketTask: "tokens", StaticRateLimitTask: "static"}
    return {
        limits[cls].with_name(f"charge ({words[cls]})")
        if cls in words and cls is not primary
        else limits[cls]
        for cls in classes
        if cls is not RateLimitedTask
    }


@pytest.mark.parametrize(
    "classes", COMBINATIONS, ids=lambda order: "-".join(cls.__name__[:6] for cls in order)
)
def test_any_two_or_three_classes_give_the_same_limits_in_any_order(
    classes: tuple[type[RateLimitedTask], ...], app: Celery
) -> None:
    options = {key: value for cls in classes for key, value in BRINGS[cls].items()}

    composed = limits_of(define(app, compose(*classes), **options))

    assert len(composed) == len(set(composed))
    assert set(composed) == expected(classes)
    if RateLimitedTask not in classes:  # Python itself wants a base class behind what it bases.
        app.tasks.unregister("charge")
        derived = type("Derived", classes, {"abstract": True})
        assert set(limits_of(define(app, derived, **options))) == expected(classes)


def test_all_classes_at_once_have_names_of_their_own(app: Celery) -> None:
    options = {key: value for given in BRINGS.values() for key, value in given.items()}

    limits = limits_of(define(app, compose(*BRINGS), **options))

    assert len({(type(limit), limit.name) for limit in limits}) == 5
    assert set(limits) == expected(tuple(BRINGS))


def test_keys_that_are_given_stay_as_they_are(app: Celery) -> None:
    task = define(
        app,
        compose(TokenBucketTask, StaticRateLimitTask),
        rate_limit_key="stripe",
        global_rate_limit_key="payments",
        global_rate_limit="1/s",
    )

    assert {limit.name for limit in limits_of(task)} == {"stripe", "payments"}


def test_two_buckets_under_one_given_key_are_refused(app: Celery) -> None:
    with pytest.raises(BadOptionError, match="two limits of one kind are named 'stripe'"):
        define(
            app,
            compose(TokenBucketTask, StaticRateLimitTask),
            rate_limit_key="stripe",
            global_rate_limit_key="stripe",
            global_rate_limit="1/s",
        )


@pytest.mark.parametrize("classes", list(permutations((TokenBucketTask, StaticRateLimitTask))))
def test_an_error_names_the_option_at_fault_whatever_the_order(classes: Any, app: Celery) -> None:
    with pytest.raises(BadOptionError, match="'charge' cannot be limited: global_rate_limit=None"):
        define(app, compose(*classes))


# -- compose --------------------------------------------------------------------------------------


def test_the_same_classes_give_the_same_abstract_class_with_a_name_to_read() -> None:
    both = compose(TokenBucketTask, PerUserRateLimitTask)

    assert both is compose(TokenBucketTask, PerUserRateLimitTask)
    assert both is compose(TokenBucketTask, PerUserRateLimitTask, TokenBucketTask)
    assert both.__name__ == "TokenBucketTask+PerUserRateLimitTask"
    assert both.abstract is True
    assert issubclass(both, TokenBucketTask)
    assert issubclass(both, PerUserRateLimitTask)


def test_related_classes_fit_in_any_order() -> None:
    class Stripe(TokenBucketTask):
        abstract = True

    assert compose(RateLimitedTask, TokenBucketTask) is TokenBucketTask
    assert compose(TokenBucketTask, Stripe, RateLimitedTask) is Stripe
    assert compose(Stripe) is Stripe


def test_composed_classes_can_be_composed_again_in_any_order() -> None:
    one = compose(TokenBucketTask, PerUserRateLimitTask)
    other = compose(PerUserRateLimitTask, TokenBucketTask)

    assert compose(one, other) is one
    assert compose(other, one) is other
    three = compose(ConcurrencyLimitTask, one)
    assert three is compose(ConcurrencyLimitTask, TokenBucketTask, PerUserRateLimitTask)


@pytest.mark.parametrize(
    ("classes", "message"),
    [
        ((), "got none"),
        ((TokenBucketTask, Task), "expected subclasses of RateLimitedTask to compose, got Task"),
        ((TokenBucketTask, "PerUser"), "got 'PerUser'"),
        ((TokenBucketTask, None), "got None"),
        (((TokenBucketTask, PerUserRateLimitTask),), "expected subclasses of RateLimitedTask"),
        ((object,), "got object"),
    ],
)
def test_what_is_no_limited_task_class_is_refused(classes: Any, message: str) -> None:
    with pytest.raises(BadOptionError, match=message):
        compose(*classes)


def test_classes_that_do_not_fit_together_are_refused_by_name() -> None:
    one = type("One", (TokenBucketTask, PerUserRateLimitTask), {"abstract": True})
    other = type("Other", (PerUserRateLimitTask, TokenBucketTask), {"abstract": True})

    with pytest.raises(BadOptionError, match=r"classes One\+Other do not fit together"):
        compose(one, other)


def test_the_apps_own_task_class_stays_behind_a_composed_one() -> None:
    class AppTask(Task):
        abstract = True

        def delay_on_commit(self) -> str:
            return "on commit"

    app = Celery("shop", broker="redis://", task_cls=AppTask, set_as_current=False)

    task = define(app, compose(TokenBucketTask, PerUserRateLimitTask))

    assert task.delay_on_commit() == "on commit"
    assert len(limits_of(task)) == 2
    app.close()


# -- clashes --------------------------------------------------------------------------------------


class Slow(TokenBucketTask):
    abstract = True
    tokens_per_second = 1


class Fast(TokenBucketTask):
    abstract = True
    tokens_per_second = 100


@pytest.mark.parametrize("base", [compose(Slow, Fast), type("Both", (Fast, Slow), {})])
def test_bases_that_set_an_option_differently_are_refused_naming_both(
    base: Any, app: Celery
) -> None:
    expected = "the task 'charge' gets tokens_per_second from two of its bases: .*set it|itself"

    with pytest.raises(BadOptionError, match=expected) as raised:
        define(app, base)
    assert all(word in str(raised.value) for word in ("1 from Slow", "100 from Fast"))


def test_the_task_itself_may_decide(app: Celery) -> None:
    task = define(app, compose(Slow, Fast), tokens_per_second=7)

    assert limits_of(task) == [TokenBucket("charge", 7, burst=100)]


def test_an_annotation_may_decide(app: Celery) -> None:
    app.conf.task_annotations = {"charge": {"tokens_per_second": 7}}

    assert limits_of(define(app, compose(Slow, Fast))) == [TokenBucket("charge", 7, burst=100)]


def test_bases_that_agree_do_not_clash(app: Celery) -> None:
    alike = type("Alike", (TokenBucketTask,), {"abstract": True, "tokens_per_second": 1.0})

    assert limits_of(define(app, compose(Slow, alike)))[0] == TokenBucket("charge", 1, burst=100)


def test_a_derived_class_overrides_what_it_is_derived_from(app: Celery) -> None:
    slower = type("Slower", (Slow,), {"abstract": True, "tokens_per_second": "1/m"})
    named = type("Named", (Slow,), {"abstract": True, "rate_limit_key": "stripe"})

    assert limits_of(define(app, compose(named, slower))) == [
        TokenBucket("stripe", "1/m", burst=100)
    ]


def test_a_plain_class_before_a_base_sets_its_options_and_behind_it_is_refused(
    app: Celery,
) -> None:
    plain = type("Plain", (), {"tokens_per_second": 3})

    before = define(app, type("Before", (plain, TokenBucketTask), {}))
    assert limits_of(before)[0] == TokenBucket("charge", 3, burst=100)
    app.tasks.unregister("charge")
    with pytest.raises(BadOptionError, match=r"10.0 from TokenBucketTask and 3 from Plain"):
        define(app, type("Behind", (TokenBucketTask, plain), {}))


def test_different_lists_of_limits_are_refused_too(app: Celery) -> None:
    bases = [
        type(name, (RateLimitedTask,), {"abstract": True, "limits": [TokenBucket(name, "1/s")]})
        for name in ("Stripe", "Smtp")
    ]

    with pytest.raises(BadOptionError, match="limits from two of its bases"):
        define(app, compose(*bases))


def test_what_the_apps_own_class_says_gives_way_to_the_bases_of_a_task() -> None:
    app = Celery("shop", broker="redis://", task_cls=Slow, set_as_current=False)

    assert limits_of(define(app, Fast))[0] == TokenBucket("charge", 100, burst=100)
    app.close()
