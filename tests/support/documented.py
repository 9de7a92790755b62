"""What docs/ says of metrics: its table, its dashboard, its alert rules."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import NamedTuple

from support.processes import PROJECT

__all__ = [
    "ALERT_RULES",
    "DASHBOARD",
    "DOCS",
    "Documented",
    "alert_expressions",
    "dashboard_expressions",
    "documented_metrics",
    "documented_signals",
    "names_in",
]

DOCS = PROJECT / "docs"
ALERT_RULES = DOCS / "alert-rules.yml"
DASHBOARD = DOCS / "grafana-dashboard.json"
TABLE = DOCS / "metrics.md"

ROW = re.compile(r"^\| `(celery_\w+)` \| (\w+) \| ([^|]*)\|", re.MULTILINE)
SIGNAL = re.compile(r"^\| `((?:rate_|limiter_)\w+)` \| the [^|]*\| ([^|]*)\|", re.MULTILINE)
NAME = re.compile(r"\bcelery_\w+")
EXPRESSION = re.compile(r"^ +expr: (?:\|\n((?: {10,}.*\n)+)|(.*)\n)", re.MULTILINE)


class Documented(NamedTuple):
    """A row of the table."""

    type: str
    labels: frozenset[str]


def documented_metrics() -> dict[str, Documented]:
    """The rows of the table, by the name of the metric."""
    return {
        name: Documented(kind, frozenset(re.findall(r"`(\w+)`", labels)))
        for name, kind, labels in ROW.findall(TABLE.read_text())
    }


def documented_signals() -> dict[str, set[str]]:
    """The fields of each signal."""
    rows = SIGNAL.findall(TABLE.read_text())
    return {name: set(re.findall(r"`(\w+)`", fields)) for name, fields in rows}


def alert_expressions() -> list[str]:
    """What the alert rules ask for."""
    return ["".join(found) for found in EXPRESSION.findall(ALERT_RULES.read_text())]


def dashboard_expressions() -> list[str]:
    """What the dashboard asks for, with values for its variables."""
    board = json.loads(DASHBOARD.read_text())
    expressions = [target["expr"] for panel in board["panels"] for target in panel["targets"]]
    return [
        one.replace("$__rate_interval", "1m").replace("$task", ".*").replace("$limit", ".*")
        for one in expressions
    ]


def names_in(text: str) -> Iterator[str]:
    """The metrics that an expression or a dashboard names, without the endings of histograms."""
    for name in NAME.findall(text):
        yield re.sub(r"_(bucket|count|sum)$", "", name)
