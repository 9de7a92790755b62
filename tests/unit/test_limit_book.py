"""The limits of a call come together from its task's class, from rules and from its message."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from celery import Celery, Task

from celery_ratekit import (
    Concurrency,
    FixedWindow,
    Limit,
    RateLimitedTask,
    SlidingWindow,
    TokenBucket,
    TokenBucketTask,
)
from celery_ratekit.errors import BadKeyError, BadOptionError, CostExceedsCapacityError
from celery_ratekit.rules import MAX_NAME_LENGTH
from celery_ratekit.settings import Settings
from celery_ratekit.tasks import Call
from celery_ratekit.tasks.limit_book import CallLimits, LimitBook
from celery_ratekit.tasks.runtime import runtime_of


@pytest.fixture
def app() -> Iterator[Celery]:
    """An app whose servers do not exist."""
    app = Celery("shop", broker="redis://127.0.0.1:1/0", set_as_current=False)
    yield app
    app.close()


def define(
    app: Celery, name: str = "reports.daily", base: type[Task] = Task, **options: Any
) -> Any:
    """A task of that name, defined and bound; a plain one unless said otherwise."""

    def body(user: Any = 7) -> None:
        pass

    return app.task(base=base, name=name, shared=False, lazy=False, **options)(body)


def limits_of(task: Any, settings: Settings, *args: Any, header: Any = None) -> CallLimits:
    """The limits of one call of a task."""
    call = Call(task.name, task.run, args, {}, "id")
    return LimitBook(settings).plan(task).limits(call, header)


def user(call: Call) -> Any:
    return call.arguments["user"]


def two(call: Call) -> float:
    return 2.0


STRIPE = TokenBucket("stripe", "25/s")
LINES = Concurrency("lines", 8)
NAMED: dict[str, Any] = {
    "stripe": "25/s",
    "lines": LINES,
    "user": FixedWindow(rate="10/m", key=user),
}


# -- rules ----------------------------------------------------------------------------------------


def test_a_task_that_nothing_limits_has_no_limits(app: Celery) -> None:
    settings = Settings(rules={"mail.*": 5}, limits=NAMED)
    task = define(app)

    assert limits_of(task, settings) == CallLimits((), ())
    assert not LimitBook(settings).plan(task).is_limited


def test_each_task_that_a_rule_matches_has_an_unnamed_limit_of_its_own(app: Celery) -> None:
    settings = Settings(rules={"reports.*": "100/m"})
    daily, weekly = define(app, "reports.daily"), define(app, "reports.weekly")

    assert limits_of(daily, settings).enforced == (TokenBucket("reports.daily", "100/m"),)
    assert limits_of(weekly, settings).enforced == (TokenBucket("reports.weekly", "100/m"),)
    assert LimitBook(settings).plan(daily).is_limited


def test_tasks_share_a_named_limit(app: Celery) -> None:
    settings = Settings(rules={"reports.*": STRIPE})

    for name in ("reports.daily", "reports.weekly"):
        assert limits_of(define(app, name), settings).enforced == (STRIPE,)


def test_every_rule_that_matches_adds_its_limits_in_order(app: Celery) -> None:
    settings = Settings(
        rules={
            "*.daily": [STRIPE, LINES],
            "mail.*": TokenBucket("mail", 1),
            "reports.*": "100/m",
            "*": FixedWindow("all", "1000/d"),
        }
    )

    assert limits_of(define(app), settings).enforced == (
        STRIPE,
        LINES,
        TokenBucket("reports.daily", "100/m"),
        FixedWindow("all", "1000/d"),
    )


def test_keys_and_costs_of_rules_are_worked_out_for_each_call(app: Celery) -> None:
    settings = Settings(
        rules={"*": [FixedWindow(rate="10/m", key=user), TokenBucket("x", 9, burst=9, cost=two)]}
    )
    task = define(app)

    assert limits_of(task, settings, "ann").enforced == (
        FixedWindow("reports.daily", "10/m", key="ann"),
        TokenBucket("x", 9, burst=9, cost=2),
    )
    assert limits_of(task, settings).enforced[0].key == 7


def test_limits_that_no_call_changes_are_worked_out_once(app: Celery) -> None:
    plan = LimitBook(Settings(rules={"*": "100/m"})).plan(define(app))

    first, second = (plan.limits(Call("reports.daily", print, (n,))) for n in range(2))

    assert first is second


def test_a_key_or_cost_that_cannot_be_counted_is_an_error_of_the_call(app: Celery) -> None:
    task = define(app)

    with pytest.raises(BadKeyError, match=r"limit 'reports.daily' was worked out as ''"):
        limits_of(task, Settings(rules={"*": FixedWindow(rate=1, key=user)}), "")
    with pytest.raises(CostExceedsCapacityError):
        limits_of(task, Settings(rules={"*": TokenBucket(rate=1, cost=two)}))


# -- a task's own limits --------------------------------------------------------------------------


def test_the_class_comes_first_then_the_rules_then_the_header(app: Celery) -> None:
    task = define(app, base=TokenBucketTask, tokens_per_second=3)
    settings = Settings(rules={"*": FixedWindow(rate="9/m")}, limits=NAMED)

    assert limits_of(task, settings, header=["lines", "stripe"]).enforced == (
        TokenBucket("reports.daily", 3, burst=100),
        FixedWindow("reports.daily", "9/m"),
        LINES,
        STRIPE,
    )


def test_limits_of_a_class_are_worked_out_for_each_call(app: Celery) -> None:
    task = define(app, base=RateLimitedTask, limits=[FixedWindow(rate="9/m", key=user)])

    assert [limits_of(task, Settings(), who).enforced for who in ("ann", "bob")] == [
        (FixedWindow("reports.daily", "9/m", key="ann"),),
        (FixedWindow("reports.daily", "9/m", key="bob"),),
    ]


def test_a_class_is_asked_for_its_limits_once_a_call_and_they_may_change(app: Celery) -> None:
    asked = []

    class Changing(RateLimitedTask):
        abstract = True

        def rate_limits(self, call: Call) -> list[Limit]:
            asked.append(call)
            return [TokenBucket("changing", f"{(len(asked) + 1) // 2}/s")]

    task = define(app, base=Changing)
    plan = LimitBook(Settings()).plan(task)
    calls = [Call(task.name, task.run) for _ in range(4)]

    rates = [plan.limits(call).enforced[0].rate.per_second for call in calls]  # type: ignore[attr-defined]

    assert asked == calls
    assert rates == [1, 1, 2, 2]


def test_a_class_that_adds_limits_in_a_method_is_limited(app: Celery) -> None:
    class Partner(RateLimitedTask):
        abstract = True

        def rate_limits(self, call: Call) -> list[Limit]:
            return [*super().rate_limits(call), STRIPE]

    class Resolving(RateLimitedTask):
        abstract = True

        def resolved_limits(self, call: Call) -> list[Limit]:
            return [LINES]

    for base, limit in ((Partner, STRIPE), (Resolving, LINES)):
        task = define(app, f"of {base.__name__}", base)

        assert LimitBook(Settings()).plan(task).is_limited
        assert limits_of(task, Settings()).enforced == (limit,)


def test_a_limited_class_without_limits_costs_no_more_than_a_plain_one(app: Celery) -> None:
    task = define(app, base=RateLimitedTask)

    assert not LimitBook(Settings()).plan(task).is_limited
    assert limits_of(task, Settings()) == CallLimits()
    assert limits_of(task, Settings(rules={"*": STRIPE})).enforced == (STRIPE,)


def test_a_plain_task_may_have_attributes_of_our_names(app: Celery) -> None:
    task = define(app, limits=[STRIPE], mode="shadow", rate_limits=5)

    assert limits_of(task, Settings(rules={"*": LINES})) == CallLimits((LINES,), ())


# -- shadow ---------------------------------------------------------------------------------------


def test_each_rule_has_a_mode_of_its_own(app: Celery) -> None:
    settings = Settings(rules={"*": {"limits": [STRIPE, "1/s"], "mode": "shadow"}, "r*": LINES})

    assert limits_of(define(app), settings) == CallLimits(
        (LINES,), (STRIPE, TokenBucket("reports.daily", "1/s"))
    )


def test_the_mode_of_a_class_is_for_its_own_limits(app: Celery) -> None:
    class Trial(TokenBucketTask):
        abstract = True
        mode = "shadow"

    own = TokenBucket("reports.daily", 10, burst=100)
    task = define(app, base=Trial)

    assert limits_of(task, Settings()) == CallLimits((), (own,))
    assert limits_of(task, Settings(rules={"*": LINES}, limits=NAMED), header=["stripe"]) == (
        CallLimits((LINES, STRIPE), (own,))
    )


def test_the_global_mode_shadow_is_for_all(app: Celery) -> None:
    settings = Settings(mode="shadow", rules={"*": {"limits": LINES}}, limits=NAMED)
    task = define(app, base=RateLimitedTask, limits=[FixedWindow("own", 5)])
    plain = define(app, "plain")

    assert limits_of(task, settings, header=["stripe"]) == CallLimits(
        (), (FixedWindow("own", 5), LINES, STRIPE)
    )
    assert limits_of(plain, settings) == CallLimits((), (LINES,))
    assert limits_of(plain, settings, header=["stripe"]) == CallLimits((), (LINES, STRIPE))


# -- switched off ---------------------------------------------------------------------------------


@pytest.mark.parametrize("enabled", [False, {"reports.*": False}])
@pytest.mark.parametrize("header", [None, ["stripe"], ["unknown"], "junk"])
def test_a_task_that_is_switched_off_has_no_limits_whatever_its_message_says(
    enabled: Any, header: Any, app: Celery
) -> None:
    settings = Settings(enabled=enabled, rules={"*": 5}, limits=NAMED)

    for base in (Task, TokenBucketTask):
        task = define(app, f"reports.{base.__name__}", base)
        plan = LimitBook(settings).plan(task)

        assert plan.is_switched_off
        assert not plan.is_limited
        assert limits_of(task, settings, header=header) == CallLimits((), ())


def test_other_tasks_stay_switched_on(app: Celery) -> None:
    settings = Settings(enabled={"mail.*": False}, rules={"*": STRIPE})
    plan = LimitBook(settings).plan(define(app))

    assert not plan.is_switched_off
    assert plan.is_limited


# -- limits that a message chose ------------------------------------------------------------------


def test_a_message_may_choose_limits_for_any_task(app: Celery) -> None:
    settings = Settings(limits=NAMED)
    task = define(app)

    assert not LimitBook(settings).plan(task).is_limited
    assert limits_of(task, settings, header=["stripe"]).enforced == (STRIPE,)
    assert limits_of(task, settings, "ann", header=("user", "lines")).enforced == (
        FixedWindow("user", "10/m", key="ann"),
        LINES,
    )
    assert limits_of(task, settings, header=[]) == CallLimits()


def test_a_name_that_stands_twice_counts_once(app: Celery) -> None:
    limits = limits_of(define(app), Settings(limits=NAMED), header=["stripe", "lines", "stripe"])

    assert limits.enforced == (STRIPE, LINES)


def test_a_message_may_choose_as_many_limits_as_it_may(app: Celery) -> None:
    names = [f"limit {n}" for n in range(16)]
    settings = Settings(limits=dict.fromkeys(names, 5))

    assert len(limits_of(define(app), settings, header=names).enforced) == 16


def deep(levels: int) -> list[Any]:
    return [deep(levels - 1)] if levels else []


@pytest.mark.parametrize(
    ("header", "message"),
    [
        (["strpe"], "names of limits from ratekit_limits .*, got 'strpe'; did you mean 'stripe'"),
        (["", "stripe"], "names of limits from ratekit_limits .*, got ''"),
        (["25/s"], "names of limits from ratekit_limits .*, got '25/s'"),
        (["stripe:9"], "names of limits from ratekit_limits .*, got 'stripe:9'"),
        (["\x1b[2J\ud800"], r"got '\\x1b\[2J\\ud800'"),
        ("stripe", r"expected a list of names .*, got 'str'; send for example \[\"stripe\"\]"),
        (b"stripe", "expected a list of names .*, got 'bytes'"),
        ({"stripe": 99}, "expected a list of names .*, got 'dict'"),
        (False, "expected a list of names .*, got 'bool'"),
        (0, "expected a list of names .*, got 'int'"),
        ([5], "expected texts .*, got 'int'"),
        ([None], "expected texts .*, got 'NoneType'"),
        (deep(800), "expected texts .*, got 'list'"),
        ([{"name": "stripe", "rate": 99}], "expected texts .*, got 'dict'"),
        ([TokenBucket("stripe", 99)], "expected texts .*, got 'TokenBucket'"),
        (["stripe"] * 17, "expected at most 16 names .*, got 17"),
        (["x" * (MAX_NAME_LENGTH + 1)], "names of at most 200 characters .*, got one of 201: 'xxx"),
    ],
)
def test_a_header_that_does_not_name_configured_limits_is_an_error(
    header: Any, message: str, app: Celery
) -> None:
    for task in (define(app), define(app, "limited", TokenBucketTask)):
        with pytest.raises(BadOptionError, match=message) as caught:
            limits_of(task, Settings(limits=NAMED), header=header)

        assert f"in the header ratekit_limits of a call of {task.name!r}" in str(caught.value)
        assert len(str(caught.value)) < 300


# -- one limit from several places ----------------------------------------------------------------


def test_a_limit_that_several_places_say_alike_is_asked_once(app: Celery) -> None:
    task = define(app, base=RateLimitedTask, limits=[STRIPE, FixedWindow("a", 5)])
    settings = Settings(rules={"*": [LINES, STRIPE], "reports.*": LINES}, limits=NAMED)

    assert limits_of(task, settings, header=["lines", "stripe"]).enforced == (
        STRIPE,
        FixedWindow("a", 5),
        LINES,
    )


@pytest.mark.parametrize(
    "rules",
    [
        {"*": {"limits": STRIPE, "mode": "shadow"}, "r*": STRIPE},
        {"r*": STRIPE, "*": {"limits": STRIPE, "mode": "shadow"}},
    ],
)
def test_a_limit_that_one_place_enforces_is_enforced(rules: Any, app: Celery) -> None:
    assert limits_of(define(app), Settings(rules=rules)) == CallLimits((STRIPE,), ())


def test_keys_that_are_counted_as_one_are_one(app: Celery) -> None:
    task = define(app, base=RateLimitedTask, limits=[FixedWindow("a", 5, key=user)])

    for key in (42, "42"):
        settings = Settings(rules={"*": FixedWindow("a", 5, key=key)})
        assert limits_of(task, settings, 42).enforced == (FixedWindow("a", 5, key=42),)


@pytest.mark.parametrize(
    "limit",
    [
        FixedWindow("stripe", "9/m"),
        TokenBucket("stripe 2", "9/m"),
        TokenBucket("stripe", "9/m", key="ann"),
        TokenBucket("stripe", "9/m", tag="t"),
    ],
)
def test_limits_of_another_kind_name_key_or_tag_are_asked_beside_each_other(
    limit: Limit, app: Celery
) -> None:
    task = define(app, base=RateLimitedTask, limits=[STRIPE])

    assert limits_of(task, Settings(rules={"*": limit})).enforced == (STRIPE, limit)


OWN_CLASS = "the task's own class"
RULE = r"the rule '\*' of ratekit_rules"


@pytest.mark.parametrize(
    ("options", "settings", "first", "second"),
    [
        (
            {"base": TokenBucketTask},
            {"rules": {"*": "9/m"}},
            rf"TokenBucket\('reports.daily', '10/s', burst=100\) from {OWN_CLASS}",
            rf"TokenBucket\('reports.daily', '9/m'\) from {RULE}",
        ),
        (
            {"base": RateLimitedTask, "limits": [STRIPE]},
            {"rules": {"*": TokenBucket("stripe", "9/m")}},
            rf"TokenBucket\('stripe', '25/s'\) from {OWN_CLASS}",
            rf"TokenBucket\('stripe', '9/m'\) from {RULE}",
        ),
        (
            {"base": RateLimitedTask, "limits": [LINES]},
            {"rules": {"*": {"limits": Concurrency("lines", 9), "mode": "shadow"}}},
            rf"Concurrency\('lines', 8\) from {OWN_CLASS}",
            rf"Concurrency\('lines', 9\) from {RULE}",
        ),
        (
            {},
            {"rules": {"r*": "9/m", "*": "100/m"}},
            r"TokenBucket\('reports.daily', '9/m'\) from the rule 'r\*' of ratekit_rules",
            rf"TokenBucket\('reports.daily', '100/m'\) from {RULE}",
        ),
        (
            {},
            {"rules": {"*": TokenBucket("stripe", "9/m")}, "limits": NAMED},
            rf"TokenBucket\('stripe', '9/m'\) from {RULE}",
            r"TokenBucket\('stripe', '25/s'\) from the header ratekit_limits",
        ),
        (
            {"base": RateLimitedTask, "limits": [FixedWindow("a", 5, key=user)]},
            {"rules": {"*": FixedWindow("a", 9, key="7")}},
            rf"FixedWindow\('a', '5/s', key=7\) from {OWN_CLASS}",
            rf"FixedWindow\('a', '9/s', key='7'\) from {RULE}",
        ),
    ],
)
def test_places_that_say_different_things_of_one_limit_are_an_error(
    options: Any, settings: Any, first: str, second: str, app: Celery
) -> None:
    task = define(app, **options)
    whose = second.partition(" from ")[2]
    expected = (
        f"expected limits of the task 'reports.daily' that are counted apart, got {first} and "
        f"{second}; give the limit of {whose} a name of its own, for example .*'another name'"
    )

    with pytest.raises(BadOptionError, match=expected):
        limits_of(task, Settings(**settings), header=[*settings.get("limits", [])] or None)


def test_what_a_class_says_twice_stays_for_the_limiter_to_judge(app: Celery) -> None:
    twice = [FixedWindow("a", 5, key=user), FixedWindow("a", 5, key="7")]
    task = define(app, base=RateLimitedTask, limits=twice)
    expected = (FixedWindow("a", 5, key=7), FixedWindow("a", 5, key="7"))

    assert limits_of(task, Settings(), 7).enforced == expected
    assert limits_of(task, Settings(rules={"*": LINES}), 7).enforced == (*expected, LINES)


# -- the check at a worker's start ----------------------------------------------------------------


@pytest.mark.parametrize(
    "rules", [{}, {"reports.*": STRIPE, "*": LINES}, {"reports.daily": FixedWindow(rate=5)}]
)
def test_settings_that_fit_the_tasks_give_no_warning(rules: Any, app: Celery) -> None:
    tasks = [define(app), define(app, "reports.limited", TokenBucketTask)]

    assert LimitBook(Settings(rules=rules, enabled={"*.daily": True})).check(tasks) == []


def test_a_rule_that_clashes_with_what_a_task_declares_is_found_before_any_call(
    app: Celery,
) -> None:
    tasks = [define(app, "plain"), define(app, base=TokenBucketTask)]

    with pytest.raises(
        BadOptionError, match=f"'reports.daily'.*{OWN_CLASS}.*'9/m'.*{RULE}; give the limit of"
    ):
        LimitBook(Settings(rules={"*": "9/m"})).check(tasks)


def test_a_clash_of_functions_of_the_call_is_found_where_they_are_the_same(app: Celery) -> None:
    task = define(app, base=RateLimitedTask, limits=[SlidingWindow("a", "5/m", key=user)])

    with pytest.raises(BadOptionError, match=f"'5/m'.* from {OWN_CLASS} and .*'9/m'.* from {RULE}"):
        LimitBook(Settings(rules={"*": SlidingWindow("a", "9/m", key=user)})).check([task])


def test_rules_that_clash_with_each_other_are_found_at_the_first_task_that_both_match(
    app: Celery,
) -> None:
    book = LimitBook(Settings(rules={"reports.*": "9/m", "*.daily": "100/m"}))

    assert book.check([define(app, "reports.weekly"), define(app, "mail.daily")]) == []
    with pytest.raises(BadOptionError, match=r"the rule 'reports\.\*' .* the rule '\*\.daily'"):
        book.check([define(app, "reports.daily")])


@pytest.mark.parametrize("enabled", [False, {"reports.*": False}])
def test_tasks_that_are_switched_off_clash_with_nothing(enabled: Any, app: Celery) -> None:
    book = LimitBook(Settings(enabled=enabled, rules={"*": "9/m"}))

    assert book.check([define(app, base=TokenBucketTask)]) == []


def test_patterns_that_match_no_task_are_warned_about_and_near_ones_named(app: Celery) -> None:
    rules = {"reprots.daily": 5, "reports.*": 5, "x*": 5}
    book = LimitBook(Settings(rules=rules, enabled={"maill": False, "*": True}))

    near, far, switch = book.check([define(app), define(app, "mail")])

    told = "matches no task of this worker"
    assert near == f"the pattern 'reprots.daily' of ratekit_rules {told}; {meant('reports.daily')}"
    assert far == f"the pattern 'x*' of ratekit_rules {told}"
    assert switch == f"the pattern 'maill' of ratekit_enabled {told}; {meant('mail')}"


def meant(name: str) -> str:
    return f"did you mean {name!r}?"


def test_nothing_is_looked_at_where_all_is_switched_off(app: Celery) -> None:
    assert LimitBook(Settings(enabled=False, rules={"x": 5})).check([define(app)]) == []


# -- the book of an app ---------------------------------------------------------------------------


def test_a_task_is_looked_at_once(app: Celery) -> None:
    book = LimitBook(Settings())
    task = define(app)

    assert book.plan(task) is book.plan(task)
    assert book.plan(task) is not book.plan(define(app, "other"))


def test_an_app_has_one_book_that_follows_its_settings(app: Celery) -> None:
    app.conf.ratekit_rules = {"reports.*": "100/m"}
    book = runtime_of(app).book

    assert book is runtime_of(app).book
    assert book.plan(define(app)).is_limited
    assert not book.plan(define(app, "mail")).is_limited


def test_all_tasks_that_celery_brings_along_can_be_checked(app: Celery) -> None:
    define(app)
    book = LimitBook(Settings(rules={"*": "100/m"}))

    assert book.check(app.tasks.values()) == []
    assert not book.plan(app.tasks["celery.chord_unlock"]).is_limited


def test_a_rule_reaches_celerys_own_tasks_only_where_it_names_them(app: Celery) -> None:
    book = LimitBook(Settings(rules={"celery.chord_*": "100/m"}))

    assert book.plan(app.tasks["celery.chord_unlock"]).is_limited
    assert not book.plan(app.tasks["celery.group"]).is_limited
