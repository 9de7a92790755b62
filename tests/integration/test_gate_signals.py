"""What the gate tells of starts, hits and what is parked, by a clock that the test sets."""

from __future__ import annotations

import pytest
from support.backloghouse import Open, open_house, queue, store, unsteady
from support.clocked import redis_server_client
from support.gatehouses import Build, build, clock, limiter, tests_app
from support.heard import Told, heard

from celery_ratekit.limiter import Limiter
from celery_ratekit.limits import TokenBucket

__all__ = [
    "build",
    "clock",
    "limiter",
    "open_house",
    "queue",
    "redis_server_client",
    "store",
    "tests_app",
    "unsteady",
]

pytestmark = pytest.mark.redis

TEN = TokenBucket("ten", "10/s", burst=1)
HOURLY = TokenBucket("hourly", "1/h", burst=1)


def of(told: list[Told], signal: str) -> list[Told]:
    return [one for one in told if one.signal == signal]


def test_each_start_is_told_with_its_limits_its_wait_and_its_lateness(build: Build) -> None:
    house = build()
    with heard() as told:
        sent = [house.receive(TEN).id for _ in range(3)]
        house.advance(0.35)

    starts = of(told, "rate_limit_admitted")
    assert [one.fields["task_id"] for one in starts] == sent
    assert {one.sender.name for one in starts} == {"limited"}
    assert all(one.fields["limits"] == (TEN,) for one in starts)
    assert all(one.fields["mode"] == "enforce" for one in starts)
    waits = [one.fields["wait_seconds"] for one in starts]
    assert waits == pytest.approx([0, 0.1, 0.2], abs=0.002)
    assert all(0 <= one.fields["lateness_seconds"] < 0.002 for one in starts)
    hits = of(told, "rate_limit_hit")
    assert [one.fields["task_id"] for one in hits] == sent[1:]
    assert all((one.fields["limit"], one.fields["mode"]) == (TEN, "enforce") for one in hits)


def test_a_start_that_the_loop_came_too_late_for_is_told_as_late(build: Build) -> None:
    house = build()
    sent = [house.receive(TEN).id for _ in range(2)]
    house.settle()

    with heard() as told:
        house.block(0.15)  # The second was due after 0.1 s.
        house.advance(0)

    [start] = of(told, "rate_limit_admitted")
    assert start.fields["task_id"] == sent[1]
    assert start.fields["wait_seconds"] == pytest.approx(0.15, abs=0.002)
    assert start.fields["lateness_seconds"] == pytest.approx(0.05, abs=0.002)


def test_a_task_that_waits_for_the_pool_is_late_for_nothing(build: Build) -> None:
    house = build(slots=1)
    for _ in range(2):
        house.receive(TokenBucket("wide", "1000/s:100"))
    house.settle()

    with heard() as told:
        house.advance(5)
        house.end_all()

    [start] = of(told, "rate_limit_admitted")
    assert start.fields["wait_seconds"] == pytest.approx(5, abs=0.002)
    assert start.fields["lateness_seconds"] < 0.02


def test_limits_that_only_count_are_told_in_their_mode(build: Build) -> None:
    house = build()
    with heard() as told:
        house.receive(shadow=[HOURLY])
        house.receive(shadow=[HOURLY])
        house.settle()

    starts = of(told, "rate_limit_admitted")
    assert [(one.fields["mode"], one.fields["limits"]) for one in starts] == [
        ("shadow", (HOURLY,)),
        ("shadow", (HOURLY,)),
    ]
    [hit] = of(told, "rate_limit_hit")
    assert (hit.fields["mode"], hit.fields["limit"]) == ("shadow", HOURLY)


def test_tasks_without_a_limit_tell_nothing(build: Build) -> None:
    house = build()
    with heard() as told:
        house.receive_plain()
        house.settle()

    assert told == []


def test_a_start_that_no_limit_decided_says_so(build: Build) -> None:
    away = Limiter("redis://127.0.0.1:1", timeout_seconds=0.2, on_failure="allow")
    house = build(limiter=away)
    with heard() as told:
        house.receive(TEN)
        house.settle()

    [start] = of(told, "rate_limit_admitted")
    assert (start.fields["mode"], start.fields["limits"]) == ("degraded", ())


def test_the_wait_of_a_pulled_task_began_when_it_was_parked(open_house: Open) -> None:
    house = open_house()
    house.run_seconds = 0.01
    with heard() as told:
        sent = [house.come(TokenBucket("slow", "1/10s", burst=1)) for _ in range(3)]
        house.advance(21)

    starts = of(told, "rate_limit_admitted")
    assert [one.fields["task_id"] for one in starts] == sent
    waits = [one.fields["wait_seconds"] for one in starts]
    assert waits == pytest.approx([0, 10, 20], abs=0.3)
    parked = of(told, "rate_limit_parked")
    assert {one.fields["task_id"] for one in parked} == set(sent[1:])
    assert [one.fields["task_id"] for one in of(told, "rate_limit_hit")] == sent[1:]
