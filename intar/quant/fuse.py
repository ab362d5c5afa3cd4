"""Fusion: which operators of the float graph one quantised task performs.

A group is a linear part (matmul, matrix product of two activations, convolution, per-channel affine, sum or product of two
tensors, normalisation of rows), a maximum or a move, then an optional clamp (ReLU, clip), then an optional unary function;
a softmax is a group of its own, and no clamp joins a normalisation. An operator joins the group
before it only when nothing else reads the tensor between them and the model does not quantise that tensor itself.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from math import inf, prod
from typing import Literal

import numpy as np

from intar.errors import Finding, UnsupportedError
from intar.grid.components import grids
from intar.grid.masks import prefix_mask
from intar.ir.norm import MAX_GROUPS
from intar.ir.ops import POSITION, Op
from intar.ir.reference import KERNELS
from intar.ir.shapes import show
from intar.ir.taskgraph import Task, TaskGraph
from intar.ir.validate import where
from intar.quant.tables import UNARY, Function, real_functions

MOVES = frozenset({Op.RESHAPE, Op.TRANSPOSE, Op.CONCAT, Op.SLICE, Op.SPACE_TO_DEPTH, Op.DEPTH_TO_SPACE})
ROWS: dict[Op, Literal["unit", "peak"]] = {Op.ROW_UNIT: "unit", Op.ROW_PEAK: "peak"}
CLAMPS = frozenset({Op.RELU, Op.CLIP})
UNGROUPED = ("matmul", "product", "conv", "affine", "binary", "norm")
"""Kinds of groups that a function of one variable joins."""
BY_COLUMN = ("matmul", "conv", "affine", "norm")
"""Those that say of each column (of an image: of each channel) what becomes of it."""
ARITHMETIC = frozenset({Op.ADD, Op.SUB, Op.MUL})


Kind = Literal[
    "matmul",
    "product",
    "softmax",
    "norm",
    "unit",
    "peak",
    "conv",
    "pool",
    "affine",
    "binary",
    "move",
    "embedding",
    "argmax",
]


@dataclass(eq=False)
class Group:
    """Float tasks that become one quantised task.

    Parameters
    ----------
    kind : what the linear part is.
    first : the task that opens the group.
    inputs, output : activations, by name in the float graph.
    gain, offset : real factor and addend of each output column (``matmul``: on top of the weight; ``affine``:
        ``gain * x + offset``) or channel (``conv``: on top of the weights of its taps; an elementwise operator on a
        grid is a convolution with one tap of weight 1), float64; a ``product`` has one factor and no addend; a ``norm``
        has its own scale and shift in them.
    visible, causal, cached : the mask of a ``softmax``, as in :class:`intar.ir.quantgraph.QSoftmax`.
    scaled : what a ``binary`` multiplies with the peaks of its rows is made by a matmul for nobody else; it has an addend.
    elementwise : `gain` and `offset` have an entry for each element, not for each column (``affine`` only).
    relu : a ReLU follows the linear part.
    low, high : a clip follows the linear part.
    function : the unary task at the end, and `pre`, the tensor that it reads ("" when `function` is None);
        `coefficients` are the constants that it takes.
    fused : every task of the group, in order.
    """

    kind: Kind
    first: Task
    inputs: tuple[str, ...]
    output: str
    gain: np.ndarray = field(default_factory=lambda: np.ones(1))
    offset: np.ndarray = field(default_factory=lambda: np.zeros(1))
    elementwise: bool = False
    scaled: bool = False
    visible: int = 0
    causal: bool = False
    cached: int = 0
    relu: bool = False
    low: float = -inf
    high: float = inf
    function: Task | None = None
    pre: str = ""
    coefficients: tuple[np.ndarray, ...] = ()
    fused: list[Task] = field(default_factory=list)

    @property
    def functions(self) -> tuple[Function, ...]:
        """The function at the end, one for each group of columns; none without one."""
        if self.function is None:
            return ()
        return real_functions(self.function.op, self.function.attrs, self.coefficients)

    @property
    def repeats(self) -> int:
        """Equal parts of all columns that have the same functions each."""
        return 1 if self.function is None else int(self.function.attrs.get("repeats", 1))  # type: ignore[arg-type]

    @property
    def clamped(self) -> bool:
        """A ReLU or clip follows the linear part."""
        return self.relu or self.low > -inf or self.high < inf

    @property
    def identity(self) -> bool:
        """The linear part leaves its input as it is."""
        elementwise = self.kind == "affine" or (self.kind == "conv" and self.first.op is not Op.TAP_CONV)
        plain = elementwise and not self.clamped
        return plain and bool((self.gain == 1).all() and (self.offset == 0).all())


class _Constants:
    """Real values of the graph's constants, and of what is computed from constants alone.

    The graph's own are widened when they are read: all of a large network take gigabytes.
    """

    def __init__(self, graph: TaskGraph) -> None:
        self.graph = graph
        self.computed: dict[str, np.ndarray] = {}

    def __contains__(self, name: str) -> bool:
        return name in self.computed or name in self.graph.constants

    def __getitem__(self, name: str) -> np.ndarray:
        return self.computed[name] if name in self.computed else self.graph.constant(name)


class Fuser:
    """Goes through the tasks once and collects groups and everything that can't be done."""

    def __init__(self, graph: TaskGraph, evaluates: bool) -> None:
        self.graph, self.evaluates = graph, evaluates
        self.on_grid = grids(graph)
        self.constants = _Constants(graph)
        self.groups: list[Group] = []
        self.makers: dict[str, Group] = {}
        self.found: list[Finding] = []

    def run(self) -> list[Group]:
        """The groups in order.

        Raises
        UnsupportedError
            With everything that was found.
        """
        for task in self.graph.tasks:
            if all(name in self.constants for name in task.inputs):
                values = [self.constants[name] for name in task.inputs]
                made = KERNELS[task.op](values, task.attrs)
                self.constants.computed[task.output] = np.asarray(made, np.float64)
            else:
                self._task(task)
        for name in self.graph.outputs:
            if name in self.constants:
                self._refuse(
                    "the output does not depend on any input", f"tensor '{name}'", "remove this output"
                )
        if self.found:
            raise UnsupportedError(self.found)
        return self.groups

    def _refuse(self, what: str, place: str, hint: str) -> None:
        self.found.append(Finding(what, place, hint=hint))

    def _task(self, task: Task) -> None:
        if task.op is Op.MATMUL:
            self._matmul(task)
        elif task.op is Op.PRODUCT:
            self._product(task)
        elif task.op is Op.SOFTMAX:
            self._softmax(task)
        elif task.op is Op.CACHED_SOFTMAX:
            self._cached_softmax(task)
        elif task.op in (Op.LAYER_NORM, Op.RMS_NORM):
            self._norm(task)
        elif task.op in ROWS:
            self._open(Group(ROWS[task.op], task, task.inputs, task.output))
        elif task.op in MOVES:
            self._move(task)
        elif task.op is Op.EMBEDDING:
            self._embedding(task)
        elif task.op is Op.ARGMAX:
            self._argmax(task)
        elif task.op is Op.TAP_CONV:
            self._conv(task)
        elif task.op is Op.TAP_MAX:
            self._open(Group("pool", task, task.inputs, task.output))
        elif task.op in CLAMPS or task.op in UNARY:
            self._unary(task)
        elif task.op not in (*ARITHMETIC, Op.SCALE_SHIFT):
            self._refuse(f"{task.op} is not prepared for integers", where(task), "see intar.grid.prepare")
        else:
            self._elementwise(task)

    def _open(self, group: Group) -> None:
        group.fused.append(group.first)
        self.groups.append(group)
        self.makers[group.output] = group

    def _extend(self, group: Group, task: Task) -> None:
        del self.makers[group.output]
        group.output = task.output
        group.fused.append(task)
        self.makers[task.output] = group
        # A group runs when its last operator does: other inputs of later operators are ready by then.
        self.groups.remove(group)
        self.groups.append(group)

    def _before(self, task: Task, name: str) -> Group | None:
        """The group that makes `name`, when `task` may join it."""
        group = self.makers.get(name)
        if group is None or group.function is not None or group.elementwise:
            return None
        if group.kind in ("move", "softmax", "embedding", "unit", "peak"):
            return None
        private = name not in self.graph.outputs and len(self.graph.consumers(name)) == 1
        return group if private and list(task.inputs).count(name) == 1 else None

    # ------------------------------------------------------------ operators

    def _matmul(self, task: Task) -> None:
        columns = self.graph.tensor(task.output).shape[-1]
        bias = self.constants[task.inputs[2]] if len(task.inputs) == 3 else np.zeros(columns)
        self._open(
            Group("matmul", task, task.inputs[:1], task.output, np.ones(columns), np.array(bias, np.float64))
        )

    def _conv(self, task: Task) -> None:
        channels = self.graph.tensor(task.output).shape[1]
        bias = self.constants[task.inputs[2]] if len(task.inputs) == 3 else np.zeros(channels)
        group = Group(
            "conv", task, task.inputs[:1], task.output, np.ones(channels), np.array(bias, np.float64)
        )
        self._open(group)

    def _product(self, task: Task) -> None:
        for name in task.inputs:
            if name in self.constants:
                self._refuse(
                    f"constant operand '{name}' of {task.op}",
                    where(task),
                    "use matmul for a constant second operand",
                )
        self._open(Group("product", task, task.inputs, task.output))

    def _softmax(self, task: Task) -> None:
        group = Group("softmax", task, task.inputs[:1], task.output)
        if len(task.inputs) == 2:
            mask = self.constants[task.inputs[1]]
            found = prefix_mask(mask, self.graph.tensor(task.output).shape)
            if found is None:
                self._refuse(f"the mask of {task.op} is not prepared", where(task), "see intar.grid.prepare")
                return
            group.visible, group.causal = found
        self._open(group)

    def _cached_softmax(self, task: Task) -> None:
        """The position is a number of the call, which the rows node reads: no tensor, and nobody else understands it."""
        scores, position = task.inputs
        others = [t for t in self.graph.consumers(position) if t.op is not Op.CACHED_SOFTMAX]
        if position not in self.graph.inputs or position != POSITION:
            hint = f"call an input of one integer '{POSITION}'"
            self._refuse(f"its position is '{position}', not the input '{POSITION}'", where(task), hint)
        elif others or position in self.graph.outputs:
            by = f"by {others[0].op} too" if others else "out as it is"
            self._refuse(f"the input '{POSITION}' is read {by}", where(task), "give it an input of its own")
        else:
            cached, rows = int(task.attrs["cached"]), self.graph.tensor(scores).shape[-2]  # type: ignore[arg-type]
            group = Group("softmax", task, (scores,), task.output)
            group.visible, group.causal = (cached + 1, True) if rows > 1 else (0, False)
            group.cached = cached
            self._open(group)

    def _norm(self, task: Task) -> None:
        gain = self.constants[task.inputs[1]]
        offset = self.constants[task.inputs[2]] if task.op is Op.LAYER_NORM else np.zeros(gain.shape)
        self._open(
            Group("norm", task, task.inputs[:1], task.output, np.array(gain), np.array(offset, np.float64))
        )

    def _embedding(self, task: Task) -> None:
        """A port looks the rows up while it loads them: ids come from outside, and nothing else understands them."""
        ids = task.inputs[0]
        others = [other for other in self.graph.consumers(ids) if other.op is not Op.EMBEDDING]
        if ids not in self.graph.inputs:
            self._refuse(
                f"the ids '{ids}' are computed in the network",
                where(task),
                "make them an input of the network",
            )
        elif others:
            self._refuse(
                f"the ids '{ids}' are read by {others[0].op} too",
                where(others[0]),
                "give it an input of its own",
            )
        elif task.output in self.graph.outputs:
            self._refuse(
                "the looked-up rows are an output of the network", where(task), "look them up on the host"
            )
        else:
            self._open(Group("embedding", task, (ids,), task.output))

    def _argmax(self, task: Task) -> None:
        """A port finds the index while it stores the row: it goes outside, and nothing else understands it."""
        name = task.inputs[0]
        if task.output not in self.graph.outputs or self.graph.consumers(task.output):
            self._refuse(
                "the index is not an output of the network, or not only that",
                where(task),
                "indices leave the circuit: make it an output, and read it nowhere",
            )
        elif self.makers.get(name) is None or self.makers[name].kind == "embedding":
            self._refuse(
                f"the values '{name}' are not computed in the network", where(task), "take it on the host"
            )
        elif sum(other.op is Op.ARGMAX for other in self.graph.consumers(name)) > 1:
            self._refuse(f"the argmax of '{name}' is taken twice", where(task), "use one of them")
        else:
            self._open(Group("argmax", task, (name,), task.output))

    def _move(self, task: Task) -> None:
        for name in task.inputs:
            if name in self.constants:
                self._refuse(
                    f"constant operand '{name}' of {task.op}",
                    where(task),
                    "move the constant out of the network",
                )
        self._open(Group("move", task, task.inputs, task.output))

    def _unary(self, task: Task) -> None:
        name = task.inputs[0]
        group = self._before(task, name)
        groups = int(task.attrs.get("groups", 1))  # type: ignore[arg-type]
        apart = task.op in CLAMPS or groups > MAX_GROUPS or (task.op is Op.RATIONAL and self.evaluates)
        if group is not None and group.kind == "norm" and apart:
            group = None  # the rows node has tables of few groups, nothing else
        own = self.graph.tensor(name).quant
        if group is not None and task.op in CLAMPS and own in (None, self.graph.tensor(task.output).quant):
            self._extend(group, task)
            _clamp(group, task)
            return
        joins = UNGROUPED if groups == 1 else BY_COLUMN
        if group is not None and task.op in UNARY and group.kind in joins:
            self._extend(group, task)
            self._end(group, task)
            return
        channels = self.graph.tensor(name).shape[1] if name in self.on_grid else 1
        group = self._affine(task, name, np.ones(channels), np.zeros(channels))
        if task.op in CLAMPS:
            _clamp(group, task)
        else:
            self._end(group, task)

    def _end(self, group: Group, task: Task) -> None:
        """Let a function of one variable end the group."""
        group.function, group.pre = task, task.inputs[0]
        group.coefficients = tuple(self.constants[name] for name in task.inputs[1:])

    def _elementwise(self, task: Task) -> None:
        shape = self.graph.tensor(task.output).shape
        operands = [name for name in task.inputs if name not in self.constants]
        if len(operands) == 1:
            name = operands[0]
            if self.graph.tensor(name).shape != shape:
                self._refuse(
                    f"{task.op} repeats the tensor '{name}' ({show(self.graph.tensor(name).shape)}) to {show(shape)}",
                    where(task),
                    "only constants are broadcast; give both operands the same shape",
                )
                return
            self._linear(task, name, *self._constant_operand(task, shape))
        elif operands[0] == operands[1] and task.op is not Op.MUL:
            self._linear(
                task, operands[0], np.full(shape, 2.0 if task.op is Op.ADD else 0.0), np.zeros(shape)
            )
        elif task.op is Op.MUL and self._row_factor(operands[1], shape):
            made = self._before(task, operands[0])
            scaled = made is not None and made.kind == "matmul" and not made.clamped
            self._open(Group("binary", task, tuple(operands), task.output, scaled=scaled))
        elif any(prod(self.graph.tensor(name).shape) != prod(shape) for name in operands):
            shapes = " and ".join(show(self.graph.tensor(name).shape) for name in operands)
            self._refuse(
                f"{task.op} of tensors with different shapes ({shapes})",
                where(task),
                "only constants are broadcast; give both operands the same shape",
            )
        else:
            self._open(Group("binary", task, tuple(operands), task.output))

    def _row_factor(self, name: str, shape: tuple[int, ...]) -> bool:
        """True for the peaks of rows, one for each row of `shape`, and for the factors of an image's channels."""
        if name in self.on_grid and shape[2:] != (1, 1):
            return self.graph.tensor(name).shape == (*shape[:2], 1, 1)
        made = self.makers.get(name)
        return made is not None and made.kind == "peak" and self.graph.tensor(name).shape == (*shape[:-1], 1)

    def _constant_operand(self, task: Task, shape: tuple[int, ...]) -> tuple[np.ndarray, np.ndarray]:
        """Gain and offset, of the full shape, of an operator with one activation."""
        if task.op is Op.SCALE_SHIFT:
            spread = [1] * len(shape)
            spread[int(task.attrs["axis"])] = -1  # type: ignore[arg-type]
            gain, offset = (self.constants[name].reshape(spread) for name in task.inputs[1:])
            return np.broadcast_to(gain, shape), np.broadcast_to(offset, shape)
        first = task.inputs[0] in self.constants
        value = np.broadcast_to(self.constants[task.inputs[0 if first else 1]], shape)
        ones = np.ones(shape)
        if task.op is Op.MUL:
            return value, np.zeros(shape)
        if task.op is Op.ADD:
            return ones, value
        return (-ones, value) if first else (ones, -value)

    def _linear(self, task: Task, name: str, gain: np.ndarray, offset: np.ndarray) -> None:
        """``gain * x + offset``: into the group before when that is linear, else a group of its own."""
        if name in self.on_grid:
            # Columns are channels here.
            last = np.moveaxis(np.stack([gain, offset]), 2, -1)
            if not bool((last == last[:, :1, :1, :1]).all()):
                self._affine(task, name, gain.reshape(-1), offset.reshape(-1), elementwise=True)
                return
            gain, offset = last[0], last[1]
        columns = gain.shape[-1] if gain.ndim else 1
        gain, offset = gain.reshape(-1, columns), offset.reshape(-1, columns)
        per_column = bool((gain == gain[0]).all() and (offset == offset[0]).all())
        group = self._before(task, name)
        fits = (
            group is not None
            and group.kind in ("matmul", "conv", "affine", "norm")
            and not group.clamped
            and per_column
        )
        if group is not None and group.kind == "product" and not group.clamped:
            fits = bool((gain == gain[0, 0]).all() and (offset == 0).all())
            if fits:
                gain, offset = gain[:, :1], offset[:, :1]
        if group is not None and group.scaled and not group.clamped:
            fits = per_column and bool((gain == 1).all())
        if group is not None and fits and self.graph.tensor(name).quant is None:
            self._extend(group, task)
            group.gain, group.offset = group.gain * gain[0], group.offset * gain[0] + offset[0]
            return
        if per_column:
            self._affine(task, name, gain[0].copy(), offset[0].copy())
        else:
            self._affine(task, name, gain.reshape(-1), offset.reshape(-1), elementwise=True)

    def _affine(
        self, task: Task, name: str, gain: np.ndarray, offset: np.ndarray, elementwise: bool = False
    ) -> Group:
        kind: Literal["conv", "affine"] = "conv" if name in self.on_grid and not elementwise else "affine"
        group = Group(kind, task, (name,), task.output, gain, offset, elementwise=elementwise)
        self._open(group)
        return group


def _clamp(group: Group, task: Task) -> None:
    """Let a ReLU or clip narrow what the group clamps to."""
    if task.op is Op.RELU or task.attrs["low"] == 0:
        group.relu = True
    if task.op is Op.CLIP:
        group.low = max(group.low, float(task.attrs["low"]))  # type: ignore[arg-type]
        group.high = min(group.high, float(task.attrs["high"]))  # type: ignore[arg-type]


def fuse(graph: TaskGraph, evaluates: bool = False) -> list[Group]:
    """The groups of a valid graph, in topological order.

    Parameters
    ----------
    evaluates : rational functions have no tables: lanes evaluate them, which the node of the rows can't.

    Raises
    ------
    UnsupportedError
        With every operator that has no quantised form.
    """
    return Fuser(graph, evaluates).run()
