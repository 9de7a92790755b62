"""The table of the docs, the dashboard and the alert rules name the metrics that there are."""

from __future__ import annotations

import subprocess

from prometheus_client import Counter, Gauge, Histogram, generate_latest
from prometheus_client.metrics import MetricWrapperBase
from prometheus_client.registry import Collector
from support.documented import (
    ALERT_RULES,
    DASHBOARD,
    Documented,
    alert_expressions,
    dashboard_expressions,
    documented_metrics,
    documented_signals,
    names_in,
)

from celery_ratekit import signals
from celery_ratekit.metrics import counted
from celery_ratekit.metrics.exported import HELD
from celery_ratekit.metrics.families import ALL, family
from celery_ratekit.metrics.serving import served_registry

TYPES = {Counter: "counter", Gauge: "gauge", Histogram: "histogram"}


def known_metrics() -> dict[str, Documented]:
    """All that there are, by their names."""
    found = {}
    for one in vars(counted).values():
        if isinstance(one, MetricWrapperBase):
            kind = TYPES[type(one)]
            name = one._name + ("_total" if kind == "counter" else "")
            found[name] = Documented(kind, frozenset(one._labelnames))
    for one in (*ALL, HELD):
        found[one.name] = Documented("gauge", frozenset(one.labels))
    return found


def test_the_table_has_every_metric_with_its_type_and_labels_and_no_other() -> None:
    assert documented_metrics() == known_metrics()
    assert len(known_metrics()) > 20


def test_the_table_of_signals_has_each_with_its_fields_and_no_other() -> None:
    known = {name: getattr(signals, name).providing_args for name in signals.__all__}

    assert documented_signals() == known


def test_the_dashboard_names_only_metrics_that_exist() -> None:
    named = set(names_in(DASHBOARD.read_text()))

    assert named <= known_metrics().keys()
    assert len(named) > 15
    assert all(list(names_in(one)) for one in dashboard_expressions())


def test_the_alert_rules_name_only_metrics_that_exist() -> None:
    expressions = alert_expressions()

    assert len(expressions) == ALERT_RULES.read_text().count("- alert:") > 5
    assert {name for one in expressions for name in names_in(one)} <= known_metrics().keys()


def test_the_alert_rules_are_what_prometheus_reads(promtool_executable: str) -> None:
    checked = subprocess.run(
        [promtool_executable, "check", "rules", str(ALERT_RULES)],
        capture_output=True,
        text=True,
        check=False,
    )

    assert checked.returncode == 0, checked.stdout + checked.stderr


def test_names_and_types_are_as_prometheus_wants_them(promtool_executable: str) -> None:
    families = [family(one, {("a",) * len(one.labels): 1.0}) for one in (*ALL, HELD)]
    collector = type("Told", (Collector,), {"collect": lambda _: families})()

    checked = subprocess.run(
        [promtool_executable, "check", "metrics"],
        input=generate_latest(served_registry(collector)),
        capture_output=True,
        check=False,
    )

    assert (checked.returncode, checked.stdout, checked.stderr) == (0, b"", b"")
