"""What a dispatcher has in hand, and what of it is due."""

from __future__ import annotations

import math

from celery_ratekit.backlog import Claim
from celery_ratekit.limiter import Decision
from celery_ratekit.limits import TokenBucket
from celery_ratekit.queues import QueuePlace
from celery_ratekit.throttle.dispatch.promises import Hand, Promise
from celery_ratekit.worker.backlog.parcel import Parcel


def promise(name: bytes, at: float) -> Promise:
    limit = TokenBucket("throttle/q", "1/s")
    claim = Claim("t", "task", name, b"", b"", 0, is_again=False, is_last=False)
    parcel = Parcel(b"", None, None, {}, {}, "", "")
    place = QueuePlace("throttle", "q")
    return Promise(at, 0.0, claim, parcel, place, limit, Decision(True, (limit,)))


def names(promises: list[Promise]) -> list[bytes]:
    return [one.claim.entry_id for one in promises]


def test_nothing_is_due_before_its_moment_and_all_is_at_it() -> None:
    hand = Hand()
    hand.add([promise(b"b", 2.0), promise(b"a", 1.0)])
    assert (hand.next_at, hand.pop_due(0.999, 9)) == (1.0, [])
    assert names(hand.pop_due(1.0, 9)) == [b"a"]
    assert (hand.next_at, len(hand)) == (2.0, 1)


def test_what_is_late_is_still_due_however_late_it_is() -> None:
    hand = Hand()
    hand.add([promise(b"a", 1.0)])
    assert names(hand.pop_due(1_000.0, 9)) == [b"a"]
    assert hand.next_at == math.inf


def test_promises_of_one_moment_go_in_the_order_in_which_they_came() -> None:
    hand = Hand()
    hand.add([promise(bytes([number]), 1.0) for number in range(20)])
    assert names(hand.pop_due(1.0, 5)) == [bytes([number]) for number in range(5)]
    assert hand.entries() != []
    assert names(hand.pop_all()) == [bytes([number]) for number in range(5, 20)]
