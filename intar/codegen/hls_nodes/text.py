"""C++ literals."""

from __future__ import annotations

INT_MAX = 2**31 - 1


def braces(*values: object) -> str:
    """A braced initialiser list of C++ with these values."""
    return "{" + ", ".join(map(str, values)) + "}"


def boolean(value: object) -> str:
    """``true`` or ``false``."""
    return "true" if value else "false"


def int64(value: int) -> str:
    """An integer literal of C++: plain where it fits an `int`, else with ``INT64_C``."""
    return str(value) if -INT_MAX <= value <= INT_MAX else f"INT64_C({value})"
