"""Finds the limit that a body means, among those of its call."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from ..errors import BadLimitError, did_you_mean
from ..limits import Limit
from ..limits.base import RatedLimit

__all__ = ["meant", "narrowest", "the_only"]


def meant(limits: Sequence[Limit], wanted: str | Limit, task_name: str) -> list[Limit]:
    """The limits of a call that a name, or a limit as it was written, may mean.

    Raises BadLimitError listing the names where there is none.
    """
    if isinstance(wanted, Limit):
        found = [limit for limit in limits if _is_written_as(limit, wanted, task_name)]
    elif isinstance(wanted, str):
        found = [limit for limit in limits if limit.name == wanted]
    else:
        raise BadLimitError(
            f"expected the name of a limit of the task {task_name!r}, or a limit, got "
            f"{type(wanted).__name__!r:.40}; its limits are {_listed(limits)}"
        )
    if not found:
        name = wanted if isinstance(wanted, str) else wanted.name or task_name
        raise BadLimitError(
            f"expected one of the limits of the task {task_name!r}, {_listed(limits)}, got "
            f"{wanted!r:.100}{did_you_mean(name, {limit.name for limit in limits})}"
        )
    return found


def narrowest(limits: Sequence[Limit], task_name: str) -> Limit:
    """The keyed limit that lets the fewest calls start, else the only limit.

    Raises BadLimitError listing the names where that is no answer.
    """
    keyed = [limit for limit in limits if limit.key != ""]
    return min(keyed, key=_width) if keyed else the_only(limits, task_name)


def the_only(limits: Sequence[Limit], task_name: str) -> Limit:
    """The one limit there is; raises BadLimitError listing the names where there are others."""
    if len(limits) == 1:
        return limits[0]
    raise BadLimitError(
        f"expected limit=... to say which limit of the task {task_name!r} is meant, since it has "
        f"{_listed(limits)}; give the name, or the limit itself where names are alike"
    )


def _width(limit: Limit) -> tuple[float, float, str]:
    # Places have no rate; they are meant only where nothing else has a key.
    per_second = limit.rate.per_second if isinstance(limit, RatedLimit) else float("inf")
    return per_second, limit.capacity, limit.name


def _is_written_as(limit: Limit, written: Limit, task_name: str) -> bool:
    return (
        type(limit) is type(written)
        and limit.name == (written.name or task_name)
        and (callable(written.key) or str(limit.key) == str(written.key))
    )


def _listed(limits: Iterable[Limit]) -> str:
    return ", ".join(f"{limit.name!r} ({type(limit).__name__})" for limit in limits) or "none"
