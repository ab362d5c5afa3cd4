"""Check `scope`: pragmas stand where they take effect, and what they name exists and fits."""

from __future__ import annotations

from collections.abc import Mapping

from intar.codegen.lint import clang_ast as ast
from intar.codegen.lint.checks import Options
from intar.codegen.lint.clang_ast import Cursor, CursorKind
from intar.codegen.lint.finding import Findings
from intar.codegen.lint.functions import Function, Loop
from intar.codegen.lint.kernel import Kernel
from intar.codegen.lint.pragmas import Pragma, pragmas_in

LOOP_ONLY = frozenset({"unroll", "loop_tripcount", "loop_flatten", "loop_merge"})
FIRST = frozenset({"pipeline", "unroll", "loop_tripcount", "loop_flatten", "dependence"})
FUNCTION_ONLY = frozenset({"interface", "dataflow", "inline", "stable", "function_instantiate"})
ARRAYS = frozenset({"array_partition", "array_reshape", "bind_storage", "dependence"})


def check_scope(kernel: Kernel, options: Options, findings: Findings) -> None:
    """Place and targets of every pragma of the user's files."""
    for file in kernel.files:
        for pragma in pragmas_in(file):
            if not any(first <= pragma.line <= last for first, last in kernel.extents[file]):
                message = f"{pragma.name.upper()} stands outside of any function"
                findings.add(
                    "scope", pragma.place, message, "move it into the function or loop that it is about"
                )
    for function in kernel.functions.values():
        _check_places(function, findings)
        for pragma, loop in function.all_pragmas():
            if pragma.name in LOOP_ONLY and loop is None:
                hint = "put it first in the body of the loop"
                findings.add("scope", pragma.place, f"{pragma.name.upper()} belongs into a loop", hint)
            if pragma.name in FUNCTION_ONLY and loop is not None and pragma.name != "dataflow":
                hint = "put it first in the body of the function"
                findings.add(
                    "scope", pragma.place, f"{pragma.name.upper()} belongs to a function, not to a loop", hint
                )
            _check_target(function, pragma, findings)
            _check_unroll(pragma, loop, findings)


def _check_places(function: Function, findings: Findings) -> None:
    for pragma, fault in function.misplaced:
        if fault == "block":
            message = f"{pragma.name.upper()} stands in a block that is neither a function nor a loop"
            findings.add("scope", pragma.place, message, "move it to the function or loop that it is about")
        elif pragma.name in FIRST or pragma.name in ("interface", "dataflow"):
            message = f"{pragma.name.upper()} does not stand first in its block"
            hint = "put it before the first statement"
            if pragma.name != "dependence" or not _declared_in_block(function, pragma):
                findings.add("scope", pragma.place, message, hint)


def _declared_in_block(function: Function, pragma: Pragma) -> bool:
    """A function-level DEPENDENCE may only follow the declaration of its array."""
    return pragma in function.pragmas and _root(pragma.get("variable")) in visible(function)


def visible(function: Function) -> Mapping[str, Cursor]:
    """Variables and parameters of a function by name."""
    names = {parameter.spelling: parameter for parameter in function.parameters}
    for item in function.items:
        if item.kind == CursorKind.VAR_DECL:
            names.setdefault(item.spelling, item)
    return names


def _root(name: str) -> str:
    for mark in ("[", ".", "->"):
        name = name.partition(mark)[0]
    return name


def _check_target(function: Function, pragma: Pragma, findings: Findings) -> None:
    name = _root(pragma.get("variable"))
    if not name:
        return
    title = pragma.name.upper()
    variable = visible(function).get(name)
    if variable is None:
        message = f"{title} names '{name}', which {function.name} does not declare"
        findings.add(
            "scope", pragma.place, message, "correct the name, or move the pragma to where it is declared"
        )
        return
    if name != pragma.get("variable"):
        return  # a member: its type is not looked into
    shape = ast.array_shape(variable.type)
    pointer = variable.kind == CursorKind.PARM_DECL and ast.is_pointer(variable.type)
    if pragma.name == "stream" and not ast.is_stream(variable.type) and not shape:
        findings.add("scope", pragma.place, f"STREAM names '{name}', which is no stream and no array")
    if pragma.name in ARRAYS and not shape and not pointer and not _vector(variable):
        findings.add("scope", pragma.place, f"{title} names '{name}', which is no array")
    if pragma.name in ("array_partition", "array_reshape") and shape:
        _check_partition(pragma, name, shape, variable, findings)


def _vector(variable: Cursor) -> bool:
    return ast.type_name(variable.type).startswith("hls::vector<")


def _check_partition(
    pragma: Pragma, name: str, shape: tuple[int, ...], variable: Cursor, findings: Findings
) -> None:
    title = pragma.name.upper()
    dim_text = pragma.get("dim", "1")
    dim = int(dim_text) if dim_text.isdigit() else None
    if dim is not None and dim > len(shape):
        message = f"{title}: '{name}' has {len(shape)} dimension(s), there is no dim={dim}"
        findings.add("scope", pragma.place, message)
        return
    factor = integer(pragma.get("factor"), variable)
    kind = partition_kind(pragma)
    if kind in ("block", "cyclic") and not pragma.has("factor"):
        findings.add("scope", pragma.place, f"{title}: type={kind} needs a factor")
    if factor and dim and shape[dim - 1] % factor and shape[dim - 1] > factor:
        message = f"{title}: factor={factor} does not divide dimension {dim} of '{name}' ({shape[dim - 1]})"
        findings.add(
            "scope", pragma.place, message, "the last bank is padded and its addressing costs a divider"
        )


def partition_kind(pragma: Pragma) -> str:
    """``block``, ``cyclic`` or ``complete`` (the default)."""
    if pragma.has("type"):
        return pragma.get("type").lower()
    return next((kind for kind in ("block", "cyclic") if pragma.has(kind)), "complete")


def integer(text: str, near: Cursor) -> int | None:
    """Value of an option: a literal, or a constant that the translation unit of `near` declares."""
    if text.isdigit():
        return int(text)
    if not text.isidentifier():
        return None
    for cursor in near.translation_unit.cursor.get_children():
        if cursor.kind == CursorKind.VAR_DECL and cursor.spelling == text:
            return ast.constant(cursor)
    return None


def _check_unroll(pragma: Pragma, loop: Loop | None, findings: Findings) -> None:
    if pragma.name != "unroll" or loop is None:
        return
    factor = integer(pragma.get("factor"), loop.cursor)
    if factor and loop.trip and loop.trip % factor:
        message = f"UNROLL: factor={factor} does not divide the {loop.trip} iterations of the {loop.title}"
        findings.add("scope", pragma.place, message, "choose a divisor")
    if not pragma.has("factor") and not pragma.has("off") and loop.trip is None:
        message = (
            f"UNROLL: the {loop.title} has no constant number of iterations and can't be unrolled completely"
        )
        findings.add("scope", pragma.place, message, "give it a constant bound or a factor")
