"""The book of kept places: what is due when, by a clock that the test reads out."""

from __future__ import annotations

import math

import pytest

from celery_ratekit.limiter.decision import Decision
from celery_ratekit.limiter.lease_book import LeaseBook, leases_of
from celery_ratekit.limits import Concurrency, TokenBucket

NOW = 1_000.0


def place(holder: str, lease_seconds: float = 20, *more: float) -> Decision:
    limits = [
        Concurrency(f"place {number}", 5, lease_seconds=lease)
        for number, lease in enumerate((lease_seconds, *more))
    ]
    return Decision(True, tuple(limits), holder=holder)


@pytest.fixture
def book() -> LeaseBook:
    return LeaseBook()


def test_nothing_is_due_where_nothing_is_kept(book: LeaseBook) -> None:
    assert book.is_empty
    assert book.round_at == math.inf


def test_a_lease_is_extended_four_times_while_it_lasts(book: LeaseBook) -> None:
    one = place("one", 20)
    book.keep(one, NOW)
    assert book.round_at == NOW + 5
    assert book.begin_round(NOW + 5) == ([one], [])
    assert book.round_at == NOW + 10


def test_the_shortest_lease_sets_the_pace_for_all(book: LeaseBook) -> None:
    long, short, both = place("long", 60), place("short", 8), place("both", 60, 4)
    book.keep(long, NOW)
    book.keep(short, NOW + 1)
    assert book.round_at == NOW + 3
    book.keep(both, NOW + 1)
    assert book.round_at == NOW + 2
    assert book.begin_round(NOW + 2).kept == [long, short, both]
    assert book.round_at == NOW + 3
    book.drop(both)
    book.begin_round(NOW + 3)
    assert book.round_at == NOW + 5


def test_who_keeps_places_later_does_not_put_off_the_others(book: LeaseBook) -> None:
    for second in range(5):
        book.keep(place(f"holder {second}"), NOW + second)
    assert book.round_at == NOW + 5


def test_the_same_call_is_known_by_another_decision_about_it(book: LeaseBook) -> None:
    book.keep(place("one"), NOW)
    book.keep(place("one"), NOW)
    assert len(book.begin_round(NOW).kept) == 1
    book.drop(place("one"))
    assert book.is_empty


def test_a_failed_round_is_repeated_soon(book: LeaseBook) -> None:
    book.keep(place("one"), NOW)
    book.begin_round(NOW + 5)
    book.retry(NOW + 5.5)
    assert book.round_at == NOW + 6.5


def test_what_is_owed_is_tried_each_second_until_it_is_paid(book: LeaseBook) -> None:
    one = place("one")
    book.owe(one, NOW)
    assert book.begin_round(NOW + 1) == ([], [one])
    assert book.round_at == NOW + 2
    book.paid(one)
    assert book.begin_round(NOW + 2) == ([], [])
    assert book.is_empty
    assert book.round_at == math.inf


def test_what_is_owed_is_forgotten_when_its_longest_lease_is_over(book: LeaseBook) -> None:
    one = place("one", 20, 30)
    book.owe(one, NOW)
    assert book.begin_round(NOW + 29.9).owed == [one]
    assert book.begin_round(NOW + 30).owed == []
    assert book.is_empty


def test_a_loss_is_news_once_and_only_while_the_place_is_kept(book: LeaseBook) -> None:
    one = place("one")
    assert not book.is_newly_lost(one)
    book.keep(one, NOW)
    assert book.is_newly_lost(one)
    assert not book.is_newly_lost(one)
    # Its other places are still held, so it goes on being extended.
    assert book.begin_round(NOW).kept == [one]


def test_a_lease_too_short_to_keep_does_not_make_rounds_without_a_pause(book: LeaseBook) -> None:
    book.keep(place("one", 1e-6), NOW)
    assert book.begin_round(NOW).kept
    assert book.round_at >= NOW + 0.05
    book.retry(NOW)
    assert book.round_at >= NOW + 0.05


@pytest.mark.parametrize(
    "decision",
    [
        Decision(True, (TokenBucket("a", "1/s"),)),
        Decision(True, (Concurrency("a", 1),), degraded=True),
        Decision(False, (Concurrency("a", 1),), 1.0, None, "busy"),
        Decision(True, ()),
    ],
    ids=["no place", "without Redis", "denied", "no limit"],
)
def test_a_call_without_places_has_no_lease(decision: Decision) -> None:
    assert leases_of(decision) == []
