"""What tasks in workers write into Redis, and tests read there.

Moments are ``time.time()`` of the machine on which everything runs: the same clock as Redis' TIME.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterable
from typing import Any

import redis

from celery_ratekit.embedded.waiting import NotYetError

READY = "journal:ready"
STARTS = "journal:starts:"  # + the label of a test: a line for each start of a task
WAITS = "journal:waits:"  # + a task's id: the reasons of its task_retry signals
THROTTLES = "journal:throttles:"  # + a label (their first argument): how many waits its tasks had
STEP_SECONDS = 0.01
WORD_SECONDS = 30


class Journal:
    """One Redis with what was written there; each test has a label of its own."""

    def __init__(self, url: str) -> None:
        # redis-py gives up after five seconds, also where a command is to wait for longer.
        self.client = redis.Redis.from_url(url, socket_timeout=2 * WORD_SECONDS)

    # In workers

    def write_ready(self) -> None:
        self.client.rpush(READY, "ready")

    def write_start(self, task: Any, label: str, **more: Any) -> None:
        """Note that a task's body begins."""
        request = task.request
        admission = request.get("ratekit_admission")
        decision = getattr(admission, "decision", None)
        start = {
            "task": task.name,
            "id": request.id,
            "at": time.time(),
            "lateness": getattr(admission, "lateness_seconds", None),
            # By Redis itself: the worker learns of it only when the answer arrives.
            "granted_at": decision.starts_at if decision and decision.start_us else None,
            "retries": request.retries,
            **more,
        }
        self.client.rpush(STARTS + label, json.dumps(start))

    def write_retry(self, request: Any, reason: str) -> None:
        self.client.rpush(WAITS + request.id, reason)
        if "rate limit" in reason and request.args:
            self.client.incr(THROTTLES + str(request.args[0]))

    # In both

    def say(self, label: str, word: str) -> None:
        """Let the other side, which waits for this word, go on."""
        self.client.rpush(f"journal:word:{label}:{word}", word)

    def wait_for_word(self, label: str, word: str) -> None:
        """Return once the other side has said so."""
        key = f"journal:word:{label}:{word}"
        assert self.client.blpop([key], timeout=WORD_SECONDS), word

    # In tests

    def one_more_is_ready(self) -> bool:
        """Whether a worker not yet seen became ready within half a second."""
        return self.client.blpop([READY], timeout=0.5) is not None

    def starts(self, label: str) -> list[dict[str, Any]]:
        """What has been noted, in order."""
        return [json.loads(line) for line in self.client.lrange(STARTS + label, 0, -1)]

    def wait_for_starts(self, label: str, count: int, timeout: float = 60) -> list[dict[str, Any]]:
        """The starts of a label once there are ``count``, in the order of their moments."""
        key, deadline = STARTS + label, time.monotonic() + timeout
        while self.client.llen(key) < count:
            assert time.monotonic() < deadline, (
                f"{self.client.llen(key)} of {count} starts within {timeout} s"
            )
            time.sleep(STEP_SECONDS)
        return sorted(self.starts(label), key=lambda start: start["at"])

    def reasons(self, task_id: str) -> list[str]:
        """The reasons with which a task was sent again, in order."""
        lines: list[Any] = self.client.lrange(WAITS + task_id, 0, -1)
        return [line.decode() for line in lines]

    def wait_for_throttles(self, label: str, count: int, timeout: float = 30) -> None:
        """Wait until tasks of a label were sent again ``count`` times because of a limit."""
        deadline = time.monotonic() + timeout
        while self.count_throttles(label) < count:
            assert time.monotonic() < deadline, f"fewer than {count} throttles in {timeout} s"
            time.sleep(STEP_SECONDS)

    def count_throttles(self, label: str) -> int:
        """How often tasks of a label were sent again because of a limit."""
        return int(self.client.get(THROTTLES + label) or 0)

    def throttles(self, task_ids: Iterable[str]) -> list[int]:
        """How often each task was sent again because of a limit."""
        return [
            sum("rate limit" in reason for reason in self.reasons(task_id)) for task_id in task_ids
        ]


def not_yet(missing: bool, what: str = "") -> None:
    """A check for `wait_for`: raises while something is ``missing``."""
    if missing:
        raise NotYetError(what)


def most_beyond(moments: Iterable[float], per_second: float) -> float:
    """The most events in any stretch beyond what ``per_second`` allows in it.

    A token bucket keeps to its rate where this is at most its burst.
    """
    levels = [number - per_second * moment for number, moment in enumerate(sorted(moments))]
    lowest, most = float("inf"), 0.0
    for level in levels:
        lowest = min(lowest, level)
        most = max(most, level - lowest + 1)
    return most


def granted(starts: Iterable[dict[str, Any]]) -> list[float]:
    """The moments that the limits had granted, by Redis' clock; else starts less their lateness."""
    return [start["granted_at"] or start["at"] - start["lateness"] for start in starts]
