"""Label values: names, as many as are allowed, then one for all others."""

from __future__ import annotations

import threading

__all__ = ["OTHER", "Names"]

OTHER = "other"
"""The label of what comes beyond."""

MOST_CHARACTERS = 200


class Names:
    """The names that have a label of their own in this process: those that came first."""

    def __init__(self) -> None:
        self._labels: dict[str, str] = {}
        self._lock = threading.Lock()

    def label(self, name: str, most: int) -> str:
        """The label of a name, where ``most`` may have one of their own."""
        label = self._labels.get(name)
        if label is not None:
            return label
        with self._lock:
            if len(self._labels) >= most:
                return OTHER
            return self._labels.setdefault(name, _shown(name))

    def has(self, name: str) -> bool:
        """Whether a name has a label of its own."""
        return name in self._labels


def _shown(name: str) -> str:
    """What can be written in Prometheus' format, which is UTF-8."""
    text = name.encode("utf-8", "replace").decode()
    return text if len(text) <= MOST_CHARACTERS else text[: MOST_CHARACTERS - 3] + "..."


tasks = Names()
limits = Names()
queues = Names()
