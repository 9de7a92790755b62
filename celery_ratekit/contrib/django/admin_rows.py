"""What the pages show of a limit: no I/O."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import islice
from typing import Any

from django.contrib.admin.utils import quote

from ...limits import ScheduledBucket
from ...manager import Override
from ...manager.board import BoardLimit
from .admin_ids import page_id, shown_text

__all__ = ["Row"]

MOST_KEYS = 100
"""How many keys with a rate of their own a page names."""

MOST_SHOWN_IN_LIST = 80


@dataclass(frozen=True, slots=True)
class Row:
    """A limit as the pages show it; all texts are safe to look at, and bounded."""

    of: BoardLimit

    @property
    def id(self) -> str:
        """What names it in addresses."""
        return page_id(self.of.rate.kind, self.of.rate.name)

    @property
    def quoted_id(self) -> str:
        """The same as Django's admin puts it into addresses."""
        return str(quote(self.id))

    @property
    def name(self) -> str:
        return shown_text(self.of.rate.name)

    @property
    def short_name(self) -> str:
        return shown_text(self.of.rate.name, most=MOST_SHOWN_IN_LIST)

    @property
    def kind(self) -> str:
        return self.of.rate.kind

    @property
    def declared(self) -> str:
        """What the code or the settings say, of this project or of other workers."""
        limit = self.of.limit
        return _of_schedule(limit) if isinstance(limit, ScheduledBucket) else self.of.rate.declared

    @property
    def rate(self) -> str:
        """What counts now."""
        return self.of.rate.rate or "as declared"

    @property
    def is_changed(self) -> bool:
        """Whether something else counts than what was declared."""
        return bool(self.of.rate.rate) and self.rate != self.declared

    @property
    def holds(self) -> str:
        """What could be taken of it at once; empty where it has, or may have, keys."""
        state = self.of.state
        if state is None or self.of.is_keyed or self.of.is_elsewhere:
            return ""
        return f"{_number(state.available)} of {_number(state.capacity)}"

    @property
    def conditions(self) -> list[str]:
        """What stands in its way, or lets everything pass."""
        found = []
        if self.of.rate.is_disabled:
            found.append("switched off")
        elif self.of.rate.is_paused:
            found.append("paused")
        if seconds := self.of.frozen_seconds:
            found.append(f"frozen for {seconds:.0f} s")
        if self.of.rate.disagreement:
            found.append("workers disagree")
        return found

    @property
    def overrides(self) -> list[dict[str, Any]]:
        """What was set, the strongest first."""
        return [_shown(one) for one in self.of.rate.overrides]

    @property
    def keys(self) -> list[tuple[str, str]]:
        """The first keys that have a rate or a pause of their own, and what counts for them."""
        keyed = islice(sorted(self.of.rate.keys.items()), MOST_KEYS)
        return [(shown_text(key), rate) for key, rate in keyed]

    @property
    def keys_left_out(self) -> int:
        return max(0, len(self.of.rate.keys) - MOST_KEYS)

    @property
    def has_rate(self) -> bool:
        """Whether it can get another rate."""
        return not (self.of.is_fixed or isinstance(self.of.limit, ScheduledBucket))


def _number(value: float) -> str:
    return f"{value:,.2f}".rstrip("0").rstrip(".")


def _of_schedule(limit: ScheduledBucket) -> str:
    schedule = str(limit.schedule).strip("<>").replace("crontab:", "crontab")
    return f"{limit.amount:g} at {schedule}, at most {limit.maximum:g}"


def _shown(one: Override) -> dict[str, Any]:
    return {
        "layer": one.layer,
        "what": one.what,
        "by": shown_text(one.by),
        "reason": shown_text(one.reason, most=500),
        "at": one.at,
        "until": one.until,
        "is_of_all": not one.name,
    }
