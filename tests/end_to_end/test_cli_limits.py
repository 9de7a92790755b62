"""``celery-ratekit limits``, each command through the program itself."""

from __future__ import annotations

import json
import subprocess

import pytest
from end_to_end.apps.adjustable import MODULE, sender
from support.program import BIN, Program
from support.workers import Setup

from celery_ratekit.embedded import EmbeddedRedis
from celery_ratekit.tasks.runtime import runtime_of

pytestmark = [pytest.mark.redis]

HOSTILE = "evil \x1b[31m[red]\nok: 1/s"


@pytest.fixture
def setup(private_redis: EmbeddedRedis, redis_url: str) -> Setup:
    conf = {"ratekit_limits": {HOSTILE: "5/s"}}
    return Setup(private_redis.celery_url, redis_url, conf=conf, module=MODULE)


@pytest.fixture
def program(setup: Setup) -> Program:
    return Program(setup)


def test_rates_are_set_shown_and_unset(program: Program) -> None:
    said = program.shown("limits", "set", "charge", "5/s", "--reason", "quota", "--by", "ann")
    listed = program.shown("limits", "list")
    shown = program.shown("limits", "show", "charge")
    explained = program.json("explain", "charge")
    unset = program.shown("limits", "unset", "charge")

    assert said == "charge: 5/s (before: 20/s)\n"
    row = next(line for line in listed.splitlines() if line.startswith("charge "))
    assert row.split()[:4] == ["charge", "TokenBucket", "5/s", "20/s"]
    assert "set by ann at" in row
    assert "quota" in row
    assert shown.startswith("charge (TokenBucket): 5/s, in code 20/s\n")
    assert explained["rates"][0]["overrides"][0]["by"] == "ann"
    assert unset == "charge: 20/s (before: 5/s)\n"
    assert program.rates()["charge"] == "20/s"


def test_a_key_has_a_rate_of_its_own_for_a_time(program: Program) -> None:
    program.shown("limits", "set", "plan", "100/s", "--key", "customer 7", "--for", "10m")
    (plan,) = (one for one in program.json("limits", "list") if one["name"] == "plan")

    assert (plan["rate"], plan["keys"]) == ("20/s", {"customer 7": "100/s"})
    assert program.shown("limits", "unset", "plan", "--key", "customer 7") == (
        "plan of 'customer 7': 20/s (before: 100/s)\n"
    )


def test_limits_are_stopped_and_go_on(program: Program) -> None:
    assert program.shown("limits", "pause", "charge") == "charge: paused (before: 20/s)\n"
    assert program.shown("limits", "resume", "charge") == "charge: 20/s (before: paused)\n"
    assert program.shown("limits", "freeze", "charge", "10m").startswith("charge: frozen for 600")
    assert program.json("limits", "show", "charge")["states"][0]["frozen_seconds"] > 500
    assert program.shown("limits", "unfreeze", "charge") == "charge: not frozen\n"
    assert program.json("limits", "show", "charge")["states"][0]["frozen_seconds"] == 0
    assert "unlimited" in program.shown("limits", "disable", "charge", "--yes")
    assert program.shown("limits", "enable", "charge") == "charge: 20/s (before: unlimited)\n"


def test_all_rates_are_reduced_and_restored(program: Program) -> None:
    program.shown("limits", "reduce", "0.5")
    reduced = program.rates()
    program.shown("limits", "restore", "--yes")

    assert (reduced["charge"], reduced["slow"]) == ("10/s", "30/h")
    assert program.rates()["charge"] == "20/s"


def test_what_a_limit_has_counted_is_forgotten(program: Program, setup: Setup) -> None:
    with sender(setup) as app:
        runtime = runtime_of(app)
        (limit,) = runtime.book.plan(app.tasks["slow"]).declared()
        assert runtime.limiter.acquire(limit).granted
        assert not runtime.limiter.acquire(limit).granted
        said = program.shown("limits", "reset", "slow", "--yes")
        assert runtime.limiter.acquire(limit).granted

    assert said == "slow (TokenBucket): as if never used\n"


def test_what_is_set_is_carried_to_another_place(program: Program) -> None:
    program.shown("limits", "set", "charge", "7/s")
    exported = program.shown("limits", "export")
    program.shown("limits", "unset", "charge")
    said = program.shown("limits", "import", "-", "--yes", stdin=exported)

    assert json.loads(exported)["overrides"][0]["what"] == "7/s"
    assert said == "1 set\n"
    assert program.rates()["charge"] == "7/s"


@pytest.mark.parametrize(
    ("options", "text", "words"),
    [
        (["--yes"], "[" * 200_000, "expected JSON"),
        (["--yes"], "", "expected JSON"),
        ([], '{"overrides": []}', "expected --yes where FILE is -"),
    ],
)
def test_a_file_that_cannot_be_imported_is_told_to_be_wrong(
    program: Program, options: list[str], text: str, words: str
) -> None:
    ended = program.run("limits", "import", "-", *options, stdin=text)

    assert (ended.returncode, ended.stdout) == (2, "")
    assert words in ended.stderr


def test_destructive_commands_ask_and_take_no_answer_for_no(program: Program) -> None:
    refused = program.run("limits", "disable", stdin="n\n")
    unanswered = program.run("limits", "restore", stdin="")
    agreed = program.run("limits", "disable", stdin="y\n")

    assert refused.returncode == unanswered.returncode == 1
    assert "Switch off all limits of all workers? [y/N]" in refused.stderr
    assert (refused.stdout, agreed.returncode) == ("", 0)
    assert program.rates()["charge"] == "unlimited"


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["set", "chrge", "5/s"], "did you mean 'charge'?"),
        (["set", "charge", "5/min"], 'write "5/m"'),
        (["set", "charge", "5/s", "--for", "soon"], "expected a time of more than 0"),
        (["pause", "\x1b[2J"], "expected the name of a limit or of a task, got '\\x1b[2J'"),
        (["reduce", "0"], "0<x<=1"),
        (["set", "charge", "5/s", "--key", "x" * 300], "at most 200 characters"),
    ],
)
def test_wrong_words_end_it_with_2_and_a_message_on_stderr(
    program: Program, arguments: list[str], words: str
) -> None:
    ended = program.run("limits", *arguments)

    assert (ended.returncode, ended.stdout) == (2, "")
    assert words in ended.stderr
    assert "\x1b" not in ended.stderr


def test_what_cannot_be_done_ends_it_with_1(program: Program, private_redis: EmbeddedRedis) -> None:
    fixed = program.run("limits", "set", "fixed", "5/s")
    bad = program.run("limits", "import", "-", "--yes", stdin="{}")
    private_redis.kill()
    away = program.run("limits", "list")

    assert (fixed.returncode, bad.returncode, away.returncode) == (1, 1, 1)
    assert "is fixed in code" in fixed.stderr
    assert "expected what export() gave" in bad.stderr
    assert away.stderr.startswith("Error: ")
    assert (fixed.stdout, bad.stdout, away.stdout) == ("", "", "")


def test_hostile_names_and_reasons_add_neither_lines_nor_colours(program: Program) -> None:
    program.shown("limits", "set", HOSTILE, "1/s", "--reason", "x\n\x1b[2Jfake: 9/s", "--by", "\n")
    listed = program.shown("limits", "list")
    shown = program.shown("limits", "show", HOSTILE)

    assert "\x1b" not in listed + shown
    assert sum("evil" in line for line in listed.splitlines()) == 1
    assert not any(line.startswith(("ok:", "fake:")) for line in (listed + shown).splitlines())
    assert HOSTILE in program.rates()


def test_celerys_own_program_has_the_same_commands(setup: Setup, program: Program) -> None:
    ended = subprocess.run(
        [str(BIN / "celery"), "-A", MODULE, "ratekit", "limits", "list"],
        env=setup.environment(),
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )

    assert ended.stdout == program.shown("limits", "list")
