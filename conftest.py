"""Runs the Python blocks of README.md and docs/*.md as tests, each file in one namespace."""

from __future__ import annotations

from doctest import ELLIPSIS, NORMALIZE_WHITESPACE
from typing import Any

import pytest
from celery import _state
from sybil import Sybil
from sybil.parsers.markdown import PythonCodeBlockParser, SkipParser

TASKS_BEFORE = "tasks_before"


def pytest_configure(config: pytest.Config) -> None:
    """Makes a Django site where the package's modules are collected: some are only for one."""
    if config.getoption("doctestmodules"):
        from support.django_site import configure  # noqa: PLC0415 - needs Django

        configure()


def _set_up(namespace: dict[str, Any]) -> None:
    """Celery names tasks after the module that they are defined in, and gives them to all apps."""
    namespace["__name__"] = "documentation"
    namespace[TASKS_BEFORE] = set(_state._on_app_finalizers)


def _tear_down(namespace: dict[str, Any]) -> None:
    """No app of another page gets the tasks of this one, of which some are wrong on purpose."""
    _state._on_app_finalizers.intersection_update(namespace[TASKS_BEFORE])


pytest_collect_file = Sybil(
    parsers=[
        PythonCodeBlockParser(doctest_optionflags=ELLIPSIS | NORMALIZE_WHITESPACE),
        SkipParser(),
    ],
    patterns=["README.md", "docs/*.md"],
    setup=_set_up,
    teardown=_tear_down,
).pytest()
