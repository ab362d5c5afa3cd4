"""Put a task graph together piece by piece: what all front ends share.

Names may be anything; they become safe identifiers at the end.  Shapes are inferred.  Findings are collected,
so that a front end can go on after a mistake and report all of them.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from intar.errors import Finding, InternalError
from intar.ir.names import free_name, sanitise
from intar.ir.ops import OPS, Op, broadcast_kind
from intar.ir.shapes import AttrValue, Shape, ShapeMismatch, show
from intar.ir.taskgraph import QuantParams, Task, TaskGraph, Tensor, make_graph


@dataclass
class Draft:
    """A task in the making; names are the model's own. No `op`: a copy onto the grid of the output."""

    name: str
    op: Op | None
    inputs: tuple[str, ...]
    output: str
    attrs: dict[str, AttrValue]
    source: str


class Assembly:
    """A graph in the making, keyed by the model's own names.

    Attributes
    ----------
    shapes : shape of each tensor so far.
    constants : array of each constant.
    quant : the model's own quantisation, by tensor name.
    tasks : in the order of creation.
    makers : the task of each output.
    findings : what went wrong so far.
    """

    def __init__(self, name: str) -> None:
        self.name = name
        self.shapes: dict[str, Shape] = {}
        self.constants: dict[str, np.ndarray] = {}
        self.quant: dict[str, QuantParams] = {}
        self.tasks: list[Draft] = []
        self.makers: dict[str, Draft] = {}
        self.inputs: list[str] = []
        self.outputs: list[str] = []
        self.findings: list[Finding] = []
        self._task_names: set[str] = set()

    def input(self, name: str, shape: Sequence[int], where: str = "") -> str:
        """Declare an input of the graph."""
        if name in self.shapes:
            self.findings.append(Finding(f"the name '{name}' is used twice", where or f"input '{name}'"))
            return name
        self.shapes[name] = tuple(int(n) for n in shape)
        self.inputs.append(name)
        return name

    def constant(self, name: str, array: np.ndarray, quant: QuantParams | None = None) -> str:
        """Declare a constant; a number in `name` is appended when it is taken. Returns the name it got."""
        name = self.fresh(name)
        self.constants[name] = array
        self.shapes[name] = tuple(array.shape)
        if quant is not None:
            self.quant[name] = quant
        return name

    def fresh(self, name: str) -> str:
        """`name`, or the first of ``name.2``, ``name.3``, … that is no tensor yet."""
        return free_name(name, self.shapes)

    def task(
        self,
        op: Op,
        inputs: Sequence[str],
        output: str,
        attrs: Mapping[str, AttrValue] | None = None,
        *,
        name: str = "",
        source: str = "",
    ) -> str:
        """Add a task and infer its output's shape; a mismatch becomes a finding (and the output gets no
        shape).

        Returns the output's name. Inputs without a shape (after an earlier finding) are passed over in
        silence.
        """
        attributes = {**OPS[op].defaults, **(attrs or {})}
        task_name = self._fresh_task(name or output)
        known = [self.shapes.get(each) for each in inputs]
        shapes = [shape for shape in known if shape is not None]
        if len(shapes) == len(known):
            try:
                if op in (Op.ADD, Op.SUB, Op.MUL):
                    attributes["broadcast"] = broadcast_kind(*shapes)
                self.shapes[output] = OPS[op].infer(shapes, attributes)
            except ShapeMismatch as error:
                operands = ", ".join(
                    f"'{each}' {show(shape)}" for each, shape in zip(inputs, shapes, strict=True)
                )
                place = source or f"task '{task_name}'"
                self.findings.append(Finding(str(error), place, f"{op} of {operands}"))
        draft = Draft(task_name, op, tuple(inputs), output, attributes, source)
        self.tasks.append(draft)
        self.makers[output] = draft
        return output

    def copy(self, tensor: str, output: str, source: str = "") -> str:
        """Add a copy of `tensor` onto the grid that `quant` holds for `output`."""
        self.shapes[output] = self.shapes[tensor]
        draft = Draft(self._fresh_task(output), None, (tensor,), output, {}, source)
        self.tasks.append(draft)
        self.makers[output] = draft
        return output

    def _fresh_task(self, name: str) -> str:
        candidate = free_name(name, self._task_names)
        self._task_names.add(candidate)
        return candidate

    def rename(self, old: str, new: str) -> None:
        """Call a computed tensor `new` from now on; `new` must not be in use."""
        draft = self.makers.pop(old)
        draft.output = new
        self.makers[new] = draft
        if old in self.shapes:
            self.shapes[new] = self.shapes.pop(old)
        if old in self.quant:
            self.quant[new] = self.quant.pop(old)
        self.redirect(old, new)

    def redirect(self, old: str, new: str) -> None:
        """Let everything that reads `old`, and the outputs, read `new` instead."""
        for task in self.tasks:
            task.inputs = tuple(new if name == old else name for name in task.inputs)
        self.outputs = [new if name == old else name for name in self.outputs]

    def consumers(self) -> dict[str, list[Draft]]:
        """The tasks that read each tensor."""
        readers: dict[str, list[Draft]] = {}
        for task in self.tasks:
            for name in dict.fromkeys(task.inputs):
                readers.setdefault(name, []).append(task)
        return readers

    def needed(self, outputs: Iterable[str]) -> list[Draft]:
        """The tasks that some of these tensors need."""
        needed = set(outputs)
        for task in reversed(self.tasks):
            if task.output in needed:
                needed.update(task.inputs)
        return [task for task in self.tasks if task.output in needed]

    def prune(self) -> None:
        """Drop the tasks that no output needs."""
        self.tasks = self.needed(self.outputs)
        self.makers = {task.output: task for task in self.tasks}

    def finish(self) -> TaskGraph:
        """The graph, without the tasks and constants that no output needs.

        Raises
        ------
        GraphError
            Findings of the graph as a whole. Call it only while `findings` is empty.
        """
        self.prune()
        tasks = self.tasks
        used = dict.fromkeys(self.inputs)
        for task in tasks:
            used.update(dict.fromkeys((*task.inputs, task.output)))
        safe = sanitise([*self.inputs, *self.outputs, *used])
        safe_tasks = sanitise(task.name for task in tasks)
        order = [*self.inputs, *(name for name in used if name not in set(self.inputs))]
        tensors = [
            Tensor(name=safe[name], shape=self.shapes.get(name, ()), quant=self.quant.get(name), source=name)
            for name in order
        ]
        return make_graph(
            sanitise([self.name])[self.name],
            tensors,
            [self._finished(task, safe_tasks[task.name], safe) for task in tasks],
            [safe[name] for name in self.inputs],
            [safe[name] for name in self.outputs],
            {safe[name]: self.constants[name] for name in order if name in self.constants},
        )

    def _finished(self, task: Draft, name: str, safe: Mapping[str, str]) -> Task:
        if task.op is None:
            raise InternalError(f"the copy '{task.name}' has no operator")
        inputs = tuple(safe[each] for each in task.inputs)
        return Task(
            name=name,
            op=task.op,
            inputs=inputs,
            output=safe[task.output],
            attrs=task.attrs,
            source=task.source,
        )
