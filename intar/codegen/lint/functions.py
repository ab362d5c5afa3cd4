"""A function as the checks see it: its loops, how often these run, and the pragmas of each block."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cached_property

from intar.codegen.lint import clang_ast as ast
from intar.codegen.lint.clang_ast import Cursor, CursorKind
from intar.codegen.lint.finding import Place
from intar.codegen.lint.pragmas import Pragma, pragmas_in

LOOPS = (CursorKind.FOR_STMT, CursorKind.WHILE_STMT, CursorKind.DO_STMT, CursorKind.CXX_FOR_RANGE_STMT)


@dataclass(eq=False)
class Loop:
    """One loop of a function; `trip` is its constant number of iterations, `counter` the USR of its variable."""

    cursor: Cursor
    function: Function
    parent: Loop | None
    label: str
    body: Cursor
    counter: str = ""
    trip: int | None = None
    canonical: bool = False
    pragmas: list[Pragma] = field(default_factory=list)

    @property
    def title(self) -> str:
        """How messages call it."""
        return f"loop {self.label}" if self.label else "loop"

    @property
    def place(self) -> Place:
        """Where it begins."""
        return ast.place(self.cursor)

    def pragma(self, name: str) -> Pragma | None:
        """The pragma of this name in its body, unless it says ``off``."""
        for pragma in self.pragmas:
            if pragma.name == name and not (pragma.has("off") and pragma.get("off") != "false"):
                return pragma
        return None


@dataclass(eq=False)
class Function:
    """A function with a body, a template instance included; `loops` in order, outer ones first."""

    cursor: Cursor
    name: str
    body: Cursor
    loops: list[Loop] = field(default_factory=list)
    pragmas: list[Pragma] = field(default_factory=list)
    misplaced: list[tuple[Pragma, str]] = field(default_factory=list)

    @property
    def place(self) -> Place:
        """Where it begins."""
        return ast.place(self.cursor)

    @property
    def parameters(self) -> list[Cursor]:
        """Its parameters."""
        return [child for child in self.cursor.get_children() if child.kind == CursorKind.PARM_DECL]

    @cached_property
    def items(self) -> list[Cursor]:
        """Every cursor of its body, in the order of the source: libclang gives each anew, and most checks look at all."""
        return list(self.body.walk_preorder())

    @cached_property
    def calls(self) -> list[Cursor]:
        """The calls among these."""
        return [item for item in self.items if item.kind == CursorKind.CALL_EXPR]

    def pragma(self, name: str) -> Pragma | None:
        """The first pragma of this name in the function's outermost block."""
        return next((pragma for pragma in self.pragmas if pragma.name == name), None)

    def all_pragmas(self) -> Iterator[tuple[Pragma, Loop | None]]:
        """Every pragma with the loop it belongs to."""
        for pragma in self.pragmas:
            yield pragma, None
        for loop in self.loops:
            for pragma in loop.pragmas:
                yield pragma, loop


def read_function(cursor: Cursor, body: Cursor, hidden: frozenset[int]) -> Function:
    """The function with this body; loops on the lines of `hidden`, which only the host compiles, do not count."""
    function = Function(cursor, cursor.spelling, body)
    _collect_loops(function, body, None, "", hidden)
    _attach_pragmas(function)
    return function


def _collect_loops(
    function: Function, cursor: Cursor, parent: Loop | None, label: str, hidden: frozenset[int]
) -> None:
    for child in cursor.get_children():
        if child.kind in LOOPS and child.extent.start.line not in hidden:
            loop = Loop(child, function, parent, label, ast.children(child)[-1])
            if child.kind == CursorKind.DO_STMT:
                loop.body = ast.children(child)[0]
            _measure(loop)
            function.loops.append(loop)
            _collect_loops(function, child, loop, "", hidden)
        else:
            below = child.spelling if child.kind == CursorKind.LABEL_STMT else ""
            _collect_loops(function, child, parent, below, hidden)


def _measure(loop: Loop) -> None:
    """Recognise ``for (int i = a; i < b; i += c)`` and count its iterations where they are constant."""
    parts = ast.children(loop.cursor)
    if loop.cursor.kind != CursorKind.FOR_STMT or len(parts) != 4 or parts[0].kind != CursorKind.DECL_STMT:
        return
    declared = ast.children(parts[0])
    condition = ast.strip(parts[1])
    if len(declared) != 1 or condition.kind != CursorKind.BINARY_OPERATOR:
        return
    variable = declared[0]
    left, right = (ast.strip(side) for side in ast.children(condition))
    compare = ast.COMPARISONS.get(ast.operator(condition))
    step = _step(ast.strip(parts[2]), variable.get_usr())
    if (
        compare is None
        or left.referenced is None
        or left.referenced.get_usr() != variable.get_usr()
        or not step
    ):
        return
    loop.counter, loop.canonical = variable.get_usr(), True
    start = ast.children(variable)
    first = ast.constant(start[-1]) if start else None
    last = ast.constant(right)
    if first is None or last is None:
        return
    reached = {
        "<": range(first, last, step) if step > 0 else None,
        "<=": range(first, last + 1, step) if step > 0 else None,
        ">": range(first, last, step) if step < 0 else None,
        ">=": range(first, last - 1, step) if step < 0 else None,
        "!=": range(first, last, step) if (last - first) % step == 0 else None,
    }[compare]
    if reached is None:
        loop.canonical = False
    else:
        loop.trip = len(reached)


def _step(increment: Cursor, counter: str) -> int | None:
    parts = ast.children(increment)
    target = ast.base_variable(parts[0]) if parts else None
    if target is None or target.get_usr() != counter:
        return None
    number = ast.operator(increment)
    if increment.kind == CursorKind.UNARY_OPERATOR:
        return 1 if number in ast.INCREMENTS else -1 if number in ast.DECREMENTS else None
    if increment.kind == CursorKind.COMPOUND_ASSIGNMENT_OPERATOR and number in (
        ast.ADD_ASSIGN,
        ast.SUB_ASSIGN,
    ):
        amount = ast.constant(parts[1])
        return None if amount is None else amount if number == ast.ADD_ASSIGN else -amount
    return None


def _attach_pragmas(function: Function) -> None:
    """Give each pragma to the innermost block around it: the function, a loop, or (misplaced) something else."""
    blocks: list[tuple[int, int, Cursor, object]] = []
    owners = {loop.body.hash: loop for loop in function.loops}

    def visit(cursor: Cursor, owner: object) -> None:
        if cursor.kind == CursorKind.COMPOUND_STMT:
            owner = owners.get(cursor.hash) or (function if cursor == function.body else "block")
            blocks.append((cursor.extent.start.line, cursor.extent.end.line, cursor, owner))
        for child in cursor.get_children():
            visit(child, owner)

    visit(function.body, function)
    for pragma in pragmas_in(function.place.file):
        around = [block for block in blocks if block[0] <= pragma.line <= block[1]]
        if not around:
            continue
        _, _, block, owner = min(around, key=lambda item: (item[1] - item[0], -item[0]))
        if isinstance(owner, Function | Loop):
            owner.pragmas.append(pragma)
            first = next((child for child in block.get_children()), None)
            if first is not None and first.extent.start.line < pragma.line:
                function.misplaced.append((pragma, "late"))
        else:
            function.misplaced.append((pragma, "block"))
