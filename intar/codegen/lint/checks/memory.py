"""Check `memory-port`: accesses to external memory."""

from __future__ import annotations

from intar.codegen.lint import clang_ast as ast
from intar.codegen.lint.checks import Options
from intar.codegen.lint.clang_ast import Cursor, CursorKind
from intar.codegen.lint.finding import Findings
from intar.codegen.lint.functions import LOOPS, Function, Loop
from intar.codegen.lint.kernel import Kernel, Process


def check_memory_ports(kernel: Kernel, options: Options, findings: Findings) -> None:
    """One pointer a process, one direction a loop, accessed in every iteration at consecutive addresses."""
    if kernel.top is None:
        return
    pointers = {p.get_usr() for p in kernel.top.parameters if ast.is_pointer(p.type)}
    for process in kernel.processes():
        passed = [
            v for v in map(ast.base_variable, process.arguments) if v is not None and v.get_usr() in pointers
        ]
        if len(passed) > 1:
            names = ", ".join(f"'{variable.spelling}'" for variable in passed)
            message = f"'{process.name}' accesses {names}"
            findings.add("memory-port", process.place, message, "one process a pointer, or the bursts break")
        if process.function is None:
            continue
        for function in kernel.callees(process.function):
            for parameter in function.parameters:
                if ast.is_pointer(parameter.type):
                    _check_accesses(function, parameter, findings)


def exchanges(kernel: Kernel, process: Process) -> bool:
    """True if a process both writes and reads external memory: spilled tensors."""
    ways: set[str] = set()
    for function in kernel.callees(process.function) if process.function else ():
        for parameter in function.parameters:
            if ast.is_pointer(parameter.type):
                ways.update(*_check_accesses(function, parameter, Findings()).values())
    return len(ways) == 2


def _check_accesses(function: Function, pointer: Cursor, findings: Findings) -> dict[Loop | None, set[str]]:
    """The directions in which each loop uses a pointer; findings about each access."""
    uses: dict[Loop | None, set[str]] = {}

    def visit(cursor: Cursor, writes: bool, conditional: bool, loop: Loop | None) -> None:
        if cursor.kind == CursorKind.ARRAY_SUBSCRIPT_EXPR:
            base, index = ast.children(cursor)
            if _refers(base, pointer):
                uses.setdefault(loop, set()).add("written" if writes else "read")
                _check_index(function, pointer, index, conditional, loop, findings)
        loop = (
            next((item for item in function.loops if item.cursor == cursor), loop)
            if cursor.kind in LOOPS
            else loop
        )
        conditional = (conditional or cursor.kind == CursorKind.IF_STMT) and cursor.kind not in LOOPS
        conditional = conditional or cursor.kind in (CursorKind.CONDITIONAL_OPERATOR, CursorKind.SWITCH_STMT)
        target = ast.target(cursor)
        for child in cursor.get_children():
            visit(child, target is not None and child == target, conditional, loop)

    visit(function.body, False, False, None)
    if any(len(ways) == 2 for ways in uses.values()):
        message = f"'{function.name}' both reads and writes '{pointer.spelling}' in one loop"
        findings.add("memory-port", function.place, message, "a loop for each direction, one after the other")
    return uses


def _refers(cursor: Cursor, variable: Cursor) -> bool:
    item = ast.strip(cursor)
    return item.kind == CursorKind.DECL_REF_EXPR and item.referenced == variable


def _check_index(
    function: Function,
    pointer: Cursor,
    index: Cursor,
    conditional: bool,
    loop: Loop | None,
    findings: Findings,
) -> None:
    where, name = ast.place(index), f"'{pointer.spelling}' in '{function.name}'"
    if conditional:
        hint = "a burst needs an access in every iteration; move the condition behind a stream"
        findings.add("memory-port", where, f"{name} is accessed under a condition", hint)
    if loop is None:
        return
    if not _unit_stride(ast.strip(index), loop):
        message = f"the index of {name} is not the loop's counter plus something that stays the same"
        findings.add(
            "memory-port", where, message, "lay the data out in the order of use and read it straight on"
        )


def _unit_stride(index: Cursor, loop: Loop) -> bool:
    """Whether `index` is counter + invariant, so that consecutive iterations touch consecutive addresses."""
    written = ast.assigned_variables(loop.body)
    uses = [variable.get_usr() for variable in ast.variables(index)]
    if uses.count(loop.counter) != 1 or written & set(uses):
        return False
    while index.kind == CursorKind.BINARY_OPERATOR:
        if ast.operator(index) not in (ast.ADD, ast.SUB):
            return False
        left, right = map(ast.strip, ast.children(index))
        on_right = loop.counter in [variable.get_usr() for variable in ast.variables(right)]
        if on_right and ast.operator(index) == ast.SUB:
            return False
        index = right if on_right else left
    return index.kind == CursorKind.DECL_REF_EXPR
