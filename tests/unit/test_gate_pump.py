"""The pump: one turn at a time, whoever asks for it, and no request for one is lost."""

from __future__ import annotations

import threading
from collections.abc import Callable

import pytest

from celery_ratekit.worker.gate.pump import BUSY, Pump

TIMEOUT_SECONDS = 30.0


class Turns:
    """Counts turns, and sees to it that no two run at a time."""

    def __init__(self) -> None:
        self.count = 0
        self.wanted = 0
        self.seen = 0
        self.overlapped = False
        self._running = threading.Lock()
        self.during: Callable[[], None] = lambda: None

    def __call__(self) -> None:
        if not self._running.acquire(blocking=False):
            self.overlapped = True
            return
        try:
            self.count += 1
            self.seen = self.wanted
            self.during()
        finally:
            self._running.release()


class Step:
    """Lets a test stop a turn in one thread while it does something in another."""

    def __init__(self) -> None:
        self.entered = threading.Event()
        self.leave = threading.Event()

    def __call__(self) -> None:
        self.entered.set()
        assert self.leave.wait(TIMEOUT_SECONDS)


def run(*targets: Callable[[], object]) -> list[threading.Thread]:
    threads = [threading.Thread(target=target, daemon=True) for target in targets]
    for thread in threads:
        thread.start()
    return threads


def join(threads: list[threading.Thread]) -> None:
    for thread in threads:
        thread.join(TIMEOUT_SECONDS)
        assert not thread.is_alive()


@pytest.fixture
def turns() -> Turns:
    return Turns()


def test_each_poke_runs_a_turn_at_once_where_none_runs(turns: Turns) -> None:
    pump = Pump(turns)

    pump.poke()
    pump.poke()

    assert turns.count == 2


def test_pokes_during_a_turn_make_one_more_follow(turns: Turns) -> None:
    pump = Pump(turns)

    def during() -> None:
        if turns.count == 1:
            for _ in range(5):
                pump.poke()
            assert turns.count == 1

    turns.during = during
    pump.poke()

    assert turns.count == 2
    assert not turns.overlapped


def test_a_poke_from_another_thread_during_a_turn_returns_at_once_and_is_not_lost(
    turns: Turns,
) -> None:
    step = turns.during = Step()
    pump = Pump(turns)
    threads = run(pump.poke)
    assert step.entered.wait(TIMEOUT_SECONDS)

    turns.wanted = 1
    pump.poke()  # would wait for ever if it waited for the turn
    step.leave.set()
    join(threads)

    assert turns.count == 2
    assert turns.seen == 1


def test_never_two_turns_at_a_time_and_none_missed_with_many_threads(turns: Turns) -> None:
    pump = Pump(turns)
    lock = threading.Lock()
    done = 0
    actions: list[object] = []

    def poke_often() -> None:
        nonlocal done
        for _ in range(500):
            with lock:
                turns.wanted += 1
            pump.poke()
        with lock:
            done += 1

    def act() -> str:
        turns()
        return "run"

    def act_often() -> None:
        actions.extend(pump.run_between(act) for _ in range(500))

    join(run(*[poke_often] * 6, *[act_often] * 2))

    assert done == 6
    assert not turns.overlapped
    assert turns.seen == turns.wanted == 3000
    assert turns.count <= 3000 + actions.count("run")
    assert set(actions) <= {"run", BUSY}


def test_an_action_between_turns_keeps_turns_off_and_they_follow(turns: Turns) -> None:
    pump = Pump(turns)

    def action() -> int:
        pump.poke()
        return turns.count

    assert pump.run_between(action) == 0
    assert turns.count == 1


def test_no_action_runs_inside_a_turn(turns: Turns) -> None:
    pump = Pump(turns)
    answers: list[object] = []
    turns.during = lambda: answers.append(pump.run_between(lambda: "run"))

    pump.poke()

    assert answers == [BUSY]
    assert pump.run_between(lambda: "run") == "run"


def test_an_action_that_raises_leaves_the_pump_working(turns: Turns) -> None:
    pump = Pump(turns)

    def action() -> None:
        pump.poke()
        raise KeyError

    with pytest.raises(KeyError):
        pump.run_between(action)
    with pytest.raises(KeyError):
        pump.run_after(action, TIMEOUT_SECONDS)
    pump.poke()

    assert turns.count == 3


def test_what_is_to_run_after_waits_for_the_turn_that_runs(turns: Turns) -> None:
    step = turns.during = Step()
    pump = Pump(turns)
    order: list[str] = []
    threads = run(pump.poke)
    assert step.entered.wait(TIMEOUT_SECONDS)
    threads += run(lambda: pump.run_after(lambda: order.append("after"), TIMEOUT_SECONDS))
    order.append("turn")

    step.leave.set()
    join(threads)

    assert order == ["turn", "after"]
    assert not turns.overlapped


def test_what_is_to_run_after_does_not_wait_for_ever(turns: Turns) -> None:
    step = turns.during = Step()
    pump = Pump(turns)
    threads = run(pump.poke)
    assert step.entered.wait(TIMEOUT_SECONDS)
    ran: list[bool] = []

    pump.run_after(lambda: ran.append(True), 0.01)

    assert ran == [True]
    step.leave.set()
    join(threads)
