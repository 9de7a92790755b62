"""While Redis is away, limiters that share keep to rate / limiters last seen, each for itself."""

from __future__ import annotations

import multiprocessing
from multiprocessing.connection import Connection

import pytest
from support.away import wait_until_recovered

from celery_ratekit.embedded import EmbeddedRedis
from celery_ratekit.embedded.waiting import NotYetError, wait_for
from celery_ratekit.limiter import Limiter, presence
from celery_ratekit.limits import TokenBucket

pytestmark = pytest.mark.redis

LIMIT = TokenBucket("stripe", "1/d", burst=40)


@pytest.fixture(autouse=True)
def _every_question_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(presence, "FIRST_BEAT_SECONDS", 0.0)
    monkeypatch.setattr(presence, "BEAT_SECONDS", 0.0)


def sharing(server: EmbeddedRedis, number: int, namespace: str = "ratekit") -> list[Limiter]:
    """Limiters that have all seen each other."""
    limiters = [Limiter(server.url, namespace=namespace, on_failure="share") for _ in range(number)]
    for _ in range(2):
        for limiter in limiters:
            limiter.inspect(LIMIT)
    return limiters


def granted(limiter: Limiter) -> int:
    return sum(limiter.acquire(LIMIT).granted for _ in range(100))


@pytest.mark.parametrize("number", [1, 4, 5])
def test_each_grants_its_part_of_the_burst(number: int, private_redis: EmbeddedRedis) -> None:
    limiters = sharing(private_redis, number)
    private_redis.kill()

    assert [granted(limiter) for limiter in limiters] == [40 // number] * number


def test_limiters_of_another_namespace_are_not_counted(private_redis: EmbeddedRedis) -> None:
    ours = sharing(private_redis, 2)
    sharing(private_redis, 3, "another")
    private_redis.kill()

    assert [granted(limiter) for limiter in ours] == [20, 20]


def test_who_was_not_heard_of_lately_is_not_counted(
    private_redis: EmbeddedRedis, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(presence, "GONE_AFTER_SECONDS", 0.2)
    limiter = sharing(private_redis, 4)[0]

    def check() -> None:
        limiter.inspect(LIMIT)
        with private_redis.client() as client:
            if client.zcard(limiter.keys.presence()) > 1:
                raise NotYetError("the others still count")

    wait_for("end of the others", check, timeout=20)
    limiter.inspect(LIMIT)
    private_redis.kill()

    assert granted(limiter) == 40


def _child(limiter: Limiter, pipe: Connection) -> None:
    for _ in range(2):
        limiter.inspect(LIMIT)
        pipe.send("counted")
        pipe.recv()
    pipe.recv()
    pipe.send(granted(limiter))


def test_forked_children_count_for_themselves(private_redis: EmbeddedRedis) -> None:
    (limiter,) = sharing(private_redis, 1)
    context = multiprocessing.get_context("fork")
    pipes = []
    processes = []
    for _ in range(3):
        ours, theirs = context.Pipe()
        processes.append(context.Process(target=_child, args=(limiter, theirs)))
        processes[-1].start()
        pipes.append(ours)
    for _ in range(2):  # each is counted before any counts again
        assert all(pipe.poll(20) for pipe in pipes)
        for pipe in pipes:
            pipe.recv()
        for pipe in pipes:
            pipe.send("go on")
    limiter.inspect(LIMIT)
    private_redis.kill()
    for pipe in pipes:
        pipe.send("Redis is away")

    assert [pipe.recv() for pipe in pipes] == [10, 10, 10]
    assert granted(limiter) == 10
    for process in processes:
        process.join(20)


def test_redis_decides_again_once_it_is_back(private_redis: EmbeddedRedis) -> None:
    limiter = sharing(private_redis, 4)[0]
    private_redis.kill()
    assert granted(limiter) == 10
    private_redis.restart()

    wait_until_recovered(limiter, LIMIT)

    assert granted(limiter) == 39
