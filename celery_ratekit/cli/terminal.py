"""What the terminal shows of texts that come from elsewhere."""

from __future__ import annotations

__all__ = ["escaped"]


def escaped(text: str) -> str:
    r"""``text`` with everything that could steer a terminal written out; newlines and tabs stay.

    >>> print(escaped("plain \x1b[31mred \u202e"))
    plain \x1b[31mred \u202e
    """
    return "".join(
        char if char.isprintable() or char in "\n\t" else _written_out(char) for char in text
    )


def _written_out(char: str) -> str:
    return char.encode("unicode_escape", "backslashreplace").decode("ascii")
