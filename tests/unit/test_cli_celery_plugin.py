from __future__ import annotations

from click.testing import CliRunner

from celery_ratekit.cli import main
from celery_ratekit.cli.celery_plugin import ratekit


def test_celerys_program_has_the_same_commands_under_a_word_of_their_own() -> None:
    assert (ratekit.name, main.name) == ("ratekit", "main")
    shown = CliRunner().invoke(ratekit, ["demo", "--help"])
    assert shown.exit_code == 0
    assert "Starts a private Redis and real workers" in shown.stdout
