"""A denial says when to ask again: until then the answer stays no, and at that moment it is yes."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.core_settings import core_settings
from support.core_strategies import LIMITS, Do, aparts, asks_of, horizons, operations
from support.worlds import Build, build

from celery_ratekit.limits import Limit

__all__ = ["build"]

pytestmark = pytest.mark.redis

shares = st.lists(st.floats(0, 1, exclude_max=True), max_size=4).map(sorted)


@core_settings(500)
@given(asks=asks_of(*LIMITS), todo=operations(), which=st.integers(0, 2), shares=shares)
def test_a_call_is_denied_at_every_step_before_the_promised_moment_and_granted_at_it(
    build: Build, asks: list[tuple[Limit, ...]], todo: list[Do], which: int, shares: list[float]
) -> None:
    world = build(asks)
    for operation in todo:
        operation(world)
    if world.acquire(which) or math.isinf(world.wait_us):
        return
    promised = world.clock.now + round(world.wait_us)
    for moment in [
        *(promised - round(world.wait_us * (1 - share)) for share in shares),
        promised - 1,
    ]:
        world.step(max(0, min(moment, promised - 1) - world.clock.now))
        assert not world.acquire(which)
        assert world.clock.now + round(world.wait_us) == promised
    world.step(promised - world.clock.now)
    assert world.acquire(which)
    world.history.check()


@core_settings(500)
@given(
    asks=asks_of(*LIMITS, together=2),
    todo=operations(),
    question=st.tuples(st.integers(0, 2), st.just(1), horizons, aparts),
    shares=shares,
)
def test_a_start_ahead_is_denied_before_the_promised_moment_and_promised_at_it(
    build: Build,
    asks: list[tuple[Limit, ...]],
    todo: list[Do],
    question: tuple[int, int, float, float],
    shares: list[float],
) -> None:
    world = build(asks)
    for operation in todo:
        operation(world)
    if world.reserve(*question) or math.isinf(world.wait_us):
        return
    promised = world.clock.now + round(world.wait_us)
    for moment in [
        *(promised - round(world.wait_us * (1 - share)) for share in shares),
        promised - 1,
    ]:
        world.step(max(0, min(moment, promised - 1) - world.clock.now))
        assert not world.reserve(*question)
        assert world.clock.now + round(world.wait_us) == promised
    world.step(promised - world.clock.now)
    assert world.reserve(*question)
    world.history.check()
