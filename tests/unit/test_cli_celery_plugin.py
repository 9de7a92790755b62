"""The names under which the program is installed."""

from __future__ import annotations

import runpy
import sys
from importlib.metadata import EntryPoint
from types import SimpleNamespace
from typing import Any

import pytest
from click.testing import CliRunner
from support.processes import PROJECT

from celery_ratekit.cli import main
from celery_ratekit.cli.celery_plugin import ratekit


def test_celerys_program_has_the_same_commands_under_a_word_of_their_own() -> None:
    assert (ratekit.name, main.name) == ("ratekit", "main")
    shown = CliRunner().invoke(ratekit, ["demo", "--help"])
    assert shown.exit_code == 0
    assert "Starts a private Redis and real workers" in shown.stdout


def test_the_package_installs_the_program_under_two_names_and_as_a_part_of_celerys(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    said: dict[str, Any] = {}
    tools = SimpleNamespace(setup=said.update, find_packages=lambda **_: [])
    monkeypatch.setitem(sys.modules, "setuptools", tools)
    runpy.run_path(str(PROJECT / "setup.py"))
    found = {
        name.strip(): EntryPoint(name.strip(), value.strip(), group).load()
        for group, lines in said["entry_points"].items()
        for name, _, value in (line.partition("=") for line in lines)
    }

    assert found == {"celery-ratekit": main, "celery-throttle": main, "ratekit": ratekit}
