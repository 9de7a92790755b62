"""Two workers call a service whose capacity nobody told them, and which changes meanwhile."""

from __future__ import annotations

import time
from collections.abc import Iterator

import pytest
from celery import Celery
from end_to_end.apps.adaptive import MODULE, MOST_PER_SECOND, sender
from support.partner import Partner
from support.workers import Setup, workers

from celery_ratekit.adaptive.state import SharedRates
from celery_ratekit.embedded import EmbeddedRedis

pytestmark = [pytest.mark.redis, pytest.mark.workers, pytest.mark.slow]

SETTLE_SECONDS = 90.0
WATCH_SECONDS = 12.0
LOOK_SECONDS = 0.25
CALM_SECONDS = 6.0  # Without being lowered for so long, a rate is no longer far too high.

# What is allowed is not all used: a busy machine starts some tasks late. So the rate may stand a
# little above a capacity that is not exceeded; and each refusal costs a freeze of half a second.
MOST_ABOVE = 1.2
MOST_REFUSED = 0.05
LEAST_USED = 0.5


@pytest.fixture(scope="module")
def setup(redis_executable: str) -> Iterator[Setup]:
    """Two workers of four processes, on a Redis of their own."""
    with EmbeddedRedis(executable=redis_executable) as server:
        setup = Setup(server.celery_url, server.url_for(1), module=MODULE)
        Partner(setup.journal).set_capacity(50)
        with workers(setup, 2, "--concurrency", "4"):
            yield setup


@pytest.fixture(scope="module")
def app(setup: Setup) -> Iterator[Celery]:
    with sender(setup) as app:
        yield app


class Watch:
    """Looks at what the fleet has learned."""

    def __init__(self, app: Celery) -> None:
        limiter = app.tasks["call_partner"].ratekit.limiter
        self._book = limiter.override_book
        self._rates = SharedRates(limiter)

    def rate(self) -> float:
        self._book.refresh()
        return self._rates.seen("call_partner") or float(MOST_PER_SECOND)

    def wait_until_settled(self, capacity: int) -> None:
        """Waits until the rate is near a lower capacity, and no longer falls."""
        deadline = time.monotonic() + SETTLE_SECONDS
        last, lowered_at = self.rate(), time.monotonic()
        while last > MOST_ABOVE * capacity or time.monotonic() < lowered_at + CALM_SECONDS:
            assert time.monotonic() < deadline, last
            time.sleep(LOOK_SECONDS)
            rate = self.rate()
            if rate < last:
                lowered_at = time.monotonic()
            last = rate

    def rates(self, seconds: float) -> list[float]:
        """The rates of a stretch of time."""
        deadline, rates = time.monotonic() + seconds, []
        while time.monotonic() < deadline:
            rates.append(self.rate())
            time.sleep(LOOK_SECONDS)
        return rates


def test_the_rate_of_both_workers_follows_a_service_whose_capacity_changes(
    app: Celery, setup: Setup
) -> None:
    partner, watch = Partner(setup.journal), Watch(app)
    for _ in range(6_000):  # More than is done in the test.
        app.tasks["call_partner"].delay()

    for capacity in (50, 20):
        partner.set_capacity(capacity)
        watch.wait_until_settled(capacity)
        since = partner.now()
        rates = watch.rates(WATCH_SECONDS)
        calls = partner.calls(since)

        taken = [one for one in calls if one.taken]
        assert max(rates) <= MOST_ABOVE * capacity
        assert len(calls) - len(taken) <= MOST_REFUSED * len(calls)
        assert len(taken) >= LEAST_USED * capacity * WATCH_SECONDS
        assert len({one.caller for one in taken}) == 2
        print(f"{capacity}/s: {min(rates):.1f} to {max(rates):.1f}/s allowed,")
        print(f"{len(taken) / WATCH_SECONDS:.1f}/s taken, {len(calls) - len(taken)} refused")
