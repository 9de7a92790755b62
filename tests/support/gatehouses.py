"""The fixtures that give a test a gate on a clock that it sets."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from celery import Celery

from celery_ratekit.limiter import Limiter

from .clocked import clock
from .gatehouse import Gatehouse, app_of_tests, clean_state
from .world import Clock

__all__ = ["Build", "build", "clock", "limiter", "tests_app"]

Build = Callable[..., Gatehouse]


@pytest.fixture(scope="session")
def tests_app() -> Iterator[Celery]:
    """An app without servers, with the tasks that gates are tested with."""
    app = app_of_tests()
    yield app
    app.close()


@pytest.fixture
def limiter(redis_url: str, clock: Clock) -> Iterator[Limiter]:
    """Asks an empty Redis by the test's clock, with the failure policy that workers have."""
    with_clock = Limiter(redis_url, clock=clock, timeout_seconds=20, on_failure="wait")
    yield with_clock
    with_clock.close()


@pytest.fixture(params=["semaphore", "own"])
def build(
    request: pytest.FixtureRequest, tests_app: Celery, limiter: Limiter, clock: Clock
) -> Iterator[Build]:
    """Makes gates over both kinds of slots: Celery's semaphore, and those of the gate's own."""
    made: list[Gatehouse] = []

    def build(slots: int = 4, *, limiter: Limiter = limiter, **options: Any) -> Gatehouse:
        with_semaphore = request.param == "semaphore"
        house = Gatehouse(
            tests_app, limiter, clock, slots, with_semaphore=with_semaphore, **options
        )
        made.append(house)
        return house

    with clean_state():
        yield build
        for house in made:
            house.asking.close()
