"""The tasks that the end-to-end tests run, in workers and as senders.

Most take the name and rate of their bucket as arguments, so that tests share workers, not limits.
"""

from __future__ import annotations

import os
import time
from functools import partial
from typing import Any

from celery import Celery
from celery.signals import task_retry, worker_ready
from support.app_module import sender_of, worker_app
from support.journal import Journal
from support.workers import Setup

from celery_ratekit import (
    Concurrency,
    Limit,
    RateLimitedTask,
    SlidingWindow,
    TokenBucket,
    TokenBucketTask,
)


class LimitedByCaller(RateLimitedTask):
    """The caller names the bucket and its rate: no way for a real app, but handy for tests."""

    abstract = True

    def rate_limits(self, call: Any) -> list[Limit]:
        name, rate = call.arguments["bucket"]
        return [*super().rate_limits(call), TokenBucket(name, rate)]


def make_app(setup: Setup) -> Celery:
    app = Celery("limited", set_as_current=False)
    setup.configure(app)
    journal = Journal(setup.journal)
    task = partial(app.task, shared=False)  # No other app of the tests gets these tasks.
    add_noting_tasks(task, journal)
    add_ending_tasks(task, journal)
    add_tasks_with_own_limits(task, journal)
    return app


def add_noting_tasks(task: Any, journal: Journal) -> None:
    """Tasks that note their starts."""

    @task(base=LimitedByCaller, bind=True, name="note")
    def note(self: Any, label: str, bucket: Any, number: int = 0, seconds: float = 0) -> int:
        journal.write_start(self, label, number=number)
        time.sleep(seconds)
        return number

    @task(base=LimitedByCaller, bind=True, name="note_type")
    def note_type(self: Any, label: str, bucket: Any, thing: Any) -> None:
        journal.write_start(self, label, type=type(thing).__name__)

    class AsksWhenTold(LimitedByCaller):
        """Says that it is about to ask its limits, and asks once the test says so."""

        def rate_limits(self, call: Any) -> list[Limit]:
            label = call.arguments["label"]
            journal.say(label, "asking")
            journal.wait_for_word(label, "ask")
            return super().rate_limits(call)

    @task(base=AsksWhenTold, bind=True, name="note_when_told")
    def note_when_told(self: Any, label: str, bucket: Any) -> None:
        journal.write_start(self, label)

    @task(base=LimitedByCaller, bind=True, name="late_ack", acks_late=True)
    def late_ack(self: Any, label: str, bucket: Any, seconds: float = 0) -> None:
        journal.write_start(self, label, pid=os.getpid())
        time.sleep(seconds)

    @task(base=LimitedByCaller, bind=True, name="show")
    def show(self: Any, label: str, bucket: Any) -> dict[str, Any]:
        request = self.request
        shown = {
            "headers": {
                name: value
                for name, value in (request.headers or {}).items()
                if name.startswith(("ratekit", "x-tenant"))
            },
            "priority": request.delivery_info["priority"],
            "expires": request.expires,
            "ignore_result": request.ignore_result,
            "timelimit": request.timelimit,
            "shadow": request.shadow,
            "stamps": request.stamps,
            "stamped_headers": request.stamped_headers,
            "root_id": request.root_id,
            "parent_id": request.parent_id,
            "reply_to": bool(request.reply_to),
            "argsrepr": request.argsrepr,
            "routing_key": request.delivery_info["routing_key"],
        }
        journal.write_start(self, label, shown=shown)
        return shown


def add_ending_tasks(task: Any, journal: Journal) -> None:
    """Tasks whose results, or errors, count."""

    @task(base=LimitedByCaller, bind=True, name="add")
    def add(self: Any, one: Any, other: int, label: str, bucket: Any) -> int:
        journal.write_start(self, label)
        return int(one if isinstance(one, int) else sum(one)) + other

    @task(base=LimitedByCaller, bind=True, name="fails", max_retries=3)
    def fails(self: Any, label: str, bucket: Any, countdown: float = 0) -> None:
        journal.write_start(self, label)
        raise self.retry(countdown=countdown, exc=KeyError("no luck"))

    @task(
        base=LimitedByCaller,
        bind=True,
        name="fails_by_itself",
        autoretry_for=(ZeroDivisionError,),
        retry_backoff=False,
        default_retry_delay=0,
        retry_jitter=False,
        max_retries=2,
    )
    def fails_by_itself(self: Any, label: str, bucket: Any) -> None:
        journal.write_start(self, label)
        raise ZeroDivisionError


def add_tasks_with_own_limits(task: Any, journal: Journal) -> None:
    """Tasks with limits of their own."""

    @task(
        base=RateLimitedTask,
        bind=True,
        name="crowded",
        max_retries=1,
        limits=[
            Concurrency("places", 3, key=lambda call: call.arguments["label"]),
            TokenBucket(
                "crowd", "400/s:400", key=lambda call: call.arguments["label"], cost=lambda call: 2
            ),
        ],
    )
    def crowded(self: Any, label: str, ending: str) -> None:
        running = f"running:{label}"
        journal.write_start(self, label, running=journal.client.incr(running))
        time.sleep(0.05)
        journal.client.decr(running)
        if ending == "fails":
            raise KeyError(ending)
        if ending == "retries":
            raise self.retry(countdown=0)

    @task(
        base=RateLimitedTask,
        bind=True,
        name="per_user",
        limits=[
            TokenBucket("all users", "100/s:20", key=lambda call: call.arguments["label"]),
            SlidingWindow(
                "user", "3/2s", key=lambda call: f"{call.arguments['label']}{call.kwargs['user']}"
            ),
        ],
    )
    def per_user(self: Any, label: str, *, user: str) -> None:
        journal.write_start(self, label, user=user)

    @task(
        base=RateLimitedTask,
        bind=True,
        name="twice_limited",
        limits=[TokenBucket("first of two", "10/s"), TokenBucket("second of two", "5/s")],
    )
    def twice_limited(self: Any, label: str) -> None:
        journal.write_start(self, label)

    @task(
        base=TokenBucketTask,
        bind=True,
        name="tokens",
        tokens_per_second="1/h",
        bucket_size=3,
    )
    def tokens(self: Any, label: str, count: int) -> list[bool]:
        journal.write_start(self, label)
        return [self.acquire_token() for _ in range(count)]

    @task(
        base=TokenBucketTask,
        bind=True,
        rate_limit_key="stripe_api",
        tokens_per_second=25,  # 25 requests/second
        bucket_size=100,  # Burst capacity
        name="charge_customer",
    )
    def charge_customer(self: Any, customer_id: str, amount: int) -> str:
        """Rate-limited Stripe API call."""
        journal.write_start(self, "stripe")
        return f"{customer_id} paid {amount}"


def report(journal: Journal) -> None:
    """Lets a worker note that it is ready, and why tasks were sent again."""

    def on_ready(**_: Any) -> None:
        journal.write_ready()

    def on_retry(request: Any, reason: Any, **_: Any) -> None:
        journal.write_retry(request, str(reason))

    worker_ready.connect(on_ready, weak=False)
    task_retry.connect(on_retry, weak=False)


sender = sender_of(make_app)
app = worker_app(make_app, report)
