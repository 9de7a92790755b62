"""The admin's pages of limits in a real browser."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from end_to_end.apps import django_admin
from support.browser import complaints_of, opened
from support.processes import ROOT

pytestmark = [pytest.mark.redis, pytest.mark.slow]

LIST = "/admin/celery_ratekit/ratelimit/"


@pytest.fixture
def site(redis_url: str, tmp_path: Path) -> Iterator[str]:
    """The address of a Django site on loopback."""
    program = [sys.executable, "-m", django_admin.__name__, redis_url, str(tmp_path)]
    path = os.pathsep.join((str(ROOT), str(ROOT / "tests"), os.environ.get("PYTHONPATH", "")))
    environment = {**os.environ, "PYTHONPATH": path}
    with subprocess.Popen(
        program, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, env=environment
    ) as process:
        assert process.stdout is not None
        yield process.stdout.readline().strip()
        process.kill()


@pytest.fixture
def page(site: str, chromium_executable: str) -> Iterator[Any]:
    """A browser that nobody is logged in to."""
    with opened(chromium_executable) as page:
        yield page


def log_in(page: Any, site: str, name: str) -> None:
    page.goto(site + LIST)
    page.fill("#id_username", name)
    page.fill("#id_password", name)
    page.click("[type=submit]")


def row_of(page: Any, name: str) -> list[str]:
    rows: list[list[str]] = page.eval_on_selector_all(
        ".ratekit tbody tr", "rows => rows.map(row => [...row.cells].map(cell => cell.innerText))"
    )
    [found] = [row for row in rows if row[0] == name]
    return found


def test_a_limit_is_looked_at_and_changed_with_buttons(page: Any, site: str) -> None:
    complaints = complaints_of(page)
    log_in(page, site, "ann")
    assert row_of(page, "charge")[1:6] == ["TokenBucket", "100/m", "100/m", "1 of 1", "37"]
    assert row_of(page, "emails")[1] == "1240"

    page.click("a:text-is('charge')")
    page.fill("#id_rate-rate", "20/m")
    page.fill("#id_rate-reason", "the provider asked for it")
    page.click("button[value=set_rate]")
    assert "from 100/m to 20/m" in page.inner_text(".messagelist")
    page.fill("#id_freeze-seconds", "600")
    page.press("#id_freeze-seconds", "Enter")
    page.wait_for_selector(".condition")

    page.click("a.historylink")
    assert "Set rate: from 100/m to 20/m." in page.inner_text("#change-history")
    page.goto(site + LIST)
    row = row_of(page, "charge")
    assert row[3] == "20/m"
    assert row[6].startswith("frozen for ")
    assert complaints == []


def test_the_second_button_needs_nothing_filled_in(page: Any, site: str) -> None:
    log_in(page, site, "ann")
    page.click("a:text-is('charge')")

    page.click("button[value=set_rate]")  # The browser itself wants a rate.
    assert page.locator(".messagelist").count() == 0
    page.click("button[value=unset_rate]")
    page.wait_for_selector(".messagelist")


def test_no_name_breaks_a_page_in_a_browser(page: Any, site: str) -> None:
    complaints = complaints_of(page)
    log_in(page, site, "ann")
    links = page.eval_on_selector_all(".ratekit th a", "links => links.map(link => link.href)")
    assert len(links) > len(django_admin.HOSTILE)

    for link in links:
        page.goto(link)
        page.click("button[value=pause]")
        page.wait_for_selector(".messagelist")
        page.click("a.historylink")
        page.wait_for_selector("#change-history")
    page.goto(site + LIST)

    assert page.locator(".condition:text-is('paused')").count() == len(links)
    assert complaints == []
    for width in (1_280, 400):
        page.set_viewport_size({"width": width, "height": 800})
        assert page.evaluate("document.documentElement.scrollWidth") <= width


def test_who_may_only_see_finds_no_button(page: Any, site: str) -> None:
    log_in(page, site, "eve")
    page.click("a:text-is('charge')")
    assert "not change it" in page.inner_text(".ratekit")
    assert page.locator(".ratekit button").count() == 0
