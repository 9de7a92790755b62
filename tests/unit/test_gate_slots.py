"""The gate's own slots: never more in use than there are, first come first served, none lost."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator

import pytest
from celery.exceptions import TaskRevokedError
from celery.worker import state
from support.gatehouse import Controller, clean_state

from celery_ratekit.worker.gate.slots import OwnSlots, SemaphoreSlots, slots_of

TIMEOUT_SECONDS = 30.0


@pytest.fixture(autouse=True)
def books() -> Iterator[None]:
    with clean_state():
        yield


def own_slots(size: int) -> OwnSlots:
    return OwnSlots(Controller(size, with_semaphore=False))


def test_the_slots_suit_the_way_in_which_the_worker_starts_tasks() -> None:
    semaphore = slots_of(Controller(2, with_semaphore=True))
    own = slots_of(Controller(2, with_semaphore=False))

    assert isinstance(semaphore, SemaphoreSlots)
    assert isinstance(own, OwnSlots)
    assert (semaphore.watches_all, own.watches_all) == (False, True)


def test_there_are_as_many_as_the_pool_may_grow_to() -> None:
    controller = Controller(2, with_semaphore=True)
    assert slots_of(controller).size == 2

    controller.max_concurrency = 10

    assert slots_of(controller).size == 10


def test_waiters_are_served_in_the_order_of_coming() -> None:
    slots = own_slots(2)
    served: list[int] = []
    for number in range(6):
        slots.queue(lambda number=number: served.append(number))
    assert served == [0, 1]
    assert slots.idle == -4

    slots.ended()
    assert served == [0, 1, 2]
    for _ in range(3):
        slots.release()

    assert served == [0, 1, 2, 3, 4, 5]
    assert slots.idle == 0
    slots.ended()
    slots.ended()
    assert slots.idle == 2


def test_a_slot_that_is_given_back_at_once_goes_to_the_next() -> None:
    slots = own_slots(1)
    served: list[int] = []

    def decline(number: int) -> Callable[[], None]:
        def waiter() -> None:
            served.append(number)
            slots.release()

        return waiter

    for number in range(1000):  # would exceed the stack if each was served inside the last
        slots.queue(decline(number))

    assert served == list(range(1000))
    assert slots.idle == 1


def test_a_waiter_may_queue_again_inside() -> None:
    slots = own_slots(1)
    served: list[str] = []

    def waiter() -> None:
        served.append("first")
        slots.queue(lambda: served.append("second"))
        assert served == ["first"]
        slots.release()

    slots.queue(waiter)

    assert served == ["first", "second"]
    assert slots.idle == 0


def test_a_waiter_that_raises_keeps_nobody_else_from_a_slot() -> None:
    slots = own_slots(2)
    served: list[int] = []

    def fail() -> None:
        raise KeyError

    with pytest.raises(KeyError):
        slots.queue(fail)
    slots.queue(lambda: served.append(1))

    assert served == [1]


def test_more_ends_than_starts_make_no_more_slots() -> None:
    slots = own_slots(2)

    for _ in range(5):
        slots.ended()

    assert slots.idle == 2


def test_a_pool_that_grew_serves_those_who_wait_at_the_next_end() -> None:
    controller = Controller(1, with_semaphore=False)
    slots = OwnSlots(controller)
    served: list[int] = []
    for number in range(4):
        slots.queue(lambda number=number: served.append(number))
    controller.pool.num_processes = 3

    slots.ended()

    assert served == [0, 1, 2, 3]


def test_clearing_forgets_who_waits_and_counts_only_what_runs() -> None:
    class Running:
        id = "runs on"

    slots = own_slots(3)
    served: list[int] = []
    for number in range(6):
        slots.queue(lambda number=number: served.append(number))
    running = Running()
    state.active_requests.add(running)

    slots.clear()

    assert slots.idle == 2
    slots.ended()
    assert served == [0, 1, 2]
    assert slots.idle == 3


class Pool:
    """Counts what runs in slots, under threads."""

    def __init__(self, size: int) -> None:
        self.slots = own_slots(size)
        self.served = 0
        self.most = 0
        self._running = 0
        self._lock = threading.Lock()

    def start(self) -> None:
        with self._lock:
            self.served += 1
            self._running += 1
            self.most = max(self.most, self._running)

    def end_one(self) -> bool:
        with self._lock:
            if not self._running:
                return False
            self._running -= 1
        self.slots.ended()
        return True

    def work(self, number: int) -> None:
        for _ in range(number):
            self.slots.queue(self.start)
            self.end_one()


def test_under_threads_never_more_are_used_than_there_are_and_all_are_served() -> None:
    pool = Pool(3)
    threads = [threading.Thread(target=pool.work, args=(300,), daemon=True) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(TIMEOUT_SECONDS)
        assert not thread.is_alive()
    while pool.end_one():
        pass

    assert pool.served == 8 * 300
    assert pool.most <= 3
    assert pool.slots.idle == 3


class Refused:
    """A request that the pool does not take."""

    id = "refused"

    def __init__(self, error: Exception) -> None:
        self._error = error

    def execute_using_pool(self, pool: object) -> None:
        raise self._error


def test_a_semaphores_slot_comes_back_where_the_pool_does_not_take_the_task() -> None:
    controller = Controller(1, with_semaphore=True)
    slots = SemaphoreSlots(controller)

    def waiter() -> None:
        slots.run(Refused(RuntimeError()))

    with pytest.raises(RuntimeError):
        slots.queue(waiter)

    assert controller.semaphore.value == 1


def test_a_semaphores_slot_comes_back_once_where_the_task_was_revoked() -> None:
    controller = Controller(2, with_semaphore=True)
    slots = SemaphoreSlots(controller)
    slots.queue(lambda: None)

    slots.queue(lambda: slots.run(Refused(TaskRevokedError("refused"))))

    assert controller.semaphore.value == 1
