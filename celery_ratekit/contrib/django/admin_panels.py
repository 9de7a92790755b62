"""The forms of a limit's page as they are shown: empty, or as somebody filled one in."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from django import forms

from .admin_actions import GROUPS, Group
from .admin_rows import Row

__all__ = ["Panel", "groups_of", "panels"]


@dataclass(frozen=True, slots=True)
class Panel:
    """A form with its two buttons, and what was wrong with what was sent."""

    group: Group
    form: forms.Form
    errors: Sequence[str] = ()


def groups_of(row: Row) -> list[Group]:
    """What can be changed of a limit."""
    return [group for group in GROUPS if row.has_rate or group.prefix != "rate"]


def panels(row: Row, sent: forms.Form | None = None) -> list[Panel]:
    """The forms for a limit; ``sent``: the one that somebody sent, with its errors."""
    return [_panel(group, sent) for group in groups_of(row)]


def _panel(group: Group, sent: forms.Form | None) -> Panel:
    if sent is None or sent.prefix != group.prefix:
        return Panel(group, group.do.form(prefix=group.prefix))
    filled_in = {
        name: sent.data.get(sent.add_prefix(name), "") for name in group.do.form.base_fields
    }
    form = group.do.form(prefix=group.prefix, initial=filled_in)
    return Panel(group, form, _texts(sent.errors, form))


def _texts(errors: Mapping[str, Sequence[str]], form: forms.Form) -> list[str]:
    labels = {name: field.label for name, field in form.fields.items()}
    return [
        f"{labels[name]}: {text}" if name in labels else text
        for name, texts in errors.items()
        for text in texts
    ]
