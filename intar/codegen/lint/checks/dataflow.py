"""Checks `dataflow`, `stream` and `task`: the region of the top function and what passes between its processes."""

from __future__ import annotations

import re

from intar.codegen.lint import clang_ast as ast
from intar.codegen.lint.checks import Options
from intar.codegen.lint.checks.memory import exchanges
from intar.codegen.lint.clang_ast import Cursor, CursorKind, TypeKind
from intar.codegen.lint.finding import Findings
from intar.codegen.lint.kernel import Kernel, Process

_FORM = "a DATAFLOW body has only declarations of streams and tasks, and calls"


def check_region(kernel: Kernel, options: Options, findings: Findings) -> None:
    """Canonical body, void callees, plain arguments, declaration order."""
    top = kernel.top
    if top is None:
        return
    if top.pragma("dataflow") is None:
        findings.add(
            "dataflow", top.place, f"'{top.name}' has no DATAFLOW pragma", "add `#pragma HLS DATAFLOW`"
        )
    for statement in ast.children(top.body):
        _check_statement(statement, findings)
    for process in kernel.processes():
        if process.kind == "control":
            _check_call(process, findings)
    _check_order(kernel, findings)


def _check_statement(statement: Cursor, findings: Findings) -> None:
    where = ast.place(statement)
    if statement.kind == CursorKind.DECL_STMT:
        for declared in ast.children(statement):
            if declared.kind != CursorKind.VAR_DECL:
                continue
            name = ast.type_name(_inner(declared.type))
            if not (name.startswith("hls::stream") or name == "hls::task"):
                message = f"'{declared.spelling}' is neither a stream nor a task"
                findings.add("dataflow", where, message, f"{_FORM}; move it into a process")
        return
    inner = ast.strip(statement)
    called = inner.kind == CursorKind.CALL_EXPR and not inner.spelling.startswith("operator")
    if not called and statement.kind != CursorKind.NULL_STMT:
        findings.add("dataflow", where, "a statement in the DATAFLOW body that is no call", _FORM)


def _inner(kind: ast.Type) -> ast.Type:
    kind = ast.plain_type(kind)
    while kind.kind == TypeKind.CONSTANTARRAY:
        kind = kind.element_type.get_canonical()
    return kind


def _check_call(process: Process, findings: Findings) -> None:
    target = process.callee
    if target is not None and target.result_type.get_canonical().kind != TypeKind.VOID:
        findings.add(
            "dataflow", process.place, f"'{process.name}' returns a value", "make it void and use a stream"
        )
    if target is not None and process.function is None:
        findings.add(
            "dataflow", process.place, f"'{process.name}' has no body in these files", "add its source file"
        )
    for argument in process.arguments:
        item = ast.strip(argument)
        if ast.base_variable(item) is None and ast.constant(item) is None:
            message = f"an argument of '{process.name}' is an expression"
            findings.add(
                "dataflow", process.place, message, "pass streams and the top's own arguments as they are"
            )


def stream_ends(kernel: Kernel) -> dict[str, list[tuple[Process, int, str]]]:
    """For each stream of the region (by name): the processes at its ends, their order and ``r`` or ``w``."""
    ends: dict[str, list[tuple[Process, int, str]]] = {}
    for order, process in enumerate(kernel.processes()):
        if process.function is None:
            continue
        directions = kernel.directions(process.function)
        for index, argument in enumerate(process.arguments):
            variable = ast.base_variable(argument)
            if variable is None or index not in directions:
                continue
            name = _stream_name(argument, variable)
            ends.setdefault(name, [])
            for use in sorted(directions[index] & {"r", "w"}):
                ends[name].append((process, order, use))
    return ends


def _stream_name(argument: Cursor, variable: Cursor) -> str:
    """``s`` or, for an element of an array of streams, ``s[2]``."""
    item, indices = ast.strip(argument), ""
    while item.kind == CursorKind.ARRAY_SUBSCRIPT_EXPR:
        base, index = ast.children(item)
        indices = f"[{ast.constant(index)}]" + indices
        item = ast.strip(base)
    return str(variable.spelling) + indices


def _check_order(kernel: Kernel, findings: Findings) -> None:
    for name, ends in stream_ends(kernel).items():
        for writer, written, _ in (end for end in ends if end[2] == "w"):
            for reader, read, _ in (end for end in ends if end[2] == "r"):
                if writer is reader:
                    hint = "a stream joins two processes"
                    findings.add(
                        "dataflow", writer.place, f"'{writer.name}' both writes and reads '{name}'", hint
                    )
                elif reader.kind == "task" and writer.kind == "control" and exchanges(kernel, writer):
                    continue  # no order is canonical; Vitis warns, and the task waits for the words
                elif "control" in (writer.kind, reader.kind) and read < written:
                    message = f"'{reader.name}' reads '{name}' but stands before its writer '{writer.name}'"
                    hint = "order: loads, then tasks, then stores; only tasks may feed back"
                    findings.add("dataflow", reader.place, message, hint)


def check_streams(kernel: Kernel, options: Options, findings: Findings) -> None:
    """One writer and one reader each, a depth in the type, trivially copyable elements."""
    top = kernel.top
    if top is None:
        return
    ends = stream_ends(kernel)
    for statement in ast.children(top.body):
        for variable in ast.children(statement) if statement.kind == CursorKind.DECL_STMT else ():
            if variable.kind != CursorKind.VAR_DECL or not ast.is_stream(_inner(variable.type)):
                continue
            where = ast.place(variable)
            name, spelled = variable.spelling, ast.type_name(_inner(variable.type))
            if not re.search(r", *[1-9]\d*>$", spelled):  # libclang leaves defaulted arguments out
                message = f"stream '{name}' has no depth in its type"
                findings.add(
                    "stream",
                    where,
                    message,
                    "write hls::stream<T, DEPTH>; simulation and synthesis both see it",
                )
            element = _inner(variable.type).get_template_argument_type(0)
            if not element.is_pod() and not _trivially_copyable(element):
                message = f"elements of stream '{name}' ({element.spelling}) are not trivially copyable"
                findings.add("stream", where, message, "use integers, plain structs or hls::vector of them")
            parts = [key for key in ends if key == name or key.startswith(name + "[")] or [name]
            for key in parts:
                _check_ends(key, ends.get(key, []), where, findings)


def _trivially_copyable(kind: ast.Type) -> bool:
    """No user-written copy, assignment or destructor, and members likewise."""
    declaration = kind.get_canonical().get_declaration()
    for item in declaration.get_children():
        if item.kind == CursorKind.DESTRUCTOR and not item.is_default_method():
            return False
        if (
            item.kind == CursorKind.CONSTRUCTOR
            and item.is_copy_constructor()
            and not item.is_default_method()
        ):
            return False
        if (
            item.kind == CursorKind.CXX_METHOD
            and item.spelling == "operator="
            and not item.is_default_method()
        ):
            return False
        if item.kind == CursorKind.CXX_METHOD and item.is_virtual_method():
            return False
    return not ast.type_name(kind).startswith("std::")


def _check_ends(name: str, ends: list[tuple[Process, int, str]], where: object, findings: Findings) -> None:
    for use, role in (("w", "writer"), ("r", "reader")):
        names = [f"'{process.name}'" for process, _, end in ends if end == use]
        if len(names) != 1:
            found = "no" if not names else str(len(names))
            plural = role if len(names) == 0 else role + "s"
            listed = f" ({', '.join(names)})" if names else ""
            message = f"stream '{name}' has {found} {plural}{listed}"
            findings.add("stream", where, message, "a stream joins exactly one writer and one reader")  # type: ignore[arg-type]


def check_tasks(kernel: Kernel, options: Options, findings: Findings) -> None:
    """Stream arguments only, one task a function, no static state."""
    users: dict[str, Process] = {}
    for process in kernel.processes():
        if process.kind != "task":
            continue
        for argument in process.arguments:
            variable = ast.base_variable(argument)
            if variable is None or not ast.is_stream(_inner(variable.type)):
                message = f"an argument of task '{process.name}' is no stream"
                findings.add(
                    "task",
                    process.place,
                    message,
                    "bring it in through a stream from a control-driven process",
                )
        if process.callee is not None:
            key = process.callee.get_usr()
            if key in users:
                message = f"'{process.name}' is used by two tasks"
                hint = "one function a task, or a template<int ID>: the instances would share their memory in csim"
                findings.add("task", process.place, message, hint)
            users.setdefault(key, process)
        if process.function is not None:
            for function in kernel.callees(process.function):
                for item in function.items:
                    static = item.kind == CursorKind.VAR_DECL and item.storage_class.name == "STATIC"
                    if static and not _const(item.type):
                        message = f"'{item.spelling}' in '{function.name}' is static and not const"
                        hint = "it survives from one inference to the next; declare it without static"
                        findings.add("task", ast.place(item), message, hint)


def _const(kind: ast.Type) -> bool:
    kind = kind.get_canonical()
    while kind.kind == TypeKind.CONSTANTARRAY:
        if kind.is_const_qualified():
            return True
        kind = kind.element_type.get_canonical()
    return bool(kind.is_const_qualified())
