"""Several samples in one call: the network with a batch of them in the place of one.

Each activation has the batch in one of its axes: an axis of size 1 becomes one of `size`; where there is none such, rows
(or heads, or whatever stands there) become `size` times as many, all of a sample together or, behind what a model has moved
in front of the batch, in turn. Weights are then read once for all samples.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from math import prod

import numpy as np

from intar.errors import ConfigError, Finding, UnsupportedError
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


@dataclass(frozen=True)
class _Place:
    """Where the batch is: in an axis, behind the first `outer` parts of it (1: all of a sample lies together)."""

    axis: int
    outer: int = 1


class _Cannot(Exception):
    """A task that can't take a batch, and why."""


def batched(graph: TaskGraph, size: int) -> TaskGraph:
    """The graph that computes what `graph` does for `size` samples, one behind the other along the first axis of each input.

    Raises
    ------
    ConfigError
        `size` is no positive whole number.
    UnsupportedError
        With a finding for each task that mixes samples, or that the machine does for one sample only (images, cached rows).
    """
    if not isinstance(size, int) or size < 1:
        raise ConfigError(Finding(f"{size!r} samples a call", "batch", hint="take a whole number from 1 on"))
    if size == 1:
        return graph
    return _Batch(graph, size).made()


def _finding(task: Task, why: str) -> Finding:
    where = f"task '{task.name}' ({task.source or task.op})"
    return Finding("it can't take several samples a call", where, why, "leave --batch away")


class _Batch:
    def __init__(self, graph: TaskGraph, size: int) -> None:
        self.graph, self.size = graph, size
        self.at = {name: _Place(0) for name in graph.inputs}  # where each activation has the batch
        self.shapes: dict[str, Shape] = {name: self._wide(name) for name in graph.inputs}
        self.constants: dict[str, np.ndarray] = dict(graph.constants)

    def made(self) -> TaskGraph:
        graph = self.graph
        tasks, found = [], list(self._images())
        for task in graph.tasks:
            given = [name for name in task.inputs if name not in graph.constants]
            if task.op in IMAGES or any(name not in self.at for name in given):
                continue  # said already, or behind one that can't
            try:
                tasks.append(self._task(task, given))
            except _Cannot as reason:
                found.append(_finding(task, str(reason)))
        found += self._outputs()
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

    def _outputs(self) -> Iterator[Finding]:
        """Outputs in which samples neither have an axis of their own nor lie one behind the other."""
        for name in self.graph.outputs:
            shape, place = self.graph.tensor(name).shape, self.at.get(name)
            if place and shape[place.axis] > 1 and place != _Place(0):
                what = f"output '{self.graph.tensor(name).source or name}'"
                why = f"samples lie inside of axis {place.axis} of {show(shape)}"
                yield Finding("it can't have several samples a call", what, why, "leave --batch away")

    def _wide(self, name: str) -> Shape:
        """An activation's shape with the batch in it."""
        shape, axis = self.graph.tensor(name).shape, self.at[name].axis
        if not shape:
            what = "a number has no axis for samples"
            raise UnsupportedError(Finding(what, f"input '{name}'", hint="leave --batch away"))
        return (*shape[:axis], shape[axis] * self.size, *shape[axis + 1 :])

    def _task(self, task: Task, given: list[str]) -> Task:
        place = self.at[task.output] = self._place(task, given)
        if task.op in ELEMENTWISE | {Op.SOFTMAX, Op.ROPE}:
            rank = len(self.graph.tensor(task.output).shape)
            for name in set(task.inputs) - set(given):
                self._repeat(name, place.axis + len(self.graph.tensor(name).shape) - rank, place.outer)
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

    def _place(self, task: Task, given: list[str]) -> _Place:
        """Where the result has the batch."""
        shapes = [self.graph.tensor(name).shape for name in given]
        target = self.graph.tensor(task.output).shape
        places = [self.at[name] for name in given]
        place, last = places[0], len(shapes[0]) - 1
        if task.op is Op.CACHED_SOFTMAX:
            raise _Cannot("cached rows belong to one text")
        along = task.attrs["axis"] if task.op in ALONG else 1 if task.op is Op.PRELU else -1
        if place.axis == (last if task.op in LAST else along):
            raise _Cannot("the samples lie along the axis that it works on")
        if task.op is Op.PRODUCT and not (len(given) == 2 and place.axis < last - 1):
            raise _Cannot("a product of two activations takes samples along leading axes of both")
        if task.op is Op.TRANSPOSE:
            perm = task.attrs["perm"]
            assert isinstance(perm, tuple)
            return _Place(perm.index(place.axis), place.outer)
        if task.op is Op.RESHAPE:
            return _reshaped(shapes[0], target, place)
        if task.op in ELEMENTWISE:
            moved = [len(target) - len(shape) for shape in shapes]
            places = [_Place(own.axis + by, own.outer) for own, by in zip(places, moved, strict=True)]
            if any(
                shape[own.axis - by] != target[own.axis]
                for shape, own, by in zip(shapes, places, moved, strict=True)
            ):
                raise _Cannot("an operand is repeated along the axis of the samples")
        if len(set(places)) > 1:
            raise _Cannot("its operands have the samples along different axes")
        return places[0]

    def _repeat(self, name: str, axis: int, outer: int) -> None:
        """A constant beside an activation, for each sample again where it has an element for each place of that axis."""
        array, tensor = self.constants[name], self.graph.tensor(name)
        if axis < 0 or tensor.shape[axis] == 1 or array.shape != tensor.shape:
            return
        if tensor.quant is not None and tensor.quant.axis == axis:
            raise _Cannot(f"the constant {name!r} has scales along the axis of the samples")
        parts = np.split(array, outer, axis)
        self.constants[name] = np.concatenate([part for part in parts for _ in range(self.size)], axis)
        self.shapes[name] = self.constants[name].shape


def _reshaped(shape: Shape, target: Shape, place: _Place) -> _Place:
    """The place in the result before which there are as many elements as before the batch: an axis of its own if there is
    one, else rather in rows than in columns."""
    before = prod(shape[: place.axis]) * place.outer
    fits = []
    for axis, size in enumerate(target):
        outer, rest = divmod(before, prod(target[:axis]))
        if rest == 0 and outer and size % outer == 0:
            fits.append(_Place(axis, outer))
    if not fits:
        raise _Cannot(f"{show(target)} has no axis in the place of the samples of {show(shape)}")
    last = len(target) - 1
    return min(fits, key=lambda fit: (target[fit.axis] > 1, fit.axis == last, fit.outer > 1))
