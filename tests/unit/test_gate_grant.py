"""A grant counts only with the key of its own worker, and says what the gate has said."""

from __future__ import annotations

import json
import pickle
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import pytest
from celery import Celery, Task

from celery_ratekit import RateLimitedTask
from celery_ratekit.limiter import Decision
from celery_ratekit.limits import Concurrency, TokenBucket
from celery_ratekit.tasks import grant as grants
from celery_ratekit.tasks.grant import GRANT_HEADER, KEY_VARIABLE, Grant, make_key, take_grant
from celery_ratekit.worker.gate.requests import forget
from celery_ratekit.worker.gate.running import Running

LIMITS = (TokenBucket("stripe", "5/s", burst=9, cost=2), Concurrency("lines", 3))
DECISION = Decision(True, LIMITS, start_us=1_000_100, asked_us=1_000_000, holder="me")


@pytest.fixture(autouse=True)
def key(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """The key of a worker that has just begun."""
    monkeypatch.delenv(KEY_VARIABLE, raising=False)
    monkeypatch.setattr(grants, "_keys", {})
    monkeypatch.setenv(KEY_VARIABLE, "")  # so that monkeypatch takes away what is set here
    monkeypatch.delenv(KEY_VARIABLE)
    yield make_key()
    monkeypatch.delenv(KEY_VARIABLE, raising=False)


def headers_with(grant: Grant) -> dict[str, Any]:
    headers: dict[str, Any] = {"other": 1}
    grant.put_into(headers)
    return headers


def test_a_grant_survives_its_way_to_the_pool_and_is_taken_once() -> None:
    headers = pickle.loads(pickle.dumps(headers_with(Grant.of(DECISION, 12.5))))

    taken = take_grant(headers)

    assert taken is not None
    assert taken[:-1] == (12.5, 1_000_100, 1_000_000, "me", False, (2, 1))
    assert headers == {"other": 1}
    assert take_grant(headers) is None


def test_limits_that_were_lifted_at_run_time_are_not_taken_for_charged() -> None:
    lifted = Decision(True, LIMITS[1:], start_us=1_000_100, asked_us=1_000_000, holder="me")
    taken = take_grant(headers_with(Grant.of(lifted, 12.5)))
    assert taken is not None

    decision = taken.decision(LIMITS)

    assert decision is not None
    assert decision.limits == (LIMITS[1],)


def test_a_decision_is_the_same_again_on_the_other_side() -> None:
    taken = take_grant(headers_with(Grant.of(DECISION, 12.5)))
    assert taken is not None

    decision = taken.decision(
        [TokenBucket("stripe", "5/s", burst=9, cost=7), Concurrency("lines", 3)]
    )

    assert decision is not None
    assert decision.limits == LIMITS  # with the costs that were charged
    assert (decision.start_us, decision.asked_us, decision.holder) == (1_000_100, 1_000_000, "me")
    assert not decision.degraded


def test_limits_that_charge_nothing_are_left_out_as_the_limiter_does() -> None:
    taken = Grant.of(DECISION, 12.5)
    free = TokenBucket("free", "5/s", cost=0)
    unlimited = TokenBucket("any", "unlimited")

    decision = taken.decision([free, LIMITS[0], unlimited, LIMITS[1]])

    assert decision is not None
    assert decision.limits == LIMITS


def test_a_grant_whose_limits_only_count_has_no_decision() -> None:
    taken = take_grant(headers_with(Grant(12.5)))

    assert taken is not None
    assert taken.decision(LIMITS) is None


def test_what_was_decided_without_redis_says_so() -> None:
    degraded = Decision(True, LIMITS, degraded=True)

    decision = Grant.of(degraded, 0.0).decision(LIMITS)

    assert decision is not None
    assert decision.degraded


GOOD = tuple(Grant(12.5))
FORGED: list[Any] = [
    None,
    True,
    0,
    12.5,
    "",
    "text",
    b"bytes",
    {},
    [],
    (),
    GOOD,
    ("", *GOOD),
    ("wrong", *GOOD),
    (None, *GOOD),
    (b"key", *GOOD),
    (1, *GOOD),
    (["key"], *GOOD),
    ("\udcff" * 22, *GOOD),  # no character that could be encoded
    ("ä" * 10, *GOOD),
    {"0": "key"},
]


@pytest.mark.parametrize("value", FORGED)
def test_what_a_stranger_puts_there_counts_for_nothing_and_is_taken_away(value: Any) -> None:
    headers = {GRANT_HEADER: value}

    assert take_grant(headers) is None
    assert headers == {}


@pytest.mark.parametrize("change", [lambda key, rest: (key, *rest[:-1]), lambda key, rest: (key,)])
def test_the_right_key_with_the_wrong_shape_counts_for_nothing(change: Any, key: str) -> None:
    assert take_grant({GRANT_HEADER: change(key, GOOD)}) is None
    assert take_grant({GRANT_HEADER: (*change(key, GOOD), *GOOD, *GOOD)}) is None


@pytest.mark.parametrize("similar", [lambda key: key[:-1], lambda key: key + "a", str.swapcase])
def test_a_key_that_is_nearly_right_is_wrong(similar: Any, key: str) -> None:
    assert take_grant({GRANT_HEADER: (similar(key), *GOOD)}) is None


@pytest.mark.parametrize("headers", [None, "text", [GRANT_HEADER], 1])
def test_headers_that_are_none_hold_no_grant(headers: Any) -> None:
    assert take_grant(headers) is None


def test_a_grant_counts_for_nothing_where_no_gate_has_begun(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    headers = headers_with(Grant(12.5))
    monkeypatch.setattr(grants, "_keys", {})
    monkeypatch.delenv(KEY_VARIABLE)

    assert take_grant(headers) is None


def test_a_grant_of_another_worker_counts_for_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    headers = headers_with(Grant(12.5))
    monkeypatch.setattr(grants, "_keys", {})
    monkeypatch.delenv(KEY_VARIABLE)
    make_key()

    assert take_grant(headers) is None


def test_a_child_that_was_spawned_knows_the_key() -> None:
    program = (
        "import json, sys; from celery_ratekit.tasks.grant import take_grant, GRANT_HEADER;"
        "print(take_grant({GRANT_HEADER: json.loads(sys.argv[1])}).due)"
    )
    value = json.dumps(headers_with(Grant(12.5))[GRANT_HEADER])

    child = subprocess.run(
        [sys.executable, "-c", program, value], check=True, capture_output=True, text=True
    )

    assert child.stdout.strip() == "12.5"


def _body() -> None:
    pass


class Received:
    """A request as far as handing it on concerns it."""

    def __init__(self, task: Any) -> None:
        self.id, self.task, self.request_dict = "an id", task, dict[str, Any]()


@pytest.mark.parametrize("base", [Task, RateLimitedTask])
def test_only_tasks_that_ask_for_their_start_are_told_the_workers_key(base: type[Task]) -> None:
    app = Celery("tests", broker="memory://", set_as_current=False)
    request = Received(app.task(name="told", base=base, shared=False, lazy=False)(_body))

    Running.let_pass(request, 1.0)

    assert (GRANT_HEADER in request.request_dict) is (base is RateLimitedTask)
    forget(request)
    app.close()
