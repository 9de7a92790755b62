"""Headers that name a throttled queue come from strangers; records come from other releases."""

from __future__ import annotations

from typing import Any

import pytest
from celery.exceptions import Reject

from celery_ratekit.errors import BadOptionError, StateVersionError
from celery_ratekit.queues import QueuePlace, QueueRecord, place_of
from celery_ratekit.tasks.queue_ends import COMPLETED, FAILED, _counter_of

PLACE = QueuePlace("throttle", "stripe")


def record(rate: str = "10/60s", **options: Any) -> QueueRecord:
    fields = {"target": "t", "is_active": True, "is_auto_named": False, "created_us": 5}
    return QueueRecord(PLACE, rate, **{**fields, **options})


def test_a_header_names_a_queue() -> None:
    assert place_of(PLACE.header) == PLACE


@pytest.mark.parametrize(
    "header",
    [
        None,
        "stripe",
        [],
        ["throttle"],
        ["throttle", "stripe", "10/s"],
        ["throttle", 5],
        ["throttle", ""],
        ["a/b", "c"],
        ["", "c"],
        ["throttle", "x" * 201],
        ["throttle", "a\x1b[31m"],
        {"throttle": "stripe"},
        [["throttle"], "stripe"],
    ],
)
def test_any_other_header_is_refused_without_repeating_it_whole(header: object) -> None:
    with pytest.raises(BadOptionError) as error:
        place_of(header)
    assert len(str(error.value)) < 400


def test_no_two_queues_share_a_limit() -> None:
    places = [QueuePlace("a", "b/c"), QueuePlace("a.b", "c"), QueuePlace("a", "b"), PLACE]
    assert len({place.limit_name for place in places}) == len(places)


def test_a_record_reads_back_as_it_was() -> None:
    one = record("100/1h:20", is_active=False, is_auto_named=True, lowered_us=7)
    assert QueueRecord.read(PLACE, one.packed()) == one
    assert str(one.parsed_rate) == "100/1h:20"


def test_a_record_of_a_newer_release_is_refused() -> None:
    with pytest.raises(StateVersionError, match="update this process"):
        QueueRecord.read(PLACE, b'[2, "1/s"]')


@pytest.mark.parametrize(("rate", "burst"), [("10/60s", 1), ("10/60s:5", 5), ("100/1h", 1)])
def test_without_a_burst_starts_are_spaced_evenly(rate: str, burst: int) -> None:
    limit = record(rate).limit
    assert limit.burst == burst
    assert limit.name == "throttle/stripe"


def test_a_deactivated_queue_lets_nothing_start_and_keeps_its_burst() -> None:
    limit = record("10/60s:5", is_active=False).limit
    assert limit.is_paused
    assert limit.burst == 5


@pytest.mark.parametrize(
    ("state", "retval", "counter"),
    [
        ("SUCCESS", 1, COMPLETED),
        ("IGNORED", None, COMPLETED),
        ("FAILURE", ValueError(), FAILED),
        ("RETRY", None, ""),
        ("REJECTED", Reject("no", requeue=False), FAILED),
        ("REJECTED", Reject("again", requeue=True), ""),
        (None, None, ""),
    ],
)
def test_what_comes_again_is_not_over(state: Any, retval: Any, counter: str) -> None:
    assert _counter_of(state, retval) == counter
