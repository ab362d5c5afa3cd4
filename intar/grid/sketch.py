"""A task graph in the making, from the parts of another."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from intar.ir.names import MAX_LENGTH
from intar.ir.ops import Op
from intar.ir.shapes import AttrValue, Shape
from intar.ir.taskgraph import QuantParams, Task, TaskGraph, Tensor, make_graph


class Sketch:
    """Collects new tasks, tensors and constants; `graph` is what they are made from."""

    def __init__(self, graph: TaskGraph) -> None:
        self.graph = graph
        self.tensors: dict[str, Tensor] = {}
        self.tasks: list[Task] = []
        self.constants: dict[str, np.ndarray] = {}
        self._names = {tensor.name for tensor in graph.tensors} | {task.name for task in graph.tasks}

    def _fresh(self, base: str) -> str:
        name, count = base[:MAX_LENGTH].rstrip("_"), 1
        while name in self._names:
            count += 1
            tail = f"_{count}"
            name = base[: MAX_LENGTH - len(tail)].rstrip("_") + tail
        self._names.add(name)
        return name

    def _suffixed(self, base: str, suffix: str) -> str:
        return self._fresh(base[: MAX_LENGTH - len(suffix) - 1].rstrip("_") + f"_{suffix}")

    def _tensor(self, name: str, shape: Shape, quant: QuantParams | None, source: str) -> str:
        self.tensors[name] = Tensor(name=name, shape=shape, quant=quant, source=source)
        return name

    def _constant(self, base: str, array: np.ndarray, quant: QuantParams | None = None) -> str:
        name = self._fresh(base)
        self.constants[name] = array
        return self._tensor(name, array.shape, quant, "")

    def _keep(self, name: str) -> None:
        self.constants[name] = self.graph.constants[name]
        self.tensors[name] = self.graph.tensor(name)

    def _task_name(self, task: Task) -> str:
        """The task's own name for the first that is made of it."""
        return task.name if all(t.name != task.name for t in self.tasks) else self._fresh(task.name)

    def _add(
        self, task: Task, op: Op, inputs: list[str], output: str, shape: Shape, attrs: Mapping[str, AttrValue],
        quant: QuantParams | None = None, source: str = "",
    ) -> str:  # fmt: skip
        self._tensor(output, shape, quant, source)
        self.tasks.append(
            Task(
                name=self._task_name(task),
                op=op,
                inputs=tuple(inputs),
                output=output,
                attrs=dict(attrs),
                source=task.source,
            )
        )
        return output

    def _finish(self) -> TaskGraph:
        needed, tasks = set(self.graph.outputs), []
        for task in reversed(self.tasks):
            if task.output in needed:
                needed.update(task.inputs)
                tasks.append(task)
        for name in self.graph.inputs:
            self.tensors[name] = self.graph.tensor(name)
        needed |= set(self.graph.inputs)
        return make_graph(
            self.graph.name,
            [tensor for name, tensor in self.tensors.items() if name in needed],
            tasks[::-1],
            self.graph.inputs,
            self.graph.outputs,
            {name: array for name, array in self.constants.items() if name in needed},
        )
