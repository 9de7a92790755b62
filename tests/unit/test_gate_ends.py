"""The end of a request is heard once, whichever way the pool tells of it."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from typing import Any

import pytest
from billiard.einfo import ExceptionInfo
from billiard.exceptions import WorkerLostError
from celery import Celery
from celery.worker import state
from celery.worker.request import Request
from support.gatehouse import Message, app_of_tests, clean_state

from celery_ratekit.worker.gate.ends import watch


@pytest.fixture
def app() -> Iterator[Celery]:
    app = app_of_tests()
    with clean_state():
        yield app
    app.close()


class Watched:
    """A request of Celery's, and how often its end was heard."""

    def __init__(self, app: Celery) -> None:
        self.acknowledgements = 0
        message = Message({"id": "1", "task": "plain"})
        self.request = Request(message, app=app, task=app.tasks["plain"], on_ack=self._acknowledge)
        self.ends: list[Any] = []
        #: Whether Celery had dealt with the end before it was told of.
        self.was_ready: list[bool] = []
        state.task_reserved(self.request)
        watch(self.request, self._ended)

    def _acknowledge(self, *_: Any) -> None:
        self.acknowledgements += 1

    def _ended(self, request: Any) -> None:
        self.ends.append(request)
        self.was_ready.append(request.id not in state.requests)


@pytest.fixture
def watched(app: Celery) -> Watched:
    return Watched(app)


def failure(error: BaseException) -> ExceptionInfo:
    try:
        raise error
    except type(error):
        return ExceptionInfo(sys.exc_info())


def heard_once(watched: Watched) -> bool:
    return watched.ends == [watched.request] and watched.was_ready == [True]


def test_a_success_is_heard_after_celery_has_dealt_with_it(watched: Watched) -> None:
    watched.request.on_success((False, None, 0.1))

    assert heard_once(watched)


def test_a_failure_that_comes_as_a_success_is_heard_once(watched: Watched) -> None:
    watched.request.on_success((True, failure(KeyError("no")), 0.1))

    assert heard_once(watched)


def test_a_failure_is_heard(watched: Watched) -> None:
    watched.request.on_failure(failure(WorkerLostError("killed")))

    assert heard_once(watched)


def test_a_soft_time_out_is_no_end(watched: Watched) -> None:
    watched.request.on_timeout(True, 1.0)
    assert watched.ends == []

    watched.request.on_success((False, None, 0.1))

    assert heard_once(watched)


def test_a_soft_time_out_and_then_a_hard_one_are_one_end(watched: Watched) -> None:
    watched.request.on_timeout(True, 1.0)
    watched.request.on_timeout(False, 2.0)

    assert heard_once(watched)


def test_a_failure_after_a_time_out_is_no_second_end(watched: Watched) -> None:
    watched.request.on_timeout(False, 2.0)
    watched.request.on_failure(failure(WorkerLostError("killed")))

    assert heard_once(watched)


def test_an_end_that_celery_fails_to_deal_with_is_heard_all_the_same(watched: Watched) -> None:
    with pytest.raises(MemoryError):
        watched.request.on_success((True, failure(MemoryError()), 0.1))

    assert heard_once(watched)


def test_what_celery_answers_and_does_stays_the_same(watched: Watched, app: Celery) -> None:
    watched.request.task.acks_late = True

    watched.request.on_success((False, None, 0.1))

    assert watched.acknowledgements == 1
    assert watched.request.id not in state.requests


def test_a_class_that_overrides_the_hooks_is_still_called(app: Celery) -> None:
    calls: list[str] = []

    class Own(Request):
        def on_success(self, failed__retval__runtime: Any, **kwargs: Any) -> Any:
            calls.append("success")
            return super().on_success(failed__retval__runtime, **kwargs)

        def on_failure(self, *args: Any, **kwargs: Any) -> Any:
            calls.append("failure")
            return super().on_failure(*args, **kwargs)

    request = Own(Message({"id": "1", "task": "plain"}), app=app, task=app.tasks["plain"])
    ends: list[Any] = []
    watch(request, ends.append)

    request.on_success((True, failure(KeyError("no")), 0.1))

    assert calls == ["success", "failure"]
    assert ends == [request]
