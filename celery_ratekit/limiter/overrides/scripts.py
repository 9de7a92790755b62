"""The Lua scripts of the overrides, put together from their files."""

from __future__ import annotations

from ..scripts import Script

__all__ = ["DECLARE", "READ", "WRITE"]

READ = Script("clock", "read", package=__package__)
WRITE = Script("clock", "write", package=__package__)
DECLARE = Script("clock", "declare", package=__package__)
