"""A process tells of refusals at once, of successes once a second, at the ceiling of nothing."""

from __future__ import annotations

import logging
from dataclasses import dataclass, field
from typing import Any

import pytest

from celery_ratekit.adaptive.law import Bounds
from celery_ratekit.adaptive.learning import Answer, Learner
from celery_ratekit.errors import LimiterUnavailableError, RatekitError

FROM_THE_CEILING = Bounds(100.0, 1.0, 100.0)
FROM_BELOW = Bounds(50.0, 1.0, 100.0)


@dataclass
class Notes:
    """What was told, in place of Redis."""

    view: float | None = None
    told: list[Any] = field(default_factory=list)
    rate: float = 95.0
    error: RatekitError | None = None

    def seen(self, name: str) -> float | None:
        return self.view

    def succeeded(self, name: str, bounds: Bounds, count: int) -> Answer:
        return self.note(count)

    def throttled(
        self, name: str, bounds: Bounds, granted_us: int | None, freeze_seconds: float
    ) -> Answer:
        return self.note((name, granted_us, freeze_seconds))

    def note(self, what: Any) -> Answer:
        if self.error is not None:
            raise self.error
        self.told.append(what)
        return Answer(self.rate, 0.0)


@dataclass
class Seconds:
    now: float = 1_000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def notes() -> Notes:
    return Notes()


@pytest.fixture
def clock() -> Seconds:
    return Seconds()


@pytest.fixture
def learner(notes: Notes, clock: Seconds) -> Learner:
    return Learner(notes, clock)


def succeed(learner: Learner, count: int, bounds: Bounds = FROM_THE_CEILING) -> None:
    for _ in range(count):
        learner.succeeded("partner", bounds)


def test_below_the_ceiling_successes_are_told_together_once_a_second(
    learner: Learner, notes: Notes, clock: Seconds
) -> None:
    notes.view = 95.0
    succeed(learner, 20)
    clock.now += 0.999
    succeed(learner, 30)
    clock.now += 0.001
    succeed(learner, 1)

    assert notes.told == [1, 50]


def test_at_the_ceiling_from_which_it_starts_nothing_is_told(
    learner: Learner, notes: Notes, clock: Seconds
) -> None:
    for _ in range(10):
        clock.now += 10_000
        succeed(learner, 10)

    assert notes.told == []


def test_what_was_met_at_the_ceiling_does_not_count_later(
    learner: Learner, notes: Notes, clock: Seconds
) -> None:
    succeed(learner, 1_000)

    notes.view = 95.0
    succeed(learner, 1)

    assert notes.told == [1]


def test_at_a_ceiling_above_the_start_the_fleet_is_reminded_once_an_hour(
    learner: Learner, notes: Notes, clock: Seconds
) -> None:
    notes.view = notes.rate = 100.0
    for _ in range(2 * 3_600):
        clock.now += 1
        succeed(learner, 1, FROM_BELOW)

    assert len(notes.told) == 2


def test_below_a_ceiling_that_was_never_reached_successes_are_told(
    learner: Learner, notes: Notes
) -> None:
    succeed(learner, 1, FROM_BELOW)

    assert notes.told == [1]


def test_a_refusal_is_told_at_once_and_its_answer_is_known_before_the_next_look(
    learner: Learner, notes: Notes, clock: Seconds
) -> None:
    learner.throttled("partner", FROM_THE_CEILING, 123, 7.0)
    learner.throttled("partner", FROM_THE_CEILING, None, 1.0)
    assert notes.told == [("partner", 123, 7.0), ("partner", None, 1.0)]

    succeed(learner, 1)  # The process still sees no other rate than the ceiling.

    assert notes.told[2:] == [1]


def test_an_old_answer_gives_way_to_what_the_process_sees(
    learner: Learner, notes: Notes, clock: Seconds
) -> None:
    learner.throttled("partner", FROM_THE_CEILING, 123, 1.0)

    clock.now += 10
    succeed(learner, 5)

    assert len(notes.told) == 1


def test_limits_are_counted_apart(learner: Learner, notes: Notes) -> None:
    notes.view = 50.0
    learner.succeeded("one", FROM_THE_CEILING)
    learner.succeeded("two", FROM_THE_CEILING)

    assert notes.told == [1, 1]


def test_no_task_fails_because_redis_is_away_and_it_is_said_once(
    learner: Learner, notes: Notes, clock: Seconds, caplog: pytest.LogCaptureFixture
) -> None:
    notes.view = 50.0
    notes.error = LimiterUnavailableError("no answer")
    with caplog.at_level(logging.WARNING, "celery_ratekit"):
        for _ in range(5):
            clock.now += 1
            succeed(learner, 1)
            learner.throttled("partner", FROM_THE_CEILING, 123, 1.0)
    assert [record.message for record in caplog.records] == [
        "rate limits: adaptive rates are not learned: no answer"
    ]

    notes.error = None
    clock.now += 1
    succeed(learner, 1)

    assert notes.told == [1]
