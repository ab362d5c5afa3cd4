"""Checks `memory-port`, `bank`, `dsp` and `stack`: external memory, on-chip memory, multipliers."""

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
from intar.codegen.lint.kernel import LOOPS, Function, Kernel, Loop, Process

PORTS = 2  # of a block RAM or UltraRAM
WRITING = (CursorKind.BINARY_OPERATOR, CursorKind.COMPOUND_ASSIGNMENT_OPERATOR)


# ---- external memory -----------------------------------------------------------------------------------------------
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
        target = _target(cursor)
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


def _target(cursor: Cursor) -> Cursor | None:
    if cursor.kind in WRITING and ast.operator(cursor) in ast.ASSIGNMENTS:
        return ast.children(cursor)[0]
    if cursor.kind == CursorKind.CALL_EXPR and cursor.spelling == "operator=":
        return ast.children(cursor)[0]
    return None


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


# ---- on-chip memory ------------------------------------------------------------------------------------------------
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
        target = _target(cursor)
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
        for item in function.body.walk_preorder()
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
    for call in function.body.walk_preorder():
        if call.kind == CursorKind.CALL_EXPR and kernel.function_of(call) is owner:
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
