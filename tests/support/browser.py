"""A real browser without a window, and what it complains of."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

__all__ = ["complaints_of", "opened"]

SECONDS_TO_WAIT = 60.0


@contextmanager
def opened(executable: str) -> Iterator[Any]:
    """A page of a new browser."""
    playwright = pytest.importorskip("playwright.sync_api")
    with playwright.sync_playwright() as driver:
        # The pages are the test's own, and in a container no sandbox can be made.
        browser = driver.chromium.launch(executable_path=executable, args=["--no-sandbox"])
        page = browser.new_page()
        page.set_default_timeout(SECONDS_TO_WAIT * 1_000)
        yield page
        browser.close()


def complaints_of(page: Any) -> list[str]:
    """What goes wrong on the page from now on: scripts, dialogs, and what is not found."""
    found: list[str] = []
    page.on("pageerror", lambda error: found.append(f"error: {error}"))
    page.on("dialog", lambda dialog: _dismiss(found, dialog))
    page.on("response", lambda answer: _note(found, answer))
    return found


def _dismiss(found: list[str], dialog: Any) -> None:
    found.append(f"dialog: {dialog.message}")
    dialog.dismiss()


def _note(found: list[str], answer: Any) -> None:
    if answer.status >= 400 and not answer.url.endswith("/favicon.ico"):
        found.append(f"{answer.status}: {answer.url}")
