"""What one call has to obey, put together from all the places that say so."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from ..errors import BadOptionError
from ..limits import Limit

__all__ = ["NO_LIMITS", "CallLimits", "Source", "put_together"]


@dataclass(frozen=True, slots=True)
class CallLimits:
    """The limits of one call, with names, keys and costs worked out.

    ``enforced`` decide when the call may start; ``shadow`` are only decided and counted. No limit
    stands in both.
    """

    enforced: tuple[Limit, ...] = ()
    shadow: tuple[Limit, ...] = ()


NO_LIMITS = CallLimits()


@dataclass(frozen=True, slots=True)
class Source:
    """Limits from one place; ``label`` is how messages call it."""

    label: str
    limits: Sequence[Limit]
    is_shadow: bool = False

    @property
    def depends_on_call(self) -> bool:
        """Whether a key or a cost has to be worked out for each call."""
        return any(callable(limit.key) or callable(limit.cost) for limit in self.limits)

    def resolved(self, task_name: str, call: object) -> Source:
        """The same with each limit worked out for one call; raises what `Limit.resolved` does."""
        limits = [limit.resolved(task_name, call) for limit in self.limits]
        return Source(self.label, limits, self.is_shadow)


@dataclass(slots=True)
class _Entry:
    limit: Limit
    source: Source
    is_shadow: bool


def put_together(task_name: str, sources: Sequence[Source]) -> CallLimits:
    """The limits of all sources, in their order.

    What several sources say alike is there once, enforced if one of them enforces it. Raises
    BadOptionError where two sources say different things about what is counted in one place. What
    one source says twice stays: that is for the limiter to judge.
    """
    if len(sources) == 1:
        (source,) = sources
        limits = tuple(source.limits)
        return CallLimits((), limits) if source.is_shadow else CallLimits(limits)
    entries = _entries(task_name, sources)
    return CallLimits(
        tuple(entry.limit for entry in entries if not entry.is_shadow),
        tuple(entry.limit for entry in entries if entry.is_shadow),
    )


def _entries(task_name: str, sources: Iterable[Source]) -> list[_Entry]:
    entries: list[_Entry] = []
    by_place: dict[tuple[Any, ...], _Entry] = {}
    for source in sources:
        for limit in source.limits:
            entry = _Entry(limit, source, source.is_shadow)
            known = by_place.setdefault(_place(limit), entry)
            if known.source is source:
                entries.append(entry)
            elif known.limit == limit.with_key(known.limit.key):
                known.is_shadow = known.is_shadow and source.is_shadow
            else:
                raise _clash(task_name, known, entry)
    return entries


def _place(limit: Limit) -> tuple[Any, ...]:
    """What tells apart where limits are counted; 42 and "42" are one key."""
    key = limit.key if callable(limit.key) else str(limit.key)
    return type(limit), limit.name, key, limit.tag


def _clash(task_name: str, first: _Entry, second: _Entry) -> BadOptionError:
    renamed = second.limit.with_name("another name")
    return BadOptionError(
        f"expected limits of the task {task_name!r} that are counted apart, got "
        f"{first.limit!r:.120} from {first.source.label} and {second.limit!r:.120} from "
        f"{second.source.label}; give the limit of {second.source.label} a name of its own, for "
        f"example {renamed!r:.120}"
    )
