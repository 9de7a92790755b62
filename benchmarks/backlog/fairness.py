"""Whether users who all wait get their turns alike: arithmetic about the order of their starts."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

__all__ = ["jain_index", "least_jain_index", "while_all_wait"]


def jain_index(counts: Sequence[int]) -> float:
    """1.0 where all have the same, 1/n where one of n has everything.

    From R. Jain, D. Chiu, W. Hawe, "A Quantitative Measure of Fairness and Discrimination" (1984).

    >>> jain_index([3, 3, 3]), jain_index([4, 0, 0, 0])
    (1.0, 0.25)
    """
    return sum(counts) ** 2 / (len(counts) * sum(count * count for count in counts))


def least_jain_index(order: Sequence[int], users: int) -> float | None:
    """The least index of any ``users`` starts one after another; ``order`` names who started.

    None where there are fewer starts than that.

    >>> least_jain_index([0, 1, 0, 1], 2), least_jain_index([0, 1, 1, 0], 2)
    (1.0, 0.5)
    """
    if len(order) < users:
        return None
    counts = Counter(order[:users])
    squares = most = sum(count * count for count in counts.values())
    for leaving, coming in zip(order, order[users:]):  # noqa: B905 - the first is longer
        squares -= 2 * counts[leaving] - 1
        counts[leaving] -= 1
        squares += 2 * counts[coming] + 1
        counts[coming] += 1
        most = max(most, squares)
    return users / most


def while_all_wait(order: Sequence[int], each: int) -> Sequence[int]:
    """The starts before the first user had none left of ``each`` tasks.

    >>> while_all_wait([0, 1, 1, 0, 0, 1], 2)
    [0, 1]
    """
    counts: Counter[int] = Counter()
    for index, user in enumerate(order):
        counts[user] += 1
        if counts[user] == each:
            return order[:index]
    return order
