"""What the linter reports."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

CHECKS: Mapping[str, str] = {
    "parse": "the file compiles",
    "grammar": "pragma names, options and values are those of Vitis HLS",
    "scope": "pragmas stand where they take effect and name what exists",
    "interface": "every argument of the top function has its interface pragmas",
    "dataflow": "the DATAFLOW region is in canonical form",
    "stream": "every stream has one writer, one reader, a depth and a plain element type",
    "task": "task functions take streams only, are not shared and keep no state",
    "language": "only what synthesis knows is reachable from the top function",
    "arithmetic": "no floating point, no wide or variable division",
    "blocking": "streams are only read and written, blocking",
    "loop": "loops have one exit, an invariant bound and a known trip count",
    "memory-port": "each process moves one array of external memory in one direction, unconditionally",
    "bank": "arrays have as many ports as a pipelined iteration uses",
    "flushable": "pipelines that both read and write streams are flushable",
    "dsp": "multiply-accumulates are not tied to an operator core",
    "stack": "local arrays fit the stack that csim in Vitis gives a task",
}
"""Every check by name, in the order of reporting."""


@dataclass(frozen=True)
class LintFinding:
    """One fault in a kernel: `check` is a key of :data:`CHECKS`, `line` counts from 1 (0: the whole file)."""

    check: str
    file: str
    line: int
    message: str
    hint: str = ""

    def __str__(self) -> str:
        text = f"{self.file}:{self.line}: [{self.check}] {self.message}"
        return f"{text}\n    way out: {self.hint}" if self.hint else text


Report = Callable[..., None]
"""``report(check, where, message, hint="")``; `where` has a file and a line."""


@dataclass(frozen=True)
class Place:
    """A line of a file."""

    file: str
    line: int


@dataclass
class Findings:
    """Collects findings, each only once (a template is visited once per instance)."""

    items: dict[LintFinding, None] = field(default_factory=dict)

    def add(self, check: str, where: Place, message: str, hint: str = "") -> None:
        """Add one finding at `where`."""
        self.items.setdefault(LintFinding(check, where.file, where.line, message, hint))

    def sorted(self) -> list[LintFinding]:
        """In the order of the checks, then by file and line."""
        order = {name: rank for rank, name in enumerate(CHECKS)}
        return sorted(self.items, key=lambda item: (order[item.check], item.file, item.line, item.message))
