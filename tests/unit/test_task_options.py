"""What is written into ``@app.task(...)`` is checked when the task is defined, by name."""

from __future__ import annotations

import pickle
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import pytest
from celery import Celery, Task, _state, shared_task

from celery_ratekit import (
    Concurrency,
    FixedWindow,
    Limit,
    RateLimitedTask,
    SlidingWindow,
    TokenBucket,
    TokenBucketTask,
)
from celery_ratekit.errors import BadOptionError
from celery_ratekit.tasks import Call


@pytest.fixture
def app() -> Iterator[Celery]:
    """An app whose servers do not exist."""
    app = Celery("shop", broker="redis://127.0.0.1:1/0", set_as_current=False)
    yield app
    app.close()


def define(app: Celery, base: type[Task] = TokenBucketTask, **options: Any) -> Any:
    """A task with these options, defined and bound."""

    def charge(customer: int = 0) -> str:
        return f"charged {customer}"

    return app.task(base=base, name="charge", shared=False, lazy=False, **options)(charge)


def nothing() -> None:
    pass


def limits_of(task: Any, *args: Any, **kwargs: Any) -> list[Limit]:
    """What a call of a task would be charged."""
    limits: list[Limit] = task.resolved_limits(Call(task.name, task.run, args, kwargs, "id"))
    return limits


# -- words ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("base", "option", "meant"),
    [
        (TokenBucketTask, "token_per_second", "tokens_per_second"),
        (TokenBucketTask, "tokens_per_sec", "tokens_per_second"),
        (TokenBucketTask, "bucket_siz", "bucket_size"),
        (TokenBucketTask, "bucketsize", "bucket_size"),
        (TokenBucketTask, "ratelimit_key", "rate_limit_key"),
        (TokenBucketTask, "costs", "cost"),
        (TokenBucketTask, "limit", "limits"),
        (RateLimitedTask, "limit", "limits"),
        (RateLimitedTask, "limts", "limits"),
    ],
)
def test_a_misspelt_option_is_refused_and_the_right_one_named(
    base: type[Task], option: str, meant: str, app: Celery
) -> None:
    expected = f"the task 'charge' has no option '{option}'; did you mean '{meant}'\\?"

    with pytest.raises(BadOptionError, match=expected):
        define(app, base, **{option: 5})


def test_a_misspelt_option_is_found_when_a_lazy_task_is_bound(app: Celery) -> None:
    app.task(base=TokenBucketTask, name="late", shared=False, bucket_siz=5)(nothing)

    with pytest.raises(BadOptionError, match=r"'late'.*'bucket_siz'"):
        app.finalize()


def test_a_misspelt_option_in_a_class_or_an_annotation_is_found_too(app: Celery) -> None:
    with pytest.raises(BadOptionError, match="'Stripe' has no option 'token_per_second'"):
        type("Stripe", (TokenBucketTask,), {"token_per_second": 5})
    app.conf.task_annotations = {"charge": {"bucket_siz": 3}}
    with pytest.raises(BadOptionError, match="'charge' has no option 'bucket_siz'"):
        define(app)


def test_other_words_are_the_users_own(app: Celery) -> None:
    task = define(
        app, tenant="acme", queue_name="slow", max_retries=7, acks_late=True, throws=(KeyError,)
    )

    assert (task.tenant, task.queue_name, task.max_retries) == ("acme", "slow", 7)


def test_a_method_with_a_name_like_an_option_is_no_misspelling() -> None:
    class Priced(TokenBucketTask):
        abstract = True

        def costs(self) -> int:
            return 3

        @property
        def limit(self) -> int:
            return 4

    assert Priced.__name__ == "Priced"


def test_limits_of_one_class_are_unknown_to_another_and_near_misses_are_its_own(
    app: Celery,
) -> None:
    assert define(app, RateLimitedTask, bucket_siz=5).bucket_siz == 5


@pytest.mark.parametrize("given", [["10/s"], "10/s", lambda call: []])
def test_rate_limits_is_a_method_and_no_option(given: Any, app: Celery) -> None:
    with pytest.raises(BadOptionError, match="no option 'rate_limits'; did you mean 'limits'"):
        define(app, rate_limits=given)


# -- Celery's own limit ---------------------------------------------------------------------------


def test_celerys_own_rate_limit_is_refused_with_a_way_out(app: Celery) -> None:
    expected = "the task 'charge' sets rate_limit='10/m', which is Celery's own.*tokens_per_second="

    with pytest.raises(BadOptionError, match=expected):
        define(app, rate_limit="10/m")
    with pytest.raises(BadOptionError, match="'Stripe' sets rate_limit=5"):
        type("Stripe", (RateLimitedTask,), {"rate_limit": 5})


def test_celerys_default_and_annotated_rate_limits_never_reach_a_limited_task(app: Celery) -> None:
    app.conf.task_default_rate_limit = "10/m"
    app.conf.task_annotations = {"*": {"rate_limit": "5/s"}, "charge": {"rate_limit": "1/s"}}

    plain = app.task(name="plain", shared=False, lazy=False)(nothing)

    assert define(app).rate_limit is None
    assert plain.rate_limit == "5/s"


# -- functions ------------------------------------------------------------------------------------


def double(call: Call) -> float:
    return 2.0 * int(call.arguments["customer"])


class Doubler:
    def __call__(self, call: Call) -> float:
        return double(call)

    def method(self, call: Call) -> float:
        return double(call)


@pytest.mark.parametrize(
    "function",
    [double, lambda call: 2.0 * call.args[0], partial(double), Doubler(), Doubler().method],
    ids=["function", "lambda", "partial", "object", "method"],
)
def test_a_function_given_as_option_stays_a_function_of_the_call(
    function: Callable[[Call], float], app: Celery
) -> None:
    by_decorator = define(app, cost=function)
    by_class: Any = type("ByClass", (TokenBucketTask,), {"cost": function, "name": "by class"})

    assert limits_of(by_decorator, 3)[0].cost == 6.0
    assert by_class.cost is function
    assert type("Below", (by_class,), {})().cost is function


def test_a_function_of_something_else_is_refused(app: Celery) -> None:
    def cost(self: Any, call: Call) -> float:
        return 1

    with pytest.raises(
        BadOptionError, match=r"function of one argument, the call, as cost of the task 'charge'"
    ):
        define(app, cost=cost)


# -- values ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"tokens_per_second": "fast"}, "tokens_per_second.*'fast'"),
        ({"tokens_per_second": ["25"]}, "tokens_per_second"),
        ({"tokens_per_second": None}, "tokens_per_second"),
        ({"tokens_per_second": -1}, "tokens_per_second"),
        ({"bucket_size": 0}, "bucket_size.*0"),
        ({"bucket_size": "100"}, "bucket_size.*'100'"),
        ({"cost": 101}, "cost=101 cannot work.*never holds more than 100"),
        ({"cost": -1}, "cost.*-1"),
        ({"cost": "1"}, "cost.*'1'"),
        ({"rate_limit_key": 12}, "rate_limit_key"),
        ({"rate_limit_key": lambda call: "x"}, "rate_limit_key"),
    ],
)
def test_a_value_that_cannot_work_is_refused_naming_task_and_option(
    options: dict[str, Any], message: str, app: Celery
) -> None:
    with pytest.raises(BadOptionError, match=f"(?s)'charge'.*{message}"):
        define(app, **options)


@pytest.mark.parametrize(
    "limits", ["10/s", TokenBucket("x", "1/s"), 5, None, ["10/s"], [TokenBucket], {"10/s": 1}]
)
def test_limits_that_are_no_limits_are_refused(limits: Any, app: Celery) -> None:
    with pytest.raises(BadOptionError, match=r"expected .* limits .*task 'charge'.* got"):
        define(app, RateLimitedTask, limits=limits)


def test_limits_may_come_from_a_generator(app: Celery) -> None:
    class Both(RateLimitedTask):
        abstract = True
        limits = (TokenBucket(name, "1/s") for name in ("a", "b"))

    first = define(app, Both)
    second = app.task(base=Both, name="second", shared=False, lazy=False)(nothing)

    assert [limit.name for limit in limits_of(first)] == ["a", "b"]
    assert [limit.name for limit in limits_of(second)] == ["a", "b"]


@pytest.mark.parametrize(
    ("base", "options", "message"),
    [
        (
            RateLimitedTask,
            {"limits": [SlidingWindow(rate="1/s"), SlidingWindow(rate="10/m")]},
            "take the task's name 'charge'",
        ),
        (
            RateLimitedTask,
            {"limits": [FixedWindow("x", "1/s"), FixedWindow("x", "10/m")]},
            "are named 'x'",
        ),
        (
            TokenBucketTask,
            {"limits": [TokenBucket("stripe", "1/s")], "rate_limit_key": "stripe"},
            "are named 'stripe'",
        ),
        (TokenBucketTask, {"limits": [TokenBucket(rate="1/s")]}, "'charge'"),
    ],
)
def test_two_limits_that_count_in_one_place_are_refused(
    base: type[Task], options: dict[str, Any], message: str, app: Celery
) -> None:
    with pytest.raises(BadOptionError, match=f"task 'charge' .*two limits of one kind.*{message}"):
        define(app, base, **options)


def test_limits_of_one_name_may_differ_in_kind_or_key(app: Celery) -> None:
    limits = [
        SlidingWindow("x", "1/s"),
        FixedWindow("x", "1/s"),
        Concurrency("x", 3),
        SlidingWindow("x", "1/s", key=lambda call: call.arguments["customer"]),
    ]

    assert len(limits_of(define(app, RateLimitedTask, limits=limits), 7)) == 4


# -- what a call is charged -----------------------------------------------------------------------


def test_the_documented_options_make_one_bucket(app: Celery) -> None:
    task = define(app, rate_limit_key="stripe_api", tokens_per_second=25, bucket_size=100)

    assert limits_of(task) == [TokenBucket("stripe_api", 25, burst=100)]


def test_without_options_a_task_has_a_bucket_of_its_own_name(app: Celery) -> None:
    assert limits_of(define(app)) == [TokenBucket("charge", 10, burst=100)]


def test_a_rate_may_say_its_burst(app: Celery) -> None:
    task = define(app, tokens_per_second="100/m:5")

    assert limits_of(task) == [TokenBucket("charge", "100/m:5", burst=5)]


def test_options_are_inherited_and_overridden(app: Celery) -> None:
    class Stripe(TokenBucketTask):
        abstract = True
        rate_limit_key = "stripe"
        tokens_per_second = "100/m"

    class Slow(Stripe):
        abstract = True
        bucket_size = 1

    assert limits_of(define(app, Slow, tokens_per_second=2)) == [TokenBucket("stripe", 2, burst=1)]


def test_a_subclass_adds_limits_to_those_of_its_bases(app: Celery) -> None:
    class Partner(TokenBucketTask):
        abstract = True

        def rate_limits(self, call: Call) -> list[Limit]:
            return [*super().rate_limits(call), FixedWindow("partner", "600/m")]

    limits = limits_of(define(app, Partner, limits=[Concurrency("lines", 2)]))

    assert [limit.name for limit in limits] == ["lines", "charge", "partner"]


def test_annotations_change_options(app: Celery) -> None:
    app.conf.task_annotations = {
        "charge": {"tokens_per_second": 3, "cost": lambda call: call.arguments["customer"]}
    }

    assert limits_of(define(app), 4) == [TokenBucket("charge", 3, burst=100, cost=4)]


# -- the classes in Celery ------------------------------------------------------------------------


class ContextTask(Task):
    """What apps set as their own class: here with a context around each body."""

    abstract = True
    acks_late = True
    inside = False

    def __init__(self) -> None:
        self.made = True

    def delay_on_commit(self) -> str:
        return "on commit"

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        type(self).inside = True
        return self.run(*args, **kwargs)


@pytest.mark.parametrize("base", [TokenBucketTask, RateLimitedTask])
def test_the_apps_own_task_class_stays_in_the_bases(base: type[Task]) -> None:
    app = Celery("shop", broker="redis://", task_cls=ContextTask, set_as_current=False)

    task = define(app, base)

    assert isinstance(task, app.Task)
    assert isinstance(task, ContextTask)
    assert task.delay_on_commit() == "on commit"
    assert task.acks_late is True
    assert task.made
    assert task.apply((5,)).get() == "charged 5"
    assert task.inside
    assert issubclass(base, ContextTask) is False
    app.close()


def test_a_base_that_has_the_apps_class_already_keeps_its_order(app: Celery) -> None:
    class Mine(TokenBucketTask, app.Task):
        abstract = True

    assert type(define(app, Mine)).__bases__ == (Mine,)


def test_an_apps_own_class_may_be_limited_itself(app: Celery) -> None:
    limited = Celery("shop", broker="redis://", task_cls=TokenBucketTask, set_as_current=False)

    by_default = limited.task(name="one", shared=False, lazy=False, bucket_size=3)(nothing)
    named = limited.task(base=RateLimitedTask, name="two", shared=False, lazy=False)(nothing)

    assert limits_of(by_default) == [TokenBucket("one", 10, burst=3)]
    assert limits_of(named) == [TokenBucket("two", 10, burst=100)]
    limited.close()


def test_a_class_that_does_not_fit_is_refused() -> None:
    class Slotted(Task):
        __slots__ = ("slot",)
        abstract = True

    class OtherSlots(TokenBucketTask):
        __slots__ = ("other",)
        abstract = True

    app = Celery("shop", broker="redis://", task_cls=Slotted, set_as_current=False)

    with pytest.raises(BadOptionError, match="'charge' cannot have both OtherSlots and Slotted"):
        define(app, OtherSlots)
    app.close()


@pytest.fixture
def shared_for_a_while() -> Iterator[None]:
    """Later apps do not get the tasks that are shared meanwhile."""
    before = set(_state._on_app_finalizers)
    yield
    _state._on_app_finalizers.intersection_update(before)


@pytest.mark.usefixtures("shared_for_a_while")
def test_a_shared_task_is_bound_to_each_app_with_its_settings() -> None:
    @shared_task(base=TokenBucketTask, name="shared by test_task_options", bucket_size=7)
    def shared() -> str:
        return "ran"

    apps = [Celery(f"app{number}", set_as_current=False, broker="memory://") for number in range(2)]
    for number, app in enumerate(apps):
        app.conf.ratekit_redis_url = f"redis://redis{number}:1"
        task = app.tasks["shared by test_task_options"]

        assert task.ratekit.settings.redis_url == f"redis://redis{number}:1"
        assert limits_of(task)[0].capacity == 7
        app.close()


def test_settings_made_after_the_decoration_count(app: Celery) -> None:
    task = app.task(base=TokenBucketTask, name="charge", shared=False)(nothing)
    app.conf.ratekit_namespace = "late"

    assert task.ratekit.settings.namespace == "late"


def test_a_task_class_of_ones_own_can_be_registered(app: Celery) -> None:
    class Charge(TokenBucketTask):
        name = "charge class"
        bucket_size = 5

        def run(self, customer: int) -> int:
            return customer

    task = app.register_task(Charge())

    assert limits_of(task, 1) == [TokenBucket("charge class", 10, burst=5)]
    assert task(3) == 3
    with pytest.raises(BadOptionError, match=r"'bad'.*bucket_size"):
        app.register_task(type("Bad", (Charge,), {"name": "bad", "bucket_size": -1})())


def test_a_task_can_be_pickled(app: Celery) -> None:
    app.set_current()
    task = define(app, cost=lambda call: 1)

    assert pickle.loads(pickle.dumps(task)) is task


# -- without a worker -----------------------------------------------------------------------------


def test_direct_and_eager_calls_need_no_redis(app: Celery) -> None:
    app.conf.task_always_eager = True
    task = define(app, tokens_per_second="1/d", bucket_size=1)

    assert [task(n) for n in range(3)] == ["charged 0", "charged 1", "charged 2"]
    assert [task.apply((n,)).get() for n in range(3)] == ["charged 0", "charged 1", "charged 2"]
    assert [task.delay(n).get() for n in range(3)] == ["charged 0", "charged 1", "charged 2"]


def test_they_need_no_redis_even_where_none_is_configured() -> None:
    app = Celery("shop", broker="memory://", set_as_current=False)

    @app.task(base=TokenBucketTask, bind=True, shared=False)
    def charge(self: Any) -> list[bool]:
        return [self.acquire_token(), self.acquire_token(), self.is_limited_here]

    assert charge() == [True, True, False]
    assert charge.apply().get() == [True, True, False]
    app.close()


def test_the_body_of_an_eager_call_sees_its_request_and_may_retry(app: Celery) -> None:
    seen = []

    @app.task(base=TokenBucketTask, bind=True, shared=False, max_retries=2)
    def charge(self: Any) -> str:
        seen.append((self.request.id, self.request.is_eager, self.request.retries))
        if self.request.retries < 2:
            raise self.retry(countdown=0)
        return "done"

    result = charge.apply(task_id="the id")

    assert result.get() == "done"
    assert seen[0] == ("the id", True, 0)
    assert [retries for _, _, retries in seen] == [0, 1, 2]


def test_limited_tasks_may_call_each_other_and_themselves(app: Celery) -> None:
    @app.task(base=TokenBucketTask, bind=True, shared=False, bucket_size=1)
    def factorial(self: Any, n: int) -> int:
        return 1 if n < 2 else n * self(n - 1)

    @app.task(base=RateLimitedTask, shared=False, limits=[TokenBucket("x", "1/d")])
    def outer(n: int) -> int:
        return int(factorial(n) + factorial.apply((n,)).get(disable_sync_subtasks=False))

    assert outer(5) == 240
    assert outer.apply((5,)).get() == 240
    assert _state._task_stack.top is None


def test_an_eager_chain_runs_through(app: Celery) -> None:
    app.conf.task_always_eager = True

    @app.task(base=TokenBucketTask, shared=False, bucket_size=1)
    def increase(n: int) -> int:
        return n + 1

    chained = increase.s(1) | increase.s() | increase.s()

    assert chained().get() == 4
