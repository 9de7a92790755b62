"""The forms of a limit's page."""

from __future__ import annotations

from typing import Any

from django import forms

from ...limiter.overrides.records import MAX_REASON, MAX_SECONDS, MAX_TEXT
from ...settings import MAX_FREEZE_SECONDS

__all__ = ["FreezeForm", "PauseForm", "RateForm", "UndoForm"]

MAX_RATE_LENGTH = 100


def _key() -> forms.CharField:
    return forms.CharField(
        label="Only for the key",
        required=False,
        strip=False,
        max_length=MAX_TEXT,
        help_text="For example a user's id. Empty: for all keys.",
    )


def _seconds() -> forms.FloatField:
    return forms.FloatField(
        label="For so many seconds",
        required=False,
        min_value=1,
        max_value=MAX_SECONDS,
        help_text="Empty: until it is changed.",
    )


def _reason() -> forms.CharField:
    return forms.CharField(label="Reason", required=False, max_length=MAX_REASON)


class UndoForm(forms.Form):
    """What ends something."""

    key = _key()
    reason = _reason()

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, label_suffix=":", **kwargs)


class RateForm(UndoForm):
    """Another rate."""

    rate = forms.CharField(
        label="Rate",
        max_length=MAX_RATE_LENGTH,
        help_text="Such as 100/m, 10/60s, 10/60s:5, 1000/d, unlimited; of places, their number.",
    )
    seconds = _seconds()

    field_order = ("rate", "key", "seconds", "reason")


class PauseForm(UndoForm):
    """A pause."""

    seconds = _seconds()

    field_order = ("key", "seconds", "reason")


class FreezeForm(UndoForm):
    """A freeze, which always ends by itself."""

    seconds = forms.FloatField(
        label="For so many seconds",
        min_value=1,
        max_value=MAX_FREEZE_SECONDS,
        help_text="A longer freeze that is there stays.",
    )

    field_order = ("seconds", "key", "reason")
