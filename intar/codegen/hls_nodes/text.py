"""C++ literals."""

from __future__ import annotations

INT_MAX = 2**31 - 1


def braces(*values: object) -> str:
    return "{" + ", ".join(map(str, values)) + "}"


def boolean(value: object) -> str:
    return "true" if value else "false"


def int64(value: int) -> str:
    return str(value) if -INT_MAX <= value <= INT_MAX else f"INT64_C({value})"
