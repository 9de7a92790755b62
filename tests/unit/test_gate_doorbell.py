"""Other threads ring, and the worker's loop answers."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import pytest
from kombu.asynchronous import Hub

from celery_ratekit.worker.doorbell import Doorbell


class House:
    """A consumer with kombu's real loop, and a bell that notes which thread answers."""

    def __init__(self, hub: Any) -> None:
        self.hub = hub
        self.answers: list[int] = []
        consumer = SimpleNamespace(hub=hub, pool=SimpleNamespace(is_green=False))
        self.bell = Doorbell(consumer, lambda: self.answers.append(threading.get_ident()))

    def ring_elsewhere(self) -> int:
        """Rings in a thread; its number."""
        thread = threading.Thread(target=self.bell.ring)
        thread.start()
        number = thread.ident
        thread.join()
        assert number is not None
        return number

    def run_until_answered(self) -> None:
        for _ in range(100):  # Each waits for a second at the most.
            self.hub.run_once()
            if self.answers:
                return


@pytest.fixture
def house() -> Iterator[House]:
    house = House(Hub())
    house.bell.hang(house.hub)
    yield house
    house.bell.close()
    house.hub.close()


def test_the_loop_answers_in_its_own_thread(house: House) -> None:
    house.ring_elsewhere()
    house.run_until_answered()
    assert house.answers == [threading.get_ident()]


def test_many_rings_are_answered_together(house: House) -> None:
    for _ in range(100_000):  # More than its socket holds.
        house.bell.ring()
    house.run_until_answered()
    assert 1 <= len(house.answers) < 100


def test_it_is_heard_again_after_a_lost_connection(house: House) -> None:
    house.hub.reset()
    house.hub._loop = None
    house.bell.hang(house.hub)
    house.ring_elsewhere()
    house.run_until_answered()
    assert len(house.answers) == 1


def test_who_rings_when_the_worker_has_ended_is_not_heard(house: House) -> None:
    house.bell.close()
    house.ring_elsewhere()
    assert house.answers == []


def test_without_a_loop_whoever_rings_does_the_work_itself() -> None:
    house = House(None)
    assert house.answers == []
    number = house.ring_elsewhere()
    assert house.answers == [number]
