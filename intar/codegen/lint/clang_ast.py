"""The door to libclang: parsing, operators and constants (its Python part lacks them), helpers.

Instantiated templates are ordinary functions here: a call refers to the instance, whose body has concrete types.
"""

from __future__ import annotations

import ctypes
import subprocess
from collections.abc import Iterator, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

from intar.assets import asset_dir
from intar.codegen.lint.finding import Place
from intar.engine.build import find_compiler, no_compiler
from intar.errors import Finding, ToolError

try:
    from clang import cindex
    from clang.cindex import CursorKind, TypeKind
except ImportError as error:  # the extra is not installed
    raise ToolError(
        Finding(
            "the HLS linter needs libclang, which is not installed",
            where="intar.codegen.lint",
            hint="pip install 'intar[lint]' (libclang 18.1.1)",
        )
    ) from error

Cursor = Any
Type = Any

RUNTIME = asset_dir("sim") / "csim"
"""The headers that generated C++ runs with here."""

RUNTIME_HEADERS = frozenset(path.name for path in RUNTIME.glob("*.h")) | {
    "hls_burst_maxi.h",
    "ap_int.h",
}
"""Headers whose inside is never synthesised as the user's code."""

HEADERS = Path(__file__).parent / "headers"
"""Declarations of streams and tasks: quicker to parse than the simulation, and with all that Vitis offers."""

ASSIGNMENTS = frozenset(range(22, 33))  # BO_Assign .. BO_OrAssign
COMPARISONS = {11: "<", 12: ">", 13: "<=", 14: ">=", 16: "!="}
DIVISIONS = {4: "/", 5: "%", 24: "/=", 25: "%="}
ADD, SUB, MUL = 6, 7, 3
ADD_ASSIGN, SUB_ASSIGN = 26, 27
INCREMENTS = frozenset({1, 3})
DECREMENTS = frozenset({2, 4})

_TRANSPARENT = frozenset({CursorKind.UNEXPOSED_EXPR, CursorKind.PAREN_EXPR, CursorKind.CXX_STATIC_CAST_EXPR})


@lru_cache(maxsize=1)
def system_includes() -> tuple[str, ...]:
    """Include directories of the C++ compiler: PyPI's libclang brings no built-in headers of its own."""
    compiler = find_compiler()
    if compiler is None:
        raise ToolError(no_compiler("the linter reads its headers"))
    command = [compiler, "-std=c++14", "-E", "-x", "c++", "-v", "/dev/null"]
    text = subprocess.run(command, capture_output=True, text=True, check=False).stderr
    listed = text.partition("#include <...> search starts here:")[2].partition("End of search list")[0]
    return tuple(line.strip() for line in listed.splitlines() if line.strip())


def parse(path: Path, include_dirs: Sequence[Path]) -> tuple[Any, list[tuple[Place, str]]]:
    """Parse one file as C++14; return the translation unit and the errors of the compiler.

    Of files ``*.inc`` beside it, or a folder below, nothing is read: they are the rows of arrays of constants, and each
    number would be a node (a megabyte of them: 25 s).
    """
    arguments = ["-std=c++14", "-x", "c++", "-nostdinc", "-nostdinc++", "-Wno-unknown-pragmas"]
    arguments += [f"-I{directory}" for directory in (HEADERS, *include_dirs, RUNTIME)]
    for directory in system_includes():
        arguments += ["-isystem", directory]
    rows = [(str(file), "") for pattern in ("*.inc", "*/*.inc") for file in path.parent.glob(pattern)]
    unit = cindex.Index.create().parse(str(path), args=arguments, unsaved_files=rows)
    errors = []
    for diagnostic in unit.diagnostics:
        if diagnostic.severity >= cindex.Diagnostic.Error:
            location = diagnostic.location
            file = location.file.name if location.file else str(path)
            errors.append((Place(file, location.line), diagnostic.spelling))
    return unit, errors


@lru_cache(maxsize=1)
def _library() -> Any:
    library = cindex.conf.lib
    library.clang_getCursorBinaryOperatorKind.argtypes = [cindex.Cursor]
    library.clang_getCursorUnaryOperatorKind.argtypes = [cindex.Cursor]
    library.clang_Cursor_Evaluate.argtypes = [cindex.Cursor]
    library.clang_Cursor_Evaluate.restype = ctypes.c_void_p
    library.clang_EvalResult_getKind.argtypes = [ctypes.c_void_p]
    library.clang_EvalResult_getAsLongLong.argtypes = [ctypes.c_void_p]
    library.clang_EvalResult_getAsLongLong.restype = ctypes.c_longlong
    library.clang_EvalResult_dispose.argtypes = [ctypes.c_void_p]
    library.clang_EvalResult_dispose.restype = None
    return library


def operator(cursor: Cursor) -> int:
    """Number of the operator of a binary, compound-assignment or unary expression."""
    if cursor.kind == CursorKind.UNARY_OPERATOR:
        return int(_library().clang_getCursorUnaryOperatorKind(cursor))
    return int(_library().clang_getCursorBinaryOperatorKind(cursor))


def constant(cursor: Cursor) -> int | None:
    """Value of an integer constant expression, else None."""
    library = _library()
    result = library.clang_Cursor_Evaluate(cursor)
    if not result:
        return None
    try:
        if library.clang_EvalResult_getKind(result) != 1:
            return None
        return int(library.clang_EvalResult_getAsLongLong(result))
    finally:
        library.clang_EvalResult_dispose(result)


def place(cursor: Cursor) -> Place:
    """File and line where `cursor` begins."""
    location = cursor.extent.start
    return Place(location.file.name if location.file else "", location.line)


def children(cursor: Cursor) -> list[Cursor]:
    """The children of `cursor`."""
    return list(cursor.get_children())


def strip(cursor: Cursor) -> Cursor:
    """`cursor` without implicit casts, static casts and parentheses."""
    while cursor.kind in _TRANSPARENT:
        inner = [child for child in cursor.get_children() if child.kind.is_expression()]
        if len(inner) != 1:
            break
        cursor = inner[0]
    return cursor


def base_variable(cursor: Cursor) -> Cursor | None:
    """The variable or parameter that an lvalue expression such as ``a[i].b`` lies in."""
    cursor = strip(cursor)
    while cursor.kind in (CursorKind.ARRAY_SUBSCRIPT_EXPR, CursorKind.MEMBER_REF_EXPR, CursorKind.CALL_EXPR):
        inner = children(cursor)
        if cursor.kind == CursorKind.CALL_EXPR and cursor.spelling != "operator[]":
            return None
        if not inner:
            return None
        cursor = strip(inner[0])
    if cursor.kind == CursorKind.DECL_REF_EXPR and is_variable(cursor.referenced):
        return cursor.referenced
    return None


def is_variable(cursor: Cursor | None) -> bool:
    """Whether `cursor` declares a variable or a parameter."""
    return cursor is not None and cursor.kind in (CursorKind.VAR_DECL, CursorKind.PARM_DECL)


def variables(cursor: Cursor) -> Iterator[Cursor]:
    """The variables and parameters that an expression mentions."""
    for item in cursor.walk_preorder():
        if item.kind == CursorKind.DECL_REF_EXPR and is_variable(item.referenced):
            yield item.referenced


def plain_type(kind: Type) -> Type:
    """The canonical type without references."""
    kind = kind.get_canonical()
    while kind.kind in (TypeKind.LVALUEREFERENCE, TypeKind.RVALUEREFERENCE):
        kind = kind.get_pointee().get_canonical()
    return kind


def type_name(kind: Type) -> str:
    """Canonical spelling of a type without ``const`` in front."""
    return str(plain_type(kind).spelling).removeprefix("const ").strip()


def is_stream(kind: Type) -> bool:
    """Whether a type is a stream, a reference to one or an array of them."""
    return type_name(kind).startswith("hls::stream<")


def is_pointer(kind: Type) -> bool:
    """Whether a type is a pointer (an array parameter counts as one)."""
    return plain_type(kind).kind in (TypeKind.POINTER, TypeKind.INCOMPLETEARRAY)


def array_shape(kind: Type) -> tuple[int, ...]:
    """Dimensions of an array type; empty when it is none."""
    kind = plain_type(kind)
    shape = []
    while kind.kind == TypeKind.CONSTANTARRAY:
        shape.append(int(kind.element_count))
        kind = kind.element_type.get_canonical()
    return tuple(shape)


def target(cursor: Cursor) -> Cursor | None:
    """What an assignment writes to; None of anything else."""
    if (
        cursor.kind
        in (
            CursorKind.BINARY_OPERATOR,
            CursorKind.COMPOUND_ASSIGNMENT_OPERATOR,
        )
        and operator(cursor) in ASSIGNMENTS
    ):
        return children(cursor)[0]
    if cursor.kind == CursorKind.CALL_EXPR and cursor.spelling == "operator=":
        return children(cursor)[0]
    return None


def assigned_variables(cursor: Cursor) -> set[str]:
    """USRs of the variables that are written somewhere in `cursor`, by assignment or increment."""
    written = set()
    for item in cursor.walk_preorder():
        kinds = (CursorKind.BINARY_OPERATOR, CursorKind.COMPOUND_ASSIGNMENT_OPERATOR)
        changes = item.kind in kinds and operator(item) in ASSIGNMENTS
        if item.kind == CursorKind.UNARY_OPERATOR:
            changes = operator(item) in INCREMENTS | DECREMENTS
        if changes:
            target = base_variable(children(item)[0])
            if target is not None:
                written.add(target.get_usr())
    return written


def callee(call: Cursor) -> Cursor | None:
    """Definition of the function that a call goes to, if it is in this translation unit."""
    target = call.referenced
    if target is None or target.kind not in (CursorKind.FUNCTION_DECL, CursorKind.CXX_METHOD):
        return None
    return target.get_definition() or target


def call_arguments(call: Cursor) -> list[Cursor]:
    """Arguments of a call."""
    return [argument for argument in call.get_arguments() if argument is not None]
