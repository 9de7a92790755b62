"""The gate's alarms ring at the last moment that was set, once, and never early."""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import pytest
from kombu.asynchronous.timer import Timer

from celery_ratekit.worker.gate.alarm import LoopAlarm, ThreadAlarm, alarm_for

TIMEOUT_SECONDS = 30.0
LATER_SECONDS = 3_600.0


class Rings:
    """When an alarm rang, and what it was told to do then."""

    def __init__(self) -> None:
        self.moments: list[float] = []
        self._heard: queue.Queue[float] = queue.Queue()

    def __call__(self) -> None:
        now = time.monotonic()
        self.moments.append(now)
        self._heard.put(now)

    def wait(self) -> float:
        return self._heard.get(timeout=TIMEOUT_SECONDS)


@pytest.fixture
def rings() -> Rings:
    return Rings()


# -- in the event loop ----------------------------------------------------------------------------


class Loop:
    """Kombu's timer, and an event loop that fires what is due."""

    def __init__(self) -> None:
        self.timer = Timer()

    def fire(self) -> None:
        for wait_seconds, entry in self.timer:
            if entry is None:
                assert wait_seconds is None or wait_seconds > 0
                return
            self.timer.apply_entry(entry)

    @property
    def pending(self) -> list[float]:
        return [eta for eta, _, entry in self.timer.queue if not entry.canceled]


@pytest.fixture
def loop() -> Loop:
    return Loop()


def test_in_the_loop_it_rings_once_when_its_moment_has_come(loop: Loop, rings: Rings) -> None:
    alarm = LoopAlarm(loop.timer, rings)

    alarm.set(time.monotonic())
    loop.fire()
    loop.fire()

    assert len(rings.moments) == 1


def test_in_the_loop_it_does_not_ring_before_its_moment(loop: Loop, rings: Rings) -> None:
    alarm = LoopAlarm(loop.timer, rings)
    moment = time.monotonic() + LATER_SECONDS

    alarm.set(moment)
    loop.fire()

    assert rings.moments == []
    assert loop.pending == [moment]


@pytest.mark.parametrize("offsets", [(2, 1), (1, 2), (1, 2, 1), (1, None, 1), (2, 2)])
def test_in_the_loop_only_the_last_moment_counts(
    loop: Loop, rings: Rings, offsets: tuple[float | None, ...]
) -> None:
    alarm = LoopAlarm(loop.timer, rings)
    begin = time.monotonic() + LATER_SECONDS

    for offset in offsets:
        alarm.set(None if offset is None else begin + offset)

    assert offsets[-1] is not None
    assert loop.pending == [begin + offsets[-1]]


@pytest.mark.parametrize("is_closed", [True, False])
def test_in_the_loop_it_never_rings_once_it_is_put_off(
    loop: Loop, rings: Rings, is_closed: bool
) -> None:
    alarm = LoopAlarm(loop.timer, rings)
    alarm.set(time.monotonic())

    if is_closed:
        alarm.close()
    else:
        alarm.set(None)
    loop.fire()

    assert rings.moments == []
    assert loop.pending == []


def test_in_the_loop_it_may_be_set_while_it_rings(loop: Loop, rings: Rings) -> None:
    left = 3

    def ring() -> None:
        nonlocal left
        rings()
        left -= 1
        alarm.set(time.monotonic() if left else None)

    alarm = LoopAlarm(loop.timer, ring)
    alarm.set(time.monotonic())
    for _ in range(5):
        loop.fire()

    assert len(rings.moments) == 3
    assert loop.pending == []


def test_in_the_loop_an_entry_that_fires_though_it_was_replaced_is_silent(
    loop: Loop, rings: Rings
) -> None:
    # Other timers' cancel may come too late for an entry that is about to be called.
    alarm = LoopAlarm(loop.timer, rings)
    alarm.set(time.monotonic())
    entry = loop.timer.queue[0].entry
    alarm.set(time.monotonic() + LATER_SECONDS)

    entry()

    assert rings.moments == []


def test_in_the_loop_it_can_be_set_again_after_the_timer_lost_all_its_entries(
    loop: Loop, rings: Rings
) -> None:
    # Celery 5.6 empties the loop's timer on each reconnect, while the gate is closed.
    alarm = LoopAlarm(loop.timer, rings)
    moment = time.monotonic()
    alarm.set(moment)
    loop.timer.clear()

    alarm.set(None)
    alarm.set(moment)
    loop.fire()

    assert len(rings.moments) == 1


# -- in a thread ----------------------------------------------------------------------------------


@pytest.fixture(name="alarm")
def thread_alarm(rings: Rings) -> Iterator[ThreadAlarm]:
    alarm = ThreadAlarm(rings)
    yield alarm
    alarm.close()


def test_in_a_thread_it_rings_at_its_moment_and_not_before(
    alarm: ThreadAlarm, rings: Rings
) -> None:
    moment = time.monotonic() + 0.02

    alarm.set(moment)

    assert rings.wait() >= moment


def test_in_a_thread_a_sooner_moment_replaces_a_later_one(alarm: ThreadAlarm, rings: Rings) -> None:
    alarm.set(time.monotonic() + LATER_SECONDS)
    alarm.set(time.monotonic() + 0.01)

    rings.wait()

    assert len(rings.moments) == 1


def test_in_a_thread_a_later_moment_replaces_a_sooner_one(alarm: ThreadAlarm, rings: Rings) -> None:
    alarm.set(time.monotonic() + 0.01)
    later = time.monotonic() + 0.05
    alarm.set(later)

    assert rings.wait() >= later
    assert len(rings.moments) == 1


def test_in_a_thread_it_may_be_put_off_and_set_again(alarm: ThreadAlarm, rings: Rings) -> None:
    for _ in range(20):
        alarm.set(time.monotonic() + LATER_SECONDS)
        alarm.set(None)
    moment = time.monotonic() + 0.01
    alarm.set(moment)

    assert rings.wait() >= moment


def test_in_a_thread_it_may_be_set_while_it_rings() -> None:
    done = threading.Event()
    left = 50

    def ring() -> None:
        nonlocal left
        left -= 1
        if left:
            alarm.set(time.monotonic())
        else:
            done.set()

    alarm = ThreadAlarm(ring)
    alarm.set(time.monotonic())

    assert done.wait(TIMEOUT_SECONDS)
    alarm.close()


def test_in_a_thread_no_moment_is_lost_that_another_thread_sets_while_it_rings(
    alarm: ThreadAlarm, rings: Rings
) -> None:
    for _ in range(200):
        alarm.set(time.monotonic())
        rings.wait()

    assert len(rings.moments) == 200


def test_in_a_thread_closing_ends_it(rings: Rings) -> None:
    before = set(threading.enumerate())
    alarm = ThreadAlarm(rings)
    alarm.set(time.monotonic() + LATER_SECONDS)
    (thread,) = set(threading.enumerate()) - before

    alarm.close()
    thread.join(TIMEOUT_SECONDS)
    alarm.set(time.monotonic())

    assert not thread.is_alive()
    assert rings.moments == []


def test_in_a_thread_nothing_runs_before_it_is_first_set(rings: Rings) -> None:
    before = set(threading.enumerate())

    ThreadAlarm(rings)

    assert set(threading.enumerate()) == before


# -- which one ------------------------------------------------------------------------------------


def consumer(pool: Any, *, hub: Any) -> Any:
    return SimpleNamespace(pool=pool, hub=hub, timer=Timer())


def pool_of(name: str) -> Any:
    """A pool of Celery's that was not started."""
    from celery.concurrency import get_implementation

    cls = get_implementation(name)
    return cls.__new__(cls)


@pytest.mark.parametrize(
    ("pool", "has_hub", "expected"),
    [
        ("prefork", True, LoopAlarm),
        ("solo", True, LoopAlarm),
        ("solo", False, ThreadAlarm),
        ("threads", True, ThreadAlarm),  # ends come from threads, which cannot wake the loop
        ("threads", False, ThreadAlarm),
    ],
)
def test_the_alarm_suits_pool_and_loop(pool: str, has_hub: bool, expected: type) -> None:
    hub = object() if has_hub else None

    assert isinstance(alarm_for(consumer(pool_of(pool), hub=hub), lambda: None), expected)


def test_green_pools_have_the_alarm_of_their_loop() -> None:
    green = SimpleNamespace(is_green=True)

    assert isinstance(alarm_for(consumer(green, hub=None), lambda: None), LoopAlarm)
