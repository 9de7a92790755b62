"""Runs the Python blocks of README.md and docs/*.md as tests, each file in one namespace."""

from __future__ import annotations

from doctest import ELLIPSIS, NORMALIZE_WHITESPACE
from typing import Any

import pytest
from sybil import Sybil
from sybil.parsers.markdown import PythonCodeBlockParser, SkipParser


def pytest_configure(config: pytest.Config) -> None:
    """Makes a Django site where the package's modules are collected: some are only for one."""
    if config.getoption("doctestmodules"):
        from support.django_site import configure  # noqa: PLC0415 - needs Django

        configure()


def _name_module(namespace: dict[str, Any]) -> None:
    """Celery names tasks after the module that they are defined in."""
    namespace["__name__"] = "documentation"


pytest_collect_file = Sybil(
    parsers=[
        PythonCodeBlockParser(doctest_optionflags=ELLIPSIS | NORMALIZE_WHITESPACE),
        SkipParser(),
    ],
    patterns=["README.md", "docs/*.md"],
    setup=_name_module,
).pytest()
