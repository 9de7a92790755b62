"""A dispatcher on a real Redis, turn by turn: at its starts, and safe at every step."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import pytest
from support.journal import most_beyond
from support.throttled import close, throttle_on
from support.unsteady import Unsteady

from celery_ratekit.backlog import Backlog, Claim, Draw
from celery_ratekit.backlog.scripts import DRAW, DUE_LINES, FINISH
from celery_ratekit.embedded import EmbeddedRedis
from celery_ratekit.errors import LimiterUnavailableError
from celery_ratekit.limiter.breaker import Degradation
from celery_ratekit.limiter.scripts import Script
from celery_ratekit.limiter.transport import transport_for
from celery_ratekit.queues import QUEUE_HEADER, QueuePlace, QueueRecord, view
from celery_ratekit.throttle import CeleryThrottle
from celery_ratekit.throttle.dispatch.dispatcher import MOST_IN_HAND, Dispatcher
from celery_ratekit.throttle.dispatch.outbox import Outbox
from celery_ratekit.throttle.dispatch.questions import HORIZON_SECONDS
from celery_ratekit.throttle.dispatch.sending import HELD_SECONDS
from celery_ratekit.worker.backlog.parcel import Parcel

pytestmark = pytest.mark.redis

IDLE_TURNS = 10
PATIENCE_SECONDS = 60.0


class WatchedOutbox(Outbox):
    """Sends as always, notes when, and fails or is slow where the test says so."""

    def __init__(self, app: Any) -> None:
        super().__init__(app)
        self.sent: list[tuple[float, str, str]] = []  # time.time(), task id, queue
        self.parcels: list[Parcel] = []
        self.fails_after = -1
        self.takes_seconds = 0.0

    def send(self, queue: str, parcel: Parcel) -> None:
        if self.fails_after == len(self.sent):
            raise OSError("the broker is away")
        time.sleep(self.takes_seconds)
        place = parcel.headers[QUEUE_HEADER]
        self.sent.append((time.time(), str(parcel.headers["id"]), place[1]))
        self.parcels.append(parcel)
        super().send(queue, parcel)

    def of(self, queue: str) -> int:
        return sum(name == queue for _, _, name in self.sent)

    @property
    def ids(self) -> list[str]:
        return [task_id for _, task_id, _ in self.sent]


@pytest.fixture
def throttle(redis_url: str) -> Iterator[CeleryThrottle]:
    throttle = throttle_on(redis_url)
    yield throttle
    close(throttle)


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
    run_until(dispatcher, lambda: False, seconds)


def run_until(
    dispatcher: Dispatcher, is_over: Callable[[], bool], seconds: float = PATIENCE_SECONDS
) -> None:
    """The same until something is so, or for so many seconds."""
    end = time.monotonic() + seconds
    while (now := time.monotonic()) < end and not is_over():
        time.sleep(min(dispatcher.turn(1.0), max(0.0, end - now)))


def run_to_end(throttle: CeleryThrottle, queue: str, dispatcher: Dispatcher) -> None:
    """Takes turns until nothing waits any more, and then one, in which it is sent."""
    run_until(dispatcher, lambda: throttle.get_queue_stats(queue).tasks_waiting == 0)
    run(dispatcher, 2 * HORIZON_SECONDS)


def fill(throttle: CeleryThrottle, queue: str, number: int) -> None:
    """Has so many wait, none sent at once."""
    throttle.deactivate_queue(queue)
    throttle.submit_multiple_tasks(queue, [{"n": n} for n in range(number)])
    throttle.activate_queue(queue)


def check_exact(throttle: CeleryThrottle, outbox: WatchedOutbox, rates: dict[str, float]) -> None:
    """No queue was granted more than its rate and a burst of 1, and nothing was sent early."""
    store = throttle.runtime.queues.view("throttle").store
    moments: dict[str, list[float]] = {queue: [] for queue in rates}
    for sent_at, task_id, queue in outbox.sent:
        charge = store.redeem(queue, task_id)
        assert charge is not None
        assert sent_at >= charge[0] / 1e6
        moments[queue].append(charge[0] / 1e6)
    for queue, rate in rates.items():
        assert most_beyond(moments[queue], rate) <= 1.001


def in_broker(throttle: CeleryThrottle) -> int:
    return int(throttle.redis.llen(throttle.config.target_queue))


def test_what_waits_is_sent_at_its_starts(
    throttle: CeleryThrottle, dispatcher: Dispatcher, outbox: WatchedOutbox
) -> None:
    queue = throttle.create_queue("50/s")
    throttle.submit_multiple_tasks(queue, [{"n": n} for n in range(41)])
    run_until(dispatcher, lambda: len(outbox.sent) == 40)
    run(dispatcher, 0.3)
    assert len(outbox.ids) == len(set(outbox.ids)) == 40
    stats = throttle.get_queue_stats(queue)
    assert (stats.tasks_waiting, stats.tasks_processing, in_broker(throttle)) == (0, 41, 41)
    check_exact(throttle, outbox, {queue: 50})


def test_many_slow_queues_and_a_fast_one_are_each_sent_at_their_rate(
    throttle: CeleryThrottle, dispatcher: Dispatcher, outbox: WatchedOutbox
) -> None:
    fast = throttle.create_queue("100/s")
    rates = {fast: 100.0, **{throttle.create_queue("2/s"): 2.0 for _ in range(40)}}
    for queue in rates:
        fill(throttle, queue, 500 if queue == fast else 9)
    slow = [queue for queue in rates if queue != fast]
    run_until(
        dispatcher, lambda: outbox.of(fast) >= 200 and all(outbox.of(one) >= 3 for one in slow)
    )
    assert outbox.of(fast) >= 200
    assert min(outbox.of(one) for one in slow) >= 3
    check_exact(throttle, outbox, rates)


def test_nothing_is_claimed_to_be_given_back(
    throttle: CeleryThrottle, dispatcher: Dispatcher, outbox: WatchedOutbox
) -> None:
    queues = [throttle.create_queue(rate) for rate in ("100/s", *["1/s"] * 30)]
    for queue in queues:
        fill(throttle, queue, 60)
    target, backlog = throttle.config.target_queue, throttle.runtime.backlog
    for _ in range(20):
        time.sleep(dispatcher.turn(1.0))
        claimed = backlog.sizes(target, most_groups=0).claimed
        # A second's worth of all would be 130: what is claimed is what starts within the horizon.
        assert claimed <= (1 + 100 * HORIZON_SECONDS) + 30 * 2
    assert len(outbox.sent) > 30


def test_a_queue_that_said_no_is_not_asked_before_its_next_moment(
    throttle: CeleryThrottle, dispatcher: Dispatcher, redis_server: EmbeddedRedis
) -> None:
    for _ in range(50):
        fill(throttle, throttle.create_queue("1/h"), 3)
    run(dispatcher, 0.5)
    with redis_server.client() as client:
        before = client.info("stats")["total_commands_processed"]
        for _ in range(IDLE_TURNS):
            dispatcher.look_soon()
            dispatcher.turn(1.0)
        after = client.info("stats")["total_commands_processed"]
    # The first line's moment; all else is now and then.
    assert after - before <= 2 * IDLE_TURNS


def test_who_is_too_slow_for_the_rates_sends_at_its_own_speed(
    throttle: CeleryThrottle, dispatcher: Dispatcher, outbox: WatchedOutbox
) -> None:
    rates = {throttle.create_queue("100/s"): 100.0, throttle.create_queue("2000/s"): 2_000.0}
    for queue in rates:
        fill(throttle, queue, 900)
    outbox.takes_seconds = 0.03
    # 3 s at its own speed; were what is late thrown away, there would be no end.
    run_until(dispatcher, lambda: len(outbox.sent) >= 100)
    assert len(outbox.ids) == len(set(outbox.ids)) >= 100
    assert throttle.runtime.backlog.sizes(throttle.config.target_queue).claimed <= MOST_IN_HAND
    check_exact(throttle, outbox, rates)


def test_a_stall_saves_up_no_more_than_what_was_promised(
    throttle: CeleryThrottle, dispatcher: Dispatcher, outbox: WatchedOutbox
) -> None:
    queue = throttle.create_queue("100/s")
    fill(throttle, queue, 500)
    run_until(dispatcher, lambda: len(outbox.sent) >= 20)
    before = len(outbox.sent)
    time.sleep(2.0)  # 200 could have started.
    dispatcher.turn(1.0)
    assert len(outbox.sent) - before <= 1 + 1 + 100 * HORIZON_SECONDS
    run_until(dispatcher, lambda: len(outbox.sent) >= 60)
    check_exact(throttle, outbox, {queue: 100})


def test_tasks_of_one_queue_share_its_rate(
    throttle: CeleryThrottle, dispatcher: Dispatcher, outbox: WatchedOutbox
) -> None:
    queue = throttle.create_queue("20/s")
    throttle.deactivate_queue(queue)
    for task in ("a", "b"):
        throttle.submit_many(queue, [throttle.app.signature(task) for _ in range(20)])
    throttle.activate_queue(queue)
    run_until(dispatcher, lambda: len(outbox.parcels) >= 24)
    names = [parcel.headers["task"] for parcel in outbox.parcels]
    assert min(names[:24].count(task) for task in ("a", "b")) >= 8


def test_what_a_dead_dispatcher_had_comes_back(
    throttle: CeleryThrottle, dispatcher: Dispatcher, outbox: WatchedOutbox
) -> None:
    queue = throttle.create_queue("100/s:30")
    fill(throttle, queue, 20)
    target, backlog = throttle.config.target_queue, throttle.runtime.backlog
    tasks = list(backlog.sizes(target).by_task)
    backlog.say_alive("dead", 60)
    assert len(backlog.claim(target, "dead", tasks, 20).claims) == 20
    dispatcher.turn(1.0)
    assert outbox.sent == []
    backlog.say_gone("dead")
    dispatcher._sweeper.next_at = 0.0
    run_until(dispatcher, lambda: len(outbox.sent) == 20)
    assert len(set(outbox.ids)) == 20


def test_what_the_broker_does_not_take_waits_again_and_is_sent_once(
    throttle: CeleryThrottle, dispatcher: Dispatcher, outbox: WatchedOutbox
) -> None:
    queue = throttle.create_queue("20/s:20")
    fill(throttle, queue, 20)
    outbox.fails_after = 7
    with pytest.raises(OSError, match="away"):
        run(dispatcher, 1.0)
    assert in_broker(throttle) == 7
    # A worker with the gate that finds one of them charges it anew.
    store = throttle.runtime.queues.view("throttle").store
    waiting = throttle.runtime.backlog.peek(throttle.config.target_queue, 20)
    assert [store.redeem(queue, one.task_id) for one in waiting] == [None] * 13
    outbox.fails_after = -1
    run_until(dispatcher, lambda: len(outbox.sent) == 20)
    assert len(outbox.ids) == len(set(outbox.ids)) == 20
    assert throttle.get_queue_stats(queue).tasks_waiting == 0


def test_what_was_sent_is_not_sent_again_where_redis_fails_to_forget_it(
    throttle: CeleryThrottle, redis_url: str, outbox: WatchedOutbox
) -> None:
    queue = throttle.create_queue("100/s:20")
    fill(throttle, queue, 20)
    way = Unsteady(transport_for(redis_url, 20, Degradation()))
    dispatcher = dispatcher_by_way(throttle, outbox, way)
    way.refuses = {FINISH}
    with pytest.raises(LimiterUnavailableError):
        run(dispatcher, 1.0)
    with pytest.raises(LimiterUnavailableError):
        run(dispatcher, 1.0)
    way.refuses = set()
    run_to_end(throttle, queue, dispatcher)
    assert len(outbox.ids) == len(set(outbox.ids)) == 20
    assert throttle.runtime.backlog.sizes(throttle.config.target_queue).claimed == 0
    dispatcher.end()
    way.close()


@pytest.mark.parametrize("lost", [DUE_LINES, DRAW, FINISH])
def test_a_step_whose_answer_is_lost_has_nothing_sent_twice_or_never(
    throttle: CeleryThrottle, redis_url: str, outbox: WatchedOutbox, lost: Script
) -> None:
    queue = throttle.create_queue("100/s:20")
    fill(throttle, queue, 20)
    way = Unsteady(transport_for(redis_url, 20, Degradation()))
    dispatcher = dispatcher_by_way(throttle, outbox, way)
    way.loses = [lost]
    with pytest.raises(LimiterUnavailableError):
        run(dispatcher, 1.0)
    assert way.loses == []
    run_to_end(throttle, queue, dispatcher)
    assert len(outbox.ids) == len(set(outbox.ids)) == 20
    assert throttle.runtime.backlog.sizes(throttle.config.target_queue).claimed == 0
    dispatcher.end()
    way.close()


class ContestedBacklog(Backlog):
    """One of which somebody else takes some just before this one does."""

    taken_by_others = 0

    def draw(self, queue: str, worker: str, draws: Sequence[Draw]) -> list[list[Claim]]:
        tasks = list(self.sizes(queue).by_task)
        self.claim(queue, "other", tasks, self.taken_by_others)
        return super().draw(queue, worker, draws)


def test_what_others_took_before_is_not_charged(
    throttle: CeleryThrottle, redis_url: str, outbox: WatchedOutbox
) -> None:
    queue = throttle.create_queue("1/h:20")
    fill(throttle, queue, 20)
    way = transport_for(redis_url, 20, Degradation())
    backlog = ContestedBacklog(way, throttle.runtime.limiter.keys)
    backlog.taken_by_others = 15
    backlog.say_alive("other", 60)
    dispatcher = dispatcher_with(throttle, outbox, backlog)
    dispatcher.turn(1.0)
    assert len(outbox.sent) == 5
    assert 15 <= throttle.get_rate_limit_status(queue)["available_tokens"] < 16
    dispatcher.end()
    way.close()


def dispatcher_by_way(throttle: CeleryThrottle, outbox: Outbox, way: Unsteady) -> Dispatcher:
    """A dispatcher whose backlog is reached by a way that the test may cut."""
    return dispatcher_with(throttle, outbox, Backlog(way, throttle.runtime.limiter.keys))


def dispatcher_with(throttle: CeleryThrottle, outbox: Outbox, backlog: Backlog) -> Dispatcher:
    """A dispatcher of the throttle's queues on a backlog of the test's."""
    runtime = throttle.runtime
    return Dispatcher(
        backlog=backlog,
        limiter=runtime.limiter,
        queues=runtime.queues,
        prefix=throttle.config.queue_prefix,
        targets=throttle.queue_manager.target_queues,
        outbox=outbox,
    )


def test_who_was_stopped_for_long_sends_nothing_that_others_may_have_sent(
    throttle: CeleryThrottle, outbox: WatchedOutbox
) -> None:
    queue = throttle.create_queue("10/s")
    fill(throttle, queue, 30)
    ahead_seconds = 0.0
    runtime = throttle.runtime
    dispatcher = Dispatcher(
        backlog=runtime.backlog,
        limiter=runtime.limiter,
        queues=runtime.queues,
        prefix=throttle.config.queue_prefix,
        targets=throttle.queue_manager.target_queues,
        outbox=outbox,
        clock=lambda: time.monotonic() + ahead_seconds,
    )
    dispatcher.turn(1.0)
    assert (held := len(dispatcher._hand)) > 0
    sent = len(outbox.sent)
    ahead_seconds = HELD_SECONDS + 1
    throttle.deactivate_queue(queue)
    dispatcher.turn(1.0)
    assert len(outbox.sent) == sent
    sizes = throttle.runtime.backlog.sizes(throttle.config.target_queue)
    assert (sizes.claimed, sizes.waiting, held > 0) == (0, 30 - sent, True)
    dispatcher.end()


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
    run_until(dispatcher, lambda: len(outbox.sent) == 3, 5)
    assert len(outbox.sent) == 3


def test_a_raised_rate_is_kept_to_though_it_was_asked_as_it_had_been(
    throttle: CeleryThrottle, dispatcher: Dispatcher, outbox: WatchedOutbox
) -> None:
    queue = throttle.create_queue("1/h")
    throttle.submit_multiple_tasks(queue, [{"n": n} for n in range(9)])
    run(dispatcher, 0.2)
    throttle.runtime.queues.view("throttle").get(queue)  # It relies on that for a second.
    throttle.update_rate_limit(queue, "100/s")
    dispatcher._look_at = dict.fromkeys(dispatcher._look_at, 0.0)
    run(dispatcher, 0.2)  # It asks at the rate that it knows: nobody has told it yet.
    assert throttle.runtime.backlog.soonest(throttle.config.target_queue) > 30
    dispatcher.look_soon([f"throttle/{queue}"])
    run_until(dispatcher, lambda: len(outbox.sent) == 8, 5)
    assert len(outbox.sent) == 8


def test_a_queue_that_is_made_later_and_goes_elsewhere_is_served(
    throttle: CeleryThrottle, dispatcher: Dispatcher, outbox: WatchedOutbox, redis_url: str
) -> None:
    dispatcher.turn(1.0)
    other = throttle_on(redis_url, target_queue="elsewhere")
    queue = other.create_queue("100/s")
    other.submit_multiple_tasks(queue, [{"n": n} for n in range(5)])
    dispatcher.look_soon([f"throttle/{queue}"])
    run_until(dispatcher, lambda: len(outbox.sent) == 4, 5)
    assert int(throttle.redis.llen("elsewhere")) == 5
    close(other)


def test_queues_are_served_that_are_more_than_a_process_remembers(
    throttle: CeleryThrottle,
    dispatcher: Dispatcher,
    outbox: WatchedOutbox,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(view, "MOST_REMEMBERED", 2)
    queues = [throttle.create_queue("20/s") for _ in range(5)]
    for queue in queues:
        fill(throttle, queue, 4)
    run_until(dispatcher, lambda: len(outbox.sent) == 20)
    assert [outbox.of(queue) for queue in queues] == [4] * 5


def test_what_waits_for_a_queue_that_was_removed_is_forgotten(
    throttle: CeleryThrottle, dispatcher: Dispatcher, outbox: WatchedOutbox
) -> None:
    queue = throttle.create_queue("1/h")
    fill(throttle, queue, 5)
    throttle.runtime.queues.view("throttle").store.remove(queue)  # as if they came meanwhile
    throttle.runtime.backlog.wake(throttle.config.target_queue)
    dispatcher.look_soon()
    run(dispatcher, 0.3)
    sizes = throttle.runtime.backlog.sizes(throttle.config.target_queue)
    assert (sizes.waiting, sizes.claimed, outbox.sent) == (0, 0, [])


def test_an_expiration_reaches_the_broker_as_it_was_given(
    throttle: CeleryThrottle, dispatcher: Dispatcher, outbox: WatchedOutbox
) -> None:
    queue = throttle.create_queue("100/s")
    throttle.deactivate_queue(queue)
    throttle.submit(queue, throttle.app.signature("a", expiration=90, priority=3))
    throttle.activate_queue(queue)
    run_until(dispatcher, lambda: bool(outbox.sent))
    with throttle.app.connection_for_read() as connection:
        channel = connection.channel()
        prioritised = channel._q_for_pri(throttle.config.target_queue, 3)
        message = throttle.redis.lpop(prioritised)
    assert message is not None
    assert b'"expiration": "90000"' in message


def test_an_expiration_of_what_is_sent_at_once_reaches_the_broker_as_well(
    throttle: CeleryThrottle,
) -> None:
    queue = throttle.create_queue("100/s")
    throttle.submit(queue, throttle.app.signature("a", expiration=90))
    message = throttle.redis.lpop(throttle.config.target_queue)
    assert message is not None
    assert b'"expiration": "90000"' in message


def test_two_dispatchers_send_each_task_once(
    throttle: CeleryThrottle, dispatcher: Dispatcher, outbox: WatchedOutbox
) -> None:
    with WatchedOutbox(throttle.app) as other_outbox:
        other = throttle.make_dispatcher(other_outbox)
        queue = throttle.create_queue("100/s")
        throttle.submit_multiple_tasks(queue, [{"n": n} for n in range(101)])
        end = time.monotonic() + PATIENCE_SECONDS
        while len(outbox.sent) + len(other_outbox.sent) < 100 and time.monotonic() < end:
            time.sleep(min(dispatcher.turn(1.0), other.turn(1.0)))
        other.end()
    ids = [*outbox.ids, *other_outbox.ids]
    assert len(ids) == len(set(ids)) == 100
    outbox.sent += other_outbox.sent
    check_exact(throttle, outbox, {queue: 100})


def test_ten_thousand_idle_queues_cost_no_more_than_one_command_a_look(
    throttle: CeleryThrottle, dispatcher: Dispatcher, redis_server: EmbeddedRedis
) -> None:
    store = throttle.runtime.queues.view("throttle").store
    for number in range(10_000):
        place = QueuePlace("throttle", f"q{number}")
        record = QueueRecord(place, "1/s", "t", is_active=True, is_auto_named=False, created_us=1)
        store.create(record)
    dispatcher.turn(1.0)
    targets = len(dispatcher._look_at)
    with redis_server.client() as client:
        before = client.info("stats")["total_commands_processed"]
        for _ in range(IDLE_TURNS):
            dispatcher._look_at = dict.fromkeys(dispatcher._look_at, 0.0)
            assert dispatcher.turn(1.0) > 0.9
        after = client.info("stats")["total_commands_processed"]
    # One of the commands is the first count itself.
    assert (after - before - 1) / IDLE_TURNS <= targets
