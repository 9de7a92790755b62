"""Tasks of every class, for the end-to-end tests of what the classes limit and bodies call."""

from __future__ import annotations

import time
from functools import partial
from typing import Any

from celery import Celery
from support.app_module import sender_of, worker_app
from support.journal import Journal
from support.reporting import report
from support.workers import Setup

from celery_ratekit import (
    ConcurrencyLimitTask,
    DynamicRateLimitTask,
    PerUserRateLimitTask,
    RateLimitedTask,
    SlidingWindow,
    StaticRateLimitTask,
    TokenBucket,
    TokenBucketTask,
    compose,
)

MODULE = "end_to_end.apps.family"


def of_label(call: Any) -> Any:
    """A key of each test's own, so that tests share workers, not limits."""
    return call.arguments["label"]


def make_app(setup: Setup) -> Celery:
    app = Celery("family", set_as_current=False)
    setup.configure(app)
    journal = Journal(setup.journal)
    task = partial(app.task, shared=False)  # No other app of the tests gets these tasks.
    add_tasks_of_each_class(task, journal)
    add_tasks_that_meet_refusals(task, journal)
    add_tasks_that_meet_one_refusal(task, journal)
    add_tasks_that_correct_their_cost(task, journal)
    return app


def write_headers(task: Any, label: str, journal: Journal) -> None:
    """Note a start, and what the body can see of our own headers."""
    headers = [name for name in task.request.headers or {} if name.startswith("ratekit")]
    journal.write_start(task, label, headers=headers)


def add_tasks_of_each_class(task: Any, journal: Journal) -> None:
    """Tasks that note their starts, and what a body is told."""

    @task(base=PerUserRateLimitTask, bind=True, name="request", user_rate_limit="3/2s")
    def request(self: Any, user_id: str, label: str) -> None:
        journal.write_start(self, label, user=user_id)

    @task(base=PerUserRateLimitTask, bind=True, name="ask_in_body", user_rate_limit="2/h")
    def ask_in_body(self: Any, user_id: str, others: list[str]) -> list[bool]:
        return [self.check_user_limit(user) for user in others]

    @task(base=PerUserRateLimitTask, bind=True, name="left_to_body", user_rate_limit="2/h")
    def left_to_body(self: Any, customer: str) -> list[bool]:
        return [self.check_user_limit(customer) for _ in range(3)]

    @task(
        base=compose(StaticRateLimitTask, PerUserRateLimitTask, ConcurrencyLimitTask),
        bind=True,
        name="composed",
        global_rate_limit="20/s",
        user_rate_limit="4/2s",
        max_concurrent=2,
    )
    def composed(self: Any, user_id: str, label: str) -> None:
        running = f"running:{label}"
        journal.write_start(self, label, user=user_id, running=journal.client.incr(running))
        time.sleep(0.05)
        journal.client.decr(running)

    @task(base=DynamicRateLimitTask, bind=True, name="dynamic", default_rate_limit="10/s")
    def dynamic(self: Any, label: str) -> None:
        journal.write_start(self, label)

    @task(
        base=compose(TokenBucketTask, PerUserRateLimitTask),
        bind=True,
        name="only_measured",
        mode="shadow",
        tokens_per_second="1/h",
        bucket_size=1,
        user_rate_limit="1/h",
    )
    def only_measured(self: Any, user_id: str, label: str) -> list[bool]:
        journal.write_start(self, label)
        return [*(self.acquire_token() for _ in range(2)), self.check_user_limit(user_id)]

    @task(base=RateLimitedTask, bind=True, name="chosen")
    def chosen(self: Any, label: str) -> None:
        journal.write_start(self, label)


def add_tasks_that_meet_refusals(task: Any, journal: Journal) -> None:
    """Tasks whose service answers "too many requests" as often as they are told."""

    @task(
        base=RateLimitedTask,
        bind=True,
        name="refused",
        max_rate_limited=2,
        max_retries=0,
        limits=[TokenBucket("service", "1000/s", key=of_label)],
    )
    def refused(self: Any, label: str, refusals: int, retry_after: Any = None) -> int:
        write_headers(self, label, journal)
        met = int(journal.client.incr(f"met:{label}"))
        if met <= refusals:
            raise self.rate_limited(retry_after)
        return met

    @task(
        base=RateLimitedTask,
        bind=True,
        name="refused_then_fails",
        max_rate_limited=1,
        max_retries=1,
        limits=[TokenBucket("service", "1000/s", key=of_label)],
    )
    def refused_then_fails(self: Any, label: str) -> None:
        write_headers(self, label, journal)
        if journal.client.incr(f"met:{label}") in (1, 3):
            raise self.rate_limited(0.2)
        raise self.retry(countdown=0, exc=KeyError("no luck"))


def add_tasks_that_meet_one_refusal(task: Any, journal: Journal) -> None:
    """Tasks whose service answers "too many requests" to their first run."""

    @task(
        base=RateLimitedTask,
        bind=True,
        name="refused_when_told",
        limits=[TokenBucket("service", "1000/s", key=of_label)],
    )
    def refused_when_told(self: Any, label: str) -> list[bool]:
        journal.write_start(self, label)
        if journal.client.incr(f"met:{label}") == 1:
            journal.wait_for_word(label, "refused")
            raise self.rate_limited(0.2)
        return [self.refund(), self.settle(3)]

    @task(
        base=RateLimitedTask,
        bind=True,
        name="refused_by_one",
        limits=[
            TokenBucket("one service", "1000/s"),
            TokenBucket("other service", "1000/s"),
        ],
    )
    def refused_by_one(self: Any, label: str, limit: str | None = None) -> None:
        journal.write_start(self, label)
        if journal.client.incr(f"met:{label}") == 1:
            self.rate_limited("0.3", limit=limit)


def add_tasks_that_correct_their_cost(task: Any, journal: Journal) -> None:
    """Tasks that give back, or say what they really took."""

    @task(
        base=RateLimitedTask,
        bind=True,
        name="takes_nothing",
        limits=[
            TokenBucket("given back", "1/h", key=of_label),
            SlidingWindow("given back", "1/h", key=of_label),
        ],
    )
    def takes_nothing(self: Any, label: str) -> list[bool]:
        journal.write_start(self, label)
        return [self.refund(), self.refund()]

    @task(
        base=RateLimitedTask,
        bind=True,
        name="takes_tokens",
        limits=[
            TokenBucket("tokens", "1/h", 100, key=of_label, cost=20),
            TokenBucket("words", "1/h", 100, key=of_label, cost=0),
            SlidingWindow("calls", "50/h", key=of_label),
        ],
    )
    def takes_tokens(self: Any, label: str, costs: list[list[Any]]) -> list[bool]:
        return [
            self.refund() if cost is None else self.settle(cost, limit) for cost, limit in costs
        ]


sender = sender_of(make_app)
app = worker_app(make_app, report)
