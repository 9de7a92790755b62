"""What a worker's main process hears of changes, and what it wakes then."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from celery import Celery
from support.away import calls, forget_calls
from support.journal import not_yet

from celery_ratekit.embedded import EmbeddedCluster, EmbeddedRedis, EmbeddedSentinel
from celery_ratekit.embedded.waiting import wait_for
from celery_ratekit.limiter.overrides import DISABLE, PAUSE, RATE, End, OverrideStore, Set
from celery_ratekit.limits import Limit, TokenBucket
from celery_ratekit.tasks.runtime import Runtime
from celery_ratekit.worker.remote import override_watch
from celery_ratekit.worker.remote.override_watch import OverrideWatch

pytestmark = pytest.mark.redis

HEARD_SECONDS = 10.0
"""A message takes a millisecond; a server that fails over takes seconds."""


class Watched:
    """One worker's watch, with what it woke."""

    def __init__(self, runtime: Runtime, declared: list[Limit]) -> None:
        self.runtime = runtime
        self.woken: list[set[str] | None] = []
        self.watch = OverrideWatch(runtime, lambda: declared, self._wake)

    def _wake(self, names: Collection[str] | None) -> None:
        self.woken.append(None if names is None else set(names))

    @property
    def store(self) -> OverrideStore:
        return self.runtime.limiter.overrides

    def begin(self) -> None:
        """Returns once it listens."""
        self.watch.begin()
        self.wait(lambda: self.watch._seen is not None)

    def wait(self, is_so: Callable[[], bool], timeout: float = HEARD_SECONDS) -> None:
        wait_for("a change", lambda: not_yet(not is_so(), str(self.woken)), timeout=timeout)

    def wait_for_wake(self, names: set[str] | None) -> None:
        self.wait(lambda: names in self.woken)

    def pause(self, name: str, seconds: float | None = None) -> None:
        self.store.write([Set(self.store.place(PAUSE, name), name, seconds=seconds)])


@contextmanager
def watched(url: str, *declared: Limit, **conf: Any) -> Iterator[Watched]:
    app = Celery("watched", broker="memory://", set_as_current=False)
    app.conf.update(ratekit_redis_url=url, ratekit_redis_timeout=5, **conf)
    ours = Watched(Runtime(app), list(declared))
    try:
        yield ours
    finally:
        ours.watch.end()
        thread = ours.watch._thread
        if thread is not None:
            thread.join(20)
            assert not thread.is_alive()
        ours.runtime.limiter.close()
        ours.runtime.redis.close()


def test_each_change_wakes_its_name_and_refreshes_the_view(redis_url: str) -> None:
    with watched(redis_url) as ours:
        ours.begin()
        assert ours.woken == []

        ours.pause("stripe")
        ours.wait_for_wake({"stripe"})
        limit = TokenBucket("stripe", 1)
        assert ours.runtime.limiter.override_book.current.is_paused(limit)
        ours.woken.clear()
        ours.store.write([End(ours.store.place(PAUSE, "stripe"))])
        ours.wait_for_wake({"stripe"})
        ours.store.write([Set(ours.store.place(DISABLE, ""), "")])
        ours.wait_for_wake(None)
        ours.woken.clear()
        ours.store.tell(["mail", "sms"])
        ours.wait_for_wake({"mail", "sms"})


def test_what_was_changed_while_no_worker_ran_is_woken_at_its_start(redis_url: str) -> None:
    with watched(redis_url) as ours:
        ours.pause("mail")
        place = ours.store.place(RATE, "stripe", kind=TokenBucket)
        ours.store.write([Set(place, "stripe", what="1/h", per_second=1 / 3600)])
        ours.store.write([End(place)])

        ours.begin()

        ours.wait_for_wake({"stripe", "mail"})


def test_each_change_wakes_a_second_time_who_was_denied_by_an_older_word(redis_url: str) -> None:
    with watched(redis_url) as ours:
        ours.begin()
        ours.pause("stripe")

        ours.wait(lambda: ours.woken == [{"stripe"}, {"stripe"}])


def test_what_ends_by_itself_wakes_its_name_then(redis_url: str) -> None:
    with watched(redis_url) as ours:
        ours.begin()
        ours.pause("stripe", seconds=0.4)
        ours.wait_for_wake({"stripe"})
        ours.woken.clear()

        ours.wait_for_wake({"stripe"})

        assert not ours.runtime.limiter.override_book.current.is_paused(TokenBucket("stripe", 1))


def test_many_changes_at_once_wake_all_lines(redis_url: str) -> None:
    with watched(redis_url) as ours:
        ours.begin()
        names = [f"limit {number}" for number in range(21)]
        ours.store.write([Set(ours.store.place(PAUSE, name), name) for name in names])

        ours.wait_for_wake(None)


def test_it_goes_on_after_redis_was_away(private_redis: EmbeddedRedis) -> None:
    with watched(private_redis.url) as ours:
        ours.begin()
        private_redis.kill()
        private_redis.restart()
        # What was published meanwhile is not known.
        ours.wait_for_wake(None)
        ours.woken.clear()

        ours.pause("stripe")

        ours.wait_for_wake({"stripe"})


def test_a_connection_that_is_cut_is_replaced(private_redis: EmbeddedRedis) -> None:
    with watched(private_redis.url) as ours, private_redis.client() as client:
        ours.begin()
        client.client_kill_filter(_type="pubsub")
        ours.wait_for_wake(None)

        ours.pause("stripe")

        ours.wait_for_wake({"stripe"})


def test_silence_of_the_other_side_is_noticed(
    private_redis: EmbeddedRedis, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(override_watch, "PING_SECONDS", 0.6)
    with watched(private_redis.url, ratekit_redis_options={"socket_timeout": 3}) as ours:
        ours.begin()
        private_redis.pause()
        timer = threading.Timer(4, private_redis.resume)
        timer.start()

        ours.wait_for_wake(None)
        timer.join()


def test_a_lost_message_is_made_up_for(
    private_redis: EmbeddedRedis, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(override_watch, "LOOK_SECONDS", 0.5)
    with watched(private_redis.url) as ours, private_redis.client() as client:
        ours.begin()
        # Nobody is told of what a client without the permission to publish has set.
        client.acl_setuser(
            "silent", enabled=True, passwords=["+x"], keys=["*"], commands=["+@all"], channels=[]
        )
        with watched(private_redis.url.replace("unix://", "unix://silent:x@")) as other:
            other.pause("stripe")
        assert calls(private_redis, "publish") == 0

        ours.wait_for_wake({"stripe"})


def test_an_idle_watch_is_all_but_silent(
    private_redis: EmbeddedRedis, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(override_watch, "LOOK_SECONDS", 1.0)
    with watched(private_redis.url, TokenBucket("stripe", 1)) as ours:
        ours.begin()
        forget_calls(private_redis)
        ours.wait(lambda: calls(private_redis, "hget") >= 3)
        for command in ("evalsha", "hgetall", "zadd", "publish"):
            assert calls(private_redis, command) == 0


def test_two_releases_are_told_of_once(redis_url: str, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.WARNING)
    with (
        watched(redis_url, TokenBucket("stripe", "10/s")) as old,
        watched(redis_url, TokenBucket("stripe", "5/s")) as new,
    ):
        old.begin()
        new.begin()
        for ours in (old, new):
            ours.wait(lambda ours=ours: len(ours.watch._told_of) == 1)  # type: ignore[misc]
        old.pause("x")
        old.wait_for_wake({"x"})

        rated = old.runtime.limiter.override_book.current.rated(TokenBucket("stripe", "10/s"))
        assert rated.rate.per_second == 5  # type: ignore[attr-defined]  # It is a bucket.
    told = [line for line in caplog.messages if "declare different rates" in line]
    assert len(told) == 2
    assert "'stripe' (5/s, 10/s)" in told[0]


def test_it_begins_once_and_never_after_its_end(redis_url: str) -> None:
    with watched(redis_url) as ours:
        ours.begin()
        thread = ours.watch._thread
        ours.watch.begin()
        assert ours.watch._thread is thread
    with watched(redis_url) as ours:
        ours.watch.end()
        ours.watch.begin()
        assert ours.watch._thread is None


@pytest.mark.cluster
def test_it_hears_of_changes_on_a_cluster(cluster: EmbeddedCluster) -> None:
    ports = ",".join(f"127.0.0.1:{node.port}" for node in cluster.nodes)
    url = f"redis+cluster://:{cluster.nodes[0].password}@{ports}"
    with watched(url, ratekit_namespace="watch") as ours:
        ours.begin()

        ours.pause("stripe", seconds=30)

        ours.wait_for_wake({"stripe"})


@pytest.mark.sentinel
def test_it_follows_a_failover(sentinel: EmbeddedSentinel) -> None:
    with watched(sentinel.celery_url, ratekit_redis_options=sentinel.transport_options) as ours:
        ours.begin()
        ours.pause("stripe")
        ours.wait_for_wake({"stripe"})
        sentinel.failover()

        def is_set() -> None:
            try:
                ours.pause("mail")
            except Exception as error:
                not_yet(missing=True, what=str(error))

        wait_for("a master", is_set, timeout=30)
        ours.wait(lambda: any(woken is None or "mail" in woken for woken in ours.woken), 30)
