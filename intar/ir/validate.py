"""Check a task graph: every finding at once, each with what, where, why and the way out."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

import numpy as np

from intar.errors import Finding, GraphError
from intar.ir.cycles import cycle_finding, rings
from intar.ir.names import is_safe
from intar.ir.ops import OPS, Op, broadcast_kind
from intar.ir.shapes import ShapeMismatch, show
from intar.ir.taskgraph import QuantParams, Task, TaskGraph, Tensor


def check(graph: TaskGraph) -> None:
    """Raise :class:`~intar.errors.GraphError` with all findings, if there are any."""
    if found := findings(graph):
        raise GraphError(found)


def findings(graph: TaskGraph) -> list[Finding]:
    """Everything that is wrong with the graph, in a fixed order; an empty list when it is sound."""
    found = [*_structure(graph), *_names(graph), *_tensors(graph), *_links(graph)]
    found += _order(graph.tasks)
    for task in graph.tasks:
        found += task_findings(graph, task)
    return found


def where(task: Task) -> str:
    """How messages call a task: its name, and its place in the user's model."""
    return f"task '{task.name}' ({task.source})" if task.source else f"task '{task.name}'"


def _structure(graph: TaskGraph) -> Iterator[Finding]:
    if not graph.tasks:
        yield Finding(
            "the graph has no tasks", graph.name, "there is nothing to compute", "add at least one operator"
        )
    if not graph.inputs:
        yield Finding(
            "the graph has no inputs",
            graph.name,
            "its result would be a constant",
            "declare at least one input",
        )
    if not graph.outputs:
        yield Finding("the graph has no outputs", graph.name, hint="mark at least one tensor as an output")


def _names(graph: TaskGraph) -> Iterator[Finding]:
    for kind, names in (
        ("tensor", [tensor.name for tensor in graph.tensors]),
        ("task", [task.name for task in graph.tasks]),
        ("input", graph.inputs),
        ("output", graph.outputs),
    ):
        for name, count in Counter(names).items():
            if count > 1:
                yield Finding(
                    f"{count} {kind}s are called '{name}'", graph.name, hint="give each a name of its own"
                )
            if kind in ("tensor", "task") and not is_safe(name):
                yield Finding(
                    f"the {kind} name {name!r} is not safe in generated code",
                    graph.name,
                    "names become identifiers in C++, SystemVerilog and Tcl, and parts of paths",
                    "pass names through intar.ir.names.sanitise",
                )


def _tensors(graph: TaskGraph) -> Iterator[Finding]:
    for tensor in graph.tensors:
        place = f"tensor '{tensor.name}'"
        if any(n <= 0 for n in tensor.shape):
            yield Finding(
                f"shape {show(tensor.shape)} is dynamic or empty",
                place,
                "the circuit is made for one size",
                "give every axis a positive size",
            )
        if tensor.quant is not None:
            yield from _quant(tensor, tensor.quant, place)
        if tensor.name in graph.constants:
            yield from _constant(tensor, graph.constants[tensor.name], place)
    known = {tensor.name for tensor in graph.tensors}
    for name in graph.constants:
        if name not in known:
            yield Finding(
                "the constant has no tensor entry", f"tensor '{name}'", hint="add it to the tensors"
            )


def _constant(tensor: Tensor, array: np.ndarray, place: str) -> Iterator[Finding]:
    if array.shape != tensor.shape:
        yield Finding(
            f"the constant's array has shape {show(array.shape)}, expected {show(tensor.shape)}", place
        )
    if array.dtype.kind == "f":
        if not np.isfinite(array).all():
            yield not_finite(array, f"{place} ({tensor.source})" if tensor.source else place)
        if tensor.quant is not None:
            yield Finding(f"a quantised constant holds integers, not {array.dtype}", place)
    elif array.dtype.kind not in "iu":
        yield Finding(f"constants are float or integer arrays, not {array.dtype}", place)
    elif tensor.quant is None:
        yield Finding(
            "an integer constant needs a scale", place, hint="set quant, or store the real values as float"
        )
    elif array.size and (int(array.min()) < tensor.quant.qmin or int(array.max()) > tensor.quant.qmax):
        yield Finding(
            f"values {array.min()} … {array.max()} leave the type's range "
            f"{tensor.quant.qmin} … {tensor.quant.qmax}",
            place,
        )


def not_finite(array: np.ndarray, place: str) -> Finding:
    """What a user is told about NaN or infinite values in a constant at `place`."""
    bad = np.argwhere(~np.isfinite(array))
    first = f", the first at index {[int(i) for i in bad[0]]}" if array.ndim else ""
    return Finding(
        f"{len(bad)} of {array.size} values are NaN or infinite{first}",
        place,
        "they would spread to every result",
        "repair or retrain the model",
    )


def _quant(tensor: Tensor, quant: QuantParams, place: str) -> Iterator[Finding]:
    scales = np.atleast_1d(np.asarray(quant.scale, np.float64))
    zeros = np.atleast_1d(np.asarray(quant.zero_point, np.int64))
    if not (np.isfinite(scales) & (scales > 0)).all():
        bad = scales[~(np.isfinite(scales) & (scales > 0))][0]
        yield Finding(f"the quantisation scale {bad} is not a positive number", place)
    if zeros.size and (zeros.min() < quant.qmin or zeros.max() > quant.qmax):
        yield Finding(f"the zero point leaves the type's range {quant.qmin} … {quant.qmax}", place)
    per_channel = isinstance(quant.scale, tuple) or isinstance(quant.zero_point, tuple)
    if per_channel and quant.axis is None:
        yield Finding("per-channel quantisation needs an axis", place)
    elif quant.axis is not None and not 0 <= quant.axis < len(tensor.shape):
        yield Finding(
            f"the quantisation axis {quant.axis} does not exist in shape {show(tensor.shape)}", place
        )
    elif quant.axis is not None:
        for label, values in (("scales", quant.scale), ("zero points", quant.zero_point)):
            if isinstance(values, tuple) and len(values) != tensor.shape[quant.axis]:
                size = tensor.shape[quant.axis]
                yield Finding(f"{len(values)} {label} for {size} channels (axis {quant.axis})", place)


def _links(graph: TaskGraph) -> Iterator[Finding]:
    known = {tensor.name for tensor in graph.tensors}
    given = set(graph.inputs) | set(graph.constants)
    written = {task.output for task in graph.tasks}
    makers: dict[str, list[Task]] = {}
    for task in graph.tasks:
        makers.setdefault(task.output, []).append(task)
        for name in dict.fromkeys((*task.inputs, task.output)):
            if name not in known:
                yield Finding(
                    f"the tensor '{name}' is not declared",
                    where(task),
                    hint="declare it, or correct the name",
                )
        for name in dict.fromkeys(task.inputs):
            if name in known and name not in given and name not in written:
                yield Finding(
                    f"it reads '{name}', which nothing computes",
                    where(task),
                    "a tensor is an input, a constant or the output of one task",
                )
    for name, tasks in makers.items():
        if len(tasks) > 1:
            who = ", ".join(f"'{task.name}'" for task in tasks)
            yield Finding(
                f"{len(tasks)} tasks write it: {who}", f"tensor '{name}'", "each tensor has one writer"
            )
        if name in given:
            yield Finding(f"task '{tasks[0].name}' writes an input or constant", f"tensor '{name}'")
    for kind, names in (("input", graph.inputs), ("output", graph.outputs)):
        for name in names:
            if name not in known:
                yield Finding(f"the {kind} '{name}' is not declared as a tensor", graph.name)
    for name in graph.outputs:
        if name in known and name not in makers:
            yield Finding(f"the output '{name}' is not computed by any task", graph.name)
    yield from _unused(graph)


def _unused(graph: TaskGraph) -> Iterator[Finding]:
    used = {name for task in graph.tasks for name in task.inputs} | set(graph.outputs)
    for name in dict.fromkeys(tensor.name for tensor in graph.tensors):
        if name not in used:
            yield Finding("nothing reads it", f"tensor '{name}'", hint="remove it, or make it an output")


def _order(tasks: tuple[Task, ...]) -> list[Finding]:
    """Cycles, named; or the first task that comes before what it needs."""
    makers = {task.output: task for task in tasks}
    needs = {task.name: [makers[name].name for name in task.inputs if name in makers] for task in tasks}
    named = {task.name: task for task in tasks}
    if found := rings(needs):
        return [cycle_finding(ring, where(named[ring[0]])) for ring in found]
    seen: set[str] = set()
    for task in tasks:
        for name in task.inputs:
            if name in makers and name not in seen:
                return [Finding(f"it comes before '{makers[name].name}', whose result it reads", where(task))]
        seen.add(task.output)
    return []


def task_findings(graph: TaskGraph, task: Task) -> list[Finding]:
    """Arity, attributes, constant operands and output shape of one task."""
    spec, place = OPS[task.op], where(task)
    low, high = spec.inputs
    if len(task.inputs) < low or (high is not None and len(task.inputs) > high):
        expected = str(low) if low == high else f"{low} or more" if high is None else f"{low} to {high}"
        return [Finding(f"{task.op} takes {expected} inputs, got {len(task.inputs)}", place)]
    found = _attr_findings(task)
    for position in spec.constants:
        if position < len(task.inputs) and task.inputs[position] not in graph.constants:
            found.append(
                Finding(
                    f"operand '{task.inputs[position]}' of {task.op} has to be a constant",
                    place,
                    "weights are laid out in memory before the circuit runs",
                )
            )
    known = graph.by_name
    if found or any(name not in known for name in (*task.inputs, task.output)):
        return found
    shapes = [known[name].shape for name in task.inputs]
    if any(n <= 0 for shape in shapes for n in shape):
        return found
    try:
        expected_shape = spec.infer(shapes, task.attrs)
        if task.op in (Op.ADD, Op.SUB, Op.MUL) and task.attrs["broadcast"] != broadcast_kind(*shapes):
            found.append(
                Finding(
                    f"broadcast is '{task.attrs['broadcast']}', the shapes say '{broadcast_kind(*shapes)}'",
                    place,
                )
            )
    except ShapeMismatch as error:
        return [*found, Finding(str(error), place)]
    if expected_shape != known[task.output].shape:
        got = show(known[task.output].shape)
        found.append(
            Finding(f"tensor '{task.output}' has shape {got}, expected {show(expected_shape)}", place)
        )
    return found


def _attr_findings(task: Task) -> list[Finding]:
    wanted, place, found = OPS[task.op].attrs, where(task), []
    for name, kind in wanted.items():
        if name not in task.attrs:
            found.append(Finding(f"attribute '{name}' of {task.op} is missing", place))
        elif isinstance(kind, tuple):
            if task.attrs[name] not in kind:
                words = ", ".join(kind)
                found.append(
                    Finding(f"attribute '{name}' is {task.attrs[name]!r}, expected one of: {words}", place)
                )
        elif not isinstance(task.attrs[name], kind):
            what = {tuple: "a list of integers", float: "a number"}.get(kind, "an integer")
            found.append(Finding(f"attribute '{name}' is {task.attrs[name]!r}, expected {what}", place))
    for name in task.attrs:
        if name not in wanted:
            found.append(Finding(f"{task.op} has no attribute '{name}'", place))
    return found
