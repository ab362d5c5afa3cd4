"""Operators of transformers, spelled out in those that have an integer form."""

from __future__ import annotations

import numpy as np

from intar.grid.masks import ADDED, prefix_mask
from intar.grid.sketch import Sketch
from intar.ir.ops import HIDDEN, Op, broadcast_kind
from intar.ir.taskgraph import Task, TaskGraph


def spell_out(graph: TaskGraph) -> TaskGraph:
    """Rotary embeddings as products and a sum, masks that the rows node does not know as a sum; itself without any."""
    if not any(task.op is Op.ROPE or _unknown_mask(graph, task) for task in graph.tasks):
        return graph
    return _Speller(graph).run()


def _unknown_mask(graph: TaskGraph, task: Task) -> bool:
    if task.op is not Op.SOFTMAX or len(task.inputs) == 1:
        return False
    return prefix_mask(graph.constant(task.inputs[1]), graph.tensor(task.output).shape) is None


class _Speller(Sketch):
    def run(self) -> TaskGraph:
        for name in self.graph.constants:
            self._keep(name)
        for task in self.graph.tasks:
            if task.op is Op.ROPE:
                self._rope(task)
            elif _unknown_mask(self.graph, task):
                self._mask(task)
            else:
                self._copy(task)
        return self._finish()

    def _copy(self, task: Task, inputs: tuple[str, ...] | None = None) -> None:
        tensor = self.graph.tensor(task.output)
        self._add(
            task, task.op, list(inputs or task.inputs), tensor.name, tensor.shape, task.attrs, tensor.quant, tensor.source
        )  # fmt: skip

    def _mask(self, task: Task) -> None:
        """The mask is added, held to a number at which nothing is left of an element."""
        x, shape = task.inputs[0], self.graph.tensor(task.output).shape
        mask = self.graph.constant(task.inputs[1])
        held = self._constant(f"{task.output}_mask", np.where(mask <= HIDDEN, ADDED, mask))
        attrs = {"broadcast": broadcast_kind(shape, mask.shape)}
        self._copy(task, (self._add(task, Op.ADD, [x, held], self._suffixed(x, "masked"), shape, attrs),))

    def _rope(self, task: Task) -> None:
        """``x * cos + swapped * sin`` with the halves swapped by moves, and the minus in the sine."""
        x, output = task.inputs[0], self.graph.tensor(task.output)
        shape, half = output.shape, output.shape[-1] // 2
        cosine, sine = (np.broadcast_to(self.graph.constant(name), shape) for name in task.inputs[1:])
        signed = np.concatenate([-sine[..., :half], sine[..., half:]], axis=-1)
        factors = {
            "cos": self._constant(f"{task.output}_cos", cosine),
            "sin": self._constant(f"{task.output}_sin", signed),
        }
        last = len(shape) - 1
        parts = [
            self._add(
                task, Op.SLICE, [x], self._suffixed(output.name, role), (*shape[:-1], half),
                {"axis": last, "start": start, "stop": start + half, "step": 1},
            )
            for role, start in (("second", half), ("first", 0))
        ]  # fmt: skip
        swapped = self._add(
            task, Op.CONCAT, parts, self._suffixed(output.name, "swapped"), shape, {"axis": last}
        )
        none = {"broadcast": "none"}
        terms = [
            self._add(task, Op.MUL, [source, factors[role]], self._suffixed(output.name, role), shape, none)
            for role, source in (("cos", x), ("sin", swapped))
        ]
        self._add(task, Op.ADD, terms, output.name, shape, none, output.quant, output.source)
