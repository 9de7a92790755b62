"""Ids and texts of the admin's pages: whatever a name holds, they are plain and bounded."""

from __future__ import annotations

import string

from hypothesis import example, given
from hypothesis import strategies as st

from celery_ratekit.contrib.django.admin_ids import (
    MOST_SHOWN,
    is_page_id,
    page_id,
    shown_id,
    shown_text,
)

NAMES = st.text(st.characters(), min_size=1, max_size=300)  # surrogates and control characters too

PLAIN = set(string.ascii_letters + string.digits + ".%~@+-_")


@given(NAMES)
@example("\ud800")
@example("\x00")
@example("~" * 22)
@example("x" * 100_000)
def test_an_id_is_plain_bounded_and_known_as_one(name: str) -> None:
    made = page_id("TokenBucket", name)

    assert set(made) <= PLAIN
    assert len(made) <= 100
    assert is_page_id(made)
    shown_id(made).encode()


@given(NAMES, NAMES)
@example("a%2Fb", "a/b")
@example("a_b", "a.b")
def test_no_two_names_share_an_id(one: str, other: str) -> None:
    assert (page_id("TokenBucket", one) == page_id("TokenBucket", other)) == (one == other)


def test_kinds_under_a_name_have_ids_of_their_own() -> None:
    assert page_id("TokenBucket", "a") != page_id("FixedWindow", "a")


def test_what_cannot_be_an_id_is_told() -> None:
    for odd in (
        "",
        "x",
        "TokenBucket.",
        ".a",
        "TokenBucket.a/b",
        "TokenBucket.a\n",
        "TokenBucket.é",
    ):
        assert not is_page_id(odd)
    assert not is_page_id("TokenBucket." + "a" * 65)


@given(NAMES, st.integers(2, 50))
def test_a_shown_text_is_printable_and_can_be_sent(text: str, most: int) -> None:
    for shown in (shown_text(text, most), shown_text(text)):
        shown.encode()
        assert shown.isprintable()
    assert len(shown_text(text, most)) <= most


def test_a_long_text_is_cut_and_says_so() -> None:
    assert shown_text("x" * 10_000) == "x" * (MOST_SHOWN - 1) + "…"
    assert shown_text("x" * MOST_SHOWN) == "x" * MOST_SHOWN
