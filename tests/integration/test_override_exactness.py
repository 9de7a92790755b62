"""However often a rate is changed at run time, no more is granted than the rates add up to."""

from __future__ import annotations

import random
import struct
from collections.abc import Iterator

import pytest
import redis
from support.world import Clock

from celery_ratekit.embedded import EmbeddedRedis
from celery_ratekit.limiter import Limiter
from celery_ratekit.limiter.overrides import PAUSE, RATE, End, Set
from celery_ratekit.limits import TokenBucket

pytestmark = pytest.mark.redis

DECLARED = 10.0
BURST = 6
STEPS = 400


@pytest.fixture
def client(redis_server: EmbeddedRedis) -> Iterator[redis.Redis]:
    with redis_server.client() as client:
        yield client


class Run:
    """One bucket whose rate somebody changes all the time."""

    def __init__(self, limiter: Limiter, clock: Clock, client: redis.Redis) -> None:
        self.limiter, self.clock, self.client = limiter, clock, client
        self.bucket = TokenBucket("stripe", f"{DECLARED}/s", burst=BURST)
        self.per_second = DECLARED
        self.is_paused = False
        self.allowed = 0.0  # what the rates add up to
        self.granted = 0
        self.levels = [0.0]  # granted less allowed: it may rise by the burst above any before

    def wait(self, seconds: float) -> None:
        """Lets time pass, and the key expire where its time has come."""
        self.clock.step(int(seconds * 1e6))
        # While nothing may pass, tokens come back as in any other quiet time.
        self.allowed += self.per_second * seconds
        self.levels.append(self.granted - self.allowed)
        key = self.limiter.keys.state(self.bucket)
        state = self.client.get(key)
        if isinstance(state, bytes):
            (expiry,) = struct.unpack("<I", state[24:28])
            if expiry * 1e6 <= self.clock.now:
                self.client.delete(key)

    def ask(self, count: int) -> None:
        for _ in range(count):
            decision = self.limiter.acquire(self.bucket)
            self.granted += decision.granted
            assert not (decision.granted and self.is_paused)
            self.levels.append(self.granted - self.allowed)

    def change_rate(self, generator: random.Random) -> None:
        store = self.limiter.overrides
        place = store.place(RATE, "stripe", kind=TokenBucket)
        what = generator.choice([0.1, 2.0, 10.0, 50.0, None])
        if what is None:
            store.write([End(place)])
        else:
            store.write([Set(place, "stripe", what=f"{what}/s", per_second=what)])
        self.per_second = what or DECLARED
        self.limiter.override_book.refresh()

    def pause(self, *, is_paused: bool) -> None:
        store = self.limiter.overrides
        place = store.place(PAUSE, "stripe")
        store.write([Set(place, "stripe") if is_paused else End(place)])
        self.is_paused = is_paused
        self.limiter.override_book.refresh()

    def most_beyond(self) -> float:
        """The most starts of any stretch beyond what the rates allowed in it."""
        lowest, most = 0.0, 0.0
        for level in self.levels:
            lowest = min(lowest, level)
            most = max(most, level - lowest)
        return most


@pytest.mark.parametrize("seed", range(8))
def test_no_stretch_has_more_starts_than_burst_and_rates_allow(
    seed: int, redis_url: str, client: redis.Redis
) -> None:
    generator, clock = random.Random(seed), Clock()
    limiter = Limiter(redis_url, clock=clock, timeout_seconds=5)
    run = Run(limiter, clock, client)

    for _ in range(STEPS):
        run.wait(generator.choice([0.01, 0.1, 1.0, 11.0]))
        run.ask(generator.randrange(1, 5))
        if run.is_paused:
            run.pause(is_paused=False)
        elif generator.random() < 0.3:
            run.change_rate(generator)
        elif generator.random() < 0.2:
            run.pause(is_paused=True)
    run.wait(60)
    run.pause(is_paused=False)
    run.ask(2 * BURST)

    assert run.granted > STEPS / 8
    assert run.most_beyond() <= BURST + 1e-3
    limiter.close()
