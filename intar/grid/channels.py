"""Functions of groups of channels: by channel of images as they are kept, by column of anything else."""

from __future__ import annotations

from intar.grid.components import grids
from intar.grid.images import grid_images
from intar.grid.sketch import Sketch
from intar.ir.ops import Op
from intar.ir.shapes import AttrValue, Shape
from intar.ir.taskgraph import Task, TaskGraph

CHANNELS = 1
"""The axis of an image's channels."""


def functions_by_channel(graph: TaskGraph) -> TaskGraph:
    """Grouped functions of an image whose channels were moved to the last axis, of the image itself.

    ``f(transpose(x))`` is ``transpose(f(x))``, and two transpositions that undo each other go: where a network moves the
    channels to the end for such a function and back behind it, nothing is moved any more.
    """
    return _ByChannel(graph).run()


def functions_by_column(graph: TaskGraph) -> TaskGraph:
    """Grouped functions along another axis than the last, of anything but images on a grid, between transpositions."""
    return _ByColumn(graph).run()


def _grouped(task: Task) -> bool:
    return task.op is Op.RATIONAL and task.attrs["groups"] != 1


def _perm(task: Task) -> Shape:
    perm = task.attrs["perm"]
    assert isinstance(perm, tuple)
    return perm


class _ByChannel(Sketch):
    def __init__(self, graph: TaskGraph) -> None:
        super().__init__(graph)
        self.turned = {task.output: before for task in graph.tasks if (before := self._before(task))}
        self.images: dict[
            str, tuple[str, Shape]
        ] = {}  # of what a transposed result stands for, and how it was
        self.equal: dict[str, str] = {}  # tensors that are no more

    def _before(self, task: Task) -> Task | None:
        """The transposition of an image that a function reads, if its groups are those of the channels."""
        maker = self.graph.producer(task.inputs[0]) if _grouped(task) else None
        if maker is None or maker.op is not Op.TRANSPOSE:
            return None
        axis, (x, y) = task.attrs["axis"], (self.graph.tensor(n) for n in (*maker.inputs, maker.output))
        assert isinstance(axis, int)
        fits = _perm(maker)[axis] == CHANNELS and y.quant in (None, x.quant)
        return maker if fits and x.name in grid_images(self.graph) else None

    def run(self) -> TaskGraph:
        if not self.turned:
            return self.graph
        for name in self.graph.constants:
            self._keep(name)
        for task in self.graph.tasks:
            out, inputs = self.graph.tensor(task.output), [self.equal.get(n, n) for n in task.inputs]
            if before := self.turned.get(out.name):
                x = before.inputs[0]
                name, shape = self._suffixed(out.name, "image"), self.graph.tensor(x).shape
                inputs[0] = self.equal.get(x, x)
                self._add(
                    task, task.op, inputs, name, shape, {**task.attrs, "axis": CHANNELS}, out.quant, out.source
                )  # fmt: skip
                self._add(before, before.op, [name], out.name, out.shape, before.attrs, out.quant, out.source)
                self.images[out.name] = name, _perm(before)
            elif (image := self._undone(task)) is not None:
                self.equal[out.name] = image
            else:
                self._add(task, task.op, inputs, out.name, out.shape, task.attrs, out.quant, out.source)
        return self._finish()

    def _undone(self, task: Task) -> str | None:
        """The image, where the task only turns back what was turned before a function."""
        if (
            task.op is not Op.TRANSPOSE
            or task.inputs[0] not in self.images
            or task.output in self.graph.outputs
        ):
            return None
        name, perm = self.images[task.inputs[0]]
        back = tuple(perm[axis] for axis in _perm(task)) == tuple(range(len(perm)))
        same = self.graph.tensor(task.output).quant in (None, self.graph.tensor(task.inputs[0]).quant)
        return name if back and same else None


class _ByColumn(Sketch):
    def run(self) -> TaskGraph:
        on_grid = grids(self.graph)
        apart = {
            task.output
            for task in self.graph.tasks
            if _grouped(task)
            and task.output not in on_grid
            and task.attrs["axis"] != len(self.graph.tensor(task.output).shape) - 1
        }
        if not apart:
            return self.graph
        for name in self.graph.constants:
            self._keep(name)
        for task in self.graph.tasks:
            out = self.graph.tensor(task.output)
            if task.output in apart:
                self._turn(task)
            else:
                self._add(
                    task, task.op, list(task.inputs), out.name, out.shape, task.attrs, out.quant, out.source
                )
        return self._finish()

    def _turn(self, task: Task) -> None:
        x, out = self.graph.tensor(task.inputs[0]), self.graph.tensor(task.output)
        axis, last = task.attrs["axis"], len(out.shape) - 1
        assert isinstance(axis, int)
        perm = tuple(last if a == axis else axis if a == last else a for a in range(last + 1))
        turn: dict[str, AttrValue] = {"perm": perm}
        shape = tuple(out.shape[a] for a in perm)
        rows = self._add(task, Op.TRANSPOSE, [x.name], self._suffixed(x.name, "rows"), shape, turn, x.quant)
        made = self._add(
            task, task.op, [rows, *task.inputs[1:]], self._suffixed(out.name, "rows"), shape,
            {**task.attrs, "axis": last}, out.quant,
        )  # fmt: skip
        self._add(task, Op.TRANSPOSE, [made], out.name, out.shape, turn, out.quant, out.source)
