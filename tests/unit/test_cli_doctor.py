"""How the doctor folds what it says."""

from __future__ import annotations

import sys

import pytest

from celery_ratekit.cli.checks.finding import ok, warning
from celery_ratekit.cli.doctor import print_findings

FOUND = [("redis", ok("it answers")), ("gate", warning("long \x1b[2J words " * 12, "do this"))]


def test_in_a_pipe_each_finding_and_each_advice_is_one_line(
    capsys: pytest.CaptureFixture[str],
) -> None:
    print_findings(FOUND)
    lines = capsys.readouterr().out.splitlines()

    assert lines[0] == "ok       redis: it answers"
    assert lines[1].startswith("warning  gate: long \\x1b[2J words long")
    assert lines[2:] == ["         -> do this"]


def test_in_a_terminal_lines_are_folded_behind_the_level(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
    monkeypatch.setenv("COLUMNS", "60")
    print_findings(FOUND)
    lines = capsys.readouterr().out.splitlines()

    assert len(lines) > 4
    assert all(line.startswith("         ") for line in lines[2:])
    assert "\x1b[2J" not in "".join(lines)
