"""The worker's main process hears of each message that was sent again because of a limit."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from typing import Any

import pytest
from billiard.einfo import ExceptionInfo
from celery import Celery
from celery.exceptions import Retry
from celery.utils.imports import symbol_by_name
from celery.worker.request import Request, create_request_cls
from support.gatehouse import Message, Pool, app_of_tests, clean_state
from support.heard import Told, heard

from celery_ratekit.worker.gate.ends import watch
from celery_ratekit.worker.observing.retries import HearOfRetries


class OwnRequest(Request):
    """A request class of a user's."""


@pytest.fixture
def app() -> Iterator[Celery]:
    app = app_of_tests()
    app.tasks["limited"].Request = OwnRequest
    for _ in range(2):  # as in a worker that is made again in the same process
        HearOfRetries(type("Worker", (), {"app": app})())
    with clean_state():
        yield app
    app.close()


def request_of(app: Celery, name: str) -> Any:
    """A request as a worker's strategy makes it."""
    task = app.tasks[name]
    made = create_request_cls(symbol_by_name(task.Request), task, Pool(1), "host", None, app=app)
    return made(Message({"id": "the id", "task": name}), app=app, task=task)


def come_back_with(request: Any, error: BaseException) -> None:
    """As a pool tells the main process what a task raised."""
    try:
        raise error
    except type(error):
        request.on_success((1, ExceptionInfo(sys.exc_info()), 0.0))


def told_of(app: Celery, error: BaseException, name: str = "plain", *, gate: bool = False) -> Any:
    request = request_of(app, name)
    if gate:
        watch(request, lambda _: None)
    with heard() as told:
        come_back_with(request, error)
    return told


@pytest.mark.parametrize("gate", [False, True])
@pytest.mark.parametrize("name", ["plain", "limited"])
def test_a_retry_because_of_a_limit_is_heard_once(name: str, gate: bool, app: Celery) -> None:
    told: list[Told] = told_of(app, Retry("rate limit 'x': waits 2 s", when=2), name, gate=gate)

    [one] = told
    assert (one.signal, one.sender.name) == ("rate_limit_retried", name)
    assert one.fields["task_id"] == "the id"
    assert "rate limit" in str(one.fields["reason"])


@pytest.mark.parametrize("error", [Retry("no luck", when=1), KeyError("rate limit")])
def test_other_ends_are_not_heard(error: BaseException, app: Celery) -> None:
    if isinstance(error, KeyError):
        app.backend.mark_as_failure = lambda *_, **__: None
    assert told_of(app, error) == []


def test_a_request_class_of_the_users_stays_what_it_is(app: Celery) -> None:
    assert issubclass(app.tasks["limited"].Request, OwnRequest)
    assert app.tasks["limited"].Request.__name__ == "OwnRequest"
    assert app.tasks["limited"].Request.__mro__.count(OwnRequest) == 1
