"""A process that counts in one thread can be forked by another."""

from __future__ import annotations

import os
import signal
import threading
import time
import warnings

import pytest
from prometheus_client import Counter

from celery_ratekit.metrics.forking import Unforked, unforked

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")

FORKS = 200
CHILD_SECONDS = 10


def ends_well(child: int) -> bool:
    """Whether a child ends by itself, without an error."""
    deadline = time.monotonic() + CHILD_SECONDS
    while time.monotonic() < deadline:
        ended, status = os.waitpid(child, os.WNOHANG)
        if ended:
            return status == 0
        time.sleep(0.001)
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    return False


def fork() -> int:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # That threads run is the point.
        return os.fork()


def test_no_child_is_left_with_a_lock_that_another_thread_held() -> None:
    counter = Counter("forked_total", "Counted by everybody.", registry=None)
    stopped = threading.Event()

    def count() -> None:
        while not stopped.is_set():
            with unforked:
                counter.inc()

    threads = [threading.Thread(target=count) for _ in range(2)]
    for thread in threads:
        thread.start()
    try:
        for _ in range(FORKS):
            child = fork()
            if child == 0:
                with unforked:
                    counter.inc()
                os._exit(0)
            assert ends_well(child)
    finally:
        stopped.set()
        for thread in threads:
            thread.join()


def test_a_fork_waits_only_so_long_for_a_thread_that_holds_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("celery_ratekit.metrics.forking.LONGEST_WAIT_SECONDS", 0.05)
    held, released = threading.Event(), threading.Event()

    def hold() -> None:
        with unforked:
            held.set()
            released.wait(CHILD_SECONDS)

    thread = threading.Thread(target=hold)
    thread.start()
    assert held.wait(CHILD_SECONDS)
    try:
        child = fork()
        if child == 0:
            with unforked:
                os._exit(0)
        assert ends_well(child)
    finally:
        released.set()
        thread.join()
    with unforked:
        pass  # The parent is left with one that works.


def test_it_may_be_entered_again_and_forked_inside_by_the_same_thread() -> None:
    own = Unforked()
    with own, own:
        child = fork()
    if child == 0:
        with own:
            os._exit(0)
    assert ends_well(child)
