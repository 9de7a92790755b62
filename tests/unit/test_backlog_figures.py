"""The arithmetic of the backlog's benchmark, and the book that its tasks write."""

from __future__ import annotations

import random
from collections import Counter
from pathlib import Path

import pytest

from benchmarks.backlog.book import Book
from benchmarks.backlog.fairness import jain_index, least_jain_index, while_all_wait


@pytest.mark.parametrize(
    ("counts", "expected"),
    [
        ([1, 1, 1, 1], 1.0),
        ([0, 0, 0, 4], 0.25),
        # (2 + 1 + 1 + 0)^2 / (4 x (4 + 1 + 1 + 0))
        ([2, 1, 1, 0], 16 / 24),
    ],
)
def test_jains_index_is_the_square_of_the_sum_over_the_sum_of_squares(
    counts: list[int], expected: float
) -> None:
    assert jain_index(counts) == expected


def test_the_least_index_is_that_of_the_worst_window_of_all() -> None:
    users = 7
    order = random.Random(3).choices(range(users), k=60)
    windows = [Counter(order[begin : begin + users]) for begin in range(60 - users + 1)]
    worst = min(jain_index([window[user] for user in range(users)]) for window in windows)

    assert least_jain_index(order, users) == pytest.approx(worst)


def test_turns_one_after_another_are_fair_in_every_window() -> None:
    assert least_jain_index([0, 1, 2, 3] * 5, 4) == 1.0


def test_fewer_starts_than_users_say_nothing() -> None:
    assert least_jain_index([0, 1, 2], 4) is None


def test_what_starts_after_somebody_has_none_left_is_not_counted() -> None:
    assert while_all_wait([0, 1, 0, 1, 2, 2], 2) == [0, 1]
    assert while_all_wait([0, 1, 0, 1], 3) == [0, 1, 0, 1]


def test_a_book_has_the_starts_of_each_label_in_their_order(tmp_path: Path) -> None:
    book = Book(tmp_path)
    book.note("one", 5, 12.5, 0.25)
    book.note("other", 1)
    book.note("one", 4)

    read = Book(tmp_path)  # as another process sees it
    first, second = read.starts("one")

    assert (first.number, first.granted_at, first.lateness_seconds) == (5, 12.5, 0.25)
    assert second.number == 4
    assert first.started_at <= second.started_at
    assert (read.count("one"), read.count("other"), read.count("nobody's")) == (2, 1, 0)
    assert read.starts("nobody's") == []
