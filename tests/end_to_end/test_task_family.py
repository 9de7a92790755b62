"""Every task class in real workers, and what bodies do about the limits of their calls."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from celery import Celery
from end_to_end.apps.family import MODULE, sender
from support.given import journal, label
from support.journal import Journal, granted, most_beyond
from support.workers import Setup, workers

from celery_ratekit import Limiter, SlidingWindow, TokenBucket
from celery_ratekit.embedded import EmbeddedRedis
from celery_ratekit.errors import BadLimitError, BadOptionError, RateLimitedTooOftenError

__all__ = ["journal", "label"]

pytestmark = [pytest.mark.redis, pytest.mark.workers]

TOLERANCE_SECONDS = 0.05
"""How long may pass between the answer of the limiter and the first line of the body."""


@pytest.fixture(scope="module")
def setup(redis_executable: str) -> Iterator[Setup]:
    """Two workers of two processes on a Redis of their own."""
    with EmbeddedRedis(executable=redis_executable) as server:
        setup = Setup(
            broker=server.celery_url,
            backend=server.celery_url_for(1),
            journal=server.url_for(2),
            conf={"ratekit_limits": {"partner": "5/s"}},
            module=MODULE,
        )
        with workers(setup, 2, "--concurrency", "2"):
            yield setup


@pytest.fixture(scope="module")
def app(setup: Setup) -> Iterator[Celery]:
    with sender(setup) as app:
        yield app


@pytest.fixture
def limiter(app: Celery) -> Limiter:
    limiter: Limiter = app.tasks["refused"].ratekit.limiter
    return limiter


# -- limits ---------------------------------------------------------------------------------------


def test_each_user_has_a_window_of_their_own(app: Celery, journal: Journal, label: str) -> None:
    users = [f"{name}{label}" for name in ["ann"] * 7 + ["bob"] * 3]
    for user in users:
        app.tasks["request"].delay(user, label)

    starts = journal.wait_for_starts(label, len(users))

    of_ann = sorted(s["at"] - s["lateness"] for s in starts if s["user"] == users[0])
    assert len(of_ann) == 7
    assert of_ann[3] - of_ann[0] >= 2 - TOLERANCE_SECONDS
    assert of_ann[6] - of_ann[3] >= 2 - TOLERANCE_SECONDS
    of_bob = [start["id"] for start in starts if start["user"] == users[-1]]
    assert journal.throttles(of_bob) == [0, 0, 0]


def test_a_body_gets_what_its_start_was_charged_for_this_user_once(app: Celery, label: str) -> None:
    ask = app.tasks["ask_in_body"]
    ann, bob = f"ann{label}", f"bob{label}"

    # Two an hour: the start takes one of Ann's, her second question another.
    assert ask.delay(ann, [ann, ann, ann]).get(timeout=10) == [True, True, False]
    # Nothing was charged for Bob, whoever the call was for.
    assert ask.delay(f"eve{label}", [bob, bob, bob]).get(timeout=10) == [True, True, False]


def test_where_no_argument_names_the_user_each_question_is_charged(app: Celery, label: str) -> None:
    assert app.tasks["left_to_body"].delay(label).get(timeout=10) == [True, True, False]


def test_composed_limits_hold_at_once(app: Celery, journal: Journal, label: str) -> None:
    users = [f"{name}{label}" for name in ["ann"] * 8 + ["bob"] * 8]
    for user in users:
        app.tasks["composed"].delay(user, label)

    starts = journal.wait_for_starts(label, len(users))

    assert most_beyond(granted(starts), 20) <= 1 + 20 * TOLERANCE_SECONDS
    assert max(start["running"] for start in starts) <= 2
    for user in set(users):
        moments = sorted(s["at"] - s["lateness"] for s in starts if s["user"] == user)
        assert len(moments) == 8
        assert moments[4] - moments[0] >= 2 - TOLERANCE_SECONDS


def test_a_dynamic_task_keeps_to_its_default_rate(
    app: Celery, journal: Journal, label: str
) -> None:
    for _ in range(8):
        app.tasks["dynamic"].delay(label)

    starts = journal.wait_for_starts(label, 8)

    assert most_beyond(granted(starts), 10) <= 1 + 10 * TOLERANCE_SECONDS


def test_in_shadow_mode_every_task_runs_and_no_body_is_stopped(
    app: Celery, journal: Journal, label: str
) -> None:
    sent = [app.tasks["only_measured"].delay("ann", label) for _ in range(4)]

    assert [result.get(timeout=10) for result in sent] == [[True] * 3] * 4
    assert journal.throttles(result.id for result in sent) == [0] * 4


def test_a_caller_may_choose_limits_by_name(app: Celery, journal: Journal, label: str) -> None:
    chosen = app.tasks["chosen"]
    for _ in range(3):
        chosen.apply_async((label,), limits=["partner"])
        chosen.s(label).set(limits=["partner"]).apply_async()

    starts = journal.wait_for_starts(label, 6)

    assert most_beyond(granted(starts), 5) <= 1 + 5 * TOLERANCE_SECONDS
    with pytest.raises(BadOptionError, match="'partner'"):
        chosen.apply_async((label,), limits=["partnr"]).get(timeout=10)


# -- a service that refuses -----------------------------------------------------------------------


def test_a_refused_call_freezes_its_limit_and_runs_again_without_spending_a_retry(
    app: Celery, journal: Journal, label: str
) -> None:
    first = app.tasks["refused"].delay(label, 1, 0.6)
    journal.wait_for_starts(label, 1)
    journal.wait_for_throttles(label, 1)
    other = app.tasks["refused"].delay(label, 0)

    assert first.get(timeout=10) in (2, 3)
    assert other.get(timeout=10) in (2, 3)
    starts = journal.wait_for_starts(label, 3)
    assert sorted(start["id"] for start in starts[1:]) == sorted([first.id, other.id])
    assert min(start["at"] for start in starts[1:]) - starts[0]["at"] >= 0.6
    assert {start["retries"] for start in starts} == {0}
    assert {header for start in starts for header in start["headers"]} == set()
    (reason,) = journal.reasons(first.id)
    assert reason.startswith("rate limit 'service' of the called service")


def test_only_the_key_that_was_refused_is_frozen(app: Celery, journal: Journal, label: str) -> None:
    app.tasks["refused"].delay(label, 1, 30)
    journal.wait_for_throttles(label, 1)

    assert app.tasks["refused"].delay(f"other {label}", 0).get(timeout=10) == 1


def test_after_too_many_refusals_in_a_row_the_task_fails(
    app: Celery, journal: Journal, label: str
) -> None:
    result = app.tasks["refused"].delay(label, 10, "0.1")

    with pytest.raises(RateLimitedTooOftenError, match=r"'refused' met .* 3 times in a row"):
        result.get(timeout=10)
    assert len(journal.starts(label)) == 3
    assert journal.throttles([result.id]) == [2]


def test_a_real_retry_begins_to_count_anew_and_spends_a_retry(
    app: Celery, journal: Journal, label: str
) -> None:
    result = app.tasks["refused_then_fails"].delay(label)

    with pytest.raises(KeyError):
        result.get(timeout=10)

    starts = journal.wait_for_starts(label, 4)
    assert [start["retries"] for start in starts] == [0, 0, 1, 1]
    assert {start["id"] for start in starts} == {result.id}
    assert {header for start in starts for header in start["headers"]} == set()


def test_a_limit_is_frozen_by_its_name_where_there_are_several(
    app: Celery, journal: Journal, label: str
) -> None:
    result = app.tasks["refused_by_one"].delay(label, "other service")

    result.get(timeout=10)

    first, second = journal.wait_for_starts(label, 2)
    assert second["at"] - first["at"] >= 0.3
    assert "'other service'" in journal.reasons(result.id)[0]


def test_which_of_several_limits_is_meant_has_to_be_said(app: Celery, label: str) -> None:
    result = app.tasks["refused_by_one"].delay(label)

    with pytest.raises(BadLimitError, match=r"'one service' .*'other service'"):
        result.get(timeout=10)


def test_a_forged_count_of_refusals_is_taken_as_far_as_it_is_a_number(
    app: Celery, journal: Journal, label: str
) -> None:
    for number, junk in enumerate(["x", None, [1], {"a": 1}, -7]):
        result = app.tasks["refused"].apply_async(
            (f"{label}{number}", 1, 0.1),
            headers={"ratekit_rate_limited": junk, "ratekit_run": junk},
        )
        assert result.get(timeout=10) == 2


# -- what a call really took ----------------------------------------------------------------------


def test_a_refund_gives_back_all_that_the_start_was_charged_once(
    app: Celery, journal: Journal, label: str
) -> None:
    for _ in range(3):  # one an hour
        refunded = app.tasks["takes_nothing"].delay(label)
        assert refunded.get(timeout=10) == [True, False]

    assert len(journal.starts(label)) == 3


TAKEN: list[tuple[list[Any], dict[str, float]]] = [
    # What is settled, and what is left of 100 tokens, 100 words and 50 calls.
    ([[50, "tokens"]], {"tokens": 50, "words": 100, "calls": 49}),
    ([[5, "tokens"]], {"tokens": 95, "words": 100, "calls": 49}),
    ([[0, "tokens"]], {"tokens": 100, "words": 100, "calls": 49}),
    ([[30, "tokens"], [60, "tokens"], [10, "tokens"]], {"tokens": 90, "words": 100, "calls": 49}),
    ([[70, "words"]], {"tokens": 80, "words": 30, "calls": 49}),
    ([[70, "words"], [20, "words"]], {"tokens": 80, "words": 80, "calls": 49}),
    ([[3, "calls"]], {"tokens": 80, "words": 100, "calls": 47}),
    ([[150, "tokens"]], {"tokens": -50, "words": 100, "calls": 49}),
]


@pytest.mark.parametrize(("settlements", "left"), TAKEN)
def test_the_last_settlement_is_what_counts(
    settlements: list[Any], left: dict[str, float], app: Celery, label: str, limiter: Limiter
) -> None:
    done = app.tasks["takes_tokens"].delay(label, settlements).get(timeout=10)

    assert done == [True] * len(settlements)
    states = limiter.inspect(
        [
            TokenBucket("tokens", "1/h", 100, key=label),
            TokenBucket("words", "1/h", 100, key=label),
            SlidingWindow("calls", "50/h", key=label),
        ]
    )
    assert {state.limit.name: round(state.available, 1) for state in states} == left


def test_a_refund_after_a_settlement_gives_back_what_was_settled(
    app: Celery, label: str, limiter: Limiter
) -> None:
    settlements = [[70, "tokens"], [40, "words"], [None, None], [None, None]]

    done = app.tasks["takes_tokens"].delay(label, settlements).get(timeout=10)

    assert done == [True, True, True, False]
    for name in ("tokens", "words"):
        (state,) = limiter.inspect(TokenBucket(name, "1/h", 100, key=label))
        assert state.available == pytest.approx(100, abs=0.1)


@pytest.mark.parametrize(
    ("settlement", "message"),
    [
        ([5, None], "limit=.*'tokens' .*'calls'"),
        ([5, "token"], "got 'token'; did you mean 'tokens'"),
        ([-5, "tokens"], "finite cost of 0 or more"),
        ([1.5, "calls"], "whole number as cost of the limit 'calls'"),
    ],
)
def test_a_settlement_that_is_unclear_is_an_error(
    settlement: list[Any], message: str, app: Celery, label: str
) -> None:
    with pytest.raises(BadLimitError, match=message):
        app.tasks["takes_tokens"].delay(label, [settlement]).get(timeout=10)
