"""Throttled queues in a real Redis: made, changed, watched, expired, apart from each other."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from uuid import uuid4

import pytest
import redis
from support.backlogs import KEYS, connect
from support.throttled import close, throttle_on
from support.world import Clock

from celery_ratekit.backlog import Backlog, Group, Parking
from celery_ratekit.embedded import EmbeddedRedis
from celery_ratekit.errors import BadOptionError, BadRateError, QueueNotFound
from celery_ratekit.queues import QueueBook, QueueRecord, QueueStore, Runner, settle_lost
from celery_ratekit.queues.store import IDLE_SECONDS
from celery_ratekit.queues.view import QueueView
from celery_ratekit.throttle import CeleryThrottle, RateLimitedTaskSubmitter, UniversalQueueManager

pytestmark = pytest.mark.redis

SECOND = 1_000_000


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def store(redis_url: str, clock: Clock) -> QueueStore:
    return QueueStore(connect(redis_url), KEYS, "throttle", clock=clock)


@pytest.fixture
def throttle(redis_url: str) -> Iterator[CeleryThrottle]:
    throttle = throttle_on(redis_url)
    yield throttle
    close(throttle)


def record(store: QueueStore, name: str, *, auto: bool = True, rate: str = "1/s") -> QueueRecord:
    place = store.place(name)
    return QueueRecord(place, rate, "t", is_active=True, is_auto_named=auto, created_us=1)


def make(store: QueueStore, name: str, *, auto: bool = True) -> None:
    assert store.create(record(store, name, auto=auto)) == 1


def names(store: QueueStore) -> set[str]:
    return {one.place.name for one in store.all()}


# -- expiry -----------------------------------------------------------------------------------


def test_an_empty_auto_named_queue_expires_an_hour_after_its_last_use(
    store: QueueStore, clock: Clock
) -> None:
    make(store, "batch_a")
    clock.step(int((IDLE_SECONDS - 1) * SECOND))
    assert store.expire() == 0
    clock.step(int((1) * SECOND))
    assert store.expire() == 1
    assert names(store) == set()


def test_each_use_begins_the_hour_anew(store: QueueStore, clock: Clock) -> None:
    make(store, "batch_a")
    clock.step(int((IDLE_SECONDS - 1) * SECOND))
    store.ask_all([store.touching("batch_a")])
    clock.step(int((IDLE_SECONDS - 1) * SECOND))
    assert store.expire() == 0
    clock.step(int((1) * SECOND))
    assert store.expire() == 1


def test_a_named_queue_never_expires(store: QueueStore, clock: Clock) -> None:
    make(store, "stripe", auto=False)
    clock.step(int((100 * IDLE_SECONDS) * SECOND))
    assert store.expire() == 0
    assert names(store) == {"stripe"}


def test_a_queue_that_holds_a_task_never_expires(store: QueueStore, clock: Clock) -> None:
    make(store, "batch_a")
    store.ask_all(store.opening("batch_a", ["one"]))
    clock.step(int((100 * IDLE_SECONDS) * SECOND))
    assert store.expire() == 0
    assert store.close("batch_a", "one", "completed")
    clock.step(int((IDLE_SECONDS) * SECOND))
    assert store.expire() == 1


def test_more_queues_than_one_look_takes_expire_together(store: QueueStore, clock: Clock) -> None:
    for number in range(250):
        make(store, f"batch_{number}")
    clock.step(int((IDLE_SECONDS) * SECOND))
    assert store.expire() == 250


def test_an_expired_queue_leaves_no_key_but_the_version(
    store: QueueStore, clock: Clock, redis_server: EmbeddedRedis
) -> None:
    make(store, "batch_a")
    store.ask_all(store.opening("batch_a", ["one"]))
    store.close("batch_a", "one", "failed")
    clock.step(int((IDLE_SECONDS) * SECOND))
    store.expire()
    with redis_server.client() as client:
        assert len(client.keys()) == 1


# -- tasks ------------------------------------------------------------------------------------


def test_an_end_counts_once_however_often_it_is_told(store: QueueStore) -> None:
    make(store, "batch_a")
    store.ask_all(store.opening("batch_a", ["one", "two"]))
    assert [store.close("batch_a", "one", "completed") for _ in range(2)] == [True, False]
    (counts,) = store.counts(["batch_a"])
    assert (counts.open, counts.counted) == (1, {"completed": 1})


def test_a_charge_can_be_used_once(store: QueueStore, clock: Clock) -> None:
    make(store, "batch_a")
    charged_us = clock()
    store.ask_all(store.opening("batch_a", ["one"], charged_us))
    store.ask_all(store.opening("batch_a", ["sent"], charged_us, is_dispatched=True))
    store.ask_all(store.opening("batch_a", ["parked"]))
    clock.step(int((2) * SECOND))
    assert store.redeem("batch_a", "one") == (charged_us, 2 * SECOND)
    assert store.redeem("batch_a", "sent") == (charged_us, -1)
    assert store.redeem("batch_a", "one") is None
    assert store.redeem("batch_a", "parked") is None
    assert store.redeem("batch_a", "nobody") is None


# -- tasks that die with their worker -----------------------------------------------------------


@pytest.fixture
def backlog(redis_url: str, clock: Clock) -> Backlog:
    return Backlog(connect(redis_url), KEYS, clock=clock)


def begin(store: QueueStore, worker: str, task_id: str) -> bool:
    return store.begin("batch_a", task_id, Runner(worker, "batch_a", task_id).packed())


def test_what_a_dead_worker_had_begun_has_failed_and_what_a_live_one_has_goes_on(
    store: QueueStore, backlog: Backlog
) -> None:
    make(store, "batch_a")
    store.ask_all(store.opening("batch_a", ["ended", "lost", "lives", "waits"]))
    backlog.say_alive("live", 30)
    assert begin(store, "dead", "ended")
    assert begin(store, "dead", "lost")
    assert begin(store, "live", "lives")
    store.close("batch_a", "ended", "completed")
    assert [settle_lost(store, backlog, "failed") for _ in range(2)] == [1, 0]
    (counts,) = store.counts(["batch_a"])
    assert (counts.open, counts.counted) == (2, {"completed": 1, "failed": 1})
    backlog.say_gone("live")
    assert settle_lost(store, backlog, "failed") == 1


def test_the_end_of_a_task_may_be_told_before_its_beginning(store: QueueStore) -> None:
    make(store, "batch_a")
    store.ask_all(store.opening("batch_a", ["one"]))
    store.close("batch_a", "one", "completed")
    assert not begin(store, "dead", "one")
    assert store.begun() == []


def test_a_task_that_comes_again_is_not_lost_with_the_worker_that_had_it_before(
    store: QueueStore, backlog: Backlog
) -> None:
    make(store, "batch_a")
    store.ask_all(store.opening("batch_a", ["retried", "sent again"]))
    for task_id in ("retried", "sent again"):
        begin(store, "dead", task_id)
    store.pause("retried")
    store.redeem("batch_a", "sent again")
    assert settle_lost(store, backlog, "failed") == 0
    assert store.counts(["batch_a"])[0].open == 2


def test_a_task_that_the_backlog_still_has_is_not_lost(store: QueueStore, backlog: Backlog) -> None:
    make(store, "batch_a")
    task_id = str(uuid4())
    limit = record(store, "batch_a").limit
    store.ask_all(store.opening("batch_a", [task_id]))
    group = Group("t", "task", (limit,))
    backlog.park([Parking(group, task_id, bytes(8), False, 0, b"x", limit, 0)])
    # Its worker died between the note of its start and the word that the message is not needed.
    assert backlog.claim("t", "dead", ["task"], 1).claims
    begin(store, "dead", task_id)
    assert settle_lost(store, backlog, "failed") == 0
    assert store.begun() == []
    assert store.counts(["batch_a"])[0].open == 1


def test_nothing_is_opened_in_a_queue_that_is_gone(store: QueueStore) -> None:
    assert store.ask_all(store.opening("batch_a", ["one"])) == [0]
    assert store.counts(["batch_a"])[0].open == 0


# -- what processes know ------------------------------------------------------------------------


def test_a_process_knows_a_change_within_a_second(redis_url: str, store: QueueStore) -> None:
    make(store, "batch_a")
    now = [0.0]
    view = QueueView(store, clock=lambda: now[0])
    assert str(view.get("batch_a")).count("1/s")
    store.change("batch_a", lambda one: record(store, "batch_a", rate="5/s"))
    now[0] = 0.99
    assert view.get("batch_a") == record(store, "batch_a")
    now[0] = 1.0
    assert view.get("batch_a") == record(store, "batch_a", rate="5/s")
    store.remove("batch_a")
    now[0] = 2.0
    assert view.get("batch_a") is None


def test_a_header_of_a_queue_that_is_not_there_is_refused(store: QueueStore) -> None:
    book = QueueBook(lambda prefix: store)
    with pytest.raises(QueueNotFound, match="create_queue"):
        book.limit(["throttle", "nobody"])


def test_while_redis_is_away_an_unknown_queue_lets_nothing_pass(
    private_redis: EmbeddedRedis,
) -> None:
    store = QueueStore(connect(private_redis.url), KEYS, "throttle")
    make(store, "known", auto=False)
    make(store, "unknown", auto=False)
    book = QueueBook(lambda prefix: store)
    assert book.limit(["throttle", "known"]).rate.per_second == 1
    private_redis.stop()
    book.view("throttle")._fresh_until = 0.0
    assert book.limit(["throttle", "known"]).rate.per_second == 1
    assert book.limit(["throttle", "unknown"]).is_paused


def test_a_stranger_cannot_make_a_process_remember_prefixes_without_bound(
    store: QueueStore,
) -> None:
    book = QueueBook(lambda prefix: store)
    for number in range(1_000):
        book.view(f"p{number}")
    assert len(book._views) <= 100


# -- the documented interface ---------------------------------------------------------------------


def test_a_queue_is_made_listed_and_removed(throttle: CeleryThrottle) -> None:
    name = throttle.create_queue("5/1m")
    assert name.startswith("batch_")
    (queue,) = throttle.list_queues()
    assert (queue.name, str(queue.rate_limit), queue.active) == (name, "5/1m", True)
    assert queue.created_at.tzinfo is not None
    assert throttle.remove_queue(name)
    assert not throttle.remove_queue(name)
    assert throttle.list_queues() == []


def test_a_name_is_given_once(throttle: CeleryThrottle) -> None:
    assert throttle.create_queue("5/1m", "stripe") == "stripe"
    with pytest.raises(BadOptionError, match="update_rate_limit"):
        throttle.create_queue("6/1m", "stripe")


@pytest.mark.parametrize("rate", ["10/min", "", "x", "10/s:0.5"])
def test_a_rate_that_cannot_be_kept_is_refused(throttle: CeleryThrottle, rate: str) -> None:
    with pytest.raises(BadRateError):
        throttle.create_queue(rate)


@pytest.mark.parametrize("name", ["", "x" * 201, "a\nb", "\x1b[31m"])
def test_a_name_that_cannot_be_shown_is_refused(throttle: CeleryThrottle, name: str) -> None:
    with pytest.raises(BadOptionError, match="printable"):
        throttle.create_queue("1/s", name)


def test_what_is_there_is_not_to_be_told_from_others(throttle: CeleryThrottle) -> None:
    for name in ("a:b", "{a}", "a b", "a*", "ä", "]["):
        throttle.create_queue("1/s", name)
        throttle.queue_manager.increment_stat(name, "completed", 3)
    assert [
        throttle.get_queue_stats(one.name).tasks_completed for one in throttle.list_queues()
    ] == [3] * 6


def test_whoever_names_no_queue_is_told_so(throttle: CeleryThrottle) -> None:
    calls: list[Callable[[], object]] = [
        lambda: throttle.get_queue_stats("nobody"),
        lambda: throttle.get_rate_limit_status("nobody"),
        lambda: throttle.submit_task("nobody", {}),
        lambda: throttle.submit_multiple_tasks("nobody", []),
        lambda: throttle.queue_manager.can_process_task("nobody"),
    ]
    for call in calls:
        with pytest.raises(QueueNotFound, match="nobody"):
            call()
    changes = [
        throttle.remove_queue("nobody"),
        throttle.update_rate_limit("nobody", "1/s"),
        throttle.activate_queue("nobody"),
        throttle.deactivate_queue("nobody"),
        throttle.queue_manager.queue_exists("nobody"),
    ]
    assert changes == [False] * 5


def test_a_status_tells_tokens_and_the_next_one(throttle: CeleryThrottle) -> None:
    throttle.create_queue("60/1h:3", "stripe")
    assert throttle.queue_manager.can_process_task("stripe") == (True, 0.0)
    status = throttle.get_rate_limit_status("stripe")
    assert 2 <= status["available_tokens"] < 2.1
    assert (status["capacity"], status["refill_rate"]) == (3, 60 / 3_600)
    assert status["next_token_in"] == 0
    for _ in range(2):
        throttle.queue_manager.can_process_task("stripe")
    can, wait = throttle.queue_manager.can_process_task("stripe")
    assert not can
    assert 50 < wait <= 60
    assert 50 < throttle.get_rate_limit_status("stripe")["next_token_in"] <= 60


def test_a_changed_rate_keeps_the_tokens_and_counts_at_once(throttle: CeleryThrottle) -> None:
    throttle.create_queue("1/1h", "stripe")
    assert throttle.queue_manager.can_process_task("stripe")[0]
    assert throttle.update_rate_limit("stripe", "1/10s")
    assert 5 < throttle.queue_manager.can_process_task("stripe")[1] <= 10
    assert str(throttle.queue_manager.get_queue_config("stripe").rate_limit) == "1/10s"


# -- submitting -----------------------------------------------------------------------------------


def test_what_has_a_token_is_sent_and_the_rest_waits(throttle: CeleryThrottle) -> None:
    name = throttle.create_queue("1/1h")
    assert throttle.submit_task(name, {"n": 1}) is True
    assert throttle.submit_task(name, {"n": 2}) is False
    assert throttle.submit_multiple_tasks(name, [{"n": n} for n in range(5)]) == {
        "submitted": 0,
        "queued": 5,
    }
    stats = throttle.get_queue_stats(name)
    assert (stats.tasks_waiting, stats.tasks_processing) == (6, 1)
    assert (stats.tasks_completed, stats.tasks_failed) == (0, 0)
    assert throttle.redis.llen(throttle.config.target_queue) == 1


def test_a_burst_is_sent_at_once(throttle: CeleryThrottle) -> None:
    name = throttle.create_queue("100/1h:20")
    done = throttle.submit_multiple_tasks(name, [{"n": n} for n in range(2_500)])
    assert done == {"submitted": 20, "queued": 2_480}
    assert throttle.get_queue_stats(name).tasks_waiting == 2_480


def test_newcomers_do_not_overtake_those_who_wait(throttle: CeleryThrottle) -> None:
    name = throttle.create_queue("1000/s")
    throttle.submit_multiple_tasks(name, [{"n": n} for n in range(50)])
    # There are tokens again long before anybody serves those who wait.
    assert throttle.submit_task(name, {"n": 50}) is False


def test_newcomers_do_not_overtake_even_where_no_worker_has_looked_for_long(
    throttle: CeleryThrottle,
) -> None:
    name = throttle.create_queue("1000/s")
    throttle.submit_multiple_tasks(name, [{"n": n} for n in range(2)])
    limiter = throttle.runtime.limiter
    limit = throttle.queue_manager.record(name).limit
    # The mark of those who wait dies by itself.
    assert throttle.redis.delete(limiter.keys.mark(limit)) == 1
    assert throttle.submit_task(name, {"n": 2}) is False
    throttle.runtime.backlog.purge(throttle.config.target_queue)
    throttle.redis.delete(limiter.keys.mark(limit))
    assert throttle.submit_task(name, {"n": 3}) is True


def test_a_deactivated_queue_keeps_what_is_submitted(throttle: CeleryThrottle) -> None:
    name = throttle.create_queue("100/s")
    throttle.deactivate_queue(name)
    assert throttle.submit_task(name, {"n": 1}) is False
    assert not throttle.get_queue_stats(name).active
    throttle.activate_queue(name)
    assert throttle.get_queue_stats(name).tasks_waiting == 1


def test_removing_a_queue_removes_what_waits_in_it_alone(throttle: CeleryThrottle) -> None:
    gone, other = throttle.create_queue("1/1h"), throttle.create_queue("1/1h")
    for name in (gone, other):
        throttle.submit_multiple_tasks(name, [{"n": n} for n in range(4)])
    throttle.remove_queue(gone)
    backlog = throttle.runtime.backlog
    assert backlog.sizes(throttle.config.target_queue).waiting == 3
    assert throttle.get_queue_stats(other).tasks_waiting == 3


def test_any_signature_can_be_submitted_and_gives_its_result(throttle: CeleryThrottle) -> None:
    @throttle.app.task(name="double")
    def double(number: int) -> int:
        return 2 * number

    name = throttle.create_queue("1/1h")
    results = [throttle.submit(name, double.s(n).set(priority=3)) for n in range(3)]
    assert len({one.id for one in results}) == 3
    found = {one.task_id for one in throttle.runtime.backlog.peek(throttle.config.target_queue, 9)}
    assert found == {one.id for one in results[1:]}


def test_each_task_of_a_chain_and_a_group_goes_to_the_queue(throttle: CeleryThrottle) -> None:
    from celery import chain, group

    @throttle.app.task(name="add")
    def add(*numbers: int) -> int:
        return sum(numbers)

    name = throttle.create_queue("100/s:3")
    throttle.submit(name, group(add.s(1), add.s(2)))
    throttle.submit(name, chain(add.s(1), add.s(2), add.s(3)))
    assert throttle.get_queue_stats(name).tasks_processing == 3
    assert throttle.redis.llen(throttle.config.target_queue) == 3


def test_a_chord_is_submitted_where_the_backend_cannot_tell_of_its_end(
    redis_url: str, tmp_path: Path
) -> None:
    from celery import chord

    throttle = throttle_on(redis_url, celery={"result_backend": f"file://{tmp_path}"})

    @throttle.app.task(name="add_up", shared=False)
    def add(*numbers: int) -> int:
        return sum(numbers)

    name = throttle.create_queue("1/1h")
    throttle.submit(name, chord([add.s(1), add.s(2)], add.s(3)))
    stats = throttle.get_queue_stats(name)
    assert (stats.tasks_waiting, stats.tasks_processing) == (1, 1)
    # The one that was sent, and what waits for the end of both, which obeys no rate.
    assert throttle.redis.llen(throttle.config.target_queue) == 2
    close(throttle)


def test_a_task_with_a_countdown_is_refused(throttle: CeleryThrottle) -> None:
    name = throttle.create_queue("1/s")
    signature = throttle.task_processor.process_rate_limited_task.s(name, {}).set(countdown=5)
    with pytest.raises(BadOptionError, match="countdown"):
        throttle.submit(name, signature)
    assert throttle.get_queue_stats(name).tasks_processing == 0


def test_what_the_broker_does_not_take_was_never_submitted(redis_url: str) -> None:
    import kombu.exceptions

    throttle = throttle_on(
        redis_url,
        celery={
            "broker_url": "redis://127.0.0.1:1/0",
            "task_publish_retry_policy": {"max_retries": 0},
            "result_backend": "disabled://",
        },
    )
    name = throttle.create_queue("1/1h")
    with pytest.raises(kombu.exceptions.OperationalError):
        throttle.submit_task(name, {})
    stats = throttle.get_queue_stats(name)
    assert (stats.tasks_waiting, stats.tasks_processing) == (0, 0)
    assert throttle.get_rate_limit_status(name)["available_tokens"] == 1


# -- apart ------------------------------------------------------------------------------------


def test_two_prefixes_in_one_redis_never_see_each_other(redis_url: str) -> None:
    ours, theirs = (throttle_on(redis_url, queue_prefix=one) for one in ("ours", "theirs"))
    for one, rate in ((ours, "1/1h"), (theirs, "1/1h:5")):
        one.create_queue(rate, "stripe")
    assert ours.submit_multiple_tasks("stripe", [{}] * 3) == {"submitted": 1, "queued": 2}
    assert theirs.submit_multiple_tasks("stripe", [{}] * 3) == {"submitted": 3, "queued": 0}
    assert ours.get_queue_stats("stripe").tasks_waiting == 2
    assert theirs.get_queue_stats("stripe").tasks_waiting == 0
    theirs.deactivate_queue("stripe")
    assert ours.get_queue_stats("stripe").active
    theirs.remove_queue("stripe")
    assert ours.get_queue_stats("stripe").tasks_waiting == 2
    assert theirs.runtime.backlog.queues() == []


def test_two_prefixes_of_one_app_never_see_each_other(redis_url: str) -> None:
    from celery import Celery

    app = Celery(
        "both",
        broker=redis_url.replace("unix://", "redis+socket://").replace("?db=", "?virtual_host="),
    )
    ours, theirs = (CeleryThrottle(app, queue_prefix=one) for one in ("ours", "theirs"))
    for one in (ours, theirs):
        one.create_queue("1/1h", "stripe")
        assert one.submit_multiple_tasks("stripe", [{}] * 3) == {"submitted": 1, "queued": 2}
    ours.remove_queue("stripe")
    assert theirs.get_queue_stats("stripe").tasks_waiting == 2


def test_the_forerunner_s_classes_see_the_same_queues(
    redis_url: str, redis_server: EmbeddedRedis
) -> None:
    manager = UniversalQueueManager(redis.Redis.from_url(redis_url))
    throttle = throttle_on(redis_url)
    name = manager.create_queue("5/60s")
    assert RateLimitedTaskSubmitter(throttle).submit_task(name, {"priority": 1})
    assert manager.get_queue_stats(name).tasks_processing == 1
    assert manager.get_rate_limit_status(name)["available_tokens"] < 1
