"""One Limiter serves many threads, and the processes that are forked from its own."""

from __future__ import annotations

import multiprocessing
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from multiprocessing.connection import Connection
from typing import Any

import pytest

from celery_ratekit.embedded import EmbeddedRedis
from celery_ratekit.limiter import Limiter
from celery_ratekit.limits import TokenBucket

pytestmark = pytest.mark.redis

WORKERS = 8
BURST = 400
SLOW = TokenBucket("stripe", "1/d", burst=BURST)  # nothing comes back while a test runs


def granted(limiter: Limiter, calls: int) -> int:
    return sum(limiter.acquire(SLOW).granted for _ in range(calls))


def in_threads(work: Callable[[], int], number: int = WORKERS) -> list[int]:
    """What ``work`` returns in each of some threads that begin at the same moment."""
    barrier = threading.Barrier(number)

    def begin() -> int:
        barrier.wait(20)
        return work()

    with ThreadPoolExecutor(number) as pool:
        return [future.result(60) for future in [pool.submit(begin) for _ in range(number)]]


def test_threads_that_share_a_limiter_are_granted_exactly_the_burst(redis_url: str) -> None:
    limiter = Limiter(redis_url, timeout_seconds=10)

    assert sum(in_threads(lambda: granted(limiter, 200))) == BURST
    limiter.close()


def test_more_threads_than_redis_py_keeps_connections_are_all_answered(
    private_redis: EmbeddedRedis,
) -> None:
    limiter = Limiter(private_redis.url, timeout_seconds=20)
    threads = 130  # redis-py's pools end at 100
    with private_redis.client() as client:
        client.config_set("maxclients", 1_000)

    private_redis.pause()  # so that every thread needs a connection of its own
    timer = threading.Timer(1, private_redis.resume)
    timer.start()
    answers = in_threads(lambda: granted(limiter, 1), threads)

    assert sum(answers) == threads
    limiter.close()


def _child(limiter: Limiter, pipe: Connection, calls: int) -> None:
    pipe.send(granted(limiter, calls))
    pipe.recv()  # keeps the connections open until the parent has counted them
    pipe.close()


class Children:
    """Forked processes that use what their parent used before."""

    def __init__(self, work: Callable[..., None], *arguments: Any, number: int = WORKERS) -> None:
        context = multiprocessing.get_context("fork")
        self._pipes: list[Connection] = []
        self._processes = []
        for _ in range(number):
            ours, theirs = context.Pipe()
            self._pipes.append(ours)
            process = context.Process(target=work, args=(arguments[0], theirs, *arguments[1:]))
            process.start()
            theirs.close()
            self._processes.append(process)

    def answers(self) -> list[Any]:
        if not all(pipe.poll(20) for pipe in self._pipes):
            for process in self._processes:
                process.kill()
            pytest.fail("a forked child does not answer")
        return [pipe.recv() for pipe in self._pipes]

    def end(self) -> None:
        for pipe in self._pipes:
            pipe.send("end")
        for process in self._processes:
            process.join(20)
            assert process.exitcode == 0


def test_forked_children_are_granted_exactly_what_their_parent_left(
    private_redis: EmbeddedRedis,
) -> None:
    limiter = Limiter(private_redis.url, timeout_seconds=10)
    before = sum(in_threads(lambda: granted(limiter, 10)))

    children = Children(_child, limiter, 100)
    ours = granted(limiter, 100)

    assert before + ours + sum(children.answers()) == BURST
    children.end()
    limiter.close()


def test_no_child_uses_a_connection_of_its_parent(private_redis: EmbeddedRedis) -> None:
    limiter = Limiter(private_redis.url, timeout_seconds=10)
    granted(limiter, 1)
    with private_redis.client() as client:
        before = {one["id"] for one in client.client_list()}

        children = Children(_child, limiter, 1)
        children.answers()
        during = {one["id"]: one for one in client.client_list()}

        assert before <= set(during)  # what a child closes stays open for its parent
        assert len(set(during) - before) == WORKERS
        assert granted(limiter, 1) == 1
        children.end()
    limiter.close()


def _child_of_threads(limiter: Limiter, pipe: Connection) -> None:
    pipe.send(granted(limiter, 5))
    pipe.recv()
    pipe.close()


def test_a_fork_while_threads_ask_leaves_nothing_locked(private_redis: EmbeddedRedis) -> None:
    limiter = Limiter(private_redis.url, timeout_seconds=10)
    over = threading.Event()

    def ask_until_over() -> int:
        asked = 0
        while not over.is_set():
            limiter.acquire(SLOW)
            limiter.close()  # so that connections are made and put away all the time
            asked += 1
        return asked

    with ThreadPoolExecutor(3) as pool:
        asking = [pool.submit(ask_until_over) for _ in range(3)]
        try:
            for _ in range(5):
                children = Children(_child_of_threads, limiter, number=4)
                children.answers()
                children.end()
        finally:
            over.set()
        assert all(one.result(20) > 0 for one in asking)
    limiter.close()
