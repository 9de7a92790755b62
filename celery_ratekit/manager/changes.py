"""What has to be written for each word of the manager: no I/O."""

from __future__ import annotations

from dataclasses import dataclass, replace

from ..errors import BadLimitError
from ..limiter.keys import KeySpace
from ..limiter.overrides import (
    DISABLE,
    PAUSE,
    RATE,
    TEMPORARY,
    ZERO,
    Change,
    End,
    Place,
    Set,
    View,
)
from ..limiter.overrides.applying import at_rate, width_of
from ..limiter.overrides.places import ANY_KIND
from ..limits import Concurrency
from ..rates import Rate
from .known import Meant

__all__ = ["Author", "Changes", "rate_text"]


@dataclass(frozen=True, slots=True)
class Author:
    """Who changes something, why, and for how long (None: until it is changed), seconds."""

    by: str
    reason: str = ""
    seconds: float | None = None


class Changes:
    """Changes of the overrides of one namespace."""

    def __init__(self, keys: KeySpace) -> None:
        self._keys = keys

    def rate(self, meant: Meant, what: str, author: Author) -> list[Change]:
        """Another rate, or other places; 0 stops the limit until it is set to something else.

        Until it is changed it also ends what was set for a time before.
        """
        per_second = _per_second(meant, what)
        if author.seconds is not None:
            return [self._set(TEMPORARY, meant, author, what, per_second)]
        ends = [self._end(TEMPORARY, meant)]
        if not per_second:
            return [self._set(ZERO, meant, author, what), *ends]
        ends.append(self._end(ZERO, meant))
        return [self._set(RATE, meant, author, what, per_second), *ends]

    def reduction(self, meant: Meant, what: str, author: Author) -> list[Change]:
        """A lower rate, which starts nothing that was stopped."""
        per_second = _per_second(meant, what)
        if author.seconds is not None:
            return [self._set(TEMPORARY, meant, author, what, per_second)]
        lower = self._set(RATE, meant, author, what, per_second)
        return [lower, self._end(TEMPORARY, meant)]

    def default(self, meant: Meant, what: str, author: Author) -> list[Change]:
        """The default rate, whatever was set; nothing at all where the code says the same."""
        if meant.limit is not None and at_rate(meant.limit, what) == meant.limit:
            return self.unset(meant)
        return self.rate(meant, what, author)

    def unset(self, meant: Meant) -> list[Change]:
        """Ends every rate that somebody set."""
        return [self._end(layer, meant) for layer in (TEMPORARY, ZERO, RATE)]

    def switch(self, layer: str, meant: Meant, author: Author) -> list[Change]:
        """Pauses or disables all limits of a name; without a name all there are."""
        return [self._set(layer, _of_any_kind(meant), author)]

    def resumption(self, meant: Meant, view: View) -> list[Change]:
        """Ends pauses, and rates of 0."""
        places = [self._place(PAUSE, _of_any_kind(meant))]
        places += [self._place(layer, meant) for layer in (ZERO, TEMPORARY)]
        live = (view.live.get(place) for place in places)
        return [End(one.place) for one in live if one is not None and not one.per_second]

    def enabling(self, meant: Meant) -> list[Change]:
        """Ends what `switch` did with the layer DISABLE."""
        return [self._end(DISABLE, _of_any_kind(meant))]

    def _set(
        self, layer: str, meant: Meant, author: Author, what: str = "", per_second: float = 0.0
    ) -> Set:
        return Set(
            self._place(layer, meant),
            meant.name,
            None if meant.key != "" and self._keys.hides_keys else str(meant.key),
            what,
            per_second,
            author.seconds,
            author.by,
            author.reason,
        )

    def _end(self, layer: str, meant: Meant) -> End:
        return End(self._place(layer, meant))

    def _place(self, layer: str, meant: Meant) -> Place:
        keys = self._keys
        name = keys.part(meant.name) if meant.name else ""
        key = "" if meant.key == "" else keys.key_part(meant.key)
        return Place(layer, meant.kind or ANY_KIND, name, key)


def _of_any_kind(meant: Meant) -> Meant:
    return replace(meant, kind=None)


def rate_text(meant: Meant, new_rate: Rate | str | float) -> str:
    """What is to be kept of a rate that was given in any form, or of a number of places.

    Raises BadRateError or BadLimitError where it is none, or the limit cannot have it.
    """
    limit = meant.limit
    if isinstance(limit, Concurrency) or meant.kind == "p":
        return _places_text(meant, new_rate)
    rate = Rate.parse(new_rate)
    if limit is not None:
        at_rate(limit, str(rate))
    if "/" in str(rate) or rate.is_paused or rate.is_unlimited:
        return str(rate)
    return str(Rate(rate.amount, rate.period_seconds))  # It was given as a number per second.


def _places_text(meant: Meant, size: object) -> str:
    text = str(size).strip()
    if isinstance(size, bool) or not text.isdecimal():
        raise BadLimitError(
            f"expected a whole number of places for the limit {meant.name!r:.80}, which says how "
            f"many calls run at a time, got {size!r:.40}"
        )
    if meant.limit is not None:
        at_rate(meant.limit, text)
    return str(int(text))


def _per_second(meant: Meant, what: str) -> float:
    """What tells a lower rate from a higher."""
    if meant.limit is not None:
        return width_of(at_rate(meant.limit, what))[0]
    return float(what) if meant.kind == "p" else Rate.parse(what).per_second
