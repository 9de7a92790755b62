"""Settings come from the app's configuration, in whatever form Celery takes that."""

from __future__ import annotations

import json
import ssl
from collections.abc import Iterator
from typing import Any

import pytest
from celery import Celery

from celery_ratekit import Concurrency, FixedWindow, TokenBucket, TokenBucketTask
from celery_ratekit.errors import BadOptionError, BadRedisURLError, RedisNotConfiguredError
from celery_ratekit.rules import Rule
from celery_ratekit.settings import Settings, settings_of
from celery_ratekit.tasks.runtime import runtime_of
from celery_ratekit.worker.check import CheckSettings

CHECK = f"{CheckSettings.__module__}:{CheckSettings.__name__}"
"""How an app names the step to its workers."""

NO_REDIS = {"broker_url": "amqp://rabbit//", "result_backend": "rpc://"}


@pytest.fixture(autouse=True)
def no_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("CELERY_BROKER_URL", "CELERY_BROKER_WRITE_URL", "CELERY_RESULT_BACKEND"):
        monkeypatch.delenv(name, raising=False)


made: list[Celery] = []


@pytest.fixture(autouse=True)
def no_app_left() -> Iterator[None]:
    """Shared tasks are bound to every app that there is, also to those with wrong settings."""
    yield
    while made:
        made.pop().close()


def new_app() -> Celery:
    made.append(Celery("shop", set_as_current=False))
    return made[-1]


def make_app(**conf: Any) -> Celery:
    app = new_app()
    app.conf.update(conf)
    return app


def configured(source: dict[str, Any], namespace: str | None) -> Celery:
    app = new_app()
    app.config_from_object(type("Source", (), source), namespace=namespace)
    return app


def test_defaults_and_given_values() -> None:
    settings = settings_of(make_app(ratekit_namespace="shop", ratekit_max_reschedule=60))

    assert settings == Settings(namespace="shop", max_reschedule=60)
    assert settings.enabled


@pytest.mark.parametrize(
    ("source", "namespace"),
    [
        ({"CELERY_RATEKIT_NAMESPACE": "shop"}, "CELERY"),
        ({"ratekit_namespace": "shop"}, None),
        ({"ratekit_namespace": "shop"}, "CELERY"),
        ({"RATEKIT_NAMESPACE": "shop"}, None),
        ({"WORK_RATEKIT_NAMESPACE": "shop"}, "WORK"),
        ({"WORK_RATEKIT_NAMESPACE": "shop", "CELERY_RATEKIT_NAMESPCE": "another app's"}, "WORK"),
    ],
)
def test_a_configuration_object_may_have_any_namespace(
    source: dict[str, Any], namespace: str | None
) -> None:
    assert settings_of(configured(source, namespace)).namespace == "shop"


@pytest.mark.parametrize(
    ("prefix", "namespace"),
    [("CELERY_RATEKIT_", "CELERY"), ("ratekit_", None), ("RATEKIT_", None), ("Q_RATEKIT_", "Q")],
)
def test_rules_limits_and_switches_come_from_plain_data_of_any_form(
    prefix: str, namespace: str | None
) -> None:
    plain = json.loads(
        """{
            "RULES": {
                "reports.*": "100/m",
                "mail.*": {"limits": ["10/60s:5"], "mode": "shadow"},
                "sync": 5
            },
            "LIMITS": {"stripe": "25/s:100"},
            "ENABLED": {"celery.*": false},
            "MODE": "shadow",
            "MAX_FREEZE": 60
        }"""
    )
    upper = prefix.isupper()
    source = {prefix + (name if upper else name.lower()): value for name, value in plain.items()}

    settings = settings_of(configured(source, namespace))

    assert settings.task_rules == (
        Rule("reports.*", (TokenBucket(rate="100/m"),)),
        Rule("mail.*", (TokenBucket(rate="10/60s:5"),), "shadow"),
        Rule("sync", (TokenBucket(rate=5),)),
    )
    assert settings.named_limits == {"stripe": TokenBucket("stripe", "25/s:100")}
    assert (settings.mode, settings.max_freeze) == ("shadow", 60)
    assert not settings.is_enabled("celery.chord_unlock")
    assert settings.is_enabled("reports.daily")


def test_rules_and_limits_may_hold_limits() -> None:
    settings = Settings(
        rules={"reports.*": [FixedWindow("day", "9/d"), Concurrency(size=2)]},
        limits={"lines": Concurrency(size=8)},
    )

    assert settings.task_rules[0].limits == (FixedWindow("day", "9/d"), Concurrency(size=2))
    assert settings.named_limits["lines"] == Concurrency("lines", 8)


def test_without_settings_there_are_no_rules_and_every_task_is_enabled() -> None:
    settings = settings_of(make_app())

    assert (settings.task_rules, settings.named_limits) == ((), {})
    assert (settings.mode, settings.max_freeze) == ("enforce", 3_600)
    assert settings.is_enabled("anything")


@pytest.mark.parametrize(
    ("enabled", "on", "off"),
    [
        (True, ["a", "b.c"], []),
        (False, [], ["a", "b.c"]),
        ({}, ["a", "b.c"], []),
        ({"b.*": False}, ["a", "b"], ["b.c"]),
        ({"b.c": True, "b.*": False}, ["a", "b.c"], ["b.d"]),
        ({"b.*": False, "b.c": True}, ["a"], ["b.c", "b.d"]),
        ({"b.*": True, "*": False}, ["b.c"], ["a"]),
    ],
)
def test_the_first_pattern_that_matches_switches_a_task_on_or_off(
    enabled: Any, on: list[str], off: list[str]
) -> None:
    settings = settings_of(make_app(ratekit_enabled=enabled))

    assert [name for name in [*on, *off] if settings.is_enabled(name)] == on


def test_a_mapping_that_switches_nothing_off_is_not_taken_for_false() -> None:
    assert Settings(enabled={}).enabled is True
    assert Settings(enabled={"*": False}).enabled == {"*": False}


def test_what_is_put_into_a_setting_before_it_is_used_counts() -> None:
    app = make_app(ratekit_rules={"a": "1/s"})
    assert len(settings_of(app).task_rules) == 1

    app.conf.ratekit_rules["b"] = "2/s"

    assert len(settings_of(app).task_rules) == 2


def test_what_is_set_on_the_app_goes_over_its_configuration_object() -> None:
    app = configured({"CELERY_RATEKIT_NAMESPACE": "object"}, "CELERY")
    app.conf.ratekit_namespace = "app"

    assert settings_of(app).namespace == app.conf.ratekit_namespace


@pytest.mark.parametrize(
    ("source", "namespace", "message"),
    [
        (
            {"ratekit_redis_timeot": 1},
            None,
            "no setting 'ratekit_redis_timeot'; did you mean 'ratekit_redis_timeout'",
        ),
        (
            {"CELERY_RATEKIT_ENABLD": False},
            "CELERY",
            "no setting 'ratekit_enabld'; did you mean 'ratekit_enabled'",
        ),
        ({"ratekit_rule": {}}, None, "no setting 'ratekit_rule'; did you mean 'ratekit_rules'"),
        ({"ratekit_task_rules": []}, None, "no setting 'ratekit_task_rules'"),
        (
            {"CELERY_RATEKIT_RULES": {"reports.*": "100"}, "CELERY_RATEKIT_MOD": "shadow"},
            "CELERY",
            "no setting 'ratekit_mod'; did you mean 'ratekit_mode'",
        ),
        ({"ratekit_colour": "red"}, None, "no setting 'ratekit_colour'; see the settings page"),
    ],
)
def test_a_misspelt_name_is_refused_when_a_limited_task_is_bound(
    source: dict[str, Any], namespace: str | None, message: str
) -> None:
    app = configured(source, namespace)
    app.task(base=TokenBucketTask, name="charge", shared=False)(print_nothing)

    with pytest.raises(BadOptionError, match=message):
        app.finalize()


def print_nothing() -> None:
    pass


@pytest.mark.parametrize(
    ("name", "value", "expected"),
    [
        ("enabled", "no", "True or False for ratekit_enabled, got 'no'"),
        ("enabled", None, "True or False for ratekit_enabled, got None; for some tasks only"),
        ("enabled", 1, "True or False for ratekit_enabled, got 1"),
        ("enabled", ["reports.*"], "got \\['reports.\\*'\\]; for some tasks only write .*: False"),
        ("enabled", {"a": "no"}, r"True or False for ratekit_enabled\['a'\], got 'no'"),
        ("enabled", {"a": 0}, r"True or False for ratekit_enabled\['a'\], got 0"),
        ("enabled", {1: False}, "patterns as keys of ratekit_enabled, got 1"),
        ("enabled", {"": False}, "patterns as keys of ratekit_enabled, got ''"),
        ("gate", "no", "True or False for ratekit_gate, got 'no'"),
        ("mode", "shadwo", "'enforce', 'shadow' for ratekit_mode.*did you mean 'shadow'"),
        ("mode", None, "'enforce', 'shadow' for ratekit_mode, got None"),
        ("mode", True, "'enforce', 'shadow' for ratekit_mode, got True"),
        ("rules", None, "dictionary from task name patterns for ratekit_rules, got None"),
        ("rules", {"a": "fast"}, r"ratekit_rules\['a'\] cannot work: expected a rate"),
        ("limits", ["a"], "dictionary from names to rates or limits for ratekit_limits"),
        ("limits", {"a": "fast"}, r"ratekit_limits\['a'\] cannot work: expected a rate"),
        ("max_freeze", 0, "seconds, more than 0 and at most 2678400"),
        ("max_freeze", "3600", "seconds, more than 0 .* for ratekit_max_freeze, got '3600'"),
        ("max_freeze", float("inf"), "seconds"),
        ("hash_keys", 1, "True or False for ratekit_hash_keys"),
        ("namespace", None, "a text for ratekit_namespace, got None"),
        ("redis_url", 6379, "a Redis address or None for ratekit_redis_url"),
        ("redis_options", ["db"], "a dictionary for ratekit_redis_options"),
        ("redis_options", None, "a dictionary for ratekit_redis_options"),
        ("redis_timeout", 0, "seconds, more than 0 and at most 60"),
        ("redis_timeout", True, "seconds"),
        ("redis_timeout", "1", "seconds"),
        ("max_reschedule", float("nan"), "at most 86400"),
        ("max_reschedule", 1e9, "at most 86400"),
        ("on_redis_failure", "waite", "'wait', 'allow', 'share'.*did you mean 'wait'"),
        ("on_redis_failure", ["wait"], "'wait', 'allow', 'share'"),
    ],
)
def test_an_impossible_value_is_refused_with_what_was_expected(
    name: str, value: Any, expected: str
) -> None:
    with pytest.raises(BadOptionError, match=expected):
        settings_of(make_app(**{f"ratekit_{name}": value}))


@pytest.mark.parametrize(
    ("conf", "url"),
    [
        ({"broker_url": "redis://broker/1"}, "redis://broker/1"),
        ({"broker_url": "amqp://r//", "result_backend": "rediss://back/2"}, "rediss://back/2"),
        ({"broker_url": "redis://a", "result_backend": "redis://b"}, "redis://a"),
        ({"broker_url": "amqp://r//;redis://second"}, "redis://second"),
        ({"broker_url": ["redis://first", "redis://second"]}, "redis://first"),
        ({"broker_url": "redis+socket:///run/redis.sock"}, "redis+socket:///run/redis.sock"),
        ({"broker_url": "sentinel://a:1;sentinel://b:2"}, "sentinel://a:1;sentinel://b:2"),
        ({"broker_url": ["sentinel://a:1", "sentinel://b:2"]}, "sentinel://a:1;sentinel://b:2"),
        ({"broker_read_url": "amqp://r//", "broker_write_url": "redis://w"}, "redis://w"),
        ({"ratekit_redis_url": "redis://own", "broker_url": "redis://broker"}, "redis://own"),
        ({"ratekit_redis_url": None, "broker_url": "redis://broker"}, "redis://broker"),
    ],
)
def test_the_redis_is_the_one_set_else_the_broker_else_the_backend(
    conf: dict[str, Any], url: str
) -> None:
    assert settings_of(make_app(**conf)).found_redis_url == url


def test_options_of_the_broker_come_along_where_its_address_is_used() -> None:
    conf = {
        "broker_url": "sentinel://a:1",
        "broker_transport_options": {"master_name": "m", "visibility_timeout": 5},
        "broker_use_ssl": {"ssl_cert_reqs": ssl.CERT_NONE},
        "ratekit_redis_options": {"master_name": "own"},
    }

    assert settings_of(make_app(**conf)).redis_options == {
        "master_name": "own",
        "ssl_cert_reqs": ssl.CERT_NONE,
    }
    assert settings_of(make_app(**conf, ratekit_redis_url="redis://own")).redis_options == {
        "master_name": "own"
    }


def test_options_of_the_backend_come_along_where_its_address_is_used() -> None:
    app = make_app(
        broker_url="amqp://r//",
        broker_use_ssl={"keyfile": "for rabbit"},
        result_backend="rediss://b",
        redis_backend_use_ssl={"ssl_ca_certs": "ca.pem"},
    )

    assert settings_of(app).redis_options == {"ssl_ca_certs": "ca.pem"}


def test_no_redis_is_an_error_where_one_is_needed() -> None:
    app = make_app(**NO_REDIS)

    with pytest.raises(RedisNotConfiguredError, match="expected ratekit_redis_url, since neither"):
        _ = settings_of(app).found_redis_url


class Worker:
    """What a worker's step is made with."""

    def __init__(self, app: Celery) -> None:
        self.app = app


@pytest.mark.parametrize(
    ("conf", "error"),
    [
        (NO_REDIS, RedisNotConfiguredError),
        ({"ratekit_redis_url": ""}, BadRedisURLError),
        ({"ratekit_redis_url": "http://x"}, BadRedisURLError),
    ],
)
def test_a_worker_with_limited_tasks_checks_its_redis_when_it_starts(
    conf: dict[str, Any], error: type[Exception]
) -> None:
    app = make_app(**conf)
    app.task(base=TokenBucketTask, name="charge", shared=False, lazy=False)(print_nothing)
    assert CHECK in app.steps["worker"]

    with pytest.raises(error):
        CheckSettings(Worker(app))


def test_switched_off_limits_need_no_redis() -> None:
    app = make_app(**NO_REDIS, ratekit_enabled=False)

    assert CheckSettings(Worker(app)) is not None
    assert not runtime_of(app).settings.enabled


def test_an_app_without_limited_tasks_is_not_looked_at() -> None:
    app = make_app(ratekit_colour="red")
    app.task(name="plain", shared=False, lazy=False)(print_nothing)

    assert CHECK not in app.steps["worker"]
