"""What overrides make of limits, at one moment."""

from __future__ import annotations

import pytest
from celery.schedules import crontab
from support.overrides import NOW, declared, record, view

from celery_ratekit.limiter.keys import KeySpace
from celery_ratekit.limiter.overrides import ADAPTIVE, DISABLE, PAUSE, RATE, TEMPORARY, ZERO
from celery_ratekit.limits import (
    Concurrency,
    FixedWindow,
    Limit,
    ScheduledBucket,
    SlidingWindow,
    TokenBucket,
)

STRIPE = TokenBucket("stripe", "100/m", burst=5)
ANN = STRIPE.with_key("ann")
NIGHTLY = ScheduledBucket("stripe", crontab(minute=0), 10)
ALL_KINDS: list[Limit] = [
    STRIPE,
    FixedWindow("stripe", "10/m"),
    SlidingWindow("stripe", "10/m"),
    NIGHTLY,
    Concurrency("stripe", 3),
]


def rate_of(limit: Limit | None) -> str:
    assert isinstance(limit, (TokenBucket, FixedWindow, SlidingWindow))
    return str(limit.rate)


def test_without_overrides_limits_are_what_they_were_given_as() -> None:
    assert view().is_empty
    assert view().effective(STRIPE) is STRIPE
    assert not view().is_paused(STRIPE)


def test_a_rate_concerns_its_name_kind_and_all_keys_and_nothing_else() -> None:
    now = view(record(RATE, "stripe", "7/m"))

    assert rate_of(now.effective(STRIPE)) == rate_of(now.effective(ANN)) == "7/m"
    for other in (STRIPE.with_name("paypal"), *ALL_KINDS[1:]):
        assert now.effective(other) is other


def test_a_rate_of_any_kind_concerns_all_that_have_a_rate() -> None:
    now = view(record(RATE, "stripe", "7/m", kind=None))

    assert [rate_of(now.effective(limit)) for limit in ALL_KINDS[:3]] == ["7/m"] * 3
    assert [now.effective(limit) for limit in ALL_KINDS[3:]] == ALL_KINDS[3:]


def test_the_burst_stays_where_the_rate_says_none_and_fits_a_call() -> None:
    assert view(record(RATE, "stripe", "7/m")).effective(STRIPE) == TokenBucket(
        "stripe", "7/m", burst=5, lowered_at=NOW / 1e6 - 10
    )
    costly = STRIPE.with_cost(4)
    lower = view(record(RATE, "stripe", "7/m:2")).effective(costly)
    assert lower is not None
    assert lower.capacity == 4


@pytest.mark.parametrize("kind", [FixedWindow, SlidingWindow])
def test_a_window_that_is_too_small_for_a_call_becomes_longer(
    kind: type[FixedWindow | SlidingWindow],
) -> None:
    window = kind("mail", "10/m", cost=4)

    lower = view(record(RATE, "mail", "2/m", kind=kind)).effective(window)

    assert isinstance(lower, kind)
    assert (lower.capacity, lower.rate.period_seconds) == (4, 120)


def test_places_get_another_number() -> None:
    places = Concurrency("db", 8, lease_seconds=7, cost=2)

    for size, expected in (("4", 4), ("1", 2), ("0", 0)):
        now = view(record(RATE, "db", size, kind=Concurrency)).rated(places)
        assert isinstance(now, Concurrency)
        assert (now.size, now.lease_seconds) == (expected if size != "0" else 8, 7)


STRENGTHS = [
    # What is set, and the rate that counts: from the strongest layer.
    ([(TEMPORARY, "1/m"), (ZERO, "0"), (RATE, "2/m"), (ADAPTIVE, "3/m")], "1/m"),
    ([(RATE, "2/m"), (ADAPTIVE, "3/m")], "2/m"),
    ([(ADAPTIVE, "3/m")], "3/m"),
]


@pytest.mark.parametrize(("layers", "expected"), STRENGTHS)
def test_the_strongest_layer_counts(layers: list[tuple[str, str]], expected: str) -> None:
    now = view(*(record(layer, "stripe", what) for layer, what in layers))

    assert rate_of(now.effective(STRIPE)) == expected
    assert not now.is_paused(STRIPE)


def test_a_keys_own_rate_comes_before_its_names() -> None:
    now = view(
        record(RATE, "stripe", "500/m", key="ann"),
        record(TEMPORARY, "stripe", "1/m"),
        record(ADAPTIVE, "stripe", "9/m", key="bob"),
    )

    assert rate_of(now.effective(ANN)) == "500/m"
    assert rate_of(now.effective(STRIPE.with_key("bob"))) == "1/m"
    assert rate_of(now.effective(STRIPE)) == "1/m"


def test_keys_that_are_hidden_are_found_all_the_same() -> None:
    hiding = KeySpace("test", hash_keys=True)
    now = view(record(RATE, "stripe", "500/m", key="ann", keys=hiding), keys=hiding)

    assert rate_of(now.effective(ANN)) == "500/m"
    assert b"ann" not in next(iter(now.live)).field


@pytest.mark.parametrize("limit", ALL_KINDS, ids=lambda limit: type(limit).__name__)
def test_a_pause_holds_for_every_kind_and_key(limit: Limit) -> None:
    for one in (limit, limit.with_key("ann")):
        assert view(record(PAUSE, "stripe")).is_paused(one)
        assert not view(record(PAUSE, "paypal")).is_paused(one)
    paused_key = view(record(PAUSE, "stripe", key="ann"))
    assert paused_key.is_paused(limit.with_key("ann"))
    assert not paused_key.is_paused(limit)


def test_a_pause_keeps_the_rate_that_is_under_it() -> None:
    for layer, what in ((PAUSE, ""), (ZERO, "0")):
        now = view(record(layer, "stripe", what), record(RATE, "stripe", "7/m"))
        assert now.is_paused(STRIPE)
        assert rate_of(now.rated(STRIPE)) == "7/m"


def test_a_rate_of_0_for_a_time_stops_keys_with_a_rate_of_their_own_too() -> None:
    now = view(record(TEMPORARY, "stripe", "0"), record(RATE, "stripe", "500/m", key="ann"))

    assert now.is_paused(ANN)


@pytest.mark.parametrize("limit", ALL_KINDS, ids=lambda limit: type(limit).__name__)
def test_what_is_disabled_is_no_limit(limit: Limit) -> None:
    paused = record(PAUSE, "stripe")
    assert view(record(DISABLE, ""), paused).effective(limit) is None
    assert view(record(DISABLE, "stripe"), paused).effective(limit.with_key("ann")) is None
    assert view(record(DISABLE, "paypal")).effective(limit) is limit


def test_a_rate_without_limit_lifts_the_limit() -> None:
    assert view(record(RATE, "stripe", "unlimited")).effective(STRIPE) is None


def test_what_has_ended_does_not_count_and_what_ends_is_told() -> None:
    now = view(
        record(PAUSE, "stripe", until=-0.001),
        record(TEMPORARY, "stripe", "7/m", until=5),
        record(RATE, "stripe", "9/m", until=60),
    )

    assert not now.is_paused(STRIPE)
    assert rate_of(now.effective(STRIPE)) == "7/m"
    assert now.changes_in_seconds == pytest.approx(5)


LOWERED = [
    # What was set, in seconds from now, and since when keys without a state count as empty.
    ([record(RATE, "stripe", "50/m", at=-9)], -9),
    ([record(RATE, "stripe", "200/m", at=-9)], None),
    ([record(RATE, "stripe", "200/m", at=-9, lowered=NOW - 4e6)], -4),
    ([record(TEMPORARY, "stripe", "200/m", until=-3)], -3),
    ([record(TEMPORARY, "stripe", "50/m", until=-3)], None),
    ([record(TEMPORARY, "stripe", "200/m", until=-3), record(RATE, "stripe", "300/m")], None),
    ([record(TEMPORARY, "stripe", "400/m", until=-3), record(RATE, "stripe", "300/m")], -3),
]


@pytest.mark.parametrize(("records", "expected"), LOWERED)
def test_a_bucket_knows_when_its_rate_was_lowered(
    records: list[object], expected: float | None
) -> None:
    limit = view(*records).effective(STRIPE)  # type: ignore[arg-type]  # They are records.

    assert isinstance(limit, TokenBucket)
    moment = 0.0 if expected is None else NOW / 1e6 + expected
    assert limit.lowered_at == pytest.approx(moment, abs=1e-3)


def test_where_workers_disagree_the_lowest_counts_unless_somebody_set_a_rate() -> None:
    of_workers = declared(STRIPE, TokenBucket("stripe", "40/m", burst=2), FixedWindow("x", "1/m"))
    now = view(of_workers=of_workers)

    assert now.disagreements == {("t", "stripe"): ("40/m:2", "100/m:5")}
    assert now.effective(STRIPE) == TokenBucket("stripe", "40/m:2", burst=2)
    own = TokenBucket("stripe", "10/m")
    assert now.effective(own) is own
    overridden = view(record(RATE, "stripe", "70/m"), of_workers=of_workers)
    assert rate_of(overridden.effective(STRIPE)) == "70/m"


def test_where_all_workers_agree_a_limit_elsewhere_keeps_its_own_rate() -> None:
    now = view(of_workers=declared(TokenBucket("stripe", "1/m"), TokenBucket("stripe", "1/60s")))

    assert now.effective(STRIPE) is STRIPE


def test_a_rate_that_the_limit_cannot_have_leaves_it_as_it_was() -> None:
    window = SlidingWindow("mail", "10/m")

    assert view(record(RATE, "mail", "20000/m", kind=None)).effective(window) is window


def test_names_are_told_apart_by_what_counts_for_them() -> None:
    before = view(record(RATE, "stripe", "7/m"), record(PAUSE, "paypal", until=1))
    after = view(record(RATE, "stripe", "8/m"), record(PAUSE, "paypal", until=1))

    one, other = before.ids_by_name(), after.ids_by_name()
    assert one["paypal"] == other["paypal"]
    assert one["stripe"] != other["stripe"]
