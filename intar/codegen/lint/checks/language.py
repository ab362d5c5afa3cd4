"""Checks `language`, `arithmetic` and `blocking`: what synthesis does not know, or knows at too high a price."""

from __future__ import annotations

from collections.abc import Iterator

from intar.codegen.lint import clang_ast as ast
from intar.codegen.lint.checks import Options
from intar.codegen.lint.clang_ast import Cursor, CursorKind, TypeKind
from intar.codegen.lint.finding import Findings
from intar.codegen.lint.functions import Function
from intar.codegen.lint.kernel import Kernel
from intar.codegen.lint.pragmas import host_only_lines

FORBIDDEN = {
    CursorKind.CXX_NEW_EXPR: "new",
    CursorKind.CXX_DELETE_EXPR: "delete",
    CursorKind.CXX_THROW_EXPR: "throw",
    CursorKind.CXX_TRY_STMT: "try",
    CursorKind.CXX_DYNAMIC_CAST_EXPR: "dynamic_cast",
    CursorKind.CXX_TYPEID_EXPR: "typeid",
    CursorKind.GOTO_STMT: "goto",
    CursorKind.INDIRECT_GOTO_STMT: "goto",
}
ALLOCATORS = frozenset({"malloc", "calloc", "realloc", "free", "alloca", "aligned_alloc"})
HOST_CALLS = frozenset(
    {
        "printf",
        "fprintf",
        "puts",
        "putchar",
        "sprintf",
        "snprintf",
        "exit",
        "abort",
        "fopen",
        "getenv",
        "rand",
        "time",
    }
)
FLOATS = frozenset({TypeKind.FLOAT, TypeKind.DOUBLE, TypeKind.LONGDOUBLE, TypeKind.HALF, TypeKind.FLOAT128})
HOST_TYPES = (
    "std::vector<",
    "std::basic_string<",
    "std::__cxx11::basic_string<",
    "std::map<",
    "std::unordered_map<",
    "std::set<",
    "std::deque<",
    "std::list<",
    "std::function<",
    "std::unique_ptr<",
    "std::shared_ptr<",
    "std::basic_ostream<",
    "std::basic_istream<",
    "std::thread",
)
BLOCKING = frozenset({"r", "w", "operator>>", "operator<<"})


def synthesised(function: Function) -> Iterator[Cursor]:
    """Every cursor in a function that synthesis sees."""
    hidden = host_only_lines(function.place.file)
    for item in function.items:
        if item.location.line not in hidden:
            yield item


def check_language(kernel: Kernel, options: Options, findings: Findings) -> None:
    """The subset of C++ that every function reachable from the top may use."""
    _check_recursion(kernel, findings)
    for function in kernel.functions.values():
        if function.cursor.kind == CursorKind.CXX_METHOD and function.cursor.is_virtual_method():
            findings.add("language", function.place, f"'{function.name}' is virtual", "call it directly")
        for item in synthesised(function):
            problem = _problem(item)
            if problem:
                what, hint = problem
                findings.add("language", ast.place(item), f"'{function.name}' uses {what}", hint)
        for parameter in function.parameters:
            if _pointer_depth(parameter.type) > 1:
                message = f"'{parameter.spelling}' is a pointer to a pointer"
                findings.add("language", ast.place(parameter), message, "pass the array itself")


def _check_recursion(kernel: Kernel, findings: Findings) -> None:
    for key, function in kernel.functions.items():
        if any(key in kernel.calls[other.cursor.get_usr()] for other in kernel.callees(function)):
            findings.add("language", function.place, f"'{function.name}' is recursive", "write it as a loop")


def _problem(item: Cursor) -> tuple[str, str] | None:
    if item.kind in FORBIDDEN:
        return FORBIDDEN[item.kind], "hardware has no such thing"
    if item.kind == CursorKind.CALL_EXPR:
        if item.spelling in ALLOCATORS:
            return f"{item.spelling}()", "declare an array of constant size"
        if item.spelling in HOST_CALLS:
            return f"{item.spelling}()", "put it under #ifndef __SYNTHESIS__"
        if item.referenced is not None and item.referenced.kind in (
            CursorKind.VAR_DECL,
            CursorKind.PARM_DECL,
        ):
            return "a function pointer", "call the function by name"
        target = item.referenced
        if target is not None and target.kind == CursorKind.CXX_METHOD and target.is_virtual_method():
            return "a virtual call", "call it directly"
    if item.kind == CursorKind.VAR_DECL:
        return _problem_of_type(item)
    if item.kind in (CursorKind.CSTYLE_CAST_EXPR, CursorKind.CXX_REINTERPRET_CAST_EXPR):
        inner = [child for child in item.get_children() if child.kind.is_expression()]
        if ast.is_pointer(item.type) and inner and _addresses(ast.strip(inner[-1])):
            return "a cast between pointers", "convert element by element"
    return None


def _addresses(value: Cursor) -> bool:
    return ast.is_pointer(value.type) or bool(ast.array_shape(value.type))


def _problem_of_type(variable: Cursor) -> tuple[str, str] | None:
    kind = ast.plain_type(variable.type)
    name = ast.type_name(variable.type)
    if kind.kind in (TypeKind.VARIABLEARRAY, TypeKind.DEPENDENTSIZEDARRAY):
        return f"the variable-length array '{variable.spelling}'", "give it a constant size"
    if name.startswith(HOST_TYPES):
        return (
            f"'{variable.spelling}' of type {name.partition('<')[0]}",
            "use arrays, streams and hls::vector",
        )
    if _pointer_depth(kind) > 1:
        return f"'{variable.spelling}', a pointer to a pointer", "use an array"
    if kind.kind == TypeKind.POINTER and kind.get_pointee().get_canonical().kind == TypeKind.FUNCTIONPROTO:
        return f"'{variable.spelling}', a function pointer", "call the function by name"
    return None


def _pointer_depth(kind: ast.Type) -> int:
    kind, depth = ast.plain_type(kind), 0
    while kind.kind == TypeKind.POINTER:
        kind, depth = kind.get_pointee().get_canonical(), depth + 1
    return depth


def check_arithmetic(kernel: Kernel, options: Options, findings: Findings) -> None:
    """No floating point (unless allowed for the function), no division of 64 bits or by variables."""
    for function in kernel.functions.values():
        unrolled = {
            loop.counter for loop in function.loops if loop.pragma("unroll") and loop.trip is not None
        }
        for item in synthesised(function):
            is_value = item.kind.is_expression() or item.kind == CursorKind.VAR_DECL
            if (
                is_value
                and item.type.get_canonical().kind in FLOATS
                and function.name not in options.float_functions
            ):
                message = f"'{function.name}' computes in floating point"
                findings.add(
                    "arithmetic", ast.place(item), message, "use integers as docs/numerics.md defines them"
                )
            if item.kind in (CursorKind.BINARY_OPERATOR, CursorKind.COMPOUND_ASSIGNMENT_OPERATOR):
                _check_division(function, item, unrolled, findings)


def _check_division(function: Function, item: Cursor, unrolled: set[str], findings: Findings) -> None:
    symbol = ast.DIVISIONS.get(ast.operator(item))
    if symbol is None or ast.constant(item) is not None:
        return
    left, right = ast.children(item)
    if ast.plain_type(item.type).kind in FLOATS:
        return
    mentioned = {variable.get_usr() for variable in ast.variables(left)} | {
        v.get_usr() for v in ast.variables(right)
    }
    variable = {usr for usr in mentioned if usr not in unrolled and not _is_constant(left, right, usr)}
    if not variable:
        return  # unrolled: it is a constant in each copy
    divisor = ast.constant(right)
    where = ast.place(item)
    if divisor is None:
        message = f"'{function.name}' computes {symbol} with a variable divisor"
        findings.add(
            "arithmetic", where, message, "a divider of 30 stages and more; multiply by a reciprocal or count"
        )
    elif divisor > 0 and divisor & (divisor - 1) == 0:
        return
    elif ast.plain_type(item.type).get_size() > 4:
        findings.add(
            "arithmetic", where, f"'{function.name}' divides 64 bits by {divisor}", "use a power of two"
        )
    else:
        message = f"'{function.name}' computes {symbol} {divisor}, which is no power of two"
        findings.add("arithmetic", where, message, "keep a counter that wraps, or use a power of two")


def _is_constant(left: Cursor, right: Cursor, usr: str) -> bool:
    for side in (left, right):
        for item in side.walk_preorder():
            refers = item.kind == CursorKind.DECL_REF_EXPR and item.referenced is not None
            if refers and item.referenced.get_usr() == usr and ast.constant(item) is None:
                return False
    return True


def check_blocking(kernel: Kernel, options: Options, findings: Findings) -> None:
    """Only read() and write(): whatever else a stream offers depends on time."""
    for function in kernel.functions.values():
        hidden = host_only_lines(function.place.file)
        for variable, use, call in kernel.stream_uses(function.body):
            if use not in BLOCKING and call.spelling == use and call.location.line not in hidden:
                message = f"'{function.name}' calls {use}() of stream '{variable.spelling}'"
                hint = "use blocking read() and write() only; anything else makes the result depend on time"
                findings.add("blocking", ast.place(call), message, hint)
