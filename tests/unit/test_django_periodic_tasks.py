"""The periodic tasks of buckets in queues, and the commands, in a database in memory."""

from __future__ import annotations

import io
import json
from collections.abc import Iterator
from typing import Any

import pytest
from celery import Celery
from celery.schedules import crontab
from django.core.management import CommandError, call_command
from django.test import override_settings
from support.django_site import configure, make_tables

from celery_ratekit.contrib.django import TokenBucket

configure()

from django_celery_beat.models import CrontabSchedule, PeriodicTask, PeriodicTasks  # noqa: E402

COMMAND = "token_bucket_register_periodic_tasks"
REFILL = "celery_ratekit.contrib.django.tasks.token_bucket_refill"
BERLIN = Celery(set_as_current=False)
BERLIN.conf.timezone = "Europe/Berlin"


@pytest.fixture(scope="module", autouse=True)
def tables() -> None:
    make_tables()


@pytest.fixture(autouse=True)
def no_tasks() -> Iterator[None]:
    yield
    PeriodicTask.objects.all().delete()
    CrontabSchedule.objects.all().delete()


def queued(name: str = "my_api", schedule: Any = None, **options: Any) -> TokenBucket:
    given = {"amount": 10, "maximum": 20, "backend": "queue", **options}
    return TokenBucket(name, schedule or crontab(minute=0, app=BERLIN), **given)


def register(*buckets: TokenBucket) -> str:
    out = io.StringIO()
    with override_settings(CELERY_TOKEN_BUCKETS={bucket.name: bucket for bucket in buckets}):
        call_command(COMMAND, stdout=out)
    return out.getvalue()


def the_task() -> Any:
    return PeriodicTask.objects.get(task=REFILL)


def test_a_bucket_in_a_queue_gets_a_periodic_task_with_its_schedule() -> None:
    assert register(queued(token_refill_queue="refills")) == (
        "my_api: created the periodic task that refills it\n"
    )

    task = the_task()
    assert json.loads(task.args) == ["my_api"]
    assert (task.queue, task.enabled) == ("refills", True)
    assert str(task.crontab.timezone) == "Europe/Berlin"
    assert task.schedule.minute == {0}
    assert task.schedule.hour == set(range(24))


def test_a_second_time_changes_nothing_and_does_not_disturb_beat() -> None:
    register(queued())
    before, changed = the_task().date_changed, PeriodicTasks.last_change()

    assert register(queued()) == "my_api: its periodic task is as it should be\n"

    assert (the_task().date_changed, PeriodicTasks.last_change()) == (before, changed)
    assert CrontabSchedule.objects.count() == 1


@pytest.mark.parametrize(
    "changed",
    [
        queued(schedule=crontab(minute=30, app=BERLIN)),
        queued(schedule=crontab(minute=0)),  # in the time zone of the project
        queued(token_refill_queue="refills"),
    ],
)
def test_what_changed_is_updated_and_beat_hears_of_it(changed: TokenBucket) -> None:
    register(queued())
    last_change = PeriodicTasks.last_change()

    assert register(changed) == "my_api: updated its periodic task\n"

    assert PeriodicTasks.last_change() > last_change
    assert register(changed) == "my_api: its periodic task is as it should be\n"


def test_the_last_run_and_what_a_person_switched_off_are_kept() -> None:
    register(queued())
    task = the_task()
    task.enabled, task.total_run_count = False, 7
    task.save()

    register(queued(schedule=crontab(minute=30)))

    assert (the_task().enabled, the_task().total_run_count) == (False, 7)


def test_the_task_of_a_bucket_that_is_gone_or_in_redis_is_removed() -> None:
    register(queued("one"), queued("two"))

    said = register(queued("two", backend="redis"))

    assert said.splitlines() == [
        "one: removed its periodic task",
        "two: removed its periodic task",
        "two: in Redis, which needs no periodic task",
    ]
    assert not PeriodicTask.objects.filter(task=REFILL).exists()


def test_periodic_tasks_of_peoples_own_are_left_alone() -> None:
    schedule = CrontabSchedule.objects.create(minute="5")
    for name, task in (("mine", REFILL), ("token_bucket:mine", "other.task")):
        PeriodicTask.objects.create(name=name, task=task, crontab=schedule)

    register()

    assert PeriodicTask.objects.filter(crontab=schedule).count() == 2


@pytest.mark.parametrize(
    "schedule",
    [
        crontab(minute=[0, 30], hour={1, 2}),
        crontab(minute="*/15", hour="8-17", day_of_week="mon-fri"),
        crontab(minute=0, hour=0, day_of_month="29-31", month_of_year="jan,dec"),
    ],
)
def test_every_form_of_a_crontab_is_stored_as_what_it_means(schedule: crontab) -> None:
    register(queued(schedule=schedule))

    stored = the_task().schedule
    for field in ("minute", "hour", "day_of_week", "day_of_month", "month_of_year"):
        assert getattr(stored, field) == getattr(schedule, field)


def test_a_bucket_that_cannot_work_stops_the_command_before_it_changes_anything() -> None:
    register(queued())

    with pytest.raises(CommandError, match="amount of at most the maximum"):
        register(queued(amount=30))

    assert the_task().enabled


def test_without_django_celery_beat_a_bucket_in_a_queue_stops_the_command() -> None:
    apps = ["celery_ratekit.contrib.django"]
    with override_settings(INSTALLED_APPS=apps):
        assert "needs no periodic task" in register(queued(backend="redis"))
        with pytest.raises(CommandError, match="install django-celery-beat"):
            register(queued())
