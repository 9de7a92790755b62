"""Functions of a call see its arguments by name, however they were passed."""

from __future__ import annotations

from typing import Any

import pytest
from celery import Celery

from celery_ratekit import RateLimitedTask
from celery_ratekit.tasks import Call


def send(
    user_id: int, text: str = "hello", *others: int, urgent: bool = False, **more: Any
) -> None:
    pass


@pytest.mark.parametrize(
    ("args", "kwargs", "expected"),
    [
        ((7,), {}, {"user_id": 7, "text": "hello"}),
        ((), {"user_id": 7}, {"user_id": 7, "text": "hello"}),
        ((7, "bye"), {"urgent": True}, {"user_id": 7, "text": "bye", "urgent": True}),
        ((7, "bye", 1, 2), {"x": 1}, {"others": (1, 2), "more": {"x": 1}}),
    ],
)
def test_arguments_have_the_names_of_the_parameters(
    args: tuple[Any, ...], kwargs: dict[str, Any], expected: dict[str, Any]
) -> None:
    call = Call("send", send, args, kwargs, "id")

    assert expected.items() <= call.arguments.items()
    assert call.arguments is call.arguments
    assert (call.task_name, call.args, call.kwargs) == ("send", args, kwargs)
    assert repr(call) == "<Call of send, id id>"


def test_arguments_that_do_not_fit_are_an_error_of_the_call() -> None:
    with pytest.raises(TypeError, match="user_id"):
        _ = Call("send", send).arguments


@pytest.mark.parametrize("options", [{}, {"autoretry_for": (KeyError,)}])
def test_the_task_itself_is_no_argument_of_a_bound_one(options: dict[str, Any]) -> None:
    app = Celery("shop", broker="redis://", set_as_current=False)

    @app.task(base=RateLimitedTask, bind=True, shared=False, **options)
    def send(self: Any, user_id: int) -> None:
        pass

    assert Call(send.name, send.run, (7,)).arguments == {"user_id": 7}
    app.close()
