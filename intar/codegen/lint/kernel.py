"""The kernel as the checks see it: functions reachable from the top, streams and processes."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from intar.codegen.lint import clang_ast as ast
from intar.codegen.lint.clang_ast import Cursor, CursorKind
from intar.codegen.lint.finding import Findings, Place
from intar.codegen.lint.functions import Function, Loop, read_function
from intar.codegen.lint.pragmas import Pragma, host_only_lines, pragmas_in

FUNCTIONS = (CursorKind.FUNCTION_DECL, CursorKind.CXX_METHOD, CursorKind.CONSTRUCTOR)
BODIES = (*FUNCTIONS, CursorKind.FUNCTION_TEMPLATE, CursorKind.DESTRUCTOR, CursorKind.CONVERSION_FUNCTION)
SCOPES = (
    CursorKind.NAMESPACE,
    CursorKind.LINKAGE_SPEC,
    CursorKind.UNEXPOSED_DECL,
    CursorKind.STRUCT_DECL,
    CursorKind.CLASS_DECL,
    CursorKind.CLASS_TEMPLATE,
)


@dataclass(eq=False)
class Process:
    """A call (``control``) or a task in the body of the top function, in order; `streams` by parameter index."""

    kind: str
    function: Function | None
    name: str
    place: Place
    arguments: list[Cursor]
    callee: Cursor | None


class Kernel:
    """Everything reachable from the function `top` of some translation units."""

    def __init__(self, units: Sequence[object], top: str):
        self.units = units
        self.functions: dict[str, Function] = {}
        self._definitions: dict[str, Cursor] = {}
        self._directions: dict[str, dict[int, set[str]]] = {}
        self._loops: dict[tuple[int, int], Loop] = {}
        self.extents: dict[str, list[tuple[int, int]]] = {}
        self.calls: dict[str, set[str]] = {}
        for unit in units:
            self._index(unit.cursor)  # type: ignore[attr-defined]
        tops = [cursor for cursor in self._definitions.values() if cursor.spelling == top]
        self.top: Function | None = None
        if tops:
            self.top = self._reach(tops[0])

    # ---- finding functions -------------------------------------------------------------------------------------
    def _index(self, scope: Cursor) -> None:
        for cursor in scope.get_children():
            file = cursor.location.file
            if (
                file is None
                or cursor.location.is_in_system_header
                or Path(file.name).name in ast.RUNTIME_HEADERS
            ):
                continue
            if cursor.kind in SCOPES:
                self._index(cursor)
            elif cursor.kind in BODIES and cursor.is_definition():
                extent = cursor.extent
                self.extents.setdefault(file.name, []).append((extent.start.line, extent.end.line))
                if cursor.kind in FUNCTIONS:
                    self._definitions.setdefault(cursor.get_usr(), cursor)

    def definition(self, target: Cursor) -> Cursor | None:
        """The definition of a function of ours; None for library functions."""
        found = self._definitions.get(target.get_usr()) or target.get_definition()
        if found is None or found.location.file is None or found.location.is_in_system_header:
            return None
        return None if Path(found.location.file.name).name in ast.RUNTIME_HEADERS else found

    def _reach(self, cursor: Cursor) -> Function | None:
        key = cursor.get_usr()
        if key in self.functions:
            return self.functions[key]
        body = next(
            (child for child in cursor.get_children() if child.kind == CursorKind.COMPOUND_STMT), None
        )
        if body is None:
            return None
        hidden = host_only_lines(ast.place(cursor).file)
        function = read_function(cursor, body, hidden)
        self.functions[key] = function
        self._loops.update({(loop.cursor.hash, loop.place.line): loop for loop in function.loops})
        self.calls[key] = set()
        for item in function.items:
            if item.kind not in (CursorKind.CALL_EXPR, CursorKind.DECL_REF_EXPR):
                continue
            target = item.referenced
            if target is None or target.kind not in FUNCTIONS or item.location.line in hidden:
                continue
            definition = self.definition(target)
            if definition is not None:
                self.calls[key].add(definition.get_usr())
                self._reach(definition)
        return function

    def function_of(self, call: Cursor) -> Function | None:
        """The function of ours that a call or a reference goes to."""
        target = call.referenced
        if target is None or target.kind not in FUNCTIONS:
            return None
        definition = self.definition(target)
        return self.functions.get(definition.get_usr()) if definition is not None else None

    def loop_at(self, cursor: Cursor) -> Loop | None:
        """The loop of a function of ours that a cursor is the statement of."""
        return self._loops.get((cursor.hash, cursor.extent.start.line))

    def callees(self, function: Function) -> Iterator[Function]:
        """`function` and everything that it calls, each once."""
        seen: set[str] = set()
        waiting = [function.cursor.get_usr()]
        while waiting:
            key = waiting.pop()
            if key not in seen and key in self.functions:
                seen.add(key)
                yield self.functions[key]
                waiting.extend(sorted(self.calls[key]))

    @property
    def files(self) -> list[str]:
        """Files with functions of ours."""
        return sorted(self.extents)

    # ---- streams ------------------------------------------------------------------------------------------------
    def stream_uses(self, part: Cursor) -> Iterator[tuple[Cursor, str, Cursor]]:
        """Every use of a stream in `part`: its variable, ``r`` or ``w`` (or the method's name), the call."""
        for call in part.walk_preorder():
            if call.kind != CursorKind.CALL_EXPR:
                continue
            inner = ast.children(call)
            if inner and inner[0].kind == CursorKind.MEMBER_REF_EXPR:
                owner = ast.children(inner[0])
                variable = ast.base_variable(owner[0]) if owner else None
                if variable is not None and ast.is_stream(_element(variable.type)):
                    yield variable, {"read": "r", "write": "w"}.get(call.spelling, call.spelling), call
                    continue
            arguments = ast.call_arguments(call)
            if call.spelling in ("operator>>", "operator<<") and arguments:
                variable = ast.base_variable(arguments[0])
                if variable is not None and ast.is_stream(_element(variable.type)):
                    yield variable, "r" if call.spelling == "operator>>" else "w", call
                    continue
            function = self.function_of(call)
            if function is None:
                continue
            directions = self.directions(function)
            for index, argument in enumerate(arguments):
                variable = ast.base_variable(argument)
                for use in sorted(directions.get(index, ())):
                    if variable is not None:
                        yield variable, use, call

    def directions(self, function: Function) -> dict[int, set[str]]:
        """For each stream parameter of a function, what is done with it."""
        key = function.cursor.get_usr()
        if key not in self._directions:
            self._directions[key] = {}
            index = {parameter.get_usr(): i for i, parameter in enumerate(function.parameters)}
            found: dict[int, set[str]] = {
                i: set()
                for i, parameter in enumerate(function.parameters)
                if ast.is_stream(_element(parameter.type))
            }
            for variable, use, _ in self.stream_uses(function.body):
                if variable.get_usr() in index:
                    found.setdefault(index[variable.get_usr()], set()).add(use)
            self._directions[key] = found
        return self._directions[key]

    # ---- the DATAFLOW region -----------------------------------------------------------------------------------
    def processes(self) -> list[Process]:
        """Calls and tasks in the body of the top function, in order."""
        found: list[Process] = []
        for statement in ast.children(self.top.body) if self.top else ():
            if statement.kind == CursorKind.DECL_STMT:
                for variable in ast.children(statement):
                    if variable.kind == CursorKind.VAR_DECL and ast.type_name(variable.type) == "hls::task":
                        found.append(self._task(variable))
            else:
                call = ast.strip(statement)
                if call.kind == CursorKind.CALL_EXPR:
                    function = self.function_of(call)
                    found.append(
                        Process(
                            "control",
                            function,
                            call.spelling,
                            ast.place(call),
                            ast.call_arguments(call),
                            call.referenced,
                        )
                    )
        return found

    def _task(self, variable: Cursor) -> Process:
        call = next(
            (item for item in variable.walk_preorder() if item.kind == CursorKind.CALL_EXPR), variable
        )
        arguments = [ast.strip(item) for item in ast.children(call) if item.kind.is_expression()]
        target = next((item for item in arguments[:1] if item.referenced is not None), None)
        function = self.function_of(target) if target is not None else None
        name = target.referenced.spelling if target is not None else variable.spelling
        callee = target.referenced if target is not None else None
        return Process("task", function, name, ast.place(variable), arguments[1:], callee)


def _element(kind: ast.Type) -> ast.Type:
    """The element type of an array of streams, else the type itself."""
    kind = ast.plain_type(kind)
    while kind.kind in (ast.TypeKind.CONSTANTARRAY, ast.TypeKind.INCOMPLETEARRAY, ast.TypeKind.POINTER):
        pointee = kind.get_pointee() if kind.kind == ast.TypeKind.POINTER else kind.element_type
        kind = pointee.get_canonical()
    return kind


def parse_kernel(
    files: Sequence[Path], top: str, include_dirs: Sequence[Path], findings: Findings
) -> tuple[Kernel, list[Pragma]]:
    """Parse the files; the errors of the compiler become findings. Also returns every pragma of the user's files."""
    units = []
    for file in files:
        unit, errors = ast.parse(file, include_dirs)
        units.append(unit)
        for where, message in errors:
            findings.add("parse", where, message, "nothing that depends on this is checked; correct it first")
    kernel = Kernel(units, top)
    if kernel.top is None:
        message = f"there is no function '{top}' with a body"
        findings.add("parse", Place(str(files[0]), 0), message, "name the top function with --top")
    listed = sorted({str(file) for file in files} | set(kernel.files))
    return kernel, [pragma for file in listed for pragma in pragmas_in(file)]
