"""Names and keys come from strangers: none reaches another's data, none grows without bound."""

from __future__ import annotations

import re
from uuid import UUID

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from support.core_settings import core_settings

from celery_ratekit.limiter.keys import KeySpace
from celery_ratekit.limits import Concurrency, FixedWindow, SlidingWindow, TokenBucket

LONGEST_KEY = 5 * 64 + 16  # namespace, tag, name, key and reservation, with what joins them

# Whatever has a meaning in a key, in Redis, in UTF-8 or in a hash stands for the rest of Unicode.
nasty = st.text(
    st.sampled_from("ab{}:~%_-@+.*?[]\\ \n\r\0ä€😀") | st.characters(exclude_categories=[]),
    max_size=80,
)
texts = nasty | st.sampled_from(
    ["", "a", "a" * 64, "a" * 65, "~", "x" * 10_000, "\ud800", "\udfff"]
)
names = texts.filter(bool)
places = st.tuples(texts, names, texts, texts)  # namespace, name, key, tag


def limit(name: str, key: str, tag: str) -> TokenBucket:
    return TokenBucket(name, "1/s", key=key, tag=tag)


def all_keys(namespace: str, name: str, key: str, tag: str) -> list[str]:
    space, one = KeySpace(namespace), limit(name, key, tag)
    kinds = [kind(name, "1/s", key=key, tag=tag) for kind in (FixedWindow, SlidingWindow)]
    places = Concurrency(name, 1, key=key, tag=tag)
    states = [space.state(each) for each in (one, *kinds, places)]
    return [*states, space.freeze(one), space.reservation(one, "id"), space.presence()]


@core_settings(300)
@given(one=places, other=places)
@example(one=("n", "a:b", "", ""), other=("n", "a", "b", ""))
@example(one=("n", "a}b", "", ""), other=("n", "b", "", "a"))
@example(one=("n:t{a}", "b", "", ""), other=("n", "b", "", "a"))
@example(one=("n", "a%3Ab", "", ""), other=("n", "a:b", "", ""))
@example(one=("", "a", "", ""), other=("", "a", "~", ""))
def test_different_places_never_share_a_key(
    one: tuple[str, str, str, str], other: tuple[str, str, str, str]
) -> None:
    if one != other:
        mine, others = all_keys(*one), all_keys(*other)
        if one[0] == other[0]:  # Presence is the namespace's; a reservation's id is its own.
            mine, others = mine[:-2], others[:-2]
        assert not set(mine) & set(others)


@core_settings(300)
@given(place=places)
def test_a_key_has_one_hash_tag_is_bounded_and_printable(place: tuple[str, str, str, str]) -> None:
    *keys, presence = all_keys(*place)
    assert len(set(keys)) == len(keys)
    for key in keys:
        tags = re.findall(r"\{([^{}]+)\}", key)
        assert len(tags) == 1
        assert key.count("{") == key.count("}") == 1
        assert len(key) <= LONGEST_KEY
        assert re.fullmatch(r"[!-~]+", key)
    assert "{" not in presence


@core_settings(100)
@given(place=places)
def test_all_of_one_limit_and_key_lives_on_one_node(place: tuple[str, str, str, str]) -> None:
    tags = {re.findall(r"\{([^{}]+)\}", key)[0] for key in all_keys(*place)[:-1]}
    assert len(tags) == 1


@core_settings(100)
@given(one=places, other=places)
def test_limits_with_one_tag_live_on_one_node(
    one: tuple[str, str, str, str], other: tuple[str, str, str, str]
) -> None:
    space = KeySpace("n")
    keys = [space.state(limit(name, key, "together")) for _, name, key, _ in (one, other)]
    assert {re.findall(r"\{([^{}]+)\}", key)[0] for key in keys} == {"together"}


@core_settings(100)
@given(place=places)
def test_hashed_keys_are_as_distinct_and_say_nothing(place: tuple[str, str, str, str]) -> None:
    namespace, name, key, tag = place
    hashing, plain = KeySpace(namespace, hash_keys=True), KeySpace(namespace)
    one = limit(name, key, tag)
    if key:
        other = hashing.state(limit(name, key + "x", tag))
        assert hashing.state(one) != other
        assert "~" in hashing.state(one)
    else:
        assert hashing.state(one) == plain.state(one)
    assert hashing.freeze_of_name(one) == plain.freeze_of_name(one)


def test_a_number_is_the_same_key_as_its_text() -> None:
    space = KeySpace("n")
    number = TokenBucket("a", "1/s", key=42)
    assert space.state(number) == space.state(limit("a", "42", ""))
    uuid = UUID(int=42)
    assert space.state(TokenBucket("a", "1/s", key=uuid)) == space.state(limit("a", str(uuid), ""))


@pytest.mark.parametrize(
    ("one", "key"),
    [
        (limit("stripe", "", ""), "ratekit:t{stripe}"),
        (limit("stripe", "user@example.org", ""), "ratekit:t{stripe:user@example.org}"),
        (limit("stripe", "7", "eu"), "ratekit:t{eu}stripe:7"),
        (limit("größe {1}", "", ""), "ratekit:t{gr%C3%B6%C3%9Fe%20%7B1%7D}"),
    ],
)
def test_plain_names_can_be_read_in_redis(one: TokenBucket, key: str) -> None:
    assert KeySpace("ratekit").state(one) == key
