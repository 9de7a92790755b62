"""Tasks that wait for longer than their broker waits for an acknowledgement."""

from __future__ import annotations

from uuid import uuid4

import pytest
from end_to_end.apps.gated import MODULE, sender
from support.delivery import runs_by_number
from support.fleet import fleet
from support.journal import Journal
from support.workers import Setup

from celery_ratekit.embedded import EmbeddedRedis

pytestmark = [pytest.mark.redis, pytest.mark.workers]

VISIBILITY_SECONDS = 8
RATE = "4/m"  # one in 15 s: the second task waits for nearly two visibility time-outs

REDIS_OPTIONS = {
    "visibility_timeout": VISIBILITY_SECONDS,
    "unacked_restore_interval": 1,
    "unacked_restore_throttle": 1,
}


def test_a_task_that_waits_for_longer_than_the_visibility_timeout_runs_once(
    private_redis: EmbeddedRedis, redis_url: str
) -> None:
    label = uuid4().hex
    conf = {"broker_transport_options": REDIS_OPTIONS, "task_default_queue": label}
    setup = Setup(private_redis.celery_url, redis_url, conf=conf, module=MODULE)
    journal = Journal(redis_url)
    with fleet(setup, "--concurrency", "1") as workers, sender(setup) as app:
        workers.start()
        for number in range(2):
            app.tasks["early"].delay(label, [label, RATE, 1], number)
        journal.wait_for_starts(label, 2)
        # A second copy would now be held until its own start.
        replies = app.control.broadcast("ratekit", reply=True, limit=1, timeout=10)

    assert [reply["w0@localhost"]["held"] for reply in replies] == [[]]
    assert runs_by_number(journal, label) == {0: 1, 1: 1}
