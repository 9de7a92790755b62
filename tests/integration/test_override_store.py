"""Overrides in a real Redis: what is written, who may write, what is forgotten."""

from __future__ import annotations

import math
from collections.abc import Iterator

import pytest
import redis
from support.clocked import clock, limiter
from support.world import Clock

from celery_ratekit.embedded import EmbeddedCluster, EmbeddedRedis
from celery_ratekit.errors import BadLimitError, TooManyOverridesError
from celery_ratekit.limiter import Limiter
from celery_ratekit.limiter.overrides import (
    DISABLE,
    PAUSE,
    RATE,
    TEMPORARY,
    Change,
    End,
    OverrideStore,
    PutBack,
    Record,
    Set,
    View,
    store,
)
from celery_ratekit.limits import Concurrency, TokenBucket

__all__ = ["clock", "limiter"]

pytestmark = pytest.mark.redis

STRIPE = TokenBucket("stripe", "100/m")
SECOND = 1_000_000


@pytest.fixture
def overrides(limiter: Limiter) -> OverrideStore:
    return limiter.overrides


@pytest.fixture
def client(redis_server: EmbeddedRedis) -> Iterator[redis.Redis]:
    with redis_server.client() as client:
        yield client


def rate(overrides: OverrideStore, name: str, what: float, **options: object) -> Set:
    place = overrides.place(RATE, name, kind=TokenBucket)
    return Set(place, name, what=f"{what}/s", per_second=what, **options)  # type: ignore[arg-type]


def live(overrides: OverrideStore) -> dict[str, Record]:
    view = View(overrides.keys, overrides.read())
    return {f"{place.layer} {one.name}{one.key}": one for place, one in view.live.items()}


def test_what_is_set_is_read_with_who_when_and_why(overrides: OverrideStore, clock: Clock) -> None:
    name, key = "naïve {name}:1", "a:b {c} \udce9"
    place = overrides.place(RATE, name, key, TokenBucket)
    change = Set(place, name, key, "7/m", 7 / 60, 30.0, "ann@host:1", "too much")

    assert overrides.write([change]) == [True]

    [found] = live(overrides).values()
    assert (found.name, found.key, found.what, found.by) == (name, key, "7/m", "ann@host:1")
    assert (found.reason, found.id, found.per_second) == ("too much", change.id, 7 / 60)
    assert (found.at_us, found.until_us) == (clock.now, clock.now + 30 * SECOND)


def test_each_change_has_another_version_and_looking_has_none(
    overrides: OverrideStore, clock: Clock
) -> None:
    seen = [overrides.version()]
    changes: list[Change] = [
        rate(overrides, "a", 1),
        rate(overrides, "a", 2),
        End(overrides.place(RATE, "a", kind=TokenBucket)),
        rate(overrides, "a", 3),
    ]
    for change in changes:
        overrides.write([change])  # The clock stands still.
        overrides.read()
        seen.append(overrides.version())

    assert seen[0] is None
    assert len(set(seen)) == len(seen)
    before = overrides.version()
    overrides.write([End(overrides.place(PAUSE, "nothing"))])
    assert overrides.version() == before


def test_all_changes_of_one_call_are_made_or_none(
    overrides: OverrideStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(store, "MAX_RECORDS", 10)
    overrides.write([rate(overrides, f"old {number}", 1) for number in range(8)])

    with pytest.raises(TooManyOverridesError, match="at most 10 rates"):
        overrides.write([rate(overrides, f"new {number}", 1) for number in range(3)])

    assert len(live(overrides)) == 8
    overrides.write([rate(overrides, f"old {number}", 2) for number in range(8)])
    overrides.write([End(overrides.place(RATE, f"old {n}", kind=TokenBucket)) for n in range(3)])
    # What has ended is remembered as long as there is room.
    overrides.write([rate(overrides, f"new {number}", 1) for number in range(5)])
    assert len(live(overrides)) == 10


def test_what_ends_counts_no_more_and_is_removed_by_a_later_writer(
    overrides: OverrideStore, clock: Clock, client: redis.Redis
) -> None:
    key = overrides.keys.overrides()
    overrides.write([rate(overrides, "a", 1, seconds=5.0)])
    clock.step(5 * SECOND)
    assert live(overrides) == {}
    assert client.hlen(key) == 3  # with the version, and when it was last tidied up

    clock.step(86_401 * SECOND)
    overrides.write([rate(overrides, "b", 1)])

    assert [field for field in client.hkeys(key) if len(field) > 1] == [b"rt:b:"]


def test_pauses_and_switches_that_end_leave_nothing_behind(
    overrides: OverrideStore, client: redis.Redis
) -> None:
    places = [overrides.place(PAUSE, "a"), overrides.place(DISABLE, "")]
    overrides.write([Set(places[0], "a"), Set(places[1], "")])
    assert client.ttl(overrides.keys.overrides()) == -1

    assert overrides.write([End(place) for place in places]) == [True, True]

    assert client.keys() == []


def test_a_change_that_expects_something_else_is_left_out(overrides: OverrideStore) -> None:
    place = overrides.place(RATE, "a", kind=TokenBucket)
    first = rate(overrides, "a", 1, only_if="-")
    assert overrides.write([first]) == [True]
    assert overrides.write([rate(overrides, "a", 2, only_if="-")]) == [False]

    second = rate(overrides, "a", 3, only_if=live(overrides)["r a"].id)
    assert overrides.write([second]) == [True]
    assert overrides.write([End(place, first.id)]) == [False]
    assert live(overrides)["r a"].what == "3/s"
    assert overrides.write([End(place, second.id)]) == [True]


def test_what_is_put_back_is_what_it_was(overrides: OverrideStore, clock: Clock) -> None:
    overrides.write([rate(overrides, "a", 5, by="ann", reason="first")])
    before = live(overrides)["r a"]
    clock.step(SECOND)
    between = rate(overrides, "a", 1)
    overrides.write([between])

    assert overrides.write([PutBack(before, only_if=between.id)]) == [True]

    again = live(overrides)["r a"]
    assert (again.id, again.at_us, again.by, again.what) == (
        before.id,
        before.at_us,
        "ann",
        "5/s",
    )


def test_a_lower_rate_in_place_of_a_higher_is_dated(overrides: OverrideStore, clock: Clock) -> None:
    dates = []
    for what in (10.0, 20.0, 5.0, 7.0, math.inf, 6.0):
        clock.step(SECOND)
        overrides.write([rate(overrides, "a", what)])
        dates.append((live(overrides)["r a"].lowered_us - clock.begin) / SECOND)
    overrides.write([End(overrides.place(RATE, "a", kind=TokenBucket))])
    ended = clock.now
    clock.step(SECOND)
    overrides.write([rate(overrides, "a", 2)])

    never = -clock.begin / SECOND
    assert dates == [never, never, 3, 3, 3, 3]
    assert live(overrides)["r a"].lowered_us == ended


def test_a_key_that_expired_under_a_higher_rate_does_not_start_full(
    limiter: Limiter, clock: Clock, client: redis.Redis
) -> None:
    bucket = TokenBucket("bulk", "1/s", burst=10)
    overrides = limiter.overrides
    overrides.write([rate(overrides, "bulk", 1_000)])
    limiter.override_book.refresh()
    assert sum(limiter.acquire(bucket).granted for _ in range(10)) == 10
    clock.step(SECOND)
    overrides.write([End(overrides.place(RATE, "bulk", kind=TokenBucket))])
    limiter.override_book.refresh()
    client.delete(limiter.keys.state(bucket))  # as if its expiry had come

    clock.step(3 * SECOND)
    assert sum(limiter.acquire(bucket).granted for _ in range(10)) == 3


def test_declarations_live_as_long_as_somebody_repeats_them(
    overrides: OverrideStore, clock: Clock, client: redis.Redis
) -> None:
    old, new = TokenBucket("a", "10/s"), TokenBucket("a", "5/s")
    assert overrides.declare([old, Concurrency("b", 3)], 90) == 2
    first = overrides.version()
    clock.step(60 * SECOND)
    overrides.declare([old], 90)
    assert overrides.version() == first
    overrides.declare([new], 90)
    assert overrides.version() != first
    assert View(overrides.keys, overrides.read()).disagreements == {("t", "a"): ("5/s", "10/s")}

    clock.step(60 * SECOND)
    overrides.declare([new], 90)
    clock.step(31 * SECOND)
    assert View(overrides.keys, overrides.read()).disagreements == {}
    assert 0 < client.pttl(overrides.keys.overrides()) <= 90_000
    assert 0 < client.pttl(overrides.keys.declarations()) <= 90_000


def test_declarations_are_bounded(
    overrides: OverrideStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(store, "MAX_DECLARATIONS", 5)
    names = [TokenBucket(f"limit {number}", 1) for number in range(8)]

    assert overrides.declare(names[:5], 90) == 5
    assert overrides.declare(names, 90) == 5
    assert len(overrides.read().declared) == 5


def test_what_others_wrote_is_left_out_and_left_alone(
    overrides: OverrideStore, client: redis.Redis
) -> None:
    key = overrides.keys.overrides()
    overrides.write([rate(overrides, "a", 1)])
    packed = client.hget(key, "rt:a:")
    assert isinstance(packed, bytes)
    newer = bytes([2]) + packed[1:]
    junk = {b"rt:newer:": newer, b"xx": b"x", b"rt:b:": b"", b"pt:c:": packed[:49] + b"{]"}
    client.hset(key, mapping=junk)  # type: ignore[arg-type]  # Bytes are fine as fields.
    client.zadd(overrides.keys.declarations(), {b"\xff": 9e15, b'["t", "x"]': 9e15})

    assert list(live(overrides)) == ["r a"]
    overrides.write([rate(overrides, "newer", 1)])
    assert sorted(live(overrides)) == ["r a", "r newer"]


@pytest.mark.parametrize("seconds", [0, -1, math.nan, math.inf, True, "5", 1e9])
def test_impossible_times_are_refused(overrides: OverrideStore, seconds: object) -> None:
    with pytest.raises(BadLimitError, match="seconds"):
        overrides.write([rate(overrides, "a", 1, seconds=seconds)])


def test_very_long_names_are_refused(overrides: OverrideStore) -> None:
    with pytest.raises(BadLimitError, match="at most 200 characters"):
        overrides.write([rate(overrides, "x" * 201, 1)])


def test_keys_that_must_be_hidden_are_not_readable(redis_url: str, client: redis.Redis) -> None:
    limiter = Limiter(redis_url, hash_keys=True)
    place = limiter.overrides.place(TEMPORARY, "mail", "ann@example.org", TokenBucket)
    limiter.overrides.write([Set(place, "mail", None, "1/s", 1.0, 60.0)])

    everything = client.hgetall(limiter.keys.overrides())
    assert "example" not in repr(everything)
    assert str(
        limiter.override_book.refresh().rated(TokenBucket("mail", 9, key="ann@example.org"))
    ).startswith("TokenBucket('mail', '1/s'")
    limiter.close()


@pytest.mark.cluster
def test_it_works_on_a_cluster(cluster: EmbeddedCluster) -> None:
    with cluster.client() as client:
        limiter = Limiter(client, namespace="overrides")
        overrides = limiter.overrides
        overrides.write([rate(overrides, f"name {number}", 5) for number in range(20)])
        overrides.declare([TokenBucket("a", 1), TokenBucket("b", 1)], 90)

        for number in range(20):
            limit = limiter.override_book.refresh().rated(TokenBucket(f"name {number}", 1))
            assert limit == TokenBucket(f"name {number}", "5/s", lowered_at=0)
        overrides.write([Set(overrides.place(PAUSE, "name 3"), "name 3")])
        limiter.override_book.refresh()
        paused = [TokenBucket("name 3", 1), TokenBucket("name 4", 1)]
        assert limiter.acquire(paused).reason == "paused"
        assert limiter.reserve(paused).reason == "paused"
        overrides.write([Set(overrides.place(DISABLE, ""), "")])
        limiter.override_book.refresh()
        assert limiter.acquire(paused).granted
        client.delete(limiter.keys.overrides(), limiter.keys.declarations())
        limiter.close()
