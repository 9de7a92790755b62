"""The order inside of a throttled queue."""

from __future__ import annotations

from itertools import pairwise

import pytest

from celery_ratekit.queues.ranks import MOST_PRIORITY, rank_in_queue


@pytest.mark.parametrize("lowest_first", [True, False])
def test_a_higher_priority_goes_first_and_what_was_sent_before_goes_first_within_it(
    lowest_first: bool,
) -> None:
    priorities = range(10) if lowest_first else range(9, -1, -1)
    ranks = [
        rank_in_queue(priority, lowest_first=lowest_first, was_sent=was_sent)
        for priority in priorities
        for was_sent in (True, False)
    ]
    assert all(before < after for before, after in pairwise(ranks))


@pytest.mark.parametrize("lowest_first", [True, False])
@pytest.mark.parametrize("priority", [-5, 0, MOST_PRIORITY, 255, 10**9])
def test_a_rank_fits_into_a_byte(priority: int, lowest_first: bool) -> None:
    for was_sent in (True, False):
        rank = rank_in_queue(priority, lowest_first=lowest_first, was_sent=was_sent)
        assert 0 <= rank <= 255
