"""What ``celery -A`` loads in the demo's workers; their environment says what to limit."""

from __future__ import annotations

import os

from ..rates import Rate
from .tasks import make_app, report_to_journal
from .workers import BURST, GATE, RATE, URL

__all__ = ["app"]

# The defaults let tools import the module where no demo runs.
app = make_app(
    os.environ.get(URL, "memory://"),
    Rate.parse(os.environ.get(RATE, "40/s")),
    float(os.environ.get(BURST, "1")),
    gate=os.environ.get(GATE, "on") == "on",
)
report_to_journal(app)
