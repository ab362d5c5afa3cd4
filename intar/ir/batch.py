"""Several samples in one call: the network with a batch of them in the place of one.

Each activation's batch is the outer part of one of its axes: an axis of size 1 becomes one of `size`, rows (or heads, or
whatever stands there where a model has no batch axis) become `size` times as many, all of a sample together. Weights are
then read once for all samples.
"""

from __future__ import annotations

from collections.abc import Iterator
from math import prod

import numpy as np

from intar.errors import Finding, UnsupportedError
from intar.ir.ops import OPS, Op, broadcast_kind
from intar.ir.shapes import Shape, show
from intar.ir.taskgraph import Task, TaskGraph, make_graph

LAST = frozenset(
    {Op.MATMUL, Op.SOFTMAX, Op.ARGMAX, Op.LAYER_NORM, Op.RMS_NORM, Op.ROW_UNIT, Op.ROW_PEAK, Op.ROPE}
)
"""Operators along the last axis, each row by itself."""

ALONG = frozenset({Op.CONCAT, Op.SLICE, Op.SCALE_SHIFT, Op.RATIONAL})
"""Operators along the axis that their attribute names."""

ELEMENTWISE = frozenset({Op.ADD, Op.SUB, Op.MUL})

IMAGES = frozenset(
    {Op.CONV2D, Op.CONV_TRANSPOSE2D, Op.UPSAMPLE_NEAREST, Op.MAX_POOL2D, Op.AVG_POOL2D}
    | {Op.GLOBAL_AVG_POOL, Op.GLOBAL_MAX_POOL, Op.SPACE_TO_DEPTH, Op.DEPTH_TO_SPACE}
)


class _Cannot(Exception):
    """A task that can't take a batch, and why."""


def batched(graph: TaskGraph, size: int) -> TaskGraph:
    """The graph that computes what `graph` does for `size` samples, one behind the other along the first axis of each input.

    Raises
    ------
    UnsupportedError
        With a finding for each task that mixes samples, or that the machine does for one sample only (images, cached rows).
    """
    if size == 1:
        return graph
    return _Batch(graph, size).made()


def _finding(task: Task, why: str) -> Finding:
    where = f"task '{task.name}' ({task.source or task.op})"
    return Finding("it can't take several samples a call", where, why, "leave --batch away")


class _Batch:
    def __init__(self, graph: TaskGraph, size: int) -> None:
        self.graph, self.size = graph, size
        self.at: dict[str, int] = dict.fromkeys(
            graph.inputs, 0
        )  # the axis of each activation with the batch in it
        self.shapes: dict[str, Shape] = {name: self._wide(name) for name in graph.inputs}
        self.constants: dict[str, np.ndarray] = dict(graph.constants)

    def made(self) -> TaskGraph:
        tasks, found = [], list(self._images())
        graph = self.graph
        for task in graph.tasks:
            if task.op in IMAGES or any(
                name not in self.at for name in task.inputs if name not in graph.constants
            ):
                continue  # said already, or behind one that can't
            try:
                tasks.append(self._task(task))
            except _Cannot as reason:
                found.append(_finding(task, str(reason)))
        if found:
            raise UnsupportedError(found)
        tensors = tuple(
            tensor.model_copy(update={"shape": self.shapes.get(tensor.name, tensor.shape)})
            for tensor in graph.tensors
        )
        return make_graph(graph.name, tensors, tasks, graph.inputs, graph.outputs, self.constants)

    def _images(self) -> Iterator[Finding]:
        """One for all convolutions and pools."""
        tasks = [task for task in self.graph.tasks if task.op in IMAGES]
        if tasks:
            others = f", and {len(tasks) - 1} others" if len(tasks) > 1 else ""
            yield _finding(tasks[0], f"convolutions and pools take one image a call{others}")

    def _wide(self, name: str) -> Shape:
        """An activation's shape with the batch in it."""
        shape, axis = self.graph.tensor(name).shape, self.at[name]
        if not shape:
            raise UnsupportedError(
                Finding("a number has no axis for samples", f"input '{name}'", hint="leave --batch away")
            )
        return (*shape[:axis], shape[axis] * self.size, *shape[axis + 1 :])

    def _task(self, task: Task) -> Task:
        self._axis(task)
        shapes = [self.shapes.get(name, self.graph.tensor(name).shape) for name in task.inputs]
        wide = self.shapes[task.output] = self._wide(task.output)
        attrs = dict(task.attrs)
        if task.op is Op.RESHAPE:
            attrs["shape"] = wide
        elif task.op in ELEMENTWISE:
            attrs["broadcast"] = broadcast_kind(*shapes)
        if (shape := OPS[task.op].infer(shapes, attrs)) != wide:
            raise _Cannot(f"its result would be {show(shape)}")
        return task.model_copy(update={"attrs": attrs})

    def _axis(self, task: Task) -> None:
        """Note the axis of the result with the batch in it; constants beside it get as many elements there."""
        graph = self.graph
        given = [name for name in task.inputs if name in self.at]
        shapes = {name: graph.tensor(name).shape for name in task.inputs}
        rank = len(graph.tensor(task.output).shape)
        axis, last = self.at[given[0]], len(shapes[given[0]]) - 1
        if task.op is Op.CACHED_SOFTMAX:
            raise _Cannot("cached rows belong to one text")
        if task.op in LAST and axis == last:
            raise _Cannot("the samples lie along the axis that it works on")
        if (task.op in ALONG and axis == task.attrs["axis"]) or (task.op is Op.PRELU and axis == 1):
            raise _Cannot("the samples lie along the axis that it works on")
        if task.op is Op.PRODUCT and not (self.at[given[-1]] == axis < last - 1 and len(given) == 2):
            raise _Cannot("a product of two activations takes samples along leading axes of both")
        out = axis
        if task.op is Op.TRANSPOSE:
            perm = task.attrs["perm"]
            assert isinstance(perm, tuple)
            out = perm.index(axis)
        elif task.op is Op.RESHAPE:
            out = self._reshaped(shapes[given[0]], graph.tensor(task.output).shape, axis)
        elif task.op in ELEMENTWISE:
            places = {self.at[name] + rank - len(shapes[name]) for name in given}
            if len(places) > 1:
                raise _Cannot("its operands have the samples along different axes")
            (out,) = places
            if any(shapes[name][self.at[name]] != graph.tensor(task.output).shape[out] for name in given):
                raise _Cannot("an operand is repeated along the axis of the samples")
        elif len({self.at[name] for name in given}) > 1:
            raise _Cannot("its operands have the samples along different axes")
        self.at[task.output] = out
        if task.op in ELEMENTWISE | {Op.SOFTMAX, Op.ROPE}:
            for name in task.inputs:
                if name not in self.at:
                    self._repeat(name, out + len(shapes[name]) - rank)

    def _repeat(self, name: str, axis: int) -> None:
        """A constant beside an activation, for each sample again where it has an element for each place of that axis."""
        array, tensor = self.constants[name], self.graph.tensor(name)
        if axis < 0 or tensor.shape[axis] == 1 or array.shape != tensor.shape:
            return
        if tensor.quant is not None and tensor.quant.axis == axis:
            raise _Cannot(f"the constant {name!r} has scales along the axis of the samples")
        self.constants[name] = np.concatenate([array] * self.size, axis)
        self.shapes[name] = self.constants[name].shape

    def _reshaped(self, shape: Shape, target: Shape, axis: int) -> int:
        """The axis of the result before which there are as many elements as before the batch."""
        before = prod(shape[:axis])
        fits = [n for n in range(len(target)) if prod(target[:n]) == before]
        if not fits:
            raise _Cannot(f"{show(target)} has no axis in the place of the samples of {show(shape)}")
        return next((n for n in fits if target[n] == 1), fits[-1])
