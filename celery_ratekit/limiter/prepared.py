"""Questions with all that does not change between their calls, worked out once."""

from __future__ import annotations

import secrets
from collections.abc import Iterable

from ..limits import Limit
from .keys import KeySpace
from .overrides.view import View
from .question import Part, Question, command
from .scripts import DECIDE

__all__ = ["Limits", "Prepared", "Preparer", "random_id"]

Limits = Limit | Iterable[Limit]


class Prepared:
    """A question, its parts by the node that can answer them together, and its packed form.

    ``groups``: freezes of whole names come first, since they charge nothing that would have to be
    given back; ``freeze_groups`` is how many those are. ``pieces``: the packed question of a call
    that is to start now, cut wherever the random id of a holder stands; None where it has to be
    packed anew for each call. ``has_places``: whether a holder is needed. ``key``: which server
    to ask, where there are pieces.
    """

    __slots__ = ("freeze_groups", "groups", "has_places", "key", "pieces", "question")

    def __init__(
        self, question: Question, groups: list[list[Part]], key: bytes, pieces: list[bytes] | None
    ) -> None:
        self.question = question
        self.groups = groups
        self.freeze_groups = sum(not any(part.kind for part in group) for group in groups)
        self.has_places = any(part.needs == "holder" for group in groups for part in group)
        self.key = key
        self.pieces = pieces

    @property
    def promises_ahead(self) -> bool:
        """Whether one node alone decides, once no freeze stands in the way."""
        return len(self.groups) <= self.freeze_groups + 1


class Preparer:
    """Makes questions for the keys of one namespace, on one server or on a cluster's nodes."""

    def __init__(self, keys: KeySpace, *, splits_by_slot: bool) -> None:
        self._keys = keys
        self._splits_by_slot = splits_by_slot

    def prepare(self, limits: Limit | tuple[Limit, ...], overrides: View | None = None) -> Prepared:
        """The question about ``limits``, as ``overrides`` have them."""
        given = (limits,) if isinstance(limits, Limit) else limits
        is_paused = None
        if overrides is not None and not overrides.is_empty:
            effective = [overrides.effective(limit) for limit in given]
            given = tuple(limit for limit in effective if limit is not None)
            is_paused = overrides.is_paused
        question = Question(
            given, self._keys, split_names=self._splits_by_slot, is_paused=is_paused
        )
        groups = self.groups(question)
        pieces = None
        key = b""
        if len(groups) == 1 and question.paused is None:
            key = groups[0][0].keys[0]
            if not any(part.needs == "instants" for part in groups[0]):
                # All random ids have one length, so that any other fits in the place of this.
                somebody = random_id().encode()
                pieces = command(DECIDE, groups[0], holder=somebody).split(somebody)
        return Prepared(question, groups, key, pieces)

    def state_groups(self, limits: Iterable[Limit]) -> list[list[Part]]:
        """Only the parts with a state, by the node that can answer them together."""
        question = Question(tuple(limits), self._keys, split_names=True)
        groups = [[part for part in group if part.kind] for group in self.groups(question)]
        return [group for group in groups if group]

    def groups(self, question: Question) -> list[list[Part]]:
        """The parts by the node that can answer them together; one group but on a cluster."""
        if not self._splits_by_slot:
            return [question.parts] if question.parts else []
        groups: dict[bytes, list[Part]] = {}
        for part in question.parts:
            groups.setdefault(_tag(part.keys[0]), []).append(part)
        return sorted(groups.values(), key=lambda group: any(part.kind for part in group))

    def same_node(self, key: bytes, other: bytes) -> bool:
        """Whether one script may use both keys."""
        return not self._splits_by_slot or _tag(key) == _tag(other)


def random_id() -> str:
    """Sixteen characters that nobody guesses."""
    return secrets.token_urlsafe(12)


def _tag(key: bytes) -> bytes:
    return key[key.index(b"{") : key.index(b"}")]
