"""Token buckets as settings say them, and what is told of those that cannot work."""

from __future__ import annotations

import pickle
import subprocess
import sys
from typing import Any

import pytest
from celery.schedules import crontab
from django.test import override_settings
from support.django_site import configure

from celery_ratekit import ScheduledBucket
from celery_ratekit.contrib.django import TokenBucket
from celery_ratekit.errors import BadOptionError, UnknownTokenBucketError

configure()

from celery_ratekit.contrib.django.buckets import token_bucket, token_buckets  # noqa: E402

HOURLY = crontab(minute=0)


def bucket_of(**options: Any) -> TokenBucket:
    given: dict[str, Any] = {"name": "my_api", "schedule": HOURLY, "amount": 1000, "maximum": 1000}
    return TokenBucket(**{**given, **options})


@pytest.mark.parametrize(
    "module", ["celery_ratekit.contrib.django", "celery_ratekit.cli", "celery_ratekit.worker.step"]
)
def test_what_is_no_part_of_an_installed_app_reads_no_settings_of_django(module: str) -> None:
    # kombu itself imports a little of django.utils where that is installed.
    program = (
        f"import sys, {module}; sys.exit(bool({{'django.conf', 'django.db'}} & {{*sys.modules}}))"
    )
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0


def test_it_is_written_by_position_as_well() -> None:
    bucket = TokenBucket("my_api", HOURLY, 10, 20, "refills")

    assert (bucket.amount, bucket.maximum, bucket.token_refill_queue) == (10, 20, "refills")
    assert bucket.backend == "redis"


def test_its_limit_is_refilled_by_the_same_schedule() -> None:
    bucket = bucket_of(amount=5, maximum=20)

    assert bucket.limit == ScheduledBucket("my_api", HOURLY, 5, 20)
    assert bucket.limit is bucket.limit


def test_it_is_pickled_with_the_settings_of_a_worker() -> None:
    bucket = bucket_of()

    assert pickle.loads(pickle.dumps(bucket)) == bucket
    assert hash(bucket) == hash(pickle.loads(pickle.dumps(bucket)))


@pytest.mark.parametrize(
    ("options", "problem"),
    [
        ({"name": "my-api"}, "letters, digits and underscores, got 'my-api'"),
        ({"name": ""}, "letters, digits and underscores"),
        ({"name": "name\n"}, "letters, digits and underscores"),
        ({"name": "tokén"}, "letters, digits and underscores"),
        ({"name": 7}, "letters, digits and underscores, got 7"),
        ({"name": "a" * 201}, "at most 200 characters, got one of 201"),
        ({"amount": 1001}, "amount of at most the maximum"),
        ({"amount": 0}, "amount"),
        ({"maximum": None}, "a number of more than 0 as maximum"),
        ({"maximum": "10"}, "a number of more than 0 as maximum"),
        ({"schedule": 3600}, "celery.schedules.crontab"),
        ({"backend": "database"}, "'redis', 'queue'.*got 'database'"),
        ({"token_refill_queue": 5}, "token_refill_queue, got 5"),
        ({"backend": "queue", "amount": 0.5}, "a whole number as amount"),
        ({"backend": "queue", "maximum": 1000.5}, "a whole number as maximum"),
        ({"backend": "queue", "maximum": 1_000_000}, "at most 100,000.*got 1,000,000"),
    ],
)
def test_what_cannot_work_is_told_and_never_becomes_a_limit(
    options: dict[str, Any], problem: str
) -> None:
    bucket = bucket_of(**options)

    (told,) = bucket.problems()

    with pytest.raises(BadOptionError, match=problem) as met:
        _ = bucket.limit
    assert told in str(met.value)


def test_what_can_work_has_no_problems() -> None:
    assert not list(bucket_of().problems())
    assert not list(bucket_of(backend="queue", amount=10.0).problems())


def test_a_bucket_is_found_by_its_name() -> None:
    with override_settings(CELERY_TOKEN_BUCKETS={"my_api": bucket_of()}):
        assert token_bucket("my_api") == bucket_of()


def test_an_unknown_bucket_is_named_with_what_could_have_been_meant() -> None:
    with (
        override_settings(CELERY_TOKEN_BUCKETS={"my_api": bucket_of()}),
        pytest.raises(UnknownTokenBucketError, match=r"'my_ap' is not registered.*'my_api'") as met,
    ):
        token_bucket("my_ap")
    assert (met.value.name, met.value.known) == ("my_ap", ("my_api",))


@pytest.mark.parametrize("given", [None, [bucket_of()], "my_api"])
def test_what_is_no_dictionary_of_buckets_is_refused(given: Any) -> None:
    with (
        override_settings(CELERY_TOKEN_BUCKETS=given),
        pytest.raises(BadOptionError, match="expected a dictionary from names to token buckets"),
    ):
        token_buckets()


def test_what_is_no_bucket_is_refused() -> None:
    with (
        override_settings(CELERY_TOKEN_BUCKETS={"my_api": ScheduledBucket("a", HOURLY, 1)}),
        pytest.raises(BadOptionError, match=r"expected a TokenBucket of celery_ratekit\.contrib"),
    ):
        token_buckets()


def test_a_bucket_under_another_key_is_refused() -> None:
    with (
        override_settings(CELERY_TOKEN_BUCKETS={"other": bucket_of()}),
        pytest.raises(BadOptionError, match="have that name, got 'my_api'"),
    ):
        token_bucket("other")


def test_a_project_without_buckets_has_none() -> None:
    assert not token_buckets()
