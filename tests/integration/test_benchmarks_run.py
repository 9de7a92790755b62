"""The benchmark runs from end to end; how fast anything is, no test can say."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

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
