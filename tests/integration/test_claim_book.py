"""The book of claims: what is over is written down once, however often that fails before."""

from __future__ import annotations

from collections.abc import Sequence
from types import SimpleNamespace
from typing import Any

import pytest
from kombu.message import Message
from support.backloghouse import clock, queue, store, unsteady
from support.unsteady import Unsteady

from celery_ratekit.backlog import Backlog, Claim, Group, Parking, Return
from celery_ratekit.backlog.scripts import FINISH, GIVE_BACK
from celery_ratekit.limits import TokenBucket
from celery_ratekit.worker.backlog.parcel import pack
from celery_ratekit.worker.backlog.pulled import ClaimBook

__all__ = ["clock", "queue", "store", "unsteady"]

pytestmark = pytest.mark.redis

LIMIT = TokenBucket("ten", "10/s", burst=1)
WORKER = "worker"


def claim_some(store: Backlog, queue: str, count: int) -> Sequence[Claim]:
    packed = pack(Message(b"[]", content_type="application/json", headers={}))
    group = Group(queue, "task", (LIMIT,))
    store.park(
        [
            Parking(group, f"task {number}", b"12345678", False, 0, packed, LIMIT, 0.0)
            for number in range(count)
        ]
    )
    return store.claim(queue, WORKER, ["task"], count).claims


class Changes:
    """How often the book had something to write."""

    count = 0

    def __call__(self) -> None:
        self.count += 1


@pytest.fixture
def changes() -> Changes:
    return Changes()


@pytest.fixture
def book(store: Backlog, changes: Changes) -> ClaimBook:
    return ClaimBook(store, WORKER, changes)


def sizes(store: Backlog, queue: str) -> tuple[int, int]:
    of_queue = store.sizes(queue)
    return of_queue.waiting, of_queue.claimed


def test_what_is_acknowledged_is_forgotten(
    book: ClaimBook, store: Backlog, queue: str, changes: Changes
) -> None:
    tags = [book.add(claim) for claim in claim_some(store, queue, 3)]

    book.channel.basic_ack(tags[0])
    book.channel.basic_reject(tags[1])
    assert (changes.count, book.has_to_write) == (2, True)
    book.write()

    assert sizes(store, queue) == (0, 1)
    assert not book.has_to_write
    book.channel.basic_ack(tags[0])  # as Celery may, at a hard time limit
    assert (changes.count, book.has_to_write) == (2, False)


def test_what_is_put_back_waits_again_and_says_so(
    book: ClaimBook, store: Backlog, queue: str
) -> None:
    (claim,) = claim_some(store, queue, 1)
    assert not claim.is_again

    book.channel.basic_reject(book.add(claim), requeue=True)
    book.write()

    assert sizes(store, queue) == (1, 0)
    (again,) = store.claim(queue, WORKER, ["task"], 1).claims
    assert again.is_again


@pytest.mark.parametrize("refused", [FINISH, GIVE_BACK], ids=["finish", "give back"])
def test_what_could_not_be_written_is_written_the_next_time(
    book: ClaimBook, store: Backlog, queue: str, unsteady: Unsteady, refused: Any
) -> None:
    claims = claim_some(store, queue, 4)
    tags = [book.add(claim) for claim in claims]
    unsteady.refuses = {refused}
    book.channel.basic_ack(tags[0])
    book.channel.basic_reject(tags[1], requeue=True)

    book.write()
    had_to_write = book.has_to_write
    unsteady.refuses.clear()
    book.write()

    assert had_to_write
    assert not book.has_to_write
    assert sizes(store, queue) == (1, 2)


@pytest.mark.parametrize("lost", [FINISH, GIVE_BACK], ids=["finish", "give back"])
def test_a_lost_answer_harms_nobody(
    book: ClaimBook, store: Backlog, queue: str, unsteady: Unsteady, lost: Any
) -> None:
    tags = [book.add(claim) for claim in claim_some(store, queue, 2)]
    unsteady.loses = [lost]
    book.channel.basic_ack(tags[0])
    book.channel.basic_reject(tags[1], requeue=True)
    book.write()
    assert store.claim(queue, "another", ["task"], 9).claims or lost is FINISH

    book.write()

    assert not book.has_to_write
    assert sum(sizes(store, queue)) == 1


def test_it_knows_all_that_the_store_has_not_been_told_is_over(
    book: ClaimBook, store: Backlog, queue: str
) -> None:
    claims = claim_some(store, queue, 3)
    tags = [book.add(claim) for claim in claims]
    book.channel.basic_ack(tags[0])
    book.channel.basic_reject(tags[1], requeue=True)

    assert sorted(book.known(queue)) == sorted(claim.entry_id for claim in claims)
    assert book.known("another") == []


def test_a_claim_that_is_let_go_is_nobodys_here(
    book: ClaimBook, store: Backlog, queue: str
) -> None:
    (claim,) = claim_some(store, queue, 1)
    request = SimpleNamespace(message=SimpleNamespace(delivery_tag=book.add(claim)))
    assert book.claim_of(request) == claim

    assert book.let_go(request) == claim
    assert book.let_go(request) is None
    book.give_back([Return(claim, LIMIT, 5.0)])

    assert sizes(store, queue) == (1, 0)
    assert store.next_due([queue], ["task"]) > 4


def test_what_does_not_run_goes_back_when_the_connection_is_lost(
    book: ClaimBook, store: Backlog, queue: str
) -> None:
    for claim in claim_some(store, queue, 3):
        book.add(claim)

    book.give_back_unbegun()

    assert sizes(store, queue) == (3, 0)
    assert book.known(queue) == []
