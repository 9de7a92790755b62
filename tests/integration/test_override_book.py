"""How fresh a process' view of the overrides is, and what each question makes of them."""

from __future__ import annotations

import multiprocessing
import threading
import time
from collections.abc import Iterator

import pytest
from celery.schedules import crontab
from support.away import calls, forget_calls

from celery_ratekit.embedded import EmbeddedRedis
from celery_ratekit.errors import LimiterUnavailableError
from celery_ratekit.limiter import Ask, Limiter
from celery_ratekit.limiter.overrides import DISABLE, PAUSE, RATE, End, OverrideBook, Set
from celery_ratekit.limits import (
    Concurrency,
    FixedWindow,
    Limit,
    ScheduledBucket,
    SlidingWindow,
    TokenBucket,
)

pytestmark = pytest.mark.redis

SLOW = TokenBucket("stripe", "1/d")
LIMITS: list[Limit] = [
    SLOW,
    FixedWindow("stripe", "1/d"),
    SlidingWindow("stripe", "1/d"),
    ScheduledBucket("stripe", crontab(minute=0, hour=0), 1),
    Concurrency("stripe", 1),
]
IDS = [type(limit).__name__ for limit in LIMITS]


class Seconds:
    """A clock that a test sets."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def limiter(redis_url: str) -> Iterator[Limiter]:
    limiter = Limiter(redis_url, timeout_seconds=5)
    yield limiter
    limiter.close()


@pytest.fixture
def other(redis_url: str) -> Iterator[Limiter]:
    """Somebody in another process."""
    limiter = Limiter(redis_url, timeout_seconds=5)
    yield limiter
    limiter.close()


def pause(limiter: Limiter, name: str = "stripe", seconds: float | None = None) -> None:
    store = limiter.overrides
    store.write([Set(store.place(PAUSE, name), name, seconds=seconds)])


def disable(limiter: Limiter) -> None:
    store = limiter.overrides
    store.write([Set(store.place(DISABLE, ""), "")])


def raise_to(limiter: Limiter, per_second: float) -> None:
    store = limiter.overrides
    place = store.place(RATE, "stripe", kind=TokenBucket)
    store.write([Set(place, "stripe", what=f"{per_second}/s", per_second=per_second)])


# -- freshness --------------------------------------------------------------------------------


def test_a_view_is_asked_for_again_after_a_second_and_read_only_where_it_changed(
    private_redis: EmbeddedRedis,
) -> None:
    limiter, clock = Limiter(private_redis.url, timeout_seconds=5), Seconds()
    book = OverrideBook(limiter.overrides, clock)
    raise_to(limiter, 5)
    book.view()
    forget_calls(private_redis)

    for step in (0.5, 0.4, 0.2, 0.3, 0.8):
        clock.now += step
        for _ in range(10):
            view = book.view()

    assert (calls(private_redis, "hget"), calls(private_redis, "evalsha")) == (2, 0)
    raise_to(limiter, 6)
    forget_calls(private_redis)
    assert book.view() is view
    clock.now += 1
    assert book.view() is not view
    assert (calls(private_redis, "hget"), calls(private_redis, "evalsha")) == (1, 1)
    limiter.close()


def test_where_nothing_was_ever_set_no_script_runs(private_redis: EmbeddedRedis) -> None:
    limiter = Limiter(private_redis.url, timeout_seconds=5)
    limiter.acquire(SLOW)
    forget_calls(private_redis)

    limiter.override_book.refresh()

    assert (calls(private_redis, "hget"), calls(private_redis, "evalsha")) == (1, 0)
    limiter.close()


def test_a_change_is_followed_within_a_second(limiter: Limiter, other: Limiter) -> None:
    assert limiter.acquire(SLOW).granted
    disable(other)
    time.sleep(1.01)
    assert limiter.acquire(SLOW).granted
    assert limiter.acquire(SLOW).limits == ()

    other.overrides.write([End(other.overrides.place(DISABLE, ""))])
    time.sleep(1.01)
    assert not limiter.acquire(SLOW).granted


def test_what_ends_by_itself_is_over_without_a_word(limiter: Limiter, other: Limiter) -> None:
    pause(other, seconds=0.3)
    limiter.override_book.refresh()
    assert limiter.acquire(SLOW).reason == "paused"

    time.sleep(0.31)

    assert limiter.acquire(SLOW).granted


def test_while_redis_is_away_the_last_view_counts_and_nothing_is_raised(
    private_redis: EmbeddedRedis,
) -> None:
    limiter = Limiter(private_redis.url, timeout_seconds=0.5, on_failure="allow")
    pause(limiter)
    assert limiter.acquire(SLOW).reason == "paused"
    private_redis.kill()

    before = limiter.override_book.current
    begun = time.monotonic()
    assert limiter.override_book.refresh() is before
    for _ in range(100):
        assert limiter.acquire(SLOW).reason == "paused"
    assert time.monotonic() - begun < 5
    private_redis.restart()
    deadline = time.monotonic() + 20
    while limiter.acquire(SLOW).reason == "paused":
        # It came back empty, which is a change like any other.
        assert time.monotonic() < deadline
        time.sleep(0.05)
    limiter.close()


def test_who_is_told_that_redis_is_away_may_ask_for_limits(private_redis: EmbeddedRedis) -> None:
    asked = []

    made: list[Limiter] = []

    def ask(*_: object) -> None:
        asked.append(made[0].acquire(SLOW).degraded)

    limiter = Limiter(private_redis.url, on_failure="allow", on_degraded=ask)
    made.append(limiter)
    limiter.acquire(SLOW)
    private_redis.kill()
    limiter.override_book.refresh()

    assert asked == [True]
    limiter.close()


def test_threads_that_use_an_old_view_at_once_read_it_once(private_redis: EmbeddedRedis) -> None:
    limiter = Limiter(private_redis.url, timeout_seconds=10)
    pause(limiter)
    limiter.acquire(SLOW)
    raise_to(limiter, 5)
    time.sleep(1.01)
    forget_calls(private_redis)
    barrier = threading.Barrier(8)
    views = []

    def look() -> None:
        barrier.wait(20)
        views.append(limiter.override_book.view())

    threads = [threading.Thread(target=look) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert len(set(map(id, views))) == 1
    assert len(views[0].live) == 2
    assert calls(private_redis, "hget") == 1
    limiter.close()


def test_a_forked_child_follows_changes_also_where_its_parent_was_just_reading(
    limiter: Limiter, other: Limiter
) -> None:
    assert limiter.acquire(SLOW).granted
    context = multiprocessing.get_context("fork")
    ours, theirs = context.Pipe()

    def child() -> None:
        ours.recv()
        time.sleep(1.01)
        ours.send(limiter.acquire(SLOW).reason)

    with limiter.override_book._reading:  # as a thread of the parent may hold it
        process = context.Process(target=child)
        process.start()
    pause(other)
    theirs.send("go")

    assert theirs.poll(20)
    assert theirs.recv() == "paused"
    process.join(20)


def test_a_limiter_that_follows_nothing_asks_for_nothing(private_redis: EmbeddedRedis) -> None:
    limiter = Limiter(private_redis.url, follow_overrides=False, timeout_seconds=5)
    pause(limiter)
    forget_calls(private_redis)

    assert limiter.acquire(SLOW).granted
    assert calls(private_redis, "hget") == 0
    limiter.close()


# -- questions --------------------------------------------------------------------------------


@pytest.mark.parametrize("limit", LIMITS, ids=IDS)
def test_a_pause_denies_every_question_about_every_kind(limiter: Limiter, limit: Limit) -> None:
    pause(limiter)
    keyed = limit.with_key("ann")
    free = TokenBucket("free", "1/d")

    for asked in (limit, keyed, [free, keyed]):
        assert limiter.acquire(asked).reason == "paused"
        assert limiter.acquire(asked, holder="me").reason == "paused"
        denied = limiter.reserve(asked, 3)
        assert (denied.granted, denied.reason, denied.wait_seconds) == (0, "paused", float("inf"))
        assert denied.blocked_by is not None
        assert denied.blocked_by.name == "stripe"
    [one, granted] = limiter.reserve_many([Ask(keyed), Ask(free)])
    assert [bool(one), bool(granted)] == [False, True]
    [state] = limiter.inspect(limit)
    assert (state.reason, state.wait_seconds, state.available) == ("paused", float("inf"), 1)


@pytest.mark.parametrize("limit", LIMITS, ids=IDS)
def test_a_disabled_limit_is_no_question_at_all(limiter: Limiter, limit: Limit) -> None:
    disable(limiter)
    free = TokenBucket("free", "1/d")

    for asked in (limit, [limit, free]):
        for _ in range(3):
            decision = limiter.acquire(asked)
            assert (decision.granted, decision.limits) == (True, ())
            limiter.refund(decision)
            limiter.release(decision)
            assert limiter.extend(decision)
    reservations = limiter.reserve([limit, free], 4, horizon=1)
    assert list(reservations) == [0, 0, 0, 0]
    assert reservations.decision(3).limits == ()
    [answer] = limiter.reserve_many([Ask([limit, free], 2, yields=True)])
    assert not isinstance(answer, Exception)
    assert list(answer) == [0, 0]
    assert limiter.inspect([limit, free]) == []
    assert limiter.redeem("id", "owner", [limit], 0).used
    assert limiter.promises_ahead([limit, free])


def test_one_disabled_limit_leaves_the_others_of_a_call(limiter: Limiter) -> None:
    store = limiter.overrides
    store.write([Set(store.place(DISABLE, "stripe"), "stripe")])
    both = [SLOW, TokenBucket("free", "1/d")]

    decision = limiter.acquire(both)
    assert [limit.name for limit in decision.limits] == ["free"]
    assert limiter.acquire(both).blocked_by == both[1]
    limiter.refund(decision)
    assert limiter.acquire(both).granted


def test_a_reservation_of_a_limit_that_was_paused_meanwhile_is_not_used(limiter: Limiter) -> None:
    limits = [TokenBucket("stripe", "5/s")]
    limiter.acquire(limits)
    reserved = limiter.reserve(limits, owner="me")
    pause(limiter)
    limiter.override_book.refresh()

    assert not limiter.redeem(reserved.id, "me", limits, early=1).used


def test_what_was_charged_is_given_back_at_the_rate_that_counts_now(limiter: Limiter) -> None:
    bucket = TokenBucket("stripe", "1/d", burst=10)
    decisions = [limiter.acquire(bucket) for _ in range(10)]
    raise_to(limiter, 1_000)
    limiter.override_book.refresh()
    limiter.inspect(bucket)
    raise_to(limiter, 0.001)
    limiter.override_book.refresh()
    [before] = limiter.inspect(bucket)

    for decision in decisions[:3]:
        limiter.refund(decision)

    [after] = limiter.inspect(bucket)
    assert after.available - before.available == pytest.approx(3, abs=0.01)
    assert str(after.limit.rate) == "0.001/s"  # type: ignore[attr-defined]  # It is a bucket.


def test_places_follow_their_number(limiter: Limiter) -> None:
    places, store = Concurrency("db", 1), limiter.overrides
    place = store.place(RATE, "db", kind=Concurrency)
    store.write([Set(place, "db", what="3", per_second=3)])

    held = [limiter.acquire(places) for _ in range(4)]
    assert [one.granted for one in held] == [True, True, True, False]
    store.write([End(place)])
    limiter.override_book.refresh()
    limiter.release(held[0])
    limiter.release(held[1])
    assert not limiter.acquire(places).granted
    limiter.release(held[2])
    assert limiter.acquire(places).granted


def test_writing_where_redis_is_away_is_an_error_of_ours(private_redis: EmbeddedRedis) -> None:
    limiter = Limiter(private_redis.url)
    private_redis.kill()

    with pytest.raises(LimiterUnavailableError):
        pause(limiter)
    limiter.close()


def test_a_view_that_is_refreshed_is_no_older_than_that(
    limiter: Limiter, other: Limiter, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another thread has read the version before the change, and is not done with it."""
    book = OverrideBook(limiter.overrides)
    has_read, may_go_on = threading.Event(), threading.Event()
    version = book.store.version

    def slow_version() -> bytes | None:
        found = version()
        if not has_read.is_set():
            has_read.set()
            assert may_go_on.wait(20)
        return found

    monkeypatch.setattr(book.store, "version", slow_version)
    slow = threading.Thread(target=book.view)
    slow.start()
    assert has_read.wait(20)
    other.overrides.write([Set(other.overrides.place(PAUSE, "stripe"), "stripe")])

    views = []
    refreshing = threading.Thread(target=lambda: views.append(book.refresh()))
    refreshing.start()
    may_go_on.set()
    slow.join(20)
    refreshing.join(20)

    (view,) = views
    assert view.is_paused(SLOW)
