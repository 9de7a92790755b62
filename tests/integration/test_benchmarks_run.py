"""The benchmark runs from end to end; how fast anything is, no test can say."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest

from benchmarks.report.intervals import interval

ROOT = Path(__file__).parents[2]

pytestmark = pytest.mark.redis


def test_a_quick_run_prints_and_saves_every_figure(redis_executable: str, tmp_path: Path) -> None:
    command = [sys.executable, "-m", "benchmarks.decisions", "--quick", "--redis", redis_executable]

    run = subprocess.run(
        [*command, "--save", str(tmp_path)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )

    assert run.returncode == 0, run.stderr
    assert "Caveats:" in run.stdout
    (saved,) = tmp_path.glob("*.json")
    (markdown,) = tmp_path.glob("*.md")
    figures = json.loads(saved.read_text("utf-8"))["figures"]
    assert [one for one in figures if not 0 < one["least"] <= one["median"] <= one["most"]] == []
    assert [one["name"] for one in figures if one["name"] not in run.stdout] == []
    assert [one["name"] for one in figures if one["name"] not in markdown.read_text("utf-8")] == []
    # With no other limiter installed, the figure about the fastest of them is not there.
    targets = {one["target"] for one in figures if one["unit"] == "x"} - {None}
    assert targets | {">= 1.3"} == {">= 0.85", ">= 1.2", ">= 1.3", ">= 0.75", ">= 50", ">= 200"}
    assert {one["verdict"] for one in figures if one["unit"] == "x"} == {"", "not judged"}


@pytest.mark.slow
@pytest.mark.workers
def test_a_quick_run_of_the_gates_benchmark_prints_and_saves_every_row(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "benchmarks.gate", "--quick", "--save", str(tmp_path)]

    run = subprocess.run(
        command, cwd=ROOT, capture_output=True, text=True, timeout=170, check=False
    )

    assert run.returncode == 0, run.stderr
    assert "Caveats:" in run.stdout
    (saved,) = tmp_path.glob("*.json")
    rows = json.loads(saved.read_text("utf-8"))["rows"]
    assert [row["name"] for row in rows if row["name"] not in run.stdout] == []
    assert [row["verdict"] for row in rows if row["verdict"] not in {"", "not judged"}] == []
    by_name = {(row["group"][:2], row["name"]): row["values"] for row in rows}
    # What does not depend on how fast the machine is.
    assert by_name["a.", "commands that ran there"] == [0]
    assert 0 < by_name["b.", "calls to the limits' Redis per task"][0] <= 2
    assert by_name["c.", "messages sent again"] == by_name["c.", "tasks that ran twice"] == [0]
    assert by_name["d.", "messages sent again"][0] > 0


@pytest.mark.slow
@pytest.mark.workers
def test_a_quick_run_of_the_backlogs_benchmark_prints_and_saves_every_row(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "benchmarks.backlog", "--quick", "--save", str(tmp_path)]

    run = subprocess.run(
        command, cwd=ROOT, capture_output=True, text=True, timeout=170, check=False
    )

    assert run.returncode == 0, run.stderr
    assert "Caveats:" in run.stdout
    (saved,) = tmp_path.glob("*.json")
    rows = json.loads(saved.read_text("utf-8"))["rows"]
    assert {row["group"][:2] for row in rows} == {"a.", "b.", "c.", "d.", "e.", "f."}
    assert [row["name"] for row in rows if row["name"] not in run.stdout] == []
    assert [row["verdict"] for row in rows if row["verdict"] not in {"", "not judged"}] == []
    by_name = {(row["group"][:2], row["name"]): row["values"] for row in rows}
    # What does not depend on how fast the machine is.
    assert by_name["c.", "groups"] == [50]
    assert by_name["d.", "most grants in a second"][0] <= 201
    assert by_name["e.", "most grants in a second"][0] <= 101


@pytest.mark.slow
@pytest.mark.workers
def test_a_quick_run_of_the_dispatchers_benchmark_prints_and_saves_every_row(
    tmp_path: Path,
) -> None:
    command = [sys.executable, "-m", "benchmarks.dispatcher", "--quick", "--save", str(tmp_path)]

    run = subprocess.run(
        command, cwd=ROOT, capture_output=True, text=True, timeout=170, check=False
    )

    assert run.returncode == 0, run.stderr
    assert "Caveats:" in run.stdout
    (saved,) = tmp_path.glob("*.json")
    rows = json.loads(saved.read_text("utf-8"))["rows"]
    assert {row["group"][:2] for row in rows} == {"a.", "b.", "c."}
    assert [row["name"] for row in rows if row["name"] not in run.stdout] == []
    assert [row["verdict"] for row in rows if row["verdict"] not in {"", "not judged"}] == []
    by_name = {(row["group"][:2], row["name"]): row["values"] for row in rows}
    # What does not depend on how fast the machine is.
    for part, slow in (("a.", 1), ("b.", 2)):
        assert by_name[part, "most grants in a second, fast"][0] <= 51
        assert by_name[part, "most grants in a second, others"][0] <= 1 + slow
        assert by_name[part, "lateness of a send, least"][0] >= 0
    assert by_name["c.", "Redis commands"][0] <= 2


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        # Left out at each end as long as the chance of that many heads stays below 2.5 %:
        # of 6 throws none (1/64 for 0 heads), of 20 five (0.0207 for 5 or less, 0.0577 for 6).
        (range(5), None),
        (range(6), (0, 5)),
        (range(9), (1, 7)),
        (range(20), (5, 14)),
        ((3, 9, 1, 1, 4, 2), (1, 9)),
    ],
)
def test_the_interval_of_a_median_leaves_out_what_the_sign_test_allows(
    values: Sequence[float], expected: tuple[float, float] | None
) -> None:
    assert interval(values) == expected
