"""Tokens as messages in queues of RabbitMQ and of Redis: never more than the maximum."""

from __future__ import annotations

import contextlib
import os
import socket
import stat
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta, timezone
from pathlib import Path
from uuid import uuid4

import pytest
from celery import Celery
from celery.schedules import crontab
from support.django_site import configure

from celery_ratekit.contrib.django import TokenBucket
from celery_ratekit.contrib.django.queue_bucket import QueueBucket
from celery_ratekit.embedded import EmbeddedRabbitMQ, EmbeddedRedis
from celery_ratekit.errors import BadOptionError, TokenBucketUnavailableError

configure()


@pytest.fixture(
    params=[
        pytest.param("redis", marks=pytest.mark.redis),
        pytest.param("prefixed redis", marks=pytest.mark.redis),
        pytest.param("rabbitmq", marks=pytest.mark.rabbitmq),
    ]
)
def app(request: pytest.FixtureRequest) -> Iterator[Celery]:
    if request.param == "rabbitmq":
        broker: EmbeddedRabbitMQ = request.getfixturevalue("rabbitmq")
        url = broker.url
    else:
        server: EmbeddedRedis = request.getfixturevalue("redis_server")
        url = server.celery_url
    app = Celery("shop", broker=url, set_as_current=False)
    if request.param == "prefixed redis":
        app.conf.broker_transport_options = {"global_keyprefix": "shop:"}
    yield app
    app.close()


def bucket_of(amount: int = 10, maximum: int = 10, name: str = "") -> TokenBucket:
    name = name or f"bucket_{uuid4().hex}"
    return TokenBucket(name, crontab(), amount, maximum, backend="queue")


def at(minute: float) -> datetime:
    """A moment so many minutes after noon; a refill counts from two seconds before a full one."""
    return datetime(2027, 1, 15, 12, tzinfo=timezone.utc) + timedelta(minutes=minute)


def test_a_bucket_is_empty_until_it_is_refilled(app: Celery) -> None:
    bucket = QueueBucket(app, bucket_of())

    assert bucket.count() == 0
    assert not bucket.take()
    for minute in range(5):
        assert bucket.refill(at(minute)) == 10
        assert bucket.count() == 10
        assert sum(bucket.take() for _ in range(12)) == 10


def test_each_token_is_taken_once(app: Celery) -> None:
    bucket = QueueBucket(app, bucket_of(3, 3))
    bucket.refill()

    assert [bucket.take() for _ in range(5)] == [True, True, True, False, False]


def test_refills_never_bring_more_than_the_maximum(app: Celery) -> None:
    bucket = QueueBucket(app, bucket_of(4, 10))

    assert [bucket.refill(at(minute)) for minute in range(4)] == [4, 4, 2, 0]
    assert bucket.count() == 10
    bucket.take()
    assert bucket.refill(at(4)) == 1


def test_an_instant_brings_its_tokens_once_however_often_beat_is_restarted(app: Celery) -> None:
    bucket = QueueBucket(app, bucket_of(4, 10))
    bucket.refill(at(1))
    bucket.take()

    for seconds in (0, 1, 30, 57):
        assert bucket.refill(at(1 + seconds / 60)) == 0
    assert bucket.refill(at(0)) == 0  # A clock that is behind brings nothing either.

    assert bucket.refill(at(2)) == 4
    assert bucket.count() == 7


def test_a_worker_whose_clock_is_a_little_behind_refills_all_the_same(app: Celery) -> None:
    bucket = QueueBucket(app, bucket_of(4, 10))

    assert [bucket.refill(at(minute - 1 / 60)) for minute in range(3)] == [4, 4, 2]
    assert bucket.refill(at(2)) == 0


@pytest.mark.parametrize(("amount", "expected"), [(3, 9), (6, 17), (17, 17)])
def test_who_slept_through_three_instants_brings_the_tokens_of_all(
    app: Celery, amount: int, expected: int
) -> None:
    bucket = QueueBucket(app, bucket_of(amount, 17))
    bucket.refill(at(0))
    while bucket.take():
        pass

    assert bucket.refill(at(3.5)) == expected


def test_refills_at_the_same_moment_bring_the_tokens_of_one(app: Celery) -> None:
    bucket = bucket_of(20, 30)
    QueueBucket(app, bucket).refill(at(0))
    with ThreadPoolExecutor(8) as pool:
        added = list(pool.map(lambda _: QueueBucket(app, bucket).refill(at(1)), range(16)))

    assert sorted(added) == [0] * 15 + [10]
    assert QueueBucket(app, bucket).count() == 30


def test_first_refills_at_the_same_moment_never_bring_more_than_the_maximum(app: Celery) -> None:
    bucket = bucket_of(20, 30)
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda _: QueueBucket(app, bucket).refill(at(0)), range(16)))

    assert 20 <= QueueBucket(app, bucket).count() <= 30


def test_callers_at_the_same_moment_take_no_more_than_there_is(app: Celery) -> None:
    bucket = bucket_of(20, 20)
    QueueBucket(app, bucket).refill()
    with ThreadPoolExecutor(8) as pool:
        taken = list(pool.map(lambda _: QueueBucket(app, bucket).take(), range(40)))

    assert sum(taken) == 20


def test_a_lower_maximum_drops_what_is_beyond_it_at_the_next_refill(app: Celery) -> None:
    before = bucket_of(20, 20)
    QueueBucket(app, before).refill(at(0))
    after = QueueBucket(app, bucket_of(5, 8, before.name))

    after.refill(at(1))

    assert after.count() == 8


def test_a_higher_maximum_keeps_the_tokens_that_are_there(app: Celery) -> None:
    before = bucket_of(5, 5)
    QueueBucket(app, before).refill(at(0))
    after = QueueBucket(app, bucket_of(4, 20, before.name))

    after.refill(at(1))

    assert after.count() == 9


def test_one_connection_is_used_for_all_calls(app: Celery) -> None:
    bucket = QueueBucket(app, bucket_of(50, 50))
    bucket.refill()
    opened = sockets()

    for _ in range(30):
        bucket.take()

    assert sockets() == opened


def sockets() -> set[int]:
    """The process's open sockets; another connection would be another one."""
    found = set()
    for path in Path("/dev/fd").iterdir():
        with contextlib.suppress(OSError):  # That of the listing itself is closed by now.
            status = os.fstat(int(path.name))
            if stat.S_ISSOCK(status.st_mode):
                found.add(status.st_ino)
    return found


@pytest.mark.rabbitmq
def test_a_lost_connection_is_replaced(rabbitmq: EmbeddedRabbitMQ) -> None:
    with Celery("shop", broker=rabbitmq.url, set_as_current=False) as app:
        bucket = QueueBucket(app, bucket_of(5, 5))
        bucket.refill()
        with app.pool.acquire() as connection:
            connection.connection.sock.shutdown(socket.SHUT_RDWR)

        assert bucket.take()
        assert bucket.count() == 4


@pytest.mark.redis
def test_a_broker_that_is_away_is_told_of(private_redis: EmbeddedRedis) -> None:
    app = Celery("shop", broker=private_redis.celery_url, set_as_current=False)
    private_redis.stop()

    with pytest.raises(TokenBucketUnavailableError, match=r"could not give a token.*running"):
        QueueBucket(app, bucket_of()).take()

    app.close()


def test_a_broker_whose_queues_cannot_be_kept_at_a_maximum_is_refused() -> None:
    app = Celery("shop", broker="memory://", set_as_current=False)

    with pytest.raises(BadOptionError, match=r"expected RabbitMQ or Redis.*'memory'.*backend="):
        QueueBucket(app, bucket_of()).take()

    app.close()


def test_two_projects_with_namespaces_of_their_own_share_no_tokens(app: Celery) -> None:
    bucket = bucket_of()
    QueueBucket(app, bucket).refill()
    other = Celery("other", broker=app.conf.broker_url, set_as_current=False)
    other.conf.ratekit_namespace = "other"
    other.conf.broker_transport_options = app.conf.broker_transport_options

    assert not QueueBucket(other, bucket).take()

    other.close()
