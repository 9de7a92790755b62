"""What a command prints and saves once all is measured."""

from __future__ import annotations

import argparse
import time
from collections.abc import Mapping, Sequence

from ..options import save, summary
from .measured import Measured
from .table import as_json, as_text

__all__ = ["end_of"]


def end_of(
    name: str,
    rows: Sequence[Measured],
    *,
    where: Mapping[str, str],
    caveats: Sequence[str],
    options: argparse.Namespace,
    started: float,
) -> int:
    """Prints all, saves it where asked; the exit code: 1 for a miss where ``--check`` is set.

    ``started``: by the monotonic clock.
    """
    print(as_text(rows))
    print("\n" + "\n".join(f"{fact}: {text}" for fact, text in where.items()))
    print("\nCaveats:\n" + "\n".join(f"- {caveat}" for caveat in caveats))
    print(f"\n{summary(row.verdict for row in rows)}; took {time.monotonic() - started:.0f} s")
    if options.save:
        save(options.save, name, as_json(rows, where))
    return 1 if options.check and any(row.verdict == "MISS" for row in rows) else 0
