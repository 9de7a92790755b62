"""The arguments of a stored message, where they are JSON; nothing else is ever decoded."""

from __future__ import annotations

import json
from typing import Any, NamedTuple

from ...worker.backlog.parcel import Parcel, unpack

__all__ = ["Arguments", "arguments_of"]

JSON_TYPES = ("application/json", "json")

MAX_BYTES = 1_000_000
"""Bodies that are larger are not read, which would take long and show little."""


class Arguments(NamedTuple):
    """What a task is called with; ``problem`` says why it cannot be told, else it is empty."""

    args: Any = ()
    kwargs: Any = None
    problem: str = ""

    def __str__(self) -> str:
        if self.problem:
            return f"({self.problem})"
        shown = [json.dumps(one, ensure_ascii=False) for one in self.args]
        shown += [f"{n}={json.dumps(one, ensure_ascii=False)}" for n, one in self.kwargs.items()]
        return ", ".join(shown)


def arguments_of(packed: bytes) -> Arguments:
    """The arguments of a packed message of either of Celery's protocols."""
    try:
        parcel = unpack(packed)
    except (ValueError, TypeError):
        return Arguments(problem="written by another release")
    if parcel.content_type not in JSON_TYPES:
        return Arguments(problem=f"not JSON but {str(parcel.content_type)[:40]}")
    if len(parcel.body) > MAX_BYTES:
        return Arguments(problem=f"{len(parcel.body):,} bytes, too many to show")
    try:
        return _of_body(parcel)
    except (ValueError, RecursionError):
        return Arguments(problem="no JSON, though it says so")


def _of_body(parcel: Parcel) -> Arguments:
    said = json.loads(parcel.body)
    if isinstance(said, dict):  # Celery's first protocol
        args, kwargs = said.get("args"), said.get("kwargs")
    elif isinstance(said, list) and len(said) > 1:
        args, kwargs = said[:2]
    else:
        raise ValueError("no message of Celery's")
    if not isinstance(args, (list, type(None))) or not isinstance(kwargs, (dict, type(None))):
        raise ValueError("no message of Celery's")  # noqa: TRY004 - nobody passed an argument
    return Arguments(args or [], kwargs or {})
