"""Pragmas as text: libclang has no nodes for them, so they are read from the lines and tied to blocks by position."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from intar.codegen.lint.finding import Place

_PRAGMA = re.compile(r"^\s*#\s*pragma\s+HLS\s+(\w+)\b(.*)$", re.IGNORECASE)
_OPTION = re.compile(r"(\w+)\s*=\s*([^\s=]+)|(\S+)")


@dataclass(frozen=True)
class Pragma:
    """One ``#pragma HLS``: `name` in lower case, `options` in order; an option without a value has None."""

    file: str
    line: int
    name: str
    options: tuple[tuple[str, str | None], ...]

    @property
    def place(self) -> Place:
        """Where it stands."""
        return Place(self.file, self.line)

    @property
    def values(self) -> Mapping[str, str | None]:
        """Options by name, in lower case."""
        return {key.lower(): value for key, value in self.options}

    def get(self, option: str, default: str = "") -> str:
        """Value of an option."""
        return self.values.get(option) or default

    def has(self, option: str) -> bool:
        """Whether the option is there, with or without a value."""
        return option in self.values


def without_comments(text: str) -> str:
    """`text` with comments replaced by blanks, line by line as before; strings are kept."""
    pattern = re.compile(r'"(?:\\.|[^"\\\n])*"|//[^\n]*|/\*.*?\*/', re.DOTALL)

    def blank(match: re.Match[str]) -> str:
        found = match.group(0)
        return found if found.startswith('"') else re.sub(r"[^\n]", " ", found)

    return pattern.sub(blank, text)


@lru_cache(maxsize=256)
def _source_lines(path: str, stamp: tuple[int, int]) -> tuple[str, ...]:
    return tuple(without_comments(Path(path).read_text(errors="replace")).split("\n"))


def _stamp(path: str) -> tuple[int, int]:
    """What changes when a file does."""
    status = Path(path).stat()
    return status.st_mtime_ns, status.st_size


def source_lines(path: str) -> tuple[str, ...]:
    """Lines of a file without comments."""
    return _source_lines(path, _stamp(path))


def pragmas_in(path: str) -> tuple[Pragma, ...]:
    """Every HLS pragma of a file, in order; continued lines are joined."""
    return _pragmas_in(path, _stamp(path))


@lru_cache(maxsize=256)
def _pragmas_in(path: str, stamp: tuple[int, int]) -> tuple[Pragma, ...]:
    lines = _source_lines(path, stamp)
    found = []
    index = 0
    while index < len(lines):
        first, text = index, lines[index]
        while text.endswith("\\") and index + 1 < len(lines):
            index += 1
            text = text[:-1] + " " + lines[index]
        match = _PRAGMA.match(text)
        if match:
            options = [(m[1] or m[3], m[2] if m[1] else None) for m in _OPTION.finditer(match[2])]
            found.append(Pragma(path, first + 1, match[1].lower(), tuple(options)))
        index += 1
    return tuple(found)


def host_only_lines(path: str) -> frozenset[int]:
    """Lines of a file that synthesis never sees; see :func:`_host_only`."""
    return _host_only(source_lines(path))


@lru_cache(maxsize=256)
def _host_only(lines: tuple[str, ...]) -> frozenset[int]:
    """Lines that synthesis never sees: under ``#ifndef __SYNTHESIS__`` (or ``!defined``)."""
    hidden: set[int] = set()
    stack: list[
        bool | None
    ] = []  # True: hidden from synthesis, False: its other branch, None: another condition
    for number, line in enumerate(lines, start=1):
        directive = re.match(r"\s*#\s*(ifndef|ifdef|if|else|elif|endif)\b(.*)", line)
        if directive:
            word, rest = directive.groups()
            about = "__SYNTHESIS__" in rest
            if word in ("if", "ifdef", "ifndef"):
                stack.append((word == "ifndef" or "!" in rest) if about else None)
            elif word in ("else", "elif") and stack:
                stack[-1] = None if stack[-1] is None else not stack[-1]
            elif word == "endif" and stack:
                stack.pop()
        if True in stack:
            hidden.add(number)
    return frozenset(hidden)
