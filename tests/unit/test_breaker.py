"""A circuit opens at the first failure, is probed one at a time, and tells each change once."""

from __future__ import annotations

import logging

import pytest

from celery_ratekit.limiter.breaker import (
    FIRST_PAUSE_SECONDS,
    LONGEST_PAUSE_SECONDS,
    CircuitBreaker,
    Degradation,
)

ERROR = RuntimeError("no answer")


class Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


class Watched:
    """A circuit with a clock of the test's own, and what it told."""

    def __init__(self) -> None:
        self.told: list[tuple[bool, BaseException | None]] = []
        self.clock = Clock()
        self.degradation = Degradation(lambda *change: self.told.append(change))
        self.breaker = self.another()

    @property
    def is_open(self) -> bool:
        return not self.breaker.is_closed

    def another(self) -> CircuitBreaker:
        return CircuitBreaker(self.degradation, clock=self.clock)

    def fail_a_probe(self) -> None:
        self.clock.now += self.breaker.wait_seconds
        assert self.breaker.begin_probe()
        self.breaker.end_probe(ERROR)


@pytest.fixture
def watched() -> Watched:
    return Watched()


def test_it_is_closed_until_something_fails(watched: Watched) -> None:
    assert watched.breaker.is_closed
    assert watched.breaker.wait_seconds == 0

    watched.breaker.failed(ERROR)

    assert watched.is_open
    assert watched.told == [(True, ERROR)]


def test_no_probe_is_made_before_the_pause_has_passed(watched: Watched) -> None:
    watched.breaker.failed(ERROR)

    watched.clock.now += FIRST_PAUSE_SECONDS - 0.001
    assert not watched.breaker.begin_probe()
    watched.clock.now += 0.002
    assert watched.breaker.begin_probe()


def test_one_probe_is_made_at_a_time_however_long_it_takes(watched: Watched) -> None:
    watched.breaker.failed(ERROR)
    watched.clock.now += FIRST_PAUSE_SECONDS
    assert watched.breaker.begin_probe()

    watched.clock.now += 1_000
    assert not watched.breaker.begin_probe()
    watched.breaker.end_probe(ERROR)
    watched.clock.now += LONGEST_PAUSE_SECONDS
    assert watched.breaker.begin_probe()


def test_each_failed_probe_doubles_the_pause_up_to_the_longest(watched: Watched) -> None:
    watched.breaker.failed(ERROR)
    pauses = [watched.breaker.wait_seconds]
    for _ in range(7):
        watched.fail_a_probe()
        pauses.append(watched.breaker.wait_seconds)

    assert pauses == pytest.approx([0.1, 0.2, 0.4, 0.8, 1.6, 2, 2, 2])


def test_questions_that_were_under_way_when_it_opened_do_not_lengthen_the_pause(
    watched: Watched,
) -> None:
    for _ in range(8):
        watched.breaker.failed(ERROR)

    assert watched.breaker.wait_seconds == pytest.approx(FIRST_PAUSE_SECONDS)
    assert len(watched.told) == 1


def test_a_probe_that_succeeds_closes_it(watched: Watched) -> None:
    watched.breaker.failed(ERROR)
    watched.fail_a_probe()
    watched.clock.now += LONGEST_PAUSE_SECONDS
    assert watched.breaker.begin_probe()

    watched.breaker.succeeded()
    watched.breaker.end_probe()

    assert watched.breaker.is_closed
    assert watched.told == [(True, ERROR), (False, None)]
    watched.breaker.failed(ERROR)
    assert watched.breaker.wait_seconds == pytest.approx(FIRST_PAUSE_SECONDS)


def test_a_probe_without_result_lets_another_be_made_after_the_same_pause(
    watched: Watched,
) -> None:
    watched.breaker.failed(ERROR)
    watched.clock.now += FIRST_PAUSE_SECONDS
    assert watched.breaker.begin_probe()

    watched.breaker.end_probe()

    assert not watched.breaker.is_closed
    assert watched.breaker.wait_seconds == pytest.approx(FIRST_PAUSE_SECONDS)


def test_several_circuits_tell_when_the_first_opens_and_when_the_last_closes(
    watched: Watched,
) -> None:
    first, second = watched.breaker, watched.another()

    first.failed(ERROR)
    second.failed(ERROR)
    first.succeeded()
    assert [degraded for degraded, _ in watched.told] == [True]
    second.succeeded()

    assert [degraded for degraded, _ in watched.told] == [True, False]


def test_a_retired_circuit_stays_closed(watched: Watched) -> None:
    watched.breaker.failed(ERROR)

    watched.breaker.retire()
    watched.breaker.failed(ERROR)

    assert watched.breaker.is_closed
    assert [degraded for degraded, _ in watched.told] == [True, False]


def test_an_observer_that_fails_is_logged_and_changes_nothing(
    caplog: pytest.LogCaptureFixture,
) -> None:
    def observer(degraded: bool, error: BaseException | None) -> None:
        raise ValueError("broken observer")

    breaker = CircuitBreaker(Degradation(observer))
    with caplog.at_level(logging.ERROR):
        breaker.failed(ERROR)

    assert not breaker.is_closed
    assert "broken observer" in caplog.text


def test_an_observer_may_change_the_state_itself() -> None:
    told: list[bool] = []

    def observer(degraded: bool, error: BaseException | None) -> None:
        told.append(degraded)
        if degraded:
            breaker.succeeded()

    breaker = CircuitBreaker(Degradation(observer))
    breaker.failed(ERROR)

    assert told == [True, False]


def test_a_forked_child_does_not_wait_for_its_parents_probe(watched: Watched) -> None:
    watched.breaker.failed(ERROR)
    watched.clock.now += FIRST_PAUSE_SECONDS
    assert watched.breaker.begin_probe()
    watched.breaker._lock.acquire()
    watched.degradation._lock.acquire()

    watched.breaker.forget()
    watched.degradation.forget()

    assert watched.breaker.begin_probe()
