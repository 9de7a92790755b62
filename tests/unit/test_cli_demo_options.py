from __future__ import annotations

import subprocess
import sys

import pytest
from click.testing import CliRunner

from celery_ratekit.cli import main
from celery_ratekit.cli.demo import default_arrivals
from celery_ratekit.rates import Rate


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--rate", "10/min"], "'--rate': expected a unit (s, m, h, d)"),
        (["--rate", "0"], "'--rate': expected a rate that can be reached, got 0"),
        (["--rate", "unlimited"], "'--rate': expected a rate that can be reached"),
        (["--rate", "10/s:0.5"], "'--rate': expected a burst of 1 or more, got 0.5"),
        (["--rate", "1/h"], "300 tasks at 1/h take 299 hours"),
        (["--burst", "0"], "'--burst'"),
        (["--burst", "200"], "'--tasks': expected at least twice the burst of 200, got 300"),
        (["--tasks", "1"], "'--tasks'"),
        (["--workers", "17"], "'--workers'"),
        (["--concurrency", "x"], "'--concurrency'"),
        (["--arrivals", "3/s"], "'--arrivals': expected at least the rate of 40/s, got 3/s"),
        (["--arrivals", "0"], "'--arrivals': expected at least the rate of 40/s, got 0"),
    ],
)
def test_a_bad_option_is_named_with_what_was_expected(options: list[str], words: str) -> None:
    result = CliRunner().invoke(main, ["demo", *options])
    assert result.exit_code == 2
    assert words in " ".join(result.stderr.split())


@pytest.mark.parametrize(("gate", "arrivals"), [(True, "unlimited"), (False, "80/s")])
def test_tasks_come_at_once_to_the_gate_and_at_twice_the_rate_without_it(
    gate: bool, arrivals: str
) -> None:
    assert str(default_arrivals(Rate.parse("40/s"), gate=gate)) == arrivals


def test_a_hostile_rate_is_shown_escaped() -> None:
    result = CliRunner().invoke(main, ["demo", "--rate", "\x1b[31m"])
    assert result.exit_code == 2
    assert "\x1b" not in result.stderr


def test_an_unknown_command_is_an_error_of_use() -> None:
    assert CliRunner().invoke(main, ["dmeo"]).exit_code == 2


def test_help_fits_80_columns_and_lists_the_command() -> None:
    for arguments in (["--help"], ["demo", "--help"]):
        result = CliRunner().invoke(main, arguments, terminal_width=80)
        assert result.exit_code == 0
        assert max(map(len, result.stdout.splitlines())) <= 80
    assert "Watch real workers" in CliRunner().invoke(main, ["-h"]).stdout


def test_help_loads_neither_workers_nor_rich() -> None:
    source = (
        "import sys\n"
        "from celery_ratekit.cli import main\n"
        "main(['demo', '--help'], standalone_mode=False)\n"
        "heavy = {'rich', 'celery.bin', 'celery.worker', 'celery_ratekit.embedded'}\n"
        "print('loaded:', sorted(heavy & set(sys.modules)))\n"
    )
    shown = subprocess.run(
        [sys.executable, "-c", source], check=True, capture_output=True, text=True
    )
    assert shown.stdout.endswith("loaded: []\n")
