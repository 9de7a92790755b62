"""What the terminal shows of texts that come from elsewhere."""

from __future__ import annotations

__all__ = ["escaped", "on_one_line"]


def escaped(text: str) -> str:
    r"""``text`` with everything that could steer a terminal written out; newlines and tabs stay.

    >>> print(escaped("plain \x1b[31mred \u202e"))
    plain \x1b[31mred \u202e
    """
    return "".join(
        char if char.isprintable() or char in "\n\t" else _written_out(char) for char in text
    )


def on_one_line(text: str) -> str:
    r"""As `escaped`, with newlines and tabs written out too: for a cell of a table.

    >>> print(on_one_line("plain\n2nd line"))
    plain\n2nd line
    """
    return escaped(text).replace("\n", "\\n").replace("\t", "\\t")


def _written_out(char: str) -> str:
    return char.encode("unicode_escape", "backslashreplace").decode("ascii")
