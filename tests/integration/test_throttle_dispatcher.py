"""A dispatcher on a real Redis, turn by turn: at its starts, and safe at every step."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

import pytest
from support.journal import most_beyond
from support.throttled import throttle_on

from celery_ratekit.embedded import EmbeddedRedis
from celery_ratekit.queues import QUEUE_HEADER
from celery_ratekit.throttle import CeleryThrottle
from celery_ratekit.throttle.dispatcher import LATE_SECONDS, Dispatcher
from celery_ratekit.throttle.outbox import Outbox
from celery_ratekit.worker.parcel import Parcel

pytestmark = pytest.mark.redis

IDLE_TURNS = 10

SPREAD_SECONDS = 0.4
"""How long one message may be under way to the broker on a busy machine."""


class WatchedOutbox(Outbox):
    """Sends as always, notes when, and fails where the test says so."""

    def __init__(self, app: Any) -> None:
        super().__init__(app)
        self.sent: list[tuple[float, str, str]] = []
        self.fails_after = -1

    def send(self, queue: str, parcel: Parcel) -> None:
        if self.fails_after == len(self.sent):
            raise OSError("the broker is away")
        super().send(queue, parcel)
        place = parcel.headers[QUEUE_HEADER]
        self.sent.append((time.monotonic(), str(parcel.headers["id"]), place[1]))


@pytest.fixture
def throttle(redis_url: str) -> Iterator[CeleryThrottle]:
    throttle = throttle_on(redis_url)
    yield throttle
    throttle.app.close()


@pytest.fixture
def outbox(throttle: CeleryThrottle) -> Iterator[WatchedOutbox]:
    with WatchedOutbox(throttle.app) as outbox:
        yield outbox


@pytest.fixture
def dispatcher(throttle: CeleryThrottle, outbox: WatchedOutbox) -> Iterator[Dispatcher]:
    dispatcher = throttle.make_dispatcher(outbox)
    yield dispatcher
    dispatcher.end()


def run(dispatcher: Dispatcher, seconds: float) -> None:
    """Takes turns, sleeping between them as they say."""
    end = time.monotonic() + seconds
    while (now := time.monotonic()) < end:
        time.sleep(min(dispatcher.turn(1.0), max(0.0, end - now)))


def in_broker(throttle: CeleryThrottle) -> int:
    return int(throttle.redis.llen(throttle.config.target_queue))


def test_what_waits_is_sent_at_its_starts(
    throttle: CeleryThrottle, dispatcher: Dispatcher, outbox: WatchedOutbox
) -> None:
    queue = throttle.create_queue("50/s")
    throttle.submit_multiple_tasks(queue, [{"n": n} for n in range(41)])
    run(dispatcher, 4.0)
    assert len(outbox.sent) == 40
    moments = [at for at, _, _ in outbox.sent]
    assert most_beyond(moments, 50) <= 1 + 50 * (LATE_SECONDS + SPREAD_SECONDS)
    stats = throttle.get_queue_stats(queue)
    assert (stats.tasks_waiting, stats.tasks_processing, in_broker(throttle)) == (0, 41, 41)


def test_many_slow_queues_and_a_fast_one_are_each_sent_at_their_rate(
    throttle: CeleryThrottle, dispatcher: Dispatcher, outbox: WatchedOutbox
) -> None:
    fast = throttle.create_queue("100/s")
    slow = [throttle.create_queue("1/s") for _ in range(40)]
    for queue in (fast, *slow):
        throttle.submit_multiple_tasks(
            queue, [{"n": n} for n in range(1_000 if queue == fast else 9)]
        )
    # Until the fast one got far, however busy this machine is; the slow ones go on beside it.
    begin = time.monotonic()
    while sum(queue == fast for _, _, queue in outbox.sent) < 60:
        assert time.monotonic() < begin + 60, len(outbox.sent)
        run(dispatcher, 0.5)
    by_queue = {
        name: [at for at, _, queue in outbox.sent if queue == name] for name in (fast, *slow)
    }
    # Never faster than its rate, but for what a send lies from its start.
    for name, moments in by_queue.items():
        rate = 100 if name == fast else 1
        assert most_beyond(moments, rate) <= 1 + rate * (LATE_SECONDS + SPREAD_SECONDS)
    assert all(by_queue.values())


def test_what_a_dead_dispatcher_had_comes_back(
    throttle: CeleryThrottle, dispatcher: Dispatcher, outbox: WatchedOutbox
) -> None:
    queue = throttle.create_queue("100/s:30")
    throttle.deactivate_queue(queue)
    throttle.submit_multiple_tasks(queue, [{"n": n} for n in range(20)])
    throttle.activate_queue(queue)
    target, backlog = throttle.config.target_queue, throttle.runtime.backlog
    tasks = list(backlog.sizes(target).by_task)
    backlog.say_alive("dead", 60)
    assert len(backlog.claim(target, "dead", tasks, 20).claims) == 20
    dispatcher.turn(1.0)
    assert outbox.sent == []
    backlog.say_gone("dead")
    dispatcher._sweep_at = 0.0
    run(dispatcher, 2.0)
    assert len({task for _, task, _ in outbox.sent}) == 20


def test_what_the_broker_does_not_take_waits_again_and_is_sent_once(
    throttle: CeleryThrottle, dispatcher: Dispatcher, outbox: WatchedOutbox
) -> None:
    queue = throttle.create_queue("20/s:20")
    throttle.deactivate_queue(queue)
    throttle.submit_multiple_tasks(queue, [{"n": n} for n in range(20)])
    throttle.activate_queue(queue)
    outbox.fails_after = 7
    with pytest.raises(OSError, match="away"):
        run(dispatcher, 1.0)
    assert in_broker(throttle) == 7
    outbox.fails_after = -1
    run(dispatcher, 2.0)
    ids = [task for _, task, _ in outbox.sent]
    assert len(ids) == len(set(ids)) == 20
    assert throttle.get_queue_stats(queue).tasks_waiting == 0


def test_who_ends_gives_back_what_it_had_not_sent(
    throttle: CeleryThrottle, outbox: WatchedOutbox
) -> None:
    queue = throttle.create_queue("10/s")
    throttle.submit_multiple_tasks(queue, [{"n": n} for n in range(30)])
    dispatcher = throttle.make_dispatcher(outbox)
    dispatcher.turn(1.0)
    dispatcher.end()
    sizes = throttle.runtime.backlog.sizes(throttle.config.target_queue)
    assert (sizes.waiting + len(outbox.sent), sizes.claimed) == (29, 0)


def test_a_deactivated_queue_is_sent_nothing_of(
    throttle: CeleryThrottle, dispatcher: Dispatcher, outbox: WatchedOutbox
) -> None:
    queue = throttle.create_queue("100/s")
    throttle.deactivate_queue(queue)
    throttle.submit_multiple_tasks(queue, [{"n": n} for n in range(3)])
    run(dispatcher, 0.5)
    assert outbox.sent == []
    throttle.activate_queue(queue)
    dispatcher.look_soon([f"throttle/{queue}"])
    run(dispatcher, 2.0)
    assert len(outbox.sent) == 3


def test_two_dispatchers_send_each_task_once(
    throttle: CeleryThrottle, dispatcher: Dispatcher, outbox: WatchedOutbox
) -> None:
    with WatchedOutbox(throttle.app) as other_outbox:
        other = throttle.make_dispatcher(other_outbox)
        queue = throttle.create_queue("100/s")
        throttle.submit_multiple_tasks(queue, [{"n": n} for n in range(101)])
        end = time.monotonic() + 4
        while time.monotonic() < end:
            time.sleep(min(dispatcher.turn(1.0), other.turn(1.0)))
        other.end()
    ids = [task for _, task, _ in [*outbox.sent, *other_outbox.sent]]
    assert len(ids) == len(set(ids)) == 100


def test_ten_thousand_idle_queues_cost_less_than_two_commands_a_look(
    throttle: CeleryThrottle, dispatcher: Dispatcher, redis_server: EmbeddedRedis
) -> None:
    for number in range(10_000):
        throttle.runtime.queues.view("throttle").store.create(_named(throttle, f"q{number}"))
    dispatcher.turn(1.0)
    with redis_server.client() as client:
        before = client.info("stats")["total_commands_processed"]
        for _ in range(IDLE_TURNS):
            dispatcher._look_at = dict.fromkeys(dispatcher._look_at, 0.0)
            assert dispatcher.turn(1.0) > 0.9
        after = client.info("stats")["total_commands_processed"]
    # One of the commands is the first count itself.
    assert (after - before - 1) / IDLE_TURNS <= 2


def _named(throttle: CeleryThrottle, name: str) -> Any:
    from celery_ratekit.queues import QueuePlace, QueueRecord

    place = QueuePlace("throttle", name)
    return QueueRecord(place, "1/s", "t", is_active=True, is_auto_named=False, created_us=1)
