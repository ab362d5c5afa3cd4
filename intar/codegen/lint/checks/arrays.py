"""Checks `bank`, `dsp` and `stack`: on-chip memory, multipliers, local arrays of tasks."""

from __future__ import annotations

import math
from collections.abc import Mapping
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field

from intar.codegen.lint import clang_ast as ast
from intar.codegen.lint.checks import Options
from intar.codegen.lint.checks.scope import integer, partition_kind, visible
from intar.codegen.lint.clang_ast import Cursor, CursorKind
from intar.codegen.lint.finding import Findings
from intar.codegen.lint.functions import LOOPS, Function, Loop
from intar.codegen.lint.kernel import Kernel

PORTS = 2  # of a block RAM or UltraRAM


@dataclass
class Bank:
    """How an array is laid out: `banks[d]` per dimension, None where it is split completely; `word` lanes a word."""

    shape: tuple[int, ...]
    banks: list[int | None] = field(default_factory=list)
    word: list[int] = field(default_factory=list)

    @property
    def registers(self) -> bool:
        """Whether nothing of it is a memory."""
        return all(banks is None for banks in self.banks)


def layout(function: Function, name: str, shape: tuple[int, ...]) -> Bank:
    """Apply the partition and reshape pragmas of an array."""
    bank = Bank(shape, [1] * len(shape), [1] * len(shape))
    for pragma, _ in function.all_pragmas():
        if pragma.name not in ("array_partition", "array_reshape") or pragma.get("variable") != name:
            continue
        dim = int(pragma.get("dim", "1")) if pragma.get("dim", "1").isdigit() else 1
        dims = range(len(shape)) if dim == 0 else [dim - 1] if dim <= len(shape) else []
        for d in dims:
            complete = partition_kind(pragma) == "complete"
            factor = shape[d] if complete else integer(pragma.get("factor"), function.cursor) or 1
            if pragma.name == "array_reshape":
                bank.word[d] = factor
            else:
                bank.banks[d] = None if complete or factor >= shape[d] else factor
    return bank


@dataclass(frozen=True)
class Access:
    """One textual access: `array` USR, reading or writing, copies per iteration in each dimension, its text."""

    array: str
    writes: bool
    copies: tuple[int, ...]
    text: str


class _Counter:
    """Counts the accesses of one pipelined iteration: loops in it are unrolled, branches exclude each other.

    With `exclusive` False the accesses of all branches are collected instead.
    """

    def __init__(self, kernel: Kernel, exclusive: bool = True):
        self.kernel = kernel
        self.exclusive = exclusive
        self.active: list[str] = []  # functions being counted; recursion is another check's finding

    def count(
        self, cursor: Cursor, names: Mapping[str, str], trips: Mapping[str, int], writes: bool = False
    ) -> set[Access]:
        """Accesses in `cursor`; `names` maps array parameters to arrays, `trips` unrolled counters to iterations."""
        found: set[Access] = set()
        if cursor.kind in (CursorKind.IF_STMT, CursorKind.CONDITIONAL_OPERATOR):
            condition, *parts = ast.children(cursor)
            branches = [self.count(part, names, trips) for part in parts]
            chosen = [max(branches, key=_weight)] if branches and self.exclusive else branches
            return self.count(condition, names, trips).union(*chosen)
        if cursor.kind == CursorKind.ARRAY_SUBSCRIPT_EXPR:
            return self._subscript(cursor, names, trips, writes)
        if cursor.kind == CursorKind.CALL_EXPR:
            found |= self._call(cursor, names, trips)
        if cursor.kind in LOOPS:
            owner = self.kernel.loop_at(cursor)
            if owner is not None and owner.counter and owner.trip:
                trips = {**trips, owner.counter: owner.trip}
        target = ast.target(cursor)
        compound = cursor.kind == CursorKind.COMPOUND_ASSIGNMENT_OPERATOR
        for child in cursor.get_children():
            aims = target is not None and child == target
            found |= self.count(child, names, trips, aims)
            if aims and compound:
                found |= self.count(child, names, trips)
        return found

    def _subscript(
        self, cursor: Cursor, names: Mapping[str, str], trips: Mapping[str, int], writes: bool
    ) -> set[Access]:
        indices: list[Cursor] = []
        item = cursor
        while item.kind == CursorKind.ARRAY_SUBSCRIPT_EXPR:
            base, index = ast.children(item)
            indices.insert(0, index)
            item = ast.strip(base)
        found: set[Access] = set()
        for index in indices:
            found |= self.count(index, names, trips)
        if item.kind == CursorKind.DECL_REF_EXPR and item.referenced is not None:
            array = names.get(item.referenced.get_usr())
            if array is not None:
                copies = tuple(_copies(index, trips) for index in indices)
                text = " ".join(token.spelling for index in indices for token in index.get_tokens())
                found.add(Access(array, writes, copies, text))
        return found

    def _call(self, call: Cursor, names: Mapping[str, str], trips: Mapping[str, int]) -> set[Access]:
        function = self.kernel.function_of(call)
        if function is None or function.cursor.get_usr() in self.active:
            return set()
        inner = dict(names)
        inner_trips = dict(trips)
        for parameter, argument in zip(function.parameters, ast.call_arguments(call), strict=False):
            variable = ast.base_variable(argument)
            if (
                variable is not None
                and variable.get_usr() in names
                and ast.strip(argument).kind == CursorKind.DECL_REF_EXPR
            ):
                inner[parameter.get_usr()] = names[variable.get_usr()]
            copies = _copies(argument, trips)
            if copies > 1:
                inner_trips[parameter.get_usr()] = copies
        self.active.append(function.cursor.get_usr())
        found = self.count(function.body, inner, inner_trips)
        self.active.pop()
        return found


def _copies(index: Cursor, trips: Mapping[str, int]) -> int:
    """How many different values an index takes in one iteration, from the unrolled counters in it."""
    return math.prod(
        {v.get_usr(): trips[v.get_usr()] for v in ast.variables(index) if v.get_usr() in trips}.values()
    )


def _weight(accesses: AbstractSet[Access]) -> int:
    return sum(math.prod(access.copies) for access in accesses)


def check_banks(kernel: Kernel, options: Options, findings: Findings) -> None:
    """In every pipelined loop: accesses after unrolling against ports, and read-modify-write against DEPENDENCE."""
    counter = _Counter(kernel)
    for function in kernel.functions.values():
        arrays = local_arrays(function)
        names = {usr: usr for usr in arrays}
        for owner in kernel.callees(function) if arrays else ():
            for loop in owner.loops:
                if owner is not function and not _passes(kernel, function, owner):
                    continue
                pipeline = loop.pragma("pipeline")
                if pipeline is None or pipeline.get("ii", "1") != "1":
                    continue
                scope = names if owner is function else _renamed(kernel, function, owner, names)
                accesses = counter.count(loop.body, scope, {})
                for usr, array in arrays.items():
                    mine = {access for access in accesses if access.array == usr}
                    if mine:
                        _check_loop(function, owner, loop, array, mine, findings)
        _check_written(kernel, function, arrays, findings)


def local_arrays(function: Function) -> dict[str, Cursor]:
    """Array variables of a function by USR, tables of constants left out."""
    return {
        item.get_usr(): item
        for item in function.items
        if item.kind == CursorKind.VAR_DECL
        and ast.array_shape(item.type)
        and not ast.is_stream(item.type)
        and not _const_array(item)
    }


def _const_array(variable: Cursor) -> bool:
    kind = ast.plain_type(variable.type)
    while kind.kind == ast.TypeKind.CONSTANTARRAY:
        kind = kind.element_type
    return bool(kind.is_const_qualified())


def _passes(kernel: Kernel, function: Function, owner: Function) -> bool:
    return bool(_renamed(kernel, function, owner, {usr: usr for usr in local_arrays(function)}))


def _renamed(kernel: Kernel, function: Function, owner: Function, names: Mapping[str, str]) -> dict[str, str]:
    """The parameters of `owner` that are arrays of `function`, where `function` calls it directly."""
    renamed: dict[str, str] = {}
    for call in function.calls:
        if kernel.function_of(call) is owner:
            for parameter, argument in zip(owner.parameters, ast.call_arguments(call), strict=False):
                item = ast.strip(argument)
                if item.kind == CursorKind.DECL_REF_EXPR and item.referenced is not None:
                    usr = item.referenced.get_usr()
                    if usr in names:
                        renamed[parameter.get_usr()] = usr
    return renamed


def _check_loop(
    function: Function, owner: Function, loop: Loop, array: Cursor, accesses: set[Access], findings: Findings
) -> None:
    bank = layout(function, array.spelling, ast.array_shape(array.type))
    if bank.registers:
        return
    needed, banks = 0, math.prod(count for count in bank.banks if count is not None)
    for access in accesses:
        copies = 1
        for d, values in enumerate(access.copies[: len(bank.shape)]):
            if bank.banks[d] is not None:
                copies *= -(-values // bank.word[d])
        needed += copies
    if needed > PORTS * banks:
        message = (
            f"the pipelined {loop.title} in '{owner.name}' accesses '{array.spelling}' {needed} times an iteration; "
            f"{banks} bank(s) have {PORTS * banks} ports"
        )
        findings.add(
            "bank", loop.place, message, "partition the array by the lanes (ARRAY_PARTITION or ARRAY_RESHAPE)"
        )
    if {access.writes for access in accesses} == {True, False}:
        inner = [p for f in {function, owner} for p, _ in f.all_pragmas() if p.name == "dependence"]
        if not any(
            pragma.get("variable").partition("[")[0] in ("", *_names(function, owner, array))
            for pragma in inner
        ):
            message = f"the pipelined {loop.title} in '{owner.name}' reads and writes '{array.spelling}'"
            hint = "state the distance: `#pragma HLS DEPENDENCE variable=... type=inter ...`, proved by the generator"
            findings.add("bank", loop.place, message, hint)


def _names(function: Function, owner: Function, array: Cursor) -> list[str]:
    names = [array.spelling]
    if owner is not function:
        names += [
            p.spelling for p in owner.parameters if ast.array_shape(p.type) == ast.array_shape(array.type)
        ]
    return names


def _check_written(
    kernel: Kernel, function: Function, arrays: Mapping[str, Cursor], findings: Findings
) -> None:
    if not arrays:
        return
    accesses = _Counter(kernel, exclusive=False).count(function.body, {usr: usr for usr in arrays}, {})
    for usr, array in arrays.items():
        uses = {access.writes for access in accesses if access.array == usr}
        initialised = any(child.kind == CursorKind.INIT_LIST_EXPR for child in array.get_children())
        if uses == {False} and not initialised:
            message = f"'{array.spelling}' in '{function.name}' is read but never written"
            findings.add(
                "bank", ast.place(array), message, "write it first, or declare it const with its values"
            )


# ---- multipliers and stack -----------------------------------------------------------------------------------------
def check_dsp(kernel: Kernel, options: Options, findings: Findings) -> None:
    """BIND_OP on an integer multiply or add keeps it out of the DSP's multiply-accumulate."""
    for function in kernel.functions.values():
        for pragma, _ in function.all_pragmas():
            if pragma.name == "bind_op" and pragma.get("op").lower() in ("mul", "add", "sub"):
                message = f"BIND_OP op={pragma.get('op')} on '{pragma.get('variable')}' in '{function.name}'"
                hint = "remove it: a bound operator is not merged into a DSP's multiply-accumulate"
                findings.add("dsp", pragma.place, message, hint)


def check_stack(kernel: Kernel, options: Options, findings: Findings) -> None:
    """The local arrays of a task and of what it calls must fit the stack of a thread in Vitis csim."""
    for process in kernel.processes():
        if process.function is None:
            continue
        total = 0
        for function in kernel.callees(process.function):
            for item in visible(function).values():
                static = item.kind == CursorKind.PARM_DECL or item.storage_class.name == "STATIC"
                if not static and ast.array_shape(item.type):
                    total += max(0, ast.plain_type(item.type).get_size())
        if total > options.stack_bytes:
            message = (
                f"the local arrays of '{process.name}' take {total} bytes, more than {options.stack_bytes}"
            )
            hint = "csim in Vitis gives a task 8 MB of stack: split the node, or raise the limit and document ulimit -s"
            findings.add("stack", process.function.place, message, hint)
