"""Runtime control from any process with the app, without a worker."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator
from typing import Any

import pytest
from celery import Celery
from celery.schedules import crontab

from celery_ratekit import (
    Concurrency,
    ConcurrencyLimitTask,
    DynamicRateLimitTask,
    PerUserRateLimitTask,
    RateLimitedTask,
    ScheduledBucket,
    StaticRateLimitTask,
    TokenBucket,
    TokenBucketTask,
    compose,
)
from celery_ratekit.embedded import EmbeddedRedis
from celery_ratekit.errors import (
    BadLimitError,
    BadOptionError,
    BadRateError,
    LimiterUnavailableError,
    UnknownLimitError,
)
from celery_ratekit.limiter import Limiter
from celery_ratekit.manager import Adjusted, RateLimitManager
from celery_ratekit.manager.explaining import LimitExplanation
from celery_ratekit.signals import rate_adjusted, rate_limit_frozen

pytestmark = pytest.mark.redis


def run(user_id: str = "") -> None:
    """What the tasks do."""


def make_app(url: str, **conf: Any) -> Celery:
    app = Celery("shop", broker="memory://", set_as_current=False)
    app.conf.update(
        ratekit_redis_url=url,
        ratekit_redis_timeout=5,
        ratekit_limits={"partner": "5/s"},
        ratekit_rules={"reports.*": "60/m"},
    )
    app.conf.update(conf)

    def add(name: str, base: Any = None, **options: Any) -> None:
        kind = {} if base is None else {"base": base}
        app.task(name=name, shared=False, **kind, **options)(run)

    add("charge", DynamicRateLimitTask, default_rate_limit="100/m")
    add("mail", TokenBucketTask, rate_limit_key="smtp", tokens_per_second="1/m")
    add("fixed", StaticRateLimitTask, global_rate_limit="9/m")
    add("places", ConcurrencyLimitTask, max_concurrent=4)
    add("nightly", RateLimitedTask, limits=[ScheduledBucket("night", crontab(hour=0), 5)])
    per_user = compose(DynamicRateLimitTask, PerUserRateLimitTask)
    add("both", per_user, default_rate_limit="30/m", user_rate_limit="10/m")
    add("reports.daily")
    add("celerys", rate_limit="10/s")
    add("free")
    return app


@pytest.fixture
def app(redis_url: str) -> Iterator[Celery]:
    app = make_app(redis_url)
    yield app
    app.tasks["charge"].ratekit.limiter.close()


@pytest.fixture
def manager(app: Celery) -> RateLimitManager:
    return RateLimitManager(app)


@pytest.fixture
def limiter(redis_url: str) -> Iterator[Limiter]:
    """Somebody in another process, who looks after each change."""
    limiter = Limiter(redis_url, timeout_seconds=5)
    yield limiter
    limiter.close()


def rates(manager: RateLimitManager) -> dict[str, str]:
    return {name: str(rate) for name, rate in manager.current_rates().items()}


DECLARED = {
    "both": "30/m",
    "both (FixedWindow)": "10/m",
    "celerys": "10/s",
    "charge": "100/m",
    "fixed": "9/m",
    "night": "",
    "partner": "5/s",
    "places": "4",
    "reports.daily": "60/m",
    "smtp": "1/m",
}


def test_without_changes_all_rates_are_those_of_the_code(manager: RateLimitManager) -> None:
    assert rates(manager) == DECLARED
    assert manager.current_rates()["celerys"].kind == "celery"


def test_the_defaults_are_found_and_may_be_edited_or_set_in_a_subclass(
    app: Celery, manager: RateLimitManager
) -> None:
    assert manager.defaults == {
        "both": "30/m",
        "celerys": "10/s",
        "charge": "100/m",
        "partner": "5/s",
        "reports.daily": "60/m",
        "smtp": "1/m",
    }
    manager.defaults["charge"] = "7/m"
    assert manager.defaults["charge"] == "7/m"

    class Own(RateLimitManager):
        def __init__(self, app: Any) -> None:
            self.app = app
            self.defaults = {"charge": "50/m"}

    own = Own(app)
    [adjusted] = own.reduce_for_high_load()
    assert adjusted == Adjusted("charge", "", "100/m", "25/m")


def test_a_task_stands_for_its_primary_limit(manager: RateLimitManager) -> None:
    assert manager.adjust_rate("charge", "20/m") == Adjusted("charge", "", "100/m", "20/m")
    assert manager.adjust_rate("mail", "2/m").name == "smtp"
    assert manager.adjust_rate("places", 9).new == "9"
    assert manager.adjust_rate("reports.daily", 2.5).new == "2.5/s"
    manager.adjust_rate("both", "15/m")

    changed = {"charge": "20/m", "smtp": "2/m", "places": "9", "reports.daily": "2.5/s"}
    assert rates(manager) == {**DECLARED, **changed, "both": "15/m"}


def test_everybody_follows_and_who_when_and_why_is_kept(
    manager: RateLimitManager, limiter: Limiter
) -> None:
    manager.adjust_rate("charge", "20/m:3", reason="quota", by="ann", for_seconds=60)

    assert limiter.override_book.refresh().effective(TokenBucket("charge", "100/m")) == TokenBucket(
        "charge", "20/m:3", lowered_at=limiter.override_book.current.snapshot.records[0].at_us / 1e6
    )
    [override] = manager.current_rates()["charge"].overrides
    assert (override.layer, override.what, override.by) == ("rate for a time", "20/m:3", "ann")
    assert override.reason == "quota"
    assert override.until is not None
    assert (override.until - override.at).total_seconds() == pytest.approx(60)
    manager.adjust_rate("mail", "3/m")
    assert "@" in manager.current_rates()["smtp"].overrides[0].by


def test_a_rate_until_it_is_changed_ends_one_for_a_time(manager: RateLimitManager) -> None:
    manager.adjust_rate("charge", "20/m", for_seconds=60)
    manager.adjust_rate("charge", "30/m")

    assert rates(manager)["charge"] == "30/m"


def test_0_pauses_and_resume_or_a_rate_goes_on(manager: RateLimitManager) -> None:
    manager.adjust_rate("charge", "20/m")
    assert manager.adjust_rate("charge", 0) == Adjusted("charge", "", "20/m", "paused")
    assert manager.resume("charge") == Adjusted("charge", "", "paused", "20/m")
    manager.adjust_rate("charge", 0)
    assert manager.adjust_rate("charge", "30/m").new == "30/m"
    manager.adjust_rate("charge", "0/m", for_seconds=30)
    assert rates(manager)["charge"] == "paused"
    assert manager.resume("charge").new == "30/m"
    manager.adjust_rate("places", 0)
    assert manager.resume("places").new == "4"


@pytest.mark.parametrize("name", ["charge", "night", "nightly", "places", "both"])
def test_every_kind_can_be_paused_and_resumed(
    name: str, manager: RateLimitManager, limiter: Limiter
) -> None:
    before = rates(manager)
    paused = manager.pause(name, reason="holiday")
    assert paused.new == "paused"
    assert limiter.acquire(TokenBucket(paused.name, "1/s")).reason == "paused"
    manager.reduce_for_high_load()
    manager.restore_defaults()
    assert rates(manager)[paused.name] == "paused"
    manager.resume(name)
    assert rates(manager) == before


def test_one_key_can_have_a_rate_of_its_own_or_be_paused(
    manager: RateLimitManager, limiter: Limiter
) -> None:
    assert manager.adjust_rate("charge", "900/m", key="ann").key == "ann"
    manager.pause("charge", key=7)
    manager.reduce_for_high_load(0.1)

    view = limiter.override_book.refresh()
    bucket = TokenBucket("charge", "100/m")
    assert str(view.rated(bucket.with_key("ann")).rate) == "900/m"  # type: ignore[attr-defined]
    assert view.is_paused(bucket.with_key("7"))
    assert not view.is_paused(bucket)
    assert manager.current_rates()["charge"].keys == {"ann": "900/m", "7": "paused"}


def test_factors_apply_to_the_defaults_and_never_reach_0(manager: RateLimitManager) -> None:
    for _ in range(3):
        manager.reduce_for_high_load(0.3)
    reduced = {"charge": "30/m", "smtp": "18/h", "partner": "1.5/s", "both": "9/m"}
    assert rates(manager) == {**DECLARED, **reduced, "reports.daily": "18/m"}

    manager.reduce_for_high_load(1e-9, for_seconds=60)
    assert all(float(rate.split("/")[0]) > 0 for rate in rates(manager).values() if "/" in rate)
    manager.restore_defaults()
    assert rates(manager) == DECLARED
    for factor in (0, -1, float("inf")):
        with pytest.raises(BadRateError, match="factor"):
            manager.reduce_for_high_load(factor)


def test_numbers_of_places_may_be_among_the_defaults(manager: RateLimitManager) -> None:
    manager.defaults = {"places": 4, "charge": "50/m"}
    manager.reduce_for_high_load(0.1)
    assert (rates(manager)["places"], rates(manager)["charge"]) == ("1", "5/m")
    manager.restore_defaults()
    assert (rates(manager)["places"], rates(manager)["charge"]) == ("4", "50/m")


def test_a_default_with_a_wrong_name_changes_nothing_at_all(manager: RateLimitManager) -> None:
    manager.defaults["chargee"] = "1/m"

    with pytest.raises(UnknownLimitError, match="did you mean 'charge'"):
        manager.reduce_for_high_load()

    assert rates(manager) == DECLARED


def test_reduced_gives_back_what_was_there_also_when_nested(manager: RateLimitManager) -> None:
    manager.adjust_rate("charge", "80/m", by="ann")
    manager.adjust_rate("partner", "9/s", for_seconds=60)
    before = {**DECLARED, "charge": "80/m", "partner": "9/s"}
    with manager.reduced(0.5):
        outer = rates(manager)
        assert outer["charge"] == "50/m"
        with manager.reduced(0.1):
            assert rates(manager)["charge"] == "10/m"
        assert rates(manager) == outer
    assert rates(manager) == before
    assert manager.current_rates()["charge"].overrides[0].by == "ann"


def test_reduced_gives_back_also_after_an_error(manager: RateLimitManager) -> None:
    def fail() -> None:
        with manager.reduced(0.5):
            raise KeyError("no luck")

    with pytest.raises(KeyError):
        fail()

    assert rates(manager) == DECLARED


def test_reduced_leaves_alone_what_somebody_else_has_set(
    app: Celery, manager: RateLimitManager
) -> None:
    with manager.reduced(0.5):
        RateLimitManager(app).adjust_rate("charge", "3/m")

    assert rates(manager) == {**DECLARED, "charge": "3/m"}


def test_reduced_for_a_time_is_over_when_its_process_dies(manager: RateLimitManager) -> None:
    context = manager.reduced(0.5, for_seconds=60)
    context.__enter__()

    [override] = manager.current_rates()["charge"].overrides
    assert override.until is not None


def test_disable_lifts_all_limits_or_those_of_one_name(
    manager: RateLimitManager, limiter: Limiter
) -> None:
    [adjusted] = manager.disable(reason="incident")
    assert (adjusted.name, adjusted.new) == ("", "unlimited")
    assert set(rates(manager).values()) == {"unlimited", "10/s"}
    assert manager.current_rates()["charge"].is_disabled
    assert limiter.acquire(Concurrency("anything", 0)).granted
    manager.enable()
    assert rates(manager) == DECLARED

    assert [one.name for one in manager.disable("both", for_seconds=30)] == ["both"]
    assert rates(manager)["both (FixedWindow)"] == "unlimited"
    assert rates(manager)["charge"] == "100/m"
    manager.enable("both")
    assert rates(manager) == DECLARED


def test_a_freeze_holds_for_a_name_or_a_key_and_can_end_early(
    manager: RateLimitManager, limiter: Limiter
) -> None:
    told: list[dict[str, Any]] = []

    def on_frozen(**fields: Any) -> None:
        told.append(fields)

    rate_limit_frozen.connect(on_frozen)
    bucket = TokenBucket("charge", "100/m", burst=50)
    assert manager.freeze("charge", 30, key="ann") == pytest.approx(30)
    assert limiter.acquire(bucket.with_key("ann")).reason == "frozen"
    assert limiter.acquire(bucket).granted
    manager.freeze("charge", 30)
    assert limiter.acquire(bucket.with_key("bob")).reason == "frozen"
    assert "frozen for" in str(manager.explain("charge"))
    manager.unfreeze("charge")
    assert limiter.acquire(bucket.with_key("bob")).granted
    manager.unfreeze("charge", key="ann")
    assert limiter.acquire(bucket.with_key("ann")).granted

    assert [one["limit"].key for one in told] == ["ann", "", "", "ann"]
    assert {one["reason"] for one in told} == {"manager"}
    rate_limit_frozen.disconnect(on_frozen)


def test_each_change_is_told(manager: RateLimitManager, app: Celery) -> None:
    told: list[dict[str, Any]] = []

    def on_adjusted(sender: Any, signal: Any, **fields: Any) -> None:
        told.append({"sender": sender, **fields})

    rate_adjusted.connect(on_adjusted)
    manager.adjust_rate("charge", "20/m", key="ann", reason="plan", by="me")
    manager.disable("charge")
    rate_adjusted.disconnect(on_adjusted)

    assert told[0] == {
        "sender": app,
        "name": "charge",
        "key": "ann",
        "old": "100/m",
        "new": "20/m",
        "by": "me",
        "reason": "plan",
    }
    assert (told[1]["old"], told[1]["new"]) == ("100/m", "unlimited")


def test_unknown_names_are_errors_that_name_what_is_near(manager: RateLimitManager) -> None:
    with pytest.raises(UnknownLimitError, match="'chrage'; did you mean 'charge'"):
        manager.adjust_rate("chrage", "1/m")
    with pytest.raises(UnknownLimitError, match="force=True"):
        manager.pause("something else")
    with pytest.raises(UnknownLimitError, match="something else"):
        manager.freeze("something else", 1)
    with pytest.raises(UnknownLimitError, match="something else"):
        manager.explain("something else")
    with pytest.raises(BadOptionError, match="none but Celery's own"):
        manager.pause("free")


def test_a_limit_of_another_app_is_reached_by_force_or_once_its_workers_live(
    manager: RateLimitManager, limiter: Limiter
) -> None:
    other = TokenBucket("other", "10/s")
    assert manager.adjust_rate("other", "2/s", force=True).new == "2/s"
    assert str(limiter.override_book.refresh().rated(other).rate) == "2/s"  # type: ignore[attr-defined]
    manager.adjust_rate("other", 0, force=True)
    assert limiter.override_book.refresh().is_paused(other)
    manager.resume("other", force=True)

    limiter.overrides.declare([other, Concurrency("slots", 4)], 60)
    assert rates(manager)["slots"] == "4"
    assert manager.adjust_rate("slots", 2).new in ("2", "")
    assert rates(manager)["slots"] == "2"
    with pytest.raises(BadLimitError, match="whole number of places"):
        manager.adjust_rate("slots", "2/s")


def test_rates_that_a_limit_cannot_have_are_refused(manager: RateLimitManager) -> None:
    with pytest.raises(BadLimitError, match="refilled by a schedule"):
        manager.adjust_rate("night", "1/m")
    with pytest.raises(BadLimitError, match="whole number of places"):
        manager.adjust_rate("places", "1/m")
    with pytest.raises(BadRateError):
        manager.adjust_rate("charge", "fast")
    with pytest.raises(BadRateError):
        manager.adjust_rate("charge", None)  # type: ignore[arg-type]
    with pytest.raises(BadOptionError, match="fixed in code"):
        manager.adjust_rate("fixed", "1/m")
    assert manager.pause("fixed").new == "paused"


def test_workers_cannot_be_chosen_for_a_limit_of_all(
    manager: RateLimitManager, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.WARNING)

    assert manager.adjust_rate("charge", "1/m", workers=["w1@host"]).new == "1/m"

    assert "one limit for all workers" in caplog.text


def test_a_plain_task_takes_what_celerys_own_limit_can(manager: RateLimitManager) -> None:
    adjusted = manager.adjust_rate("celerys", "9/d")
    assert (adjusted.new, adjusted.replies) == ("0.375/h", {})
    with pytest.raises(BadOptionError, match="0 means unlimited"):
        manager.adjust_rate("celerys", 0)
    with pytest.raises(BadOptionError, match="for_seconds"):
        manager.adjust_rate("celerys", "9/s", for_seconds=5)


def test_what_was_set_can_be_exported_and_imported_elsewhere(
    manager: RateLimitManager, private_redis: EmbeddedRedis
) -> None:
    manager.adjust_rate("charge", "20/m", key="ann", reason="plan")
    manager.adjust_rate("smtp", "unlimited", for_seconds=600)
    manager.adjust_rate("places", 2)
    manager.pause("night")
    manager.disable("partner")
    exported = json.loads(json.dumps(manager.export()))
    elsewhere = RateLimitManager(make_app(private_redis.url))

    assert elsewhere.import_(exported) == 5

    assert rates(elsewhere) == rates(manager)
    assert elsewhere.current_rates()["charge"].keys == {"ann": "20/m"}
    again = elsewhere.export()["overrides"]
    for one, other in zip(exported["overrides"], again, strict=True):
        assert {**one, "at": 0, "until": 0} == {**other, "at": 0, "until": 0}
    for junk in ({}, {"version": 2, "overrides": []}, {"version": 1, "overrides": [{"a": 1}]}):
        with pytest.raises(BadOptionError, match="export"):
            elsewhere.import_(junk)


def test_keys_that_are_hidden_are_exported_as_hashes(private_redis: EmbeddedRedis) -> None:
    manager = RateLimitManager(make_app(private_redis.url, ratekit_hash_keys=True))
    manager.adjust_rate("charge", "20/m", key="ann@example.org")
    exported = manager.export()
    assert "example" not in json.dumps(exported)
    with private_redis.client() as client:
        client.flushall()

    manager.import_(exported)

    bucket = TokenBucket("charge", "100/m", key="ann@example.org")
    view = manager.app.tasks["charge"].ratekit.limiter.override_book.refresh()
    assert str(view.rated(bucket).rate) == "20/m"
    assert list(manager.current_rates()["charge"].keys.values()) == ["20/m"]


def test_a_limit_is_explained(manager: RateLimitManager) -> None:
    manager.adjust_rate("charge", "20/m", reason="quota", by="ann")
    explanation = manager.explain("charge")

    assert isinstance(explanation, LimitExplanation)
    text = str(explanation)
    assert "charge (TokenBucket): 20/m, in code 100/m" in text
    assert "set by ann" in text
    assert ": quota" in text
    assert "holds" in text
    assert "4" in str(manager.explain("places"))


def test_without_redis_every_method_says_so_soon(private_redis: EmbeddedRedis) -> None:
    app = make_app(private_redis.url, ratekit_redis_timeout=0.5)
    private_redis.kill()
    manager = RateLimitManager(app)

    for ask in (
        manager.current_rates,
        manager.restore_defaults,
        manager.disable,
        lambda: manager.adjust_rate("charge", "1/m"),
        lambda: manager.freeze("charge", 1),
    ):
        with pytest.raises(LimiterUnavailableError):
            ask()
