"""Exact changes of form that have nothing to do with the grid."""

from __future__ import annotations

import numpy as np

from intar.ir.names import MAX_LENGTH
from intar.ir.ops import Op
from intar.ir.shapes import AttrValue
from intar.ir.taskgraph import Task, TaskGraph, Tensor, make_graph

MONOTONE = frozenset({Op.RELU, Op.CLIP})


def relu_before_pool(graph: TaskGraph) -> TaskGraph:
    """``relu(max_pool(x))`` as ``max_pool(relu(x))``: the clamp joins what makes x, and x needs no negative numbers.

    Only where nothing else reads the tensors between, and the model does not quantise them itself.
    """
    tasks = {task.name: task for task in graph.tasks}
    for task in graph.tasks:
        pool = graph.producer(task.inputs[0])
        if task.op not in MONOTONE or pool is None or pool.op is not Op.MAX_POOL2D:
            continue
        pooled, source = graph.tensor(task.inputs[0]), graph.tensor(pool.inputs[0])
        private = all(
            len(graph.consumers(t.name)) == 1 and t.name not in graph.outputs and t.quant is None
            for t in (pooled, source)
        )
        if not private or graph.producer(source.name) is None:
            continue
        tasks[task.name] = Task(
            name=task.name,
            op=task.op,
            inputs=(source.name,),
            output=pooled.name,
            attrs=task.attrs,
            source=task.source,
        )
        tasks[pool.name] = Task(
            name=pool.name,
            op=pool.op,
            inputs=(pooled.name,),
            output=task.output,
            attrs=pool.attrs,
            source=pool.source,
        )
        graph = _replaced(graph, tasks, pooled.name, source.shape)
    return graph


def _replaced(graph: TaskGraph, tasks: dict[str, Task], name: str, shape: tuple[int, ...]) -> TaskGraph:
    tensors = [t.model_copy(update={"shape": shape}) if t.name == name else t for t in graph.tensors]
    return make_graph(graph.name, tensors, list(tasks.values()), graph.inputs, graph.outputs, graph.constants)


def prelu_in_parts(graph: TaskGraph) -> TaskGraph:
    """PReLU of anything but images as ``relu(x) - slope * relu(-x)``."""
    if all(task.op is not Op.PRELU for task in graph.tasks):
        return graph
    tensors, constants, tasks = list(graph.tensors), dict(graph.constants), []
    taken = {t.name for t in graph.tensors} | {t.name for t in graph.tasks}

    def fresh(base: str, role: str) -> str:
        short = base[: MAX_LENGTH - len(role) - 4].rstrip("_")
        name, count = f"{short}_{role}", 1
        while name in taken:
            count += 1
            name = f"{short}_{role}{count}"
        taken.add(name)
        return name

    for task in graph.tasks:
        if task.op is not Op.PRELU:
            tasks.append(task)
            continue
        x, shape = task.inputs[0], graph.tensor(task.output).shape
        names = {role: fresh(task.output, role) for role in ("upper", "turned", "lower", "bent")}
        tensors += [Tensor(name=name, shape=shape) for name in names.values()]
        vectors = {
            "minus": -np.ones(shape[1]),
            "slope": graph.constant(task.inputs[1]),
            "none": np.zeros(shape[1]),
        }
        held = {role: fresh(task.output, role) for role in vectors}
        tensors += [Tensor(name=name, shape=(shape[1],)) for name in held.values()]
        constants |= {held[role]: array for role, array in vectors.items()}
        steps: list[tuple[Op, tuple[str, ...], str, dict[str, AttrValue]]] = [
            (Op.RELU, (x,), names["upper"], {}),
            (Op.SCALE_SHIFT, (x, held["minus"], held["none"]), names["turned"], {"axis": 1}),
            (Op.RELU, (names["turned"],), names["lower"], {}),
            (Op.SCALE_SHIFT, (names["lower"], held["slope"], held["none"]), names["bent"], {"axis": 1}),
            (Op.SUB, (names["upper"], names["bent"]), task.output, {"broadcast": "none"}),
        ]
        for op, inputs, output, attrs in steps:
            own = task.name if output == task.output else output
            tasks.append(Task(name=own, op=op, inputs=inputs, output=output, attrs=attrs, source=task.source))
    used = {name for task in tasks for name in (*task.inputs, task.output)} | set(graph.inputs)
    return make_graph(
        graph.name,
        [t for t in tensors if t.name in used],
        tasks,
        graph.inputs,
        graph.outputs,
        {name: array for name, array in constants.items() if name in used},
    )
