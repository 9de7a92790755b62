"""The Lua scripts: what holds for every one of them."""

from __future__ import annotations

import pytest

from celery_ratekit.limiter import scripts
from celery_ratekit.limiter.scripts import Script

SCRIPTS = [name for name in scripts.__all__ if name.isupper()]


@pytest.mark.parametrize("name", SCRIPTS)
def test_time_is_read_once_because_it_moves_inside_a_script(name: str) -> None:  # Pitfall 11
    script: Script = getattr(scripts, name)
    assert script.text.count(b"redis.call('TIME')") == 1


@pytest.mark.parametrize("name", SCRIPTS)
def test_every_script_runs_on_redis_6_2(name: str) -> None:  # Pitfall 10
    script: Script = getattr(scripts, name)
    assert not script.text.startswith(b"#!")
    assert not any(word in script.text for word in (b"PEXPIRETIME", b"'GT'", b"'NX'"))


@pytest.mark.parametrize("name", SCRIPTS)
def test_a_script_fits_the_200_local_variables_that_lua_allows(name: str) -> None:
    script: Script = getattr(scripts, name)
    outermost = [line for line in script.text.splitlines() if line.startswith(b"local ")]
    assert sum(line.partition(b"=")[0].count(b",") + 1 for line in outermost) < 150
