"""The arithmetic of each of the doctor's checks."""

from __future__ import annotations

from dataclasses import replace

import pytest

from celery_ratekit import FixedWindow, TokenBucket
from celery_ratekit.cli.checks import (
    bursts,
    embedded_server,
    eviction,
    gates,
    persistence,
    prefetching,
    redis_answers,
    releases,
    setting_names,
    time_outs,
)
from celery_ratekit.cli.checks.all_checks import CHECKS, findings
from celery_ratekit.cli.checks.facts import BrokerFacts, Facts, RedisFacts, WorkerFacts
from celery_ratekit.cli.monitoring.seen import WorkerSeen

GOOD_REDIS = RedisFacts(
    [0.2], "7.0.15", True, "everysec", False, 0, "noeviction", "/etc/redis.conf"
)
GOOD = Facts(redis=GOOD_REDIS, broker=BrokerFacts("redis", is_same_redis=True))
ON, OFF = WorkerSeen("on"), WorkerSeen("off")


def levels(found: object) -> list[str]:
    return [one.level for one in found]  # type: ignore[attr-defined]


def with_redis(**changes: object) -> Facts:
    return replace(GOOD, redis=replace(GOOD_REDIS, **changes))  # type: ignore[arg-type]


def test_where_all_is_well_every_check_says_so_once() -> None:
    found = list(findings(GOOD))

    assert [name for name, _ in found] == list(CHECKS)
    assert {one.level for _, one in found} == {"ok"}
    assert not any(one.advice for _, one in found)


def test_checks_without_redis_say_only_that_it_is_away() -> None:
    facts = Facts(redis_error="connection refused", broker=BrokerFacts("amqp"))
    found = {name: one for name, one in findings(facts) if one.level == "error"}

    assert list(found) == ["redis"]
    assert "connection refused" in found["redis"].text


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"version": "6.2.0"}, ["ok"]),
        ({"version": "6.0.9"}, ["ok", "error"]),
        ({"version": "255.255.255"}, ["ok"]),
        ({"version": "unstable"}, ["ok"]),
        ({"pings_ms": [0.1, 0.2, 900.0]}, ["ok"]),  # One slow answer is not yet slow.
        ({"pings_ms": [5.0]}, ["ok"]),
        ({"pings_ms": [5.1]}, ["ok", "warning"]),
        ({"pings_ms": [250.0]}, ["ok", "warning"]),
        ({"pings_ms": [250.1]}, ["ok", "error"]),  # Half of the time-out of 500 ms.
    ],
)
def test_redis_has_to_be_new_and_near(changes: dict[str, object], expected: list[str]) -> None:
    assert levels(redis_answers.check(with_redis(**changes))) == expected


@pytest.mark.parametrize(
    ("append", "fsync", "snapshots", "backlog", "same", "expected"),
    [
        (True, "everysec", False, True, False, "ok"),
        (True, "no", False, True, False, "warning"),
        (True, "no", False, False, False, "ok"),
        (None, None, None, True, False, "warning"),
        (False, None, True, False, False, "warning"),
        (False, None, True, True, False, "error"),  # The broker would have kept them.
        (False, None, True, True, True, "warning"),
        (False, None, False, True, True, "warning"),
    ],
)
def test_persistence_is_held_against_what_the_broker_survives(  # noqa: PLR0917 - a row of the table
    append: bool | None,
    fsync: str | None,
    snapshots: bool | None,
    backlog: bool,
    same: bool,
    expected: str,
) -> None:
    redis = replace(GOOD_REDIS, has_append_file=append, fsync=fsync, has_save_points=snapshots)
    broker = BrokerFacts("redis" if same else "amqp", is_same_redis=same)
    facts = Facts(redis=redis, broker=broker, uses_backlog=backlog)

    assert levels(persistence.check(facts)) == [expected]


@pytest.mark.parametrize(
    ("policy", "max_memory", "expected"),
    [
        ("noeviction", 100, "ok"),
        ("allkeys-lru", 100, "error"),
        ("volatile-ttl", 100, "error"),
        ("allkeys-lru", 0, "ok"),  # Without a bound nothing is evicted.
        (None, None, "warning"),
    ],
)
def test_redis_must_not_evict(policy: str | None, max_memory: int | None, expected: str) -> None:
    facts = with_redis(eviction=policy, max_memory=max_memory)

    assert levels(eviction.check(facts)) == [expected]


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("/tmp/ratekit-4tp4gdu5/redis.conf", "warning"),
        ("/etc/redis/redis.conf", "ok"),
        ("/srv/ratekit-data/conf/redis.conf", "ok"),
        ("", "ok"),
    ],
)
def test_an_embedded_server_is_known_by_its_directory(path: str, expected: str) -> None:
    assert levels(embedded_server.check(with_redis(config_file=path))) == [expected]


@pytest.mark.parametrize(
    ("kind", "visibility", "held", "expected"),
    [
        ("redis", None, 600.0, "ok"),  # 3,600 s
        ("redis", None, 1_800.0, "ok"),
        ("redis", None, 1_801.0, "warning"),
        ("redis", None, 3_600.0, "error"),
        ("redis", 900.0, 600.0, "warning"),
        ("redis", 600.0, 600.0, "error"),
        ("amqp", None, 600.0, "ok"),  # 1,800 s
        ("amqp", None, 1_000.0, "warning"),
        ("amqp", 10.0, 600.0, "ok"),  # Not a setting of RabbitMQ's.
        ("memory", None, 86_400.0, "ok"),
    ],
)
def test_holds_stay_below_the_brokers_time_out(
    kind: str, visibility: float | None, held: float, expected: str
) -> None:
    broker = BrokerFacts(kind, visibility_timeout=visibility)
    facts = replace(GOOD, broker=broker, max_reschedule_seconds=held)

    assert levels(time_outs.check(facts)) == [expected]


def test_a_window_that_is_full_of_held_tasks_is_named() -> None:
    full = WorkerFacts(WorkerSeen("on", held={"a": 5, "b": 3}), prefetch=8)
    facts = replace(GOOD, workers={"w1": full, "w2": replace(full, prefetch=9)})
    found = list(prefetching.check(facts))

    assert levels(found) == ["warning"]
    assert found[0].text.startswith("w1 holds")
    assert levels(prefetching.check(replace(facts, holds=False))) == ["ok"]
    assert levels(prefetching.check(replace(GOOD, prefetch_multiplier=0))) == ["warning"]


@pytest.mark.parametrize(
    ("rate", "burst", "seconds", "is_large"),
    [
        ("25/s", 100, 4, False),
        ("1/s", 600, 600, False),
        ("1/s", 601, 601, True),
        ("1000/h", 1_000, 3_600, False),  # One period.
        ("1/h", 11, 39_600, True),
        ("0", 100, 0, False),
        ("unlimited", 100, 0, False),
    ],
)
def test_a_bucket_much_larger_than_its_rate_is_named(
    rate: str, burst: float, seconds: float, is_large: bool
) -> None:
    limit = TokenBucket("calls", rate, burst)
    found = list(bursts.check(replace(GOOD, limits=[limit, FixedWindow("w", "1000/d")])))

    assert bursts.refill_seconds(limit) == pytest.approx(seconds)
    assert levels(found) == ["warning" if is_large else "ok"]


@pytest.mark.parametrize(
    ("workers", "waiting", "expected"),
    [
        ({"w": (ON, "mail")}, {"mail": 3}, ["ok"]),
        ({"w": (ON, "celery")}, {"mail": 3}, ["error"]),
        ({"w": (OFF, "mail")}, {"mail": 3}, ["error", "warning"]),
        ({"w": (ON, "mail"), "v": (OFF, "mail")}, {"mail": 3}, ["warning"]),
        ({}, {"mail": 3}, ["error"]),
        ({}, {"mail": 0}, ["ok"]),
    ],
)
def test_what_waits_needs_a_worker_with_the_gate_that_consumes_its_queue(
    workers: dict[str, tuple[WorkerSeen, str]], waiting: dict[str, int], expected: list[str]
) -> None:
    known = {name: WorkerFacts(seen, frozenset([one])) for name, (seen, one) in workers.items()}
    facts = replace(GOOD, limits=[TokenBucket("a", 1)], workers=known, waiting=waiting)

    assert levels(gates.check(facts)) == expected


def test_rates_of_two_releases_are_named() -> None:
    found = list(releases.check(replace(GOOD, disagreements={"charge": ("5/s", "10/s")})))

    assert levels(found) == ["warning"]
    assert "5/s, 10/s for 'charge'" in found[0].text


@pytest.mark.parametrize(
    ("name", "level", "advice"),
    [
        ("ratekit_overflow", "ok", ""),
        ("CELERY_RATEKIT_OVERFLOW", "ok", ""),
        ("broker_url", "ok", ""),
        ("ratekit_overflw", "error", "did you mean 'ratekit_overflow'?"),
        ("CELERY_RATEKIT_OVERFLW", "error", "did you mean 'ratekit_overflow'?"),
        ("ratekit_xyz", "error", "see the settings page, or remove it"),
        ("rate_kit_overflow", "warning", "did you mean 'ratekit_overflow'?"),
        ("ratekitoverflow", "warning", "did you mean 'ratekit_overflow'?"),
    ],
)
def test_misspelt_settings_are_named_with_what_is_near(name: str, level: str, advice: str) -> None:
    (found,) = setting_names.check([name])

    assert (found.level, found.advice) == (level, advice)


def test_an_impossible_value_is_told_with_what_the_settings_said_of_it() -> None:
    (found,) = setting_names.check(["ratekit_mode"], "expected enforce or shadow")

    assert (found.level, found.text) == ("error", "expected enforce or shadow")
