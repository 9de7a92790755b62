"""What --help and docs/command-line.md say is what there is."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import click
import pytest
from click.testing import CliRunner
from support.commands import all_commands, parse
from support.documented import DOCS
from support.processes import ROOT

from celery_ratekit.cli import main
from celery_ratekit.cli.checks import setting_names
from celery_ratekit.cli.checks.all_checks import CHECKS

COMMANDS = dict(all_commands())
PAGE = (DOCS / "command-line.md").read_text()
SCREENS = sorted((DOCS / "screens").glob("*.txt"))
EXAMPLE = re.compile(r"^celery-ratekit .*$", re.MULTILINE)


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where the files are that examples name."""
    (tmp_path / "rates.json").write_text("{}")
    (tmp_path / "throttle.json").write_text("{}")
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize("words", COMMANDS)
def test_each_command_has_help_that_fits_80_columns(words: str) -> None:
    shown = CliRunner().invoke(main, [*words.split(), "--help"], terminal_width=80)

    assert shown.exit_code == 0
    without_examples = shown.stdout.partition("Examples:")[0]
    assert max(map(len, without_examples.splitlines())) <= 80


@pytest.mark.parametrize("words", COMMANDS)
def test_each_example_of_a_commands_help_is_a_line_that_it_takes(words: str, here: Path) -> None:
    examples = EXAMPLE.findall(COMMANDS[words].epilog or "")

    assert examples
    assert {parse(line) for line in examples} == {words}


def test_each_example_of_the_page_is_a_line_that_the_program_takes(here: Path) -> None:
    blocks = "".join(re.findall(r"^```sh\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL))
    called = {parse(line) for line in EXAMPLE.findall(blocks)}

    assert len(called) > 15
    assert called <= COMMANDS.keys()


@pytest.mark.parametrize("words", COMMANDS)
def test_the_page_names_each_command(words: str) -> None:
    assert re.search(rf"`{words}[ `]", PAGE)


def named_in_tables(text: str) -> set[str]:
    """The words that stand first in a row, such as "limits list", without their arguments."""
    rows = re.findall(r"^\| (`[^|]*`) \|", text, re.MULTILINE)
    return {name for row in rows for name in re.findall(r"`([a-z][a-z-]*(?: [a-z-]+)?)", row)}


def test_the_tables_of_the_page_name_commands_and_checks_and_nothing_else() -> None:
    before, _, rest = PAGE.partition("## The doctor")
    doctor, _, behind = rest.partition("## Throttled queues")

    assert named_in_tables(before + behind) == COMMANDS.keys() - {"explain", "doctor", "monitor"}
    assert named_in_tables(doctor) == {setting_names.NAME, *CHECKS}


@pytest.mark.parametrize("path", SCREENS, ids=lambda path: path.name)
def test_a_screen_of_the_docs_is_as_wide_as_its_name_says(path: Path) -> None:
    text = path.read_text()
    columns = path.stem.rpartition("-")[2]

    assert text.strip()
    assert "\x1b" not in text
    if columns.isdecimal():
        assert max(map(len, text.splitlines())) <= int(columns)


def test_a_line_with_an_unknown_option_is_none() -> None:
    with pytest.raises(click.UsageError):
        parse("celery-ratekit limits list --no-such-option")
    with pytest.raises(click.UsageError):
        parse("celery-ratekit limits lst")


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
@pytest.mark.parametrize(
    ("called", "asked"),
    [
        ("celery-ratekit", "CELERY_RATEKIT"),
        ("celery-throttle", "CELERY_THROTTLE"),
        ("celery", "CELERY_RATEKIT"),  # Its own completion is Celery's business.
    ],
)
def test_a_shell_gets_a_script_that_asks_the_program(shell: str, called: str, asked: str) -> None:
    shown = CliRunner().invoke(main, ["completion", shell], prog_name=called)

    assert shown.exit_code == 0
    assert f"_{asked}_COMPLETE={shell}_complete" in shown.stdout


def test_bash_completes_commands_of_commands() -> None:
    script = Path(sys.executable).parent / "celery-ratekit"
    environment = {
        "PATH": str(script.parent),
        "PYTHONPATH": str(ROOT),
        "COMP_WORDS": "celery-ratekit limits un",
        "COMP_CWORD": "2",
        "_CELERY_RATEKIT_COMPLETE": "bash_complete",
    }
    shown = subprocess.run(
        [script], env=environment, capture_output=True, text=True, check=True, timeout=60
    )

    assert shown.stdout.splitlines() == ["plain,unfreeze", "plain,unset"]


def test_help_of_no_command_loads_celery_redis_or_rich() -> None:
    source = (
        "import sys\n"
        "from celery_ratekit.cli import main\n"
        f"for words in {[words.split() for words in COMMANDS]}:\n"
        "    main([*words, '--help'], standalone_mode=False)\n"
        "heavy = {'asyncio', 'celery', 'kombu', 'prometheus_client', 'pydantic', 'redis', 'rich'}\n"
        "print('loaded:', sorted(heavy & set(sys.modules)))\n"
    )
    shown = subprocess.run(
        [sys.executable, "-c", source], check=True, capture_output=True, text=True
    )

    assert shown.stdout.endswith("loaded: []\n")
