"""The metrics of what Redis knows, from plain values, and how often they are read."""

from __future__ import annotations

import logging
import math

import pytest
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.parser import text_string_to_metric_families

from celery_ratekit import Concurrency, TokenBucket
from celery_ratekit.backlog.values import Sizes
from celery_ratekit.errors import LimiterUnavailableError
from celery_ratekit.limiter.decision import LimitState
from celery_ratekit.limits import Limit
from celery_ratekit.metrics import labels
from celery_ratekit.metrics.collector import KEPT_SECONDS, StateCollector
from celery_ratekit.metrics.labels import Names
from celery_ratekit.metrics.state import LimitNow, State

Samples = dict[tuple[str, ...], float]

STRIPE = TokenBucket("stripe", "120/m", burst=10)


@pytest.fixture(autouse=True)
def own_names(monkeypatch: pytest.MonkeyPatch) -> None:
    """Labels are the process', and a test's names must not depend on others'."""
    for kind in ("tasks", "limits", "queues"):
        monkeypatch.setattr(labels, kind, Names())


class Reader:
    """Gives a state, or raises, and counts how often it is asked."""

    def __init__(self, state: State | Exception) -> None:
        self.state = state
        self.reads = 0

    def read(self) -> State:
        self.reads += 1
        if isinstance(self.state, Exception):
            raise self.state
        return self.state


def told(state: State | Exception, most: int = 200) -> dict[str, Samples]:
    """What a scrape shows: values by the names of metrics and their labels', by these' names."""
    return shown(StateCollector(Reader(state).read, most))


def shown(collector: StateCollector) -> dict[str, Samples]:
    registry = CollectorRegistry()
    registry.register(collector)
    found: dict[str, Samples] = {}
    for family in text_string_to_metric_families(generate_latest(registry).decode()):
        for sample in family.samples:
            name = sample.name.removeprefix("celery_ratekit_")
            found.setdefault(name, {})[tuple(sample.labels.values())] = sample.value
    return found


def state_of(limit: Limit, available: float = 3.0, frozen: float = 0.0) -> LimitState:
    return LimitState(limit, available, limit.capacity, 0.0, frozen, "")


def test_sizes_are_told_by_queue_task_and_limit() -> None:
    sizes = Sizes(7, 2, 3, {"mail": 4, "sms": 3}, {"stripe": 7}, 12.5)

    found = told(State(queues={"celery": sizes}))

    assert found["up"] == {(): 1}
    assert found["backlog_size"] == {("celery", "mail"): 4, ("celery", "sms"): 3}
    assert found["backlog_limit_size"] == {("stripe", "celery"): 7}
    assert found["backlog_claimed"] == {("celery",): 2}
    assert found["backlog_oldest_age_seconds"] == {("celery",): 12.5}


def test_names_beyond_what_is_allowed_are_told_together() -> None:
    queues = {f"q{number}": Sizes(1, 1, 1, {"mail": 1}, {}, float(number)) for number in range(5)}

    found = told(State(queues=queues), most=2)

    assert found["backlog_size"] == {("q0", "mail"): 1, ("q1", "mail"): 1, ("other", "mail"): 3}
    assert found["backlog_claimed"]["other",] == 3
    assert found["backlog_oldest_age_seconds"]["other",] == 4


def test_a_limit_is_told_as_it_is_and_as_it_was_declared() -> None:
    now = LimitNow(STRIPE, STRIPE.with_rate("60/m"), state_of(STRIPE, 3, 7.5))

    found = told(State(limits=[now]))

    assert found["rate_per_second"] == {("stripe",): 1}
    assert found["declared_rate_per_second"] == {("stripe",): 2}
    assert found["tokens_available"] == {("stripe",): 3}
    assert found["capacity"] == {("stripe",): 10}
    assert found["frozen_seconds"] == {("stripe",): 7.5}
    assert found["paused"] == found["disabled"] == {("stripe",): 0}


def test_a_paused_limit_has_no_rate_and_one_that_is_switched_off_an_endless_one() -> None:
    paused = LimitNow(STRIPE, STRIPE, state_of(STRIPE), is_paused=True)
    off = LimitNow(TokenBucket("off", "1/s"), TokenBucket("off", "1/s"), None, is_disabled=True)

    found = told(State(limits=[paused, off]))

    assert found["rate_per_second"] == {("stripe",): 0, ("off",): math.inf}
    assert found["paused"] == {("stripe",): 1, ("off",): 0}
    assert found["disabled"] == {("stripe",): 0, ("off",): 1}
    assert ("off",) not in found["tokens_available"]


def test_places_have_no_rate() -> None:
    places = Concurrency("places", 5)

    found = told(State(limits=[LimitNow(places, places, state_of(places, 2))]))

    assert "rate_per_second" not in found
    assert found["capacity"] == {("places",): 5}


def test_limits_beyond_what_is_allowed_are_left_out() -> None:
    limits = [TokenBucket(f"limit {number}", "1/s") for number in range(4)]

    found = told(State(limits=[LimitNow(one, one, state_of(one)) for one in limits]), most=2)

    assert found["capacity"].keys() == {("limit 0",), ("limit 1",)}


@pytest.mark.parametrize("error", [LimiterUnavailableError("away"), RuntimeError("a mistake")])
def test_what_cannot_be_read_is_told_as_such_and_nothing_else(
    error: Exception, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING):
        found = told(error)

    assert found == {"up": {(): 0}}
    assert str(error) in caplog.text


def test_it_is_read_once_for_all_scrapes_of_some_seconds() -> None:
    now, reader = [0.0], Reader(State(queues={"celery": Sizes(1, 0, 1, {"mail": 1})}))
    collector = StateCollector(reader.read, 200, clock=lambda: now[0])

    first = shown(collector)
    now[0] = KEPT_SECONDS - 0.01
    assert shown(collector) == first
    assert reader.reads == 1

    reader.state = State()
    now[0] = KEPT_SECONDS
    assert "backlog_size" not in shown(collector)
    assert reader.reads == 2
