"""What a pool knows of its tasks once the connection is lost, in each release of Celery."""

from __future__ import annotations

from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import celery
import pytest
from celery.concurrency.prefork import TaskPool as PreforkPool
from celery.concurrency.solo import TaskPool as SoloPool
from celery.worker import state

from celery_ratekit.worker.gate.pool_memory import CompletePoolMemory, ShortPoolMemory, memory_of


class Job:
    """What stands for a running task in billiard's books."""

    def __init__(self, number: int) -> None:
        self._job = number
        self.is_ready = False

    def ready(self) -> bool:
        return self.is_ready


class Request:
    """With a reference to its job, as Celery's own has one; a weak one there."""

    def __init__(self, job: Job | None) -> None:
        self._apply_result = None if job is None else lambda: job


@pytest.fixture(autouse=True)
def books() -> Iterator[None]:
    state.reset_state()
    yield
    state.reset_state()


@pytest.fixture
def pool() -> Any:
    return SimpleNamespace(_pool=SimpleNamespace(_cache={}))


@pytest.mark.parametrize(
    ("version", "kind"),
    [
        ((5, 5, 3), ShortPoolMemory),
        ((5, 6, 0), CompletePoolMemory),
        ((5, 7, 0), CompletePoolMemory),
    ],
)
def test_prefork_needs_help_before_celery_56(
    monkeypatch: pytest.MonkeyPatch, version: tuple[int, ...], kind: type
) -> None:
    monkeypatch.setattr(celery, "VERSION", version)

    assert type(memory_of(PreforkPool(1))) is kind
    assert type(memory_of(SoloPool(1))) is CompletePoolMemory


def test_only_a_started_prefork_pool_drops_what_has_not_begun() -> None:
    pool = SoloPool(1)
    assert not CompletePoolMemory(pool).drops_unbegun

    assert CompletePoolMemory(SimpleNamespace(flush=lambda: None)).drops_unbegun


def test_what_still_runs_is_heard_of_again(pool: Any) -> None:
    memory = ShortPoolMemory(pool)
    jobs = [Job(number) for number in range(4)]
    running, ended, ready, unbegun = (Request(job) for job in jobs)
    for request in (running, ended, ready, unbegun):
        memory.keep(request)
    state.active_requests.update([running, ended, ready])
    memory.end(ended)
    jobs[2].is_ready = True

    memory.restore()

    assert pool._pool._cache == {0: jobs[0]}


def test_the_pools_own_books_come_first(pool: Any) -> None:
    memory = ShortPoolMemory(pool)
    request = Request(Job(1))
    memory.keep(request)
    state.active_requests.add(request)
    known = pool._pool._cache[1] = Job(1)

    memory.restore()
    memory.restore()

    assert pool._pool._cache == {1: known}


def test_a_pool_that_was_stopped_has_nothing_to_remember() -> None:
    memory = ShortPoolMemory(SimpleNamespace(_pool=None))
    memory.keep(Request(Job(1)))

    memory.restore()


def test_a_task_that_the_pool_did_not_take_is_not_remembered(pool: Any) -> None:
    memory = ShortPoolMemory(pool)
    memory.keep(Request(None))

    memory.restore()

    assert pool._pool._cache == {}
