"""Checks `loop` and `flushable`: loops that a pipeline can be made of, and pipelines that can't hold back results."""

from __future__ import annotations

from collections.abc import Iterator

from intar.codegen.lint import clang_ast as ast
from intar.codegen.lint.checks import Options
from intar.codegen.lint.checks.scope import integer
from intar.codegen.lint.clang_ast import Cursor, CursorKind
from intar.codegen.lint.finding import Findings
from intar.codegen.lint.functions import LOOPS, Function, Loop
from intar.codegen.lint.kernel import Kernel

EXITS = {
    CursorKind.BREAK_STMT: "break",
    CursorKind.RETURN_STMT: "return",
    CursorKind.CONTINUE_STMT: "continue",
}


def check_loops(kernel: Kernel, options: Options, findings: Findings) -> None:
    """Single exit, canonical and invariant bounds, trip counts, inner loops of pipelines."""
    for function in kernel.functions.values():
        for loop in function.loops:
            for item, word in _exits(loop.body, False):
                message = f"{word} leaves the {loop.title} in '{function.name}' early"
                findings.add(
                    "loop", ast.place(item), message, "one exit: put the rest of the body under an if"
                )
            if not loop.canonical:
                message = (
                    f"the {loop.title} in '{function.name}' is not of the form for (int i = a; i < b; i += c)"
                )
                findings.add(
                    "loop", loop.place, message, "its iterations can't be counted, so it can't be scheduled"
                )
                continue
            _check_bounds(function, loop, findings)
            if loop.pragma("pipeline"):
                _check_inner(kernel, loop, findings)


def _exits(cursor: Cursor, in_switch: bool) -> Iterator[tuple[Cursor, str]]:
    """Statements that leave the loop whose body is `cursor`; those of inner loops and of switches are theirs."""
    for child in cursor.get_children():
        if child.kind in EXITS and not (in_switch and child.kind == CursorKind.BREAK_STMT):
            yield child, EXITS[child.kind]
        elif child.kind in LOOPS or child.kind == CursorKind.LAMBDA_EXPR:
            continue
        else:
            yield from _exits(child, in_switch or child.kind == CursorKind.SWITCH_STMT)


def _check_bounds(function: Function, loop: Loop, findings: Findings) -> None:
    written = ast.assigned_variables(loop.body)
    if loop.counter in written:
        message = f"the {loop.title} in '{function.name}' changes its own counter"
        findings.add("loop", loop.place, message, "only the loop's head may change it")
    condition = ast.children(loop.cursor)[1]
    for variable in ast.variables(condition):
        if variable.get_usr() in written and variable.get_usr() != loop.counter:
            message = f"the bound of the {loop.title} in '{function.name}' changes in its body ('{variable.spelling}')"
            findings.add("loop", loop.place, message, "compute the bound before the loop")
    counted = any(pragma.name == "loop_tripcount" for pragma in loop.pragmas)
    if loop.trip is None and not counted:
        message = f"the {loop.title} in '{function.name}' has a variable bound and no LOOP_TRIPCOUNT"
        findings.add(
            "loop", loop.place, message, "add `#pragma HLS LOOP_TRIPCOUNT min=... max=...` for the reports"
        )


def inner_loops(kernel: Kernel, part: Cursor, seen: frozenset[str] = frozenset()) -> Iterator[Loop]:
    """Loops in `part` and in the functions that it calls."""
    for item in part.walk_preorder():
        loop = kernel.loop_at(item) if item.kind in LOOPS else None
        if loop is not None:
            yield loop
        elif item.kind == CursorKind.CALL_EXPR:
            function = kernel.function_of(item)
            if function is not None and function.cursor.get_usr() not in seen:
                yield from inner_loops(kernel, function.body, seen | {function.cursor.get_usr()})


def _check_inner(kernel: Kernel, loop: Loop, findings: Findings) -> None:
    for inner in inner_loops(kernel, loop.body):
        unroll = inner.pragma("unroll")
        factor = integer(unroll.get("factor"), inner.cursor) if unroll is not None else None
        if inner.trip is None:
            message = (
                f"the pipelined {loop.title} contains the {inner.title}, which has no constant trip count"
            )
        elif inner.pragma("pipeline"):
            message = f"the {inner.title} is pipelined inside the pipelined {loop.title}"
        elif factor is not None and factor < inner.trip:
            message = f"the {inner.title} inside the pipelined {loop.title} is unrolled by {factor} of {inner.trip} only"
        else:
            continue
        hint = (
            "a pipeline unrolls everything in it; unroll the inner loop completely or pipeline that one only"
        )
        findings.add("loop", inner.place, message, hint)


def check_flushable(kernel: Kernel, options: Options, findings: Findings) -> None:
    """A pipeline that waits for input must still deliver what it has: style=flp (or frp)."""
    for function in kernel.functions.values():
        for loop in function.loops:
            pipeline = loop.pragma("pipeline")
            if pipeline is None or pipeline.get("style").lower() in ("flp", "frp"):
                continue
            uses = {use for _, use, _ in kernel.stream_uses(loop.body)}
            if {"r", "w"} <= uses:
                message = f"the pipelined {loop.title} in '{function.name}' reads and writes streams without style=flp"
                hint = "add style=flp: a stalling pipeline keeps finished results inside, and two of them can deadlock"
                findings.add("flushable", pipeline.place, message, hint)
