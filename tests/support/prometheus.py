"""A real Prometheus that scrapes what a test names."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any
from urllib.parse import urlencode, urlsplit
from urllib.request import urlopen

from support.documented import ALERT_RULES
from support.journal import not_yet

from celery_ratekit.embedded.home import Home
from celery_ratekit.embedded.ports import free_port
from celery_ratekit.embedded.process import ServerProcess
from celery_ratekit.embedded.waiting import wait_for

__all__ = ["Prometheus", "prometheus"]

TIMEOUT_SECONDS = 10.0


class Prometheus:
    """A running server, with the alert rules of the docs."""

    def __init__(self, executable: str, home: Home, targets: Sequence[str]) -> None:
        port = free_port()
        self._url = f"http://127.0.0.1:{port}"
        config = home.path / "prometheus.json"  # YAML is a superset of it.
        config.write_text(json.dumps(_configuration(targets)))
        self.process = ServerProcess(
            home,
            [
                executable,
                f"--config.file={config}",
                f"--storage.tsdb.path={home.path / 'data'}",
                f"--web.listen-address=127.0.0.1:{port}",
            ],
            log=home.path / "prometheus.log",
        )

    def ask(self, path: str, **query: str) -> Any:
        """What its API answers; a query that it refuses raises HTTPError."""
        with urlopen(
            f"{self._url}/api/v1/{path}?{urlencode(query)}", timeout=TIMEOUT_SECONDS
        ) as one:
            return json.load(one)["data"]

    def values(self, expression: str) -> list[float]:
        """The values of an expression now."""
        found = self.ask("query", query=expression)["result"]
        return [float(one["value"][1]) for one in found]

    def wait_for_value(self, expression: str, value: float) -> None:
        """Waits until an expression has one value."""

        def check() -> None:
            self.process.check_alive("Prometheus")
            try:
                values = self.values(expression)
            except OSError as error:  # It has not begun to listen.
                not_yet(missing=True, what=str(error))
            else:
                not_yet(missing=values != [value], what=f"{expression}: {values}")

        wait_for("value in Prometheus", check, timeout=60)


def _configuration(targets: Sequence[str]) -> dict[str, Any]:
    hosts = [urlsplit(target).netloc for target in targets]
    return {
        "global": {"scrape_interval": "1s", "scrape_timeout": "1s"},
        "rule_files": [str(ALERT_RULES)],
        "scrape_configs": [{"job_name": "celery", "static_configs": [{"targets": hosts}]}],
    }


@contextmanager
def prometheus(executable: str, *targets: str) -> Iterator[Prometheus]:
    """A Prometheus of the test's own."""
    home = Home()
    server = Prometheus(executable, home, targets)
    try:
        yield server
    finally:
        server.process.kill()
        home.close()
