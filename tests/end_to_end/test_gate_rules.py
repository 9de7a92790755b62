"""Limits from settings and message headers, switched off, only counted, or impossible."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from uuid import uuid4

import pytest
from celery import Celery
from end_to_end.apps import gate, ruled
from support.held import held_ids, wait_until_held
from support.journal import Journal, not_yet
from support.traffic import hits
from support.workers import Setup, workers

from celery_ratekit.embedded import EmbeddedRedis
from celery_ratekit.embedded.waiting import wait_for
from celery_ratekit.errors import BadOptionError

pytestmark = [pytest.mark.redis, pytest.mark.workers]

AUTOINSTALL = ("celery_ratekit.autoinstall",)
ONE = "1/h"  # Nothing comes back while a test runs.


@pytest.fixture
def server(redis_server: EmbeddedRedis, redis_url: str) -> EmbeddedRedis:
    """An empty Redis, for everything."""
    assert redis_server.url == redis_url
    return redis_server


@contextmanager
def running(module: Any, server: EmbeddedRedis, **conf: Any) -> Iterator[tuple[Celery, Journal]]:
    """One worker that runs a module's app, and the same app for the test."""
    setup = Setup(
        server.celery_url,
        server.url_for(2),
        server.celery_url_for(1),
        {"imports": AUTOINSTALL, **conf},
        module.MODULE,
    )
    with workers(setup, 1, "--concurrency", "4"), module.sender(setup) as app:
        yield app, Journal(setup.journal)


def send(app: Celery, name: str, label: str, count: int, **options: Any) -> list[str]:
    return [app.tasks[name].apply_async((label,), **options).id for _ in range(count)]


def test_a_rule_limits_a_plain_task_of_an_app_that_only_imports_autoinstall(
    server: EmbeddedRedis,
) -> None:
    rules = {"reports.*": ONE}
    with running(ruled, server, ratekit_rules=rules) as (app, journal):
        task_ids = send(app, "reports.daily", "ruled", 3)
        journal.wait_for_starts("ruled", 1)
        wait_until_held(app, task_ids[1:])
        send(app, "mail.send", "free", 5)

        journal.wait_for_starts("free", 5)

        assert held_ids(app) == task_ids[1:]
        assert len(journal.starts("ruled")) == 1


def test_a_rule_keeps_its_rate(server: EmbeddedRedis) -> None:
    with running(ruled, server, ratekit_rules={"reports.*": "10/s"}) as (app, journal):
        send(app, "reports.daily", "paced", 20)
        starts = journal.wait_for_starts("paced", 20)

    took = starts[-1]["at"] - starts[0]["at"]
    assert 1.9 - 0.2 <= took <= 1.9 * 1.2  # The first may start late, by a tenth at the most.


def test_celerys_own_switch_for_its_rate_limits_changes_nothing(server: EmbeddedRedis) -> None:
    conf = {"ratekit_rules": {"reports.*": ONE}, "worker_disable_rate_limits": True}
    with running(ruled, server, **conf) as (app, journal):
        task_ids = send(app, "reports.daily", "celerys", 2)
        journal.wait_for_starts("celerys", 1)
        wait_until_held(app, task_ids[1:])


def test_a_message_chooses_limits_by_name_and_an_unknown_name_fails_it(
    server: EmbeddedRedis,
) -> None:
    with running(ruled, server, ratekit_limits={"slow": ONE}) as (app, journal):
        chosen = {"headers": {"ratekit_limits": ["slow"]}}
        task_ids = send(app, "reports.daily", "chosen", 1, **chosen)
        journal.wait_for_starts("chosen", 1)
        task_ids += send(app, "mail.send", "chosen too", 1, **chosen)
        wait_until_held(app, task_ids[1:])
        unknown = app.tasks["reports.daily"].apply_async(
            ("unknown",), headers={"ratekit_limits": ["slwo"]}
        )

        with pytest.raises(BadOptionError, match="did you mean 'slow'"):
            unknown.get(timeout=20)

        send(app, "reports.daily", "free", 4)
        journal.wait_for_starts("free", 4)
        assert journal.starts("unknown") == journal.starts("chosen too") == []


def test_limits_that_are_switched_off_hold_nothing(server: EmbeddedRedis) -> None:
    conf = {"ratekit_rules": {"*": ONE}, "ratekit_limits": {"slow": ONE}, "ratekit_enabled": False}
    with running(ruled, server, **conf) as (app, journal):
        send(app, "reports.daily", "off", 4, headers={"ratekit_limits": ["slow"]})
        send(app, "mail.send", "off", 4)
        journal.wait_for_starts("off", 8)


def test_limits_are_switched_off_for_tasks_by_pattern(server: EmbeddedRedis) -> None:
    conf = {"ratekit_rules": {"*": ONE}, "ratekit_enabled": {"reports.*": False}}
    with running(ruled, server, **conf) as (app, journal):
        send(app, "reports.daily", "off", 4)
        journal.wait_for_starts("off", 4)
        task_ids = send(app, "mail.send", "on", 3)
        journal.wait_for_starts("on", 1)
        wait_until_held(app, task_ids[1:])


@pytest.mark.parametrize(
    ("name", "conf"),
    [
        ("measured", {}),
        ("plain", {"ratekit_rules": {"plain": {"limits": ONE, "mode": "shadow"}}}),
        ("plain", {"ratekit_rules": {"plain": ONE}, "ratekit_mode": "shadow"}),
    ],
    ids=["class", "rule", "all"],
)
def test_limits_in_shadow_mode_hold_nothing_and_tell_of_each_hit(
    name: str, conf: dict[str, Any], server: EmbeddedRedis
) -> None:
    with running(gate, server, **conf) as (app, journal):
        send(app, name, "shadow", 6)
        journal.wait_for_starts("shadow", 6)
        wait_for("hits", lambda: not_yet(len(hits(journal, name)) < 5), timeout=10)
        told = hits(journal, name)

    expected = {"limit": name, "reason": "rate", "mode": "shadow"}
    assert told == [expected] * 5


def test_a_call_whose_key_cannot_be_worked_out_fails_and_never_runs(
    server: EmbeddedRedis,
) -> None:
    with running(gate, server) as (app, journal):
        results = [app.tasks["badly_keyed"].delay("bad") for _ in range(8)]
        for result in results:
            with pytest.raises(KeyError, match="missing"):
                result.get(timeout=20)
        send(app, "plain", "after", 1)
        journal.wait_for_starts("after", 1)

        assert journal.starts("bad") == []
        assert held_ids(app) == []


def test_tasks_without_a_limit_ask_redis_nothing(
    server: EmbeddedRedis, private_redis: EmbeddedRedis
) -> None:
    label = uuid4().hex
    with running(gate, server, ratekit_redis_url=private_redis.url) as (app, journal):
        for number in range(2):
            app.tasks["note"].delay(label, [label, "100/s"], number)
        journal.wait_for_starts(label, 2)
        with private_redis.client() as client:
            # What the limited tasks left behind has been given back by now, or will be in a moment.
            wait_for("quiet", lambda: not_yet(held_ids(app) != []), timeout=10)
            send(app, "plain", "warm", 20)
            journal.wait_for_starts("warm", 20)
            before = asked(client)
            send(app, "plain", "plain", 100)
            journal.wait_for_starts("plain", 100)

            assert asked(client) == before


def asked(client: Any) -> dict[str, int]:
    """How often which command was carried out, but for this question and what opens connections."""
    stats = client.info("commandstats")
    own = ("cmdstat_info", "cmdstat_client|setinfo", "cmdstat_hello")
    return {name: one["calls"] for name, one in stats.items() if name not in own}
