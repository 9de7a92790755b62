"""Options that the commands of several benchmarks take, and what they print and save at the end."""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Collection, Iterable
from pathlib import Path

__all__ = ["add_parts", "add_saving", "part_names", "positive", "save", "summary"]

RESULTS = Path(__file__).parent / "results"


def part_names(parts: Collection[str]) -> Callable[[str], list[str]]:
    """Reads a list of some of the parts, such as ``a,c``."""

    def read(text: str) -> list[str]:
        names = text.split(",")
        for name in names:
            if name not in parts:
                raise argparse.ArgumentTypeError(
                    f"expected some of {', '.join(parts)}, got {name!r}; write for example a,c"
                )
        return names

    return read


def positive(text: str) -> int:
    """Reads a whole number of at least 1."""
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError(f"expected 1 or more, got {number}")
    return number


def add_parts(parser: argparse.ArgumentParser, parts: Collection[str], repeats: str) -> None:
    """Adds ``--only``, all parts by default, ``--repeats`` with this help, and ``--quick``."""
    parser.add_argument(
        "--only",
        metavar="PARTS",
        type=part_names(parts),
        default=list(parts),
        help=f"some of {', '.join(parts)}: a,c",
    )
    parser.add_argument("--repeats", metavar="N", type=positive, help=repeats)
    parser.add_argument("--quick", action="store_true", help="show that it runs; judges nothing")


def add_saving(parser: argparse.ArgumentParser) -> None:
    """Adds ``--save`` and ``--check``."""
    parser.add_argument(
        "--save",
        metavar="FOLDER",
        nargs="?",
        type=Path,
        const=RESULTS,
        help="write JSON there; without a folder to benchmarks/results/",
    )
    parser.add_argument("--check", action="store_true", help="exit with 1 where a target is missed")


def summary(verdicts: Iterable[str]) -> str:
    """How many targets were reached and missed."""
    found = [verdict for verdict in verdicts if verdict]
    counts = [f"{found.count(verdict)} {verdict}" for verdict in dict.fromkeys(found)]
    return ", ".join(counts) or "no targets"


def save(folder: Path, name: str, text: str) -> None:
    """Writes a result under its name and the time."""
    folder.mkdir(exist_ok=True)
    path = folder / time.strftime(f"{name}-%Y%m%d-%H%M%S.json")
    path.write_text(text, "utf-8")
    print(f"Saved as {path}")
