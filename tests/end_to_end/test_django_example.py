"""The example project runs with one command, its worker included."""

from __future__ import annotations

import re
import subprocess
import sys
from datetime import datetime, timedelta

import pytest
from support.processes import ROOT

pytestmark = [pytest.mark.redis, pytest.mark.workers, pytest.mark.slow]

EXAMPLE = ROOT / "examples" / "django"
ORDERS, PER_MINUTE = 25, 10
LINE = re.compile(r"(\S+) order (\d+)")


def run(*arguments: str) -> str:
    done = subprocess.run(
        [sys.executable, *arguments],
        capture_output=True,
        text=True,
        check=False,
        timeout=230,
        cwd=EXAMPLE,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.mark.timeout(240)
def test_ten_orders_are_placed_at_each_minute_and_the_others_wait() -> None:
    output = run("run.py", "--seconds", "175")

    placed = {int(number): moment_of(shown) for shown, number in LINE.findall(output)}
    assert sorted(placed) == list(range(1, ORDERS + 1)), output
    moments = [placed[number] for number in sorted(placed)]
    assert fewest_tokens_left(sorted(moments)) >= 0
    # The right ones wait, and start as a minute begins, not later.
    assert max(moments[:PER_MINUTE]) < min(moments[2 * PER_MINUTE :])
    for moment in sorted(moments)[PER_MINUTE:]:
        assert moment - minute_of(moment) < timedelta(seconds=5)
    assert max(moments) - min(moments) < timedelta(minutes=2, seconds=5)
    assert moment_of(re.findall(r"(?m)^(\S+) mail$", output)[0]) < max(moments)


def fewest_tokens_left(moments: list[datetime]) -> int:
    """What was left of a full bucket at the worst moment, with each minute's tokens added."""
    left = fewest = PER_MINUTE
    before = moments[0]
    for moment in moments:
        refills = (minute_of(moment) - minute_of(before)) // timedelta(minutes=1)
        left = min(PER_MINUTE, left + refills * PER_MINUTE) - 1
        fewest, before = min(fewest, left), moment
    return fewest


def minute_of(moment: datetime) -> datetime:
    return moment.replace(second=0, microsecond=0)


def moment_of(shown: str) -> datetime:
    return datetime.strptime(shown, "%H:%M:%S.%f")  # noqa: DTZ007 - only compared


def test_the_projects_commands_find_nothing_wrong() -> None:
    assert "no issues" in run("manage.py", "check")
    assert run("manage.py", "token_bucket_register_periodic_tasks") == (
        "partner: in Redis, which needs no periodic task\n"
    )
