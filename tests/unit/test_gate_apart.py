"""The gate acts outside of greenlets that have a place in the pool."""

from __future__ import annotations

from typing import Any

import pytest

from celery_ratekit.worker.gate.apart import apart_of


def pool_of(module: str) -> Any:
    """A pool as its class says of itself where it comes from."""
    return type("TaskPool", (), {"__module__": module})()


@pytest.mark.parametrize("pool", ["prefork", "thread", "solo"])
def test_other_pools_have_it_done_at_once(pool: str) -> None:
    done: list[str] = []
    apart_of(pool_of(f"celery.concurrency.{pool}"))(done.append, "x")
    assert done == ["x"]


def test_a_greenlet_of_a_full_pool_of_one_can_have_the_next_task_started() -> None:
    gevent = pytest.importorskip("gevent")
    pytest.importorskip("gevent.pool")
    pool = gevent.pool.Pool(1)
    apart = apart_of(pool_of("celery.concurrency.gevent"))
    done: list[str] = []
    # Started by itself, the second would wait for the end of the first, which waits for it.
    pool.spawn(apart, pool.spawn, done.append, "second")
    with gevent.Timeout(10):
        gevent.wait([gevent.spawn(lambda: [gevent.sleep(0) for _ in range(5)])])
        pool.join()
    assert done == ["second"]
