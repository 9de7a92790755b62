"""What a real exporter answers to a scrape."""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from typing import Any
from urllib.request import urlopen

from prometheus_client.parser import text_string_to_metric_families
from support.workers import Worker

__all__ = ["Scrape", "scrape", "scrape_until", "url_of"]

SERVED = re.compile(r"metrics under (http://\S+)")
TIMEOUT_SECONDS = 10.0
WAIT_SECONDS = 30.0


class Scrape:
    """The samples of one answer."""

    def __init__(self, text: str) -> None:
        families = list(text_string_to_metric_families(text))
        #: The type of each metric, without the endings of its samples.
        self.types = {family.name: family.type for family in families}
        self._samples = [sample for family in families for sample in family.samples]

    def value(self, name: str, **labels: str) -> float:
        """The value of the one sample with this name and exactly these labels; 0 without any."""
        values = [one.value for one in self._samples if (one.name, one.labels) == (name, labels)]
        assert len(values) <= 1, (name, labels, values)
        return values[0] if values else 0.0

    def labels(self, name: str) -> list[dict[str, str]]:
        """The labels of all samples of this name."""
        return [one.labels for one in self._samples if one.name == name]


def url_of(worker: Worker) -> str:
    """The address under which a worker serves metrics, from its log."""
    worker.wait_for_log("metrics under")
    found = SERVED.search(worker.log)
    assert found is not None
    return found[1]


def scrape(url: str) -> Scrape:
    """What is served there now."""
    with urlopen(url, timeout=TIMEOUT_SECONDS) as answer:
        return Scrape(answer.read().decode())


def scrape_until(url: str, is_there: Callable[[Scrape], Any]) -> Scrape:
    """The first scrape that satisfies a condition."""
    deadline = time.monotonic() + WAIT_SECONDS
    while True:
        found = scrape(url)
        if is_there(found):
            return found
        assert time.monotonic() < deadline, "never found in a scrape"
        time.sleep(0.1)
