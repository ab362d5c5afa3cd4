"""Linter for generated HLS C++: what Vitis HLS would reject, stall on or build badly, found without Vitis.

It reads the sources with libclang (the extra ``lint``); pragmas are checked against a table of their grammar.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from pathlib import Path

from intar.codegen.lint.checks import Options, all_checks
from intar.codegen.lint.finding import CHECKS, Findings, LintFinding
from intar.errors import Finding, ToolError

__all__ = ["CHECKS", "LintFinding", "lint_project"]


def lint_project(
    files: Sequence[Path],
    top: str,
    include_dirs: Sequence[Path] = (),
    buffers: Mapping[str, int] | None = None,
    *,
    stack_bytes: int = 6 << 20,
    float_functions: Collection[str] = (),
) -> list[LintFinding]:
    """Check the C++ of one kernel; an empty list means that nothing was found.

    Parameters
    ----------
    files : the sources that synthesis compiles (no test bench).
    top : name of the top function.
    include_dirs : where the sources' headers lie; our csim headers are searched after them.
    buffers : elements in the buffer of each pointer argument of `top`; the ``depth=`` of its port must be the same.
    stack_bytes : bound on the local arrays of one process, bytes.
    float_functions : functions that may compute in floating point.

    Raises
    ------
    ToolError : libclang or the C++ compiler (for its header directories) is missing, or a file is not there.
    """
    from intar.codegen.lint.grammar import check_grammar
    from intar.codegen.lint.kernel import parse_kernel

    missing = [str(file) for file in files if not Path(file).is_file()]
    if missing or not files:
        raise ToolError(
            [Finding("there is no such file", where=name) for name in missing] or "no file to check"
        )
    findings = Findings()
    kernel, pragmas = parse_kernel([Path(file) for file in files], top, list(include_dirs), findings)
    for pragma in pragmas:
        check_grammar(pragma, findings)
    options = Options(dict(buffers or {}), stack_bytes, frozenset(float_functions))
    for check in all_checks():
        check(kernel, options, findings)
    return findings.sorted()
