"""Workers, children and Redis are killed at random steps: all runs, at its rate, and hardly twice.

A short turn of benchmarks/chaos, which tells how it judges; ``python -m benchmarks.chaos`` runs for
as long as one likes.
"""

from __future__ import annotations

import kombu
import pytest
from support.delivery import LOOKS_OFTEN_SINCE

from benchmarks.chaos.plan import Chaos, Step
from benchmarks.chaos.report import as_text
from benchmarks.chaos.run import run
from benchmarks.chaos.servers import servers_for
from celery_ratekit.embedded import EmbeddedRabbitMQ

pytestmark = [pytest.mark.redis, pytest.mark.workers, pytest.mark.slow, pytest.mark.timeout(400)]

SECONDS = 7
SEED = 7
REST_SECONDS = 150.0
"""The most that a busy machine needs until all has run; an idle one needs a quarter."""


def check(chaos: Chaos, redis_executable: str, rabbitmq: EmbeddedRabbitMQ | None = None) -> None:
    with servers_for(chaos.broker, rabbitmq, redis_executable) as servers:
        verdict = run(chaos, servers, rest_seconds=REST_SECONDS)
    print(as_text(chaos, verdict))

    assert verdict.faults == []
    assert verdict.begun >= 100
    steps = {step for step, _ in verdict.kills}
    assert len(steps - {Step.RANDOM.value}) >= 3, steps


@pytest.mark.skipif(
    kombu.VERSION[:2] < LOOKS_OFTEN_SINCE, reason="kombu looks every 100 s for what was not run"
)
def test_kills_at_every_step_lose_nothing_on_redis(redis_executable: str) -> None:
    chaos = Chaos(SECONDS, SEED, "redis", "late", passes=60, random_seconds=2)
    check(chaos, redis_executable)


@pytest.mark.rabbitmq
def test_kills_at_every_step_lose_nothing_on_rabbitmq(
    redis_executable: str, rabbitmq: EmbeddedRabbitMQ
) -> None:
    chaos = Chaos(SECONDS, SEED, "rabbitmq", "early", passes=60, random_seconds=2)
    check(chaos, redis_executable, rabbitmq)
