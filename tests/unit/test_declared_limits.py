"""What a worker says that its limits are."""

from __future__ import annotations

import json
from typing import Any

from celery import Celery
from celery.schedules import crontab

from celery_ratekit import (
    Concurrency,
    DynamicRateLimitTask,
    FixedWindow,
    Limit,
    PerUserRateLimitTask,
    RateLimitedTask,
    ScheduledBucket,
    SlidingWindow,
    TokenBucket,
)
from celery_ratekit.limiter.overrides.declared import packed_declarations, read_declaration
from celery_ratekit.settings import settings_of
from celery_ratekit.tasks.limit_book import LimitBook


def app_with(**conf: Any) -> Celery:
    app = Celery("shop", broker="memory://", set_as_current=False)
    app.conf.update(conf)

    def named(user_id: str) -> None:
        """A task."""

    app.task(name="charge", shared=False, base=DynamicRateLimitTask, default_rate_limit="5/s")(
        named
    )
    app.task(name="search", shared=False, base=PerUserRateLimitTask)(named)
    unnamed = [TokenBucket(rate="1/s"), Concurrency("db", 3)]
    app.task(name="own", shared=False, base=RateLimitedTask, limits=unnamed)(named)
    app.task(name="reports.daily", shared=False)(named)
    app.task(name="free", shared=False)(named)
    return app


def test_classes_rules_and_named_limits_are_declared_each_once() -> None:
    app = app_with(
        ratekit_rules={"reports.*": "60/m", "own": Concurrency("db", 3)},
        ratekit_limits={"partner": "9/s"},
    )

    found = LimitBook(settings_of(app)).declared(app)

    assert {(type(limit).__name__, limit.name) for limit in found} == {
        ("TokenBucket", "charge"),
        ("FixedWindow", "search"),
        ("TokenBucket", "own"),
        ("Concurrency", "db"),
        ("TokenBucket", "reports.daily"),
        ("TokenBucket", "partner"),
    }
    assert len(found) == 6


def test_what_is_switched_off_is_not_declared() -> None:
    app = app_with(ratekit_enabled={"own": False, "charge": False})

    names = {limit.name for limit in LimitBook(settings_of(app)).declared(app)}

    assert names == {"search"}


def test_a_declaration_is_read_as_it_was_meant() -> None:
    limits: list[Limit] = [
        TokenBucket("a", "10/m", burst=5, key="ann"),
        TokenBucket("a", "10/m", burst=5, key="bob", cost=2),
        TokenBucket("b", "unlimited"),
        FixedWindow("c", "10/m"),
        SlidingWindow("d", 5),
        Concurrency("e", 4),
        ScheduledBucket("f", crontab(), 5),
        TokenBucket("g" * 201, 1),
    ]

    found = [read_declaration(one, 7.0) for one in packed_declarations(limits)]

    assert [one and (one.kind, one.name, one.rate, one.until_us) for one in found] == [
        ("t", "a", "10/m:5", 7.0),
        ("t", "b", "unlimited", 7.0),
        ("f", "c", "10/m", 7.0),
        ("s", "d", "5/s", 7.0),
        ("p", "e", "4", 7.0),
    ]
    assert found[0] is not None
    assert found[0].limit == TokenBucket("a", "10/m:5", burst=5)


def test_what_others_declare_may_be_anything() -> None:
    for junk in ([], ["t"], ["t", 5, "1/s"], ["x", "a", "1/s"], ["t", "a", "fast"], {"a": 1}, 7):
        assert read_declaration(json.dumps(junk).encode(), 7.0) is None
    assert read_declaration(b"\xff\x00", 7.0) is None
