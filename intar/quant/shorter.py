"""A network behind fewer cached rows: the same integers for calls at the first positions, with less to read and to multiply.

Rows of a state from a call's position on don't count (`QSoftmax.cached`): a call at a position up to `cached` gives the same
outputs if only so many rows are there. What is left out are the same rows of everything that the states go through: of
keys and values behind caches, the scores' columns, the reduction of the product with the values.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import prod

import numpy as np

from intar.errors import Finding, UnsupportedError
from intar.ir.quantgraph import Piece, QAffine, QMove, QProduct, QSoftmax, QTask, QTensor, Quantised
from intar.ir.states import states
from intar.quant.quantise import constants_digest


@dataclass(frozen=True)
class _Axis:
    """Where a tensor has the cached rows: an axis of `size` with `outer` elements before it and `inner` behind."""

    outer: int
    size: int
    inner: int


def shorter(quantised: Quantised, cached: int) -> Quantised:
    """The network whose states hold `cached` rows; tensors, tasks and formats are called as they were.

    Parameters
    ----------
    cached : at least 1, more than the tokens of a call, less than the rows of the states.

    Raises
    ------
    UnsupportedError
        The states go through something that has no shorter form: all such tasks.
    """
    return _Shorter(quantised, cached).run()


class _Shorter:
    def __init__(self, quantised: Quantised, cached: int) -> None:
        self.quantised, self.graph, self.cached = quantised, quantised.graph, cached
        self.full = self.graph.positions
        self.gone = self.full - cached
        self.sliced: dict[str, np.ndarray] = {}
        self.axes: dict[str, _Axis] = {}
        self.found: list[Finding] = []

    def run(self) -> Quantised:
        for state in states(self.graph):
            if state.rows == self.full > self.cached > state.length:
                inner = state.inner * self.graph.tensor(state.name).cols
                self.axes[state.name] = _Axis(state.blocks, state.rows, inner)
        if not self.axes:
            what = f"there are no states of which the first {self.cached} rows could be read alone"
            why = "a call adds fewer rows than it reads, and the position decides which of them count"
            raise UnsupportedError(Finding(what, self.graph.name, why))
        tasks = [self._task(task) for task in self.graph.tasks]
        for name in set(self.graph.outputs) & self.axes.keys():
            self.found.append(Finding(f"the output '{name}' has as many rows as the states", self.graph.name))
        if self.found:
            raise UnsupportedError(self.found)
        tensors = tuple(self._tensor(tensor) for tensor in self.graph.tensors)
        graph = self.graph.model_copy(update={"tensors": tensors, "tasks": tuple(tasks)})
        if not self.sliced:
            return Quantised(graph, self.quantised.constants)
        constants = self.quantised.constants | self.sliced
        return Quantised(graph.model_copy(update={"digest": constants_digest(constants)}), constants)

    def _tensor(self, tensor: QTensor) -> QTensor:
        axis = self.axes.get(tensor.name)
        if axis is None:
            return tensor
        at = next(
            a
            for a, size in enumerate(tensor.shape)
            if size == axis.size and prod(tensor.shape[:a]) == axis.outer
        )
        shape = (*tensor.shape[:at], axis.size - self.gone, *tensor.shape[at + 1 :])
        return tensor.model_copy(update={"shape": shape})

    def _task(self, task: QTask) -> QTask:
        """The task without the rows; what it makes is noted."""
        cut = [self.axes.get(name) for name in task.operands]
        placed = isinstance(task, QSoftmax) and task.cached > 0
        if not any(cut) and not placed:
            return task
        made: QTask | None = None
        if isinstance(task, QMove):
            made = self._move(task, cut)
        elif isinstance(task, QProduct):
            made = self._product(task, *cut)
        elif isinstance(task, QSoftmax) and placed and self._columns(task.inputs[0]):
            visible = task.visible and task.visible - self.gone
            made = task.model_copy(update={"cached": self.cached, "visible": visible})
            self.axes[task.output] = self.axes[task.inputs[0]]
        elif isinstance(task, QAffine):
            made = self._affine(task)
        if made is None:
            hint = "caches are joined with the new rows, keys multiply queries, shares of a softmax multiply values"
            self.found.append(
                Finding(f"it has no form with fewer cached rows ({task.kind})", task.name, hint=hint)
            )
            return task
        return made

    def _columns(self, name: str) -> bool:
        """The cached rows are columns of the tensor."""
        axis = self.axes.get(name)
        return axis is not None and axis.inner == 1 and axis.size == self.graph.tensor(name).cols

    def _move(self, task: QMove, cut: list[_Axis | None]) -> QMove | None:
        """Runs of whole rows, the same rows of each block, one behind the other."""
        known = {(axis.outer, axis.inner) for axis in cut if axis is not None}
        if len(known) > 1:
            return None
        ((outer, inner),) = known
        blocks = outer // task.visits
        pieces: list[Piece] = []
        size = 0
        for piece in task.pieces:
            axis, elements = cut[piece.input], prod(piece.counts)
            size += elements // (blocks * inner)
            if axis is None:
                pieces.append(piece)
                continue
            whole = axis.size * inner * blocks
            straight = piece.strides[-1] == 1 and len(piece.counts) == 1
            if piece.offset or elements != whole or not straight or (task.visits > 1 and piece.step != whole):
                return None
            left = (axis.size - self.gone) * inner * blocks
            update = {"counts": (left,), "step": left if task.visits > 1 else piece.step}
            pieces.append(piece.model_copy(update=update))
        if (blocks > 1 and len(task.pieces) > 1) or outer % task.visits:
            return None
        axis = _Axis(outer, size, inner)
        shape = self.graph.tensor(task.output).shape
        if not any(n == size and prod(shape[:a]) == outer for a, n in enumerate(shape)):
            return None
        self.axes[task.output] = axis
        return task.model_copy(update={"pieces": tuple(pieces)})

    def _product(
        self, task: QProduct, x: _Axis | None, y: _Axis | None, state: _Axis | None = None
    ) -> QProduct | None:
        second, out = self.graph.tensor(task.inputs[1]), self.graph.tensor(task.output)
        if state is not None and task.transposed:
            self.axes[task.output] = _Axis(out.rows, out.cols, 1)
            return None if x or y else task
        if state is not None:
            return task if y is None and self._columns(task.inputs[0]) else None
        if y is None:
            return None
        by_columns = y.inner == 1 and y.size == second.cols
        by_rows = y == _Axis(task.batch, second.rows // task.batch, second.cols)
        if by_rows if task.transposed else by_columns:  # columns of the result
            self.axes[task.output] = _Axis(out.rows, out.cols, 1)
            return None if x else task
        reduces = by_columns if task.transposed else by_rows
        return task if reduces and self._columns(task.inputs[0]) else None

    def _affine(self, task: QAffine) -> QAffine | None:
        """A copy in another format; constants of columns that are left out go."""
        if task.table is not None and task.table.groups > 1:
            return None
        axis = self.axes[task.inputs[0]]
        self.axes[task.output] = axis
        if self._columns(task.inputs[0]):
            kept = np.r_[0 : self.cached, self.full : axis.size]
            for name in (task.bias, task.mult, task.shift):
                if len(self.quantised.constants[name]) == axis.size:
                    self.sliced[name] = self.quantised.constants[name][kept]
                    self.sliced[name].setflags(write=False)
        return task
