"""What can be changed on a limit's page, and what the history says of it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from django import forms

from ...limiter.overrides.records import MAX_REASON
from ...limits import Limit
from ...manager import RateLimitManager
from ...manager.board import BoardLimit
from ...tasks.runtime import runtime_of
from .admin_forms import FreezeForm, PauseForm, RateForm, UndoForm
from .admin_ids import shown_text

__all__ = ["GROUPS", "Action", "Doer", "Group", "action_named"]


@dataclass(frozen=True, slots=True)
class Changed:
    """What was before, what is now, in words, and for how many seconds it was set, if for some."""

    old: str
    new: str
    seconds: float | None = None


Values = Mapping[str, Any]
"""What a form that was filled in right gives."""


@dataclass(frozen=True, slots=True)
class Action:
    """One button. ``word`` is what it sends, ``label`` what it says."""

    word: str
    label: str
    form: type[forms.Form]
    change: Callable[[Doer, Values], Changed]

    def __str__(self) -> str:
        return self.label


@dataclass(frozen=True, slots=True)
class Group:
    """Two buttons below one form: the second ends what the first does."""

    prefix: str
    title: str
    do: Action
    undo: Action

    @property
    def actions(self) -> tuple[Action, Action]:
        """Both."""
        return self.do, self.undo


class Doer:
    """Changes one limit in somebody's name.

    ``by`` is who, as it is kept in Redis with what is set. All raise RatekitError.
    """

    def __init__(self, manager: RateLimitManager, row: BoardLimit, by: str) -> None:
        self._manager = manager
        self._limiter = runtime_of(manager.app).limiter
        self._limit: Limit = row.limit
        self._by = by
        self._kind = row.rate.kind
        self._name = row.rate.name
        self._rate = row.rate.rate

    def do(self, action: Action, values: Values) -> str:
        """Makes the change; the sentence that tells of it."""
        changed = action.change(self, values)
        seconds = f", for {changed.seconds:g} s" if changed.seconds else ""
        return self.sentence(action, values, f": from {changed.old} to {changed.new}{seconds}")

    def sentence(self, action: Action, values: Values, what: str) -> str:
        """What was done to whom and why."""
        reason = shown_text(values["reason"], most=MAX_REASON)
        why = f" Reason: {reason}" if reason else ""
        return f"{action.label}{self._of_key(values)}{what}.{why}"

    def _of_key(self, values: Values) -> str:
        key = values["key"]
        if not key:
            return ""
        keys = self._limiter.keys
        # Who has keys hidden in Redis would not like to find them in the database.
        return f" of the key {shown_text(keys.key_part(key) if keys.hides_keys else key)!r}"

    def set_rate(self, values: Values) -> Changed:
        """Another rate."""
        return self._adjusted(
            self._manager.adjust_rate, values, values["rate"], for_seconds=values["seconds"]
        )

    def unset_rate(self, values: Values) -> Changed:
        """The rate that was there before somebody set one."""
        return self._adjusted(self._manager.unset_rate, values)

    def pause(self, values: Values) -> Changed:
        """Nothing starts."""
        return self._adjusted(self._manager.pause, values, for_seconds=values["seconds"])

    def resume(self, values: Values) -> Changed:
        """Goes on."""
        return self._adjusted(self._manager.resume, values)

    def freeze(self, values: Values) -> Changed:
        """Nothing starts for a time."""
        old = self._frozen(values["key"])
        key = values["key"] or None
        seconds = self._manager.freeze(self._name, values["seconds"], key, kind=self._kind)
        return Changed(old, _frozen_words(seconds))

    def unfreeze(self, values: Values) -> Changed:
        """Ends a freeze; that of one key leaves one of all keys."""
        key = values["key"]
        changed = Changed(self._frozen(key), self._frozen("") if key else _frozen_words(0))
        self._manager.unfreeze(self._name, key or None, kind=self._kind)
        return changed

    def _adjusted(
        self, change: Callable[..., Any], values: Values, *arguments: Any, **options: Any
    ) -> Changed:
        adjusted = change(
            self._name,
            *arguments,
            key=values["key"] or None,
            reason=values["reason"],
            by=self._by,
            kind=self._kind,
            **options,
        )
        new = adjusted.new or "what its workers declare"
        return Changed(adjusted.old or self._rate, new, values.get("seconds"))

    def _frozen(self, key: str) -> str:
        limit = self._limit.with_cost(1).with_key(key)
        states = self._limiter.inspect(limit)
        return _frozen_words(max((state.frozen_seconds for state in states), default=0.0))


def _frozen_words(seconds: float) -> str:
    return f"frozen for {seconds:.0f} s" if seconds else "not frozen"


GROUPS = (
    Group(
        "rate",
        "Rate",
        Action("set_rate", "Set rate", RateForm, Doer.set_rate),
        Action("unset_rate", "Unset rate", UndoForm, Doer.unset_rate),
    ),
    Group(
        "pause",
        "Pause",
        Action("pause", "Pause", PauseForm, Doer.pause),
        Action("resume", "Resume", UndoForm, Doer.resume),
    ),
    Group(
        "freeze",
        "Freeze",
        Action("freeze", "Freeze", FreezeForm, Doer.freeze),
        Action("unfreeze", "Unfreeze", UndoForm, Doer.unfreeze),
    ),
)


def action_named(word: str, groups: Iterable[Group]) -> tuple[Group, Action] | None:
    """The action of a button, and its group; None where there is no such button."""
    for group in groups:
        for action in group.actions:
            if action.word == word:
                return group, action
    return None
