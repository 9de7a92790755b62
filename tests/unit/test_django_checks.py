"""What Django's system checks tell of the settings."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from celery import Celery
from celery.schedules import crontab
from django.core.checks import run_checks
from django.test import override_settings
from support.django_site import configure

from celery_ratekit.contrib.django import TokenBucket

configure()

from celery_ratekit.contrib.django import bucket_limit  # noqa: E402
from celery_ratekit.contrib.django.decorators import rate_limit  # noqa: E402


@pytest.fixture(autouse=True)
def project_app() -> Iterator[Celery]:
    app = Celery("shop", broker="redis://", set_as_current=False, namespace="CELERY")
    app.set_current()
    yield app
    app.close()
    Celery(set_as_current=False).set_current()


@pytest.fixture(autouse=True)
def no_decorators(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bucket_limit, "_known", {})


def told(**settings: Any) -> list[tuple[str, str]]:
    with override_settings(**settings):
        found = run_checks(tags=["celery_ratekit"])
    return [(one.id, one.msg) for one in found]


def buckets(**given: Any) -> dict[str, Any]:
    return {"CELERY_TOKEN_BUCKETS": given}


def bucket(name: str = "my_api", amount: Any = 10, maximum: Any = 20, **more: Any) -> TokenBucket:
    return TokenBucket(name, crontab(minute=0), amount, maximum, **more)


def test_settings_that_work_are_passed_over() -> None:
    assert told() == []
    assert told(**buckets(my_api=bucket()), CELERY_RATEKIT_OVERFLOW="hold") == []
    assert told(**buckets(my_api=bucket(backend="queue"))) == []


def test_what_is_no_dictionary_is_told() -> None:
    ((number, message),) = told(CELERY_TOKEN_BUCKETS=[bucket()])
    assert number == "celery_ratekit.E001"
    assert "expected a dictionary" in message


@pytest.mark.parametrize(
    ("given", "number", "words"),
    [
        ({"my-api": bucket("my-api")}, "E002", "letters, digits and underscores"),
        ({"my_api": bucket(amount=30)}, "E002", "an amount of at most the maximum"),
        ({"my_api": bucket(backend="ftp")}, "E002", "'redis', 'queue'"),
        ({"your_api": bucket()}, "E003", "got 'your_api' for 'my_api'"),
    ],
)
def test_a_bucket_that_cannot_work_is_told_under_its_key(
    given: dict[str, Any], number: str, words: str
) -> None:
    ((told_number, message),) = told(CELERY_TOKEN_BUCKETS=given)

    assert told_number == f"celery_ratekit.{number}"
    assert words in message
    assert f"CELERY_TOKEN_BUCKETS['{next(iter(given))}']" in message


def test_all_that_is_wrong_is_told_at_once() -> None:
    found = told(
        CELERY_TOKEN_BUCKETS={"a": bucket("b-c"), "d": bucket("d", 30)}, CELERY_RATEKIT_MOD="x"
    )
    assert sorted(number.removeprefix("celery_ratekit.") for number, _ in found) == [
        "E002",
        "E002",
        "E003",
        "E006",
    ]


def test_a_bucket_in_a_queue_needs_django_celery_beat() -> None:
    ((number, message),) = told(
        **buckets(my_api=bucket(backend="queue")), INSTALLED_APPS=["celery_ratekit.contrib.django"]
    )
    assert number == "celery_ratekit.E004"
    assert "django_celery_beat in INSTALLED_APPS" in message


def test_an_unknown_bucket_in_a_decorator_is_told_with_its_function() -> None:
    @rate_limit("my_ap")
    def call_my_api() -> None: ...

    ((number, message),) = told(**buckets(my_api=bucket()))

    assert number == "celery_ratekit.E005"
    assert "call_my_api: the token bucket 'my_ap' is not registered" in message
    assert "did you mean 'my_api'?" in message


def test_a_misspelt_setting_is_told_with_what_was_meant() -> None:
    assert told(CELERY_RATEKIT_OVERFLW="hold") == [
        (
            "celery_ratekit.E006",
            "there is no setting 'CELERY_RATEKIT_OVERFLW'; did you mean 'CELERY_RATEKIT_OVERFLOW'?",
        )
    ]


def test_an_impossible_value_of_the_projects_app_is_told(project_app: Celery) -> None:
    project_app.conf.ratekit_overflow = "sideways"

    ((number, message),) = told()

    assert number == "celery_ratekit.E007"
    assert "got 'sideways'" in message
