"""Whatever is done in whatever order: the backlog answers as its model, and keeps its books."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.backlog_moves import moves
from support.backlog_world import BacklogWorld
from support.backlogs import connect
from support.core_settings import THOROUGH, core_settings
from support.core_strategies import Do, do
from support.world import Clock

from celery_ratekit.backlog import Backlog
from celery_ratekit.embedded import EmbeddedRedis
from celery_ratekit.limiter.keys import KeySpace

pytestmark = pytest.mark.redis

Build = Callable[[], BacklogWorld]

parking = st.tuples(
    st.integers(0, 4),
    st.integers(0, 4),
    st.integers(0, 3),
    st.booleans(),
    st.sampled_from([0, 0, 0, 3, 255]),
    st.sampled_from([0, 1, 1, 5, 10**9]),
)
worker = st.integers(0, 1)
some_tasks = st.sampled_from([["send"], ["send", "fetch"], ["send", "fetch"], ["fetch", "none"]])
names = st.sampled_from([None, None, "api", "places", "none"])
few = st.integers(0, 4)

operations = st.lists(
    st.one_of(
        do("park", st.lists(parking, min_size=1, max_size=5), st.sampled_from([None, None, 2])),
        do("park", st.lists(parking, min_size=1, max_size=5), st.none()),
        do("claim", worker, some_tasks, few, st.sampled_from([0, 0, 1, 5]), st.just([])),
        do("claim", worker, some_tasks, few, st.just(0), st.lists(st.integers(0, 2), max_size=2)),
        do("finish", worker, few),
        do("give_back", worker, few, st.none() | st.integers(0, 1), few, st.booleans()),
        do("die", worker),
        do("take", worker, few),
        do("wake", names),
        do("purge", names, st.sampled_from([None, None, "k", ""]), st.sampled_from([None, "send"])),
        do("step", st.sampled_from([1, 2, 500_000, 1_000_000, 5_000_000])),
        do("flush_scripts"),
    ),
    min_size=1,
    max_size=40,
)


@pytest.fixture(scope="module")
def build(redis_server: EmbeddedRedis) -> Iterator[Build]:
    """Makes a new world, with nothing in Redis."""
    yield from worlds_on(redis_server)


@pytest.fixture(scope="module")
def build62(redis62_server: EmbeddedRedis) -> Iterator[Build]:
    """The same on the oldest supported Redis."""
    yield from worlds_on(redis62_server)


def worlds_on(server: EmbeddedRedis) -> Iterator[Build]:
    clock, keys = Clock(), KeySpace("test")
    transport = connect(server.url)
    backlog = Backlog(transport, keys, clock=clock)
    with server.client() as client:
        client.script_flush()
        yield lambda: BacklogWorld(client, backlog, keys, clock)
    transport.close()


@core_settings()
@given(todo=operations)
def test_the_backlog_answers_as_its_model_does(build: Build, todo: list[Do]) -> None:
    world = build()
    for operation in todo:
        operation(world)
        world.check()


@pytest.mark.parametrize("seed", range(500 if THOROUGH else 25))
def test_a_long_life_loses_nothing(build: Build, seed: int) -> None:
    world = build()
    for operation in moves(seed, 120):
        operation(world)
        world.check()


@pytest.mark.parametrize("seed", range(3))
def test_a_long_life_on_the_oldest_redis(build62: Build, seed: int) -> None:
    test_a_long_life_loses_nothing(build62, seed)
