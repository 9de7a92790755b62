"""What the list of limits shows: no I/O."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from urllib.parse import urlencode

from django.core.paginator import Paginator

from ...manager.board import Board
from .admin_ids import shown_text
from .admin_rows import Row

__all__ = ["Listed"]

LIMITS_A_PAGE = 100

MOST_ASKED = 200
"""The most characters of a name that are looked for."""


class Listed:
    """One page of limits, as ``asked``: "q" is a part of a name, "p" the number of the page."""

    def __init__(self, board: Board, asked: Mapping[str, Any]) -> None:
        self.query = asked.get("q", "")[:MOST_ASKED]
        rows = [Row(one) for one in board.limits if _matches(one.rate.name, self.query)]
        self.page = Paginator(rows, LIMITS_A_PAGE).get_page(asked.get("p", 1))
        self.queues = [(shown_text(name), sizes) for name, sizes in board.queues.items()]
        self.queues_left_out = board.queues_left_out
        self.disabling = "" if board.disabling is None else shown_text(str(board.disabling), 1_000)

    @property
    def next(self) -> str:
        """The address of the page behind it; empty where there is none."""
        return self._address(self.page.next_page_number()) if self.page.has_next() else ""

    @property
    def previous(self) -> str:
        """The address of the page before it; empty where there is none."""
        return self._address(self.page.previous_page_number()) if self.page.has_previous() else ""

    def _address(self, number: int) -> str:
        return "?" + urlencode({"q": self.query, "p": number})


def _matches(name: str, query: str) -> bool:
    return query.casefold() in name.casefold()
