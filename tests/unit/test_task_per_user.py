"""A task that each user may start so often: who the user is, and what is refused."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import wraps
from typing import Any
from uuid import UUID

import pytest
from celery import Celery

from celery_ratekit import FixedWindow, Limit, PerUserRateLimitTask
from celery_ratekit.errors import BadKeyError, BadOptionError
from celery_ratekit.tasks import Call


@pytest.fixture
def app() -> Iterator[Celery]:
    """An app whose servers do not exist."""
    app = Celery("shop", broker="redis://127.0.0.1:1/0", set_as_current=False)
    yield app
    app.close()


def user_api_request(user_id: Any, endpoint: str = "/") -> str:
    return f"{user_id} asked {endpoint}"


def bound(self: Any, user_id: Any, endpoint: str = "/") -> str:
    return user_api_request(user_id, endpoint)


def for_tenant(tenant: str, *users: str, **more: str) -> None:
    pass


def define(
    app: Celery, function: Callable[..., Any] = user_api_request, name: str = "api", **options: Any
) -> Any:
    return app.task(base=PerUserRateLimitTask, name=name, shared=False, lazy=False, **options)(
        function
    )


def limits_of(task: Any, *args: Any, **kwargs: Any) -> list[Limit]:
    limits: list[Limit] = task.resolved_limits(Call(task.name, task.run, args, kwargs, "id"))
    return limits


@pytest.mark.parametrize(
    ("function", "options"),
    [
        (user_api_request, {}),
        (bound, {"bind": True}),
        (bound, {"bind": True, "autoretry_for": (KeyError,)}),
        (user_api_request, {"user_argument": "user_id"}),
    ],
)
@pytest.mark.parametrize(
    ("args", "kwargs"), [((7,), {}), ((7, "/x"), {}), ((), {"user_id": 7}), (("7",), {})]
)
def test_a_call_is_counted_for_its_user_however_the_user_is_passed(
    function: Any, options: Any, args: Any, kwargs: Any, app: Celery
) -> None:
    task = define(app, function, **options, user_rate_limit="5/m")

    (limit,) = limits_of(task, *args, **kwargs)

    assert limit == FixedWindow("api", "5/m", key=limit.key)
    assert str(limit.key) == "7"


def test_without_a_rate_it_is_ten_a_minute(app: Celery) -> None:
    assert limits_of(define(app), 7) == [FixedWindow("api", "10/m", key=7)]


@pytest.mark.parametrize("rate", ["10/m", 5, 0.5 * 4, "10/60s", "unlimited", 0])
def test_any_form_of_rate_is_taken(rate: Any, app: Celery) -> None:
    assert limits_of(define(app, user_rate_limit=rate), 7) == [FixedWindow("api", rate, key=7)]


def test_the_argument_may_have_another_name(app: Celery) -> None:
    task = define(app, for_tenant, user_argument="tenant")

    assert limits_of(task, "acme", "ann") == [FixedWindow("api", "10/m", key="acme")]


def test_a_wrapped_function_has_the_parameters_of_what_it_wraps(app: Celery) -> None:
    @wraps(user_api_request)
    def logged(*args: Any, **kwargs: Any) -> str:
        return user_api_request(*args, **kwargs)

    assert limits_of(define(app, logged), 7) == [FixedWindow("api", "10/m", key=7)]


@pytest.mark.parametrize(
    ("function", "options"),
    [(for_tenant, {}), (user_api_request, {"user_argument": None})],
)
def test_where_nothing_names_the_user_the_question_is_left_to_the_body(
    function: Any, options: Any, app: Celery
) -> None:
    task = define(app, function, **options)

    assert limits_of(task, "acme") == []
    assert task.declared_limits() == []


@pytest.mark.parametrize(
    ("function", "given", "message"),
    [
        (bound, "usr_id", r"'usr_id' names no parameter.*'user_id', 'endpoint'.*mean 'user_id'"),
        (bound, "self", "names no parameter"),
        (for_tenant, "users", "names no parameter of its function, which takes 'tenant'"),
        (for_tenant, "more", "names no parameter"),
        (bound, 7, "expected the name of a parameter as user_argument, got 7"),
        (bound, "", "names no parameter"),
    ],
)
def test_an_argument_that_the_function_does_not_have_is_refused(
    function: Any, given: Any, message: str, app: Celery
) -> None:
    with pytest.raises(
        BadOptionError, match=f"the task 'api' .*user_argument.*{message}|{message}"
    ):
        define(app, function, bind=function is bound, user_argument=given)


def test_the_error_names_task_and_option(app: Celery) -> None:
    with pytest.raises(BadOptionError, match=r"'api' cannot be limited: user_argument='tenant'"):
        define(app, user_argument="tenant")


@pytest.mark.parametrize("rate", ["fast", None, ["10/m"], "0.5/m", -1, True])
def test_a_rate_that_cannot_work_is_refused(rate: Any, app: Celery) -> None:
    with pytest.raises(BadOptionError, match=r"'api' cannot be limited: user_rate_limit="):
        define(app, user_rate_limit=rate)


@pytest.mark.parametrize("user", [None, "", 1.5, True, ["ann"], {}])
def test_a_call_whose_user_cannot_be_told_fails_instead_of_running_unlimited(
    user: Any, app: Celery
) -> None:
    task = define(app)
    expected = "expected a text, .* as the argument 'user_id' of the task 'api'"

    with pytest.raises(BadKeyError, match=expected):
        limits_of(task, user)


def test_users_may_be_texts_numbers_and_uuids(app: Celery) -> None:
    for user in ("ann", 0, -1, UUID(int=7)):
        assert limits_of(define(app), user) == [FixedWindow("api", "10/m", key=user)]


@pytest.mark.parametrize("options", [{"user_rate_limit": 3}, {"user_argument": "endpoint"}])
def test_annotations_change_options(options: dict[str, Any], app: Celery) -> None:
    app.conf.task_annotations = {"api": options}

    (limit,) = limits_of(define(app), 7, "/x")

    assert limit == FixedWindow(
        "api",
        options.get("user_rate_limit", "10/m"),
        key="/x" if "user_argument" in options else 7,
    )


def test_an_annotated_argument_that_the_function_does_not_have_is_refused(app: Celery) -> None:
    app.conf.task_annotations = {"*": {"user_argument": "tenant"}}

    with pytest.raises(BadOptionError, match="'api' cannot be limited: user_argument='tenant'"):
        define(app)


# -- as the seed's class was used -----------------------------------------------------------------


def test_a_rate_is_read_into_calls_and_seconds(app: Celery) -> None:
    task = define(app)

    assert task._parse_rate("10/m") == (10, 60)
    assert [type(number) for number in task._parse_rate("10/m")] == [int, int]
    assert task._parse_rate("5/s") == (5, 1)
    assert task._parse_rate("50/h") == (50, 3600)
    assert task._parse_rate("0.5/d") == (0.5, 86_400)


def test_code_written_for_a_counter_in_the_body_works_unchanged(app: Celery) -> None:
    @app.task(base=PerUserRateLimitTask, bind=True, user_rate_limit="5/m", shared=False)
    def request(self: Any, user_id: str, endpoint: str) -> str:
        if not self.check_user_limit(user_id):
            raise self.retry(countdown=60)
        return f"{user_id} {endpoint}"

    assert [request("ann", "/x") for _ in range(6)] == ["ann /x"] * 6
    assert [request.apply(("ann", "/x")).get() for _ in range(6)] == ["ann /x"] * 6


def test_a_user_who_cannot_be_told_from_others_is_an_error_in_the_body_too(app: Celery) -> None:
    with pytest.raises(BadKeyError, match="as the user of the task 'api'"):
        define(app).check_user_limit("")
