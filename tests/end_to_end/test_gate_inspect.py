"""What ``celery inspect`` shows of tasks that wait in a worker."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import Any
from uuid import uuid4

import pytest
from end_to_end.apps.gated import MODULE, sender
from support.fleet import fleet
from support.journal import Journal
from support.workers import Setup

from celery_ratekit.embedded import EmbeddedRedis

pytestmark = [pytest.mark.redis, pytest.mark.workers]

NODE = "w0@localhost"


def inspect(setup: Setup, command: str) -> Any:
    """The reply of one worker to a command as people type it; nothing says what app it runs."""
    program = [sys.executable, "-m", "celery", "--broker", setup.broker, "--quiet"]
    shown = subprocess.run(
        [*program, "inspect", command, "--json", *("--destination", NODE, "--timeout", "10")],
        env=setup.environment(),
        check=True,
        capture_output=True,
        text=True,
    )
    return json.loads(shown.stdout)[NODE]


def test_the_command_line_shows_held_tasks_their_limits_and_the_slots(
    private_redis: EmbeddedRedis, redis_url: str
) -> None:
    label = uuid4().hex
    setup = Setup(private_redis.celery_url, redis_url, module=MODULE)
    with fleet(setup, "--concurrency", "2") as workers, sender(setup) as app:
        workers.start()
        ids = [app.tasks["early"].delay(label, [label, "1/m", 1], number).id for number in range(3)]
        Journal(redis_url).wait_for_starts(label, 1)
        shown = inspect(setup, "ratekit")
        reserved = inspect(setup, "reserved")

    assert shown["gate"] == "on"
    assert shown["slots"]["size"] == 2
    assert [held["id"] for held in shown["held"]] == ids[1:]
    assert {held["waits_for"] for held in shown["held"]} == {"rate"}
    assert [line["waiting"] for line in shown["lines"]] == [2]
    assert shown["lines"][0]["limits"] == [f"TokenBucket {label}"]
    assert [request["id"] for request in reserved] == ids[1:]
