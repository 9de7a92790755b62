"""Runtime control of exactly one of several limits of a name, and the end of what was set."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from celery import Celery

from celery_ratekit import (
    Concurrency,
    DynamicRateLimitTask,
    FixedWindow,
    PerUserRateLimitTask,
    RateLimitedTask,
    SlidingWindow,
    StaticRateLimitTask,
    TokenBucket,
    compose,
)
from celery_ratekit.errors import BadOptionError, UnknownLimitError
from celery_ratekit.limits import Limit
from celery_ratekit.manager import RateLimitManager
from celery_ratekit.tasks.runtime import runtime_of

pytestmark = pytest.mark.redis


def run(user_id: str = "") -> None:
    """What the tasks do."""


@pytest.fixture
def app(redis_url: str) -> Iterator[Celery]:
    app = Celery("shop", broker="memory://", set_as_current=False)
    app.conf.update(ratekit_redis_url=redis_url, ratekit_redis_timeout=5)
    per_user = compose(DynamicRateLimitTask, PerUserRateLimitTask)
    both = {"default_rate_limit": "30/m", "user_rate_limit": "10/m"}
    app.task(name="both", base=per_user, shared=False, **both)(run)
    # The limit of one task has the name of another, whose limit has another name.
    crossed = [TokenBucket("pays", "5/m")]
    app.task(name="asks", base=RateLimitedTask, limits=crossed, shared=False)(run)
    crossed = [TokenBucket("bank", "7/m")]
    app.task(name="pays", base=RateLimitedTask, limits=crossed, shared=False)(run)
    app.task(name="fixed", base=StaticRateLimitTask, global_rate_limit="9/m", shared=False)(run)
    yield app
    runtime_of(app).limiter.close()
    app.close()


@pytest.fixture
def manager(app: Celery) -> RateLimitManager:
    return RateLimitManager(app)


def rates(manager: RateLimitManager) -> dict[tuple[str, str], str]:
    return {(one.name, one.kind): one.rate for one in manager.current_rates().values()}


BOTH = {("both", "TokenBucket"): "30/m", ("both", "FixedWindow"): "10/m"}


def test_of_several_kinds_under_a_name_the_one_that_is_meant_is_changed(
    manager: RateLimitManager,
) -> None:
    before = rates(manager)
    assert before.items() >= BOTH.items()

    adjusted = manager.adjust_rate("both", "3/m", kind="FixedWindow")

    assert (adjusted.old, adjusted.new) == ("10/m", "3/m")
    assert rates(manager) == {**before, ("both", "FixedWindow"): "3/m"}


def test_with_a_kind_a_name_is_the_limits_and_never_a_tasks(manager: RateLimitManager) -> None:
    assert manager.adjust_rate("pays", "1/m").name == "bank"
    assert manager.adjust_rate("pays", "2/m", kind="TokenBucket").name == "pays"
    assert manager.pause("pays", kind="TokenBucket").name == "pays"
    assert manager.resume("pays", kind="TokenBucket").new == "2/m"

    manager.freeze("pays", 60, kind="TokenBucket")
    limiter = runtime_of(manager.app).limiter
    frozen = [
        limiter.inspect(TokenBucket(name, "1/s"))[0].frozen_seconds for name in ("pays", "bank")
    ]
    assert frozen[0] > 50
    assert frozen[1] == 0
    manager.unfreeze("pays", kind="TokenBucket")
    assert limiter.inspect(TokenBucket("pays", "1/s"))[0].frozen_seconds == 0


def test_a_kind_that_the_name_does_not_have_is_unknown(manager: RateLimitManager) -> None:
    with pytest.raises(UnknownLimitError, match="got 'pays'"):
        manager.pause("pays", kind="SlidingWindow")
    with pytest.raises(BadOptionError, match=r"one of TokenBucket, .*, got 'Bucket'"):
        manager.pause("pays", kind="Bucket")
    forced = manager.adjust_rate("pays", "1/m", kind="SlidingWindow", force=True)
    assert forced.new == "1/m"


@pytest.mark.parametrize(
    "limit", [TokenBucket("else", "9/m"), FixedWindow("else", "9/m"), SlidingWindow("else", "9/m")]
)
def test_what_was_before_is_told_of_a_limit_that_only_others_declare(
    app: Celery, manager: RateLimitManager, limit: Limit
) -> None:
    runtime_of(app).limiter.overrides.declare([limit, Concurrency("room", 4)], 60)

    adjusted = manager.adjust_rate("else", "3/m", kind=type(limit).__name__)
    assert (adjusted.old, adjusted.new) == ("9/m", "3/m")
    assert manager.unset_rate("else").new == "9/m"
    adjusted = manager.adjust_rate("room", 2)
    assert (adjusted.old, adjusted.new) == ("4", "2")


def test_unset_ends_every_rate_but_no_pause(manager: RateLimitManager) -> None:
    manager.adjust_rate("both", "3/m", kind="FixedWindow")
    manager.adjust_rate("both", "2/m", kind="FixedWindow", for_seconds=600)
    assert manager.unset_rate("both", kind="FixedWindow").new == "10/m"

    manager.adjust_rate("both", 0, kind="FixedWindow")
    unset = manager.unset_rate("both", kind="FixedWindow")
    assert (unset.old, unset.new) == ("paused", "10/m")

    manager.pause("both")
    manager.adjust_rate("both", "3/m")
    assert manager.unset_rate("both").new == "paused"
    assert manager.resume("both").new == "30/m"


def test_unset_of_a_key_leaves_the_others(manager: RateLimitManager) -> None:
    for key in ("7", "8"):
        manager.adjust_rate("both", "50/m", key=key, kind="FixedWindow")

    assert manager.unset_rate("both", key="7", kind="FixedWindow").new == "10/m"

    [window] = [one for one in manager.current_rates().values() if one.kind == "FixedWindow"]
    assert window.keys == {"8": "50/m"}


def test_unset_ends_what_was_set_before_the_limit_was_known(
    app: Celery, manager: RateLimitManager
) -> None:
    manager.adjust_rate("later", "3/m", force=True)
    app.task(name="last", base=RateLimitedTask, limits=[TokenBucket("later", "9/m")], shared=False)(
        run
    )
    assert str(manager.current_rates()["later"]) == "3/m"

    assert manager.unset_rate("later").new == "9/m"


def test_a_fixed_rate_can_be_paused_but_not_set(manager: RateLimitManager) -> None:
    assert manager.pause("fixed", kind="TokenBucket").new == "paused"
    with pytest.raises(BadOptionError, match="fixed in code"):
        manager.adjust_rate("fixed", "1/m", kind="TokenBucket")
