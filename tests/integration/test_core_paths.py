"""The script has a short way for token buckets alone; both ways give the same answers."""

from __future__ import annotations

import math
import struct
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.core_settings import core_settings
from support.core_strategies import Do, operations, token_buckets
from support.worlds import Build, build

from celery_ratekit.limits import Concurrency, FixedWindow, TokenBucket

__all__ = ["build"]

pytestmark = pytest.mark.redis

NEVER_LIMITING = [
    (FixedWindow("beside", "1000000/3600s"),),
    (Concurrency("beside", 100_000),),
    (TokenBucket("beside", "1000000/s", burst=1_000_000_000),),
]


def answers(build: Build, asks: list[tuple[Any, ...]], todo: list[Do]) -> list[Any]:
    """What every acquire and reserve among the operations was answered."""
    world = build(asks)
    said = []
    for operation in todo:
        granted = len(world.grants)
        operation(world)
        if operation.what in ("acquire", "reserve"):
            starts = [grant.decision.start_us for grant in world.grants[granted:]]
            said.append((starts, world.wait_us))
    return said


buckets = st.lists(token_buckets(), min_size=1, max_size=3)
todo = operations(settles=False, apart=st.just(math.inf))


@core_settings()
@given(buckets=buckets, todo=todo, beside=st.sampled_from(NEVER_LIMITING))
def test_a_bucket_alone_answers_as_it_does_beside_a_limit_that_never_limits(
    build: Build, buckets: list[TokenBucket], todo: list[Do], beside: tuple[Any, ...]
) -> None:
    alone = answers(build, [(bucket,) for bucket in buckets], todo)
    together = answers(build, [(bucket, *beside) for bucket in buckets], todo)
    assert alone == together


@core_settings()
@given(buckets=buckets, todo=todo)
def test_a_bucket_on_the_long_form_of_its_state_answers_as_on_the_plain_one(
    build: Build, buckets: list[TokenBucket], todo: list[Do]
) -> None:
    world = build([(bucket,) for bucket in buckets])
    for operation in todo:
        operation(world)
        for key in world.client.scan_iter("ratekit:t*"):
            state = world.client.get(key)
            assert isinstance(state, bytes)
            if len(state) == 28 and offset_of(state) <= 0:
                # Nothing is promised: the long form says so with two more numbers.
                world.client.set(key, state + no_promise(), keepttl=True)


def offset_of(state: bytes) -> float:
    offset: float = struct.unpack("<d", state[8:16])[0]
    return offset


def no_promise() -> bytes:
    return struct.pack("<dd", 0.0, math.inf)
