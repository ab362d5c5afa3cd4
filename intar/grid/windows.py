"""What a convolution or pool reads, axis by axis, whatever its strides and the layouts of its images.

Row Y of the output reads row ``(Y * stride + offset) / up`` of the input for each kernel row's offset, where that is a
whole number. Images are stored as phases: row ``i * p + a`` is row i of phase a. With p phases of the output and q of the
input, ``p * stride == s * q * up``, output row (i, a) reads input row ``i * s * q + m``, ``m = (a * stride + offset) / up``:
row ``i * s + m // q`` of phase ``m % q``, the same m for all i. Where the phases make up for all of the stride, s is 1.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction

import numpy as np

from intar.ir.image_reference import window_counts
from intar.ir.ops import Op
from intar.ir.shapes import Attrs, Shape
from intar.ir.taskgraph import QuantParams, Task, TaskGraph


@dataclass(frozen=True)
class Axis:
    """Rows or columns of a window: see the module. `size` is the output's extent."""

    stride: int
    up: int
    offsets: tuple[int, ...]
    size: int

    @property
    def ratio(self) -> Fraction | None:
        """Phases of the input for each phase of the output; None when any numbers go together (one position)."""
        return None if self.size == 1 else Fraction(self.stride, self.up)

    def step(self, made: int, read: int) -> int:
        """s of the module, for so many phases of the output and of the input; 1 where all rows are phases."""
        return 1 if self.size <= made else made * self.stride // (read * self.up)

    def reads(self, phase: int, phases: int) -> list[tuple[int, int, int]]:
        """Kernel position, input phase (of `phases`) and distance of each read of one output phase."""
        start = 0 if self.size == 1 else phase * self.stride
        found = []
        for position, offset in enumerate(self.offsets):
            m, rest = divmod(start + offset, self.up)
            if rest == 0:
                found.append((position, m % phases, m // phases))
        return found


@dataclass(frozen=True)
class Window:
    """A convolution or a maximum.

    Parameters
    ----------
    rows, columns : its reads.
    weight : (O, C / groups, kernel rows, kernel columns), real numbers or integers; None for a maximum.
    quant : the model's own quantisation of integer weights (zero point subtracted).
    bias : (O) real numbers; None without.
    groups : of a convolution.
    gain : (height, width) of factors that differ from place to place (means at borders); None where all are 1.
    """

    rows: Axis
    columns: Axis
    weight: np.ndarray | None = None
    quant: QuantParams | None = None
    bias: np.ndarray | None = None
    groups: int = 1
    gain: np.ndarray | None = None


def _pair(attrs: Attrs, name: str) -> Shape:
    value = attrs[name]
    assert isinstance(value, tuple)
    return value


def _forward(attrs: Attrs, kernel: Shape, size: Shape) -> tuple[Axis, Axis]:
    stride, pads, dilation = _pair(attrs, "stride"), _pair(attrs, "pads"), _pair(attrs, "dilation")
    rows, columns = (
        Axis(stride[a], 1, tuple(k * dilation[a] - pads[a] for k in range(kernel[a])), size[a])
        for a in (0, 1)
    )
    return rows, columns


def _weight(graph: TaskGraph, task: Task) -> tuple[np.ndarray, QuantParams | None]:
    """The weight, of the model's own integers where it has them; their channels are on the axis of the outputs."""
    name = task.inputs[1]
    array, quant = graph.constants[name], graph.tensor(name).quant
    if quant is None:
        return array.astype(np.float64), None
    zero = np.asarray(quant.zero_point, np.int64)
    if quant.axis is not None and zero.ndim:
        spread = [1] * array.ndim
        spread[quant.axis] = -1
        zero = zero.reshape(spread)
    return array.astype(np.int64) - zero, quant.model_copy(update={"zero_point": 0})


def _bias(graph: TaskGraph, task: Task) -> np.ndarray | None:
    return graph.constant(task.inputs[2]) if len(task.inputs) == 3 else None


def _conv(graph: TaskGraph, task: Task) -> Window:
    weight, quant = _weight(graph, task)
    rows, columns = _forward(task.attrs, weight.shape[2:], graph.tensor(task.output).shape[2:])
    return Window(rows, columns, weight, quant, _bias(graph, task), int(task.attrs["groups"]))  # type: ignore[arg-type]


def _transposed(graph: TaskGraph, task: Task) -> Window:
    weight, quant = _weight(graph, task)
    groups = int(task.attrs["groups"])  # type: ignore[arg-type]
    split = weight.reshape(groups, -1, *weight.shape[1:])
    turned = split.swapaxes(1, 2).reshape(-1, weight.shape[0] // groups, *weight.shape[2:])
    attrs, size = task.attrs, graph.tensor(task.output).shape[2:]
    stride, pads, dilation = _pair(attrs, "stride"), _pair(attrs, "pads"), _pair(attrs, "dilation")
    rows, columns = (
        Axis(1, stride[a], tuple(pads[a] - k * dilation[a] for k in range(weight.shape[2 + a])), size[a])
        for a in (0, 1)
    )
    if quant is not None and isinstance(quant.scale, tuple) and len(quant.scale) > 1:
        # Per output channel is axis 1 here; with groups each scale serves one channel of every group.
        scale = quant.scale * groups if quant.axis == 1 else quant.scale
        quant = quant.model_copy(update={"scale": scale, "axis": 0 if quant.axis == 1 else 1})
    return Window(rows, columns, turned, quant, _bias(graph, task), groups)


def _max_pool(graph: TaskGraph, task: Task) -> Window:
    return Window(*_forward(task.attrs, _pair(task.attrs, "kernel"), graph.tensor(task.output).shape[2:]))


def _mean(channels: int, kernel: Shape) -> np.ndarray:
    return np.full((channels, 1, *kernel), 1.0 / (kernel[0] * kernel[1]))


def _avg_pool(graph: TaskGraph, task: Task) -> Window:
    shape, kernel = graph.tensor(task.inputs[0]).shape, _pair(task.attrs, "kernel")
    rows, columns = _forward(task.attrs, kernel, graph.tensor(task.output).shape[2:])
    counts = window_counts(shape, task.attrs)
    whole = kernel[0] * kernel[1]
    gain = None if (counts == whole).all() else whole / counts
    return Window(rows, columns, _mean(shape[1], kernel), groups=shape[1], gain=gain)


def means_apart(shape: Shape) -> tuple[Window, Window]:
    """The global average of an image (1, C, H, W) as two: of each column, and of those."""
    _, channels, height, width = shape
    alone = Axis(1, 1, (0,), 1)
    down = Window(
        Axis(1, 1, tuple(range(height)), 1),
        Axis(1, 1, (0,), width),
        _mean(channels, (height, 1)),
        groups=channels,
    )
    across = Window(alone, Axis(1, 1, tuple(range(width)), 1), _mean(channels, (1, width)), groups=channels)
    return down, across


def _global(mean: bool) -> Callable[[TaskGraph, Task], Window]:
    def make(graph: TaskGraph, task: Task) -> Window:
        _, channels, height, width = graph.tensor(task.inputs[0]).shape
        rows, columns = Axis(1, 1, tuple(range(height)), 1), Axis(1, 1, tuple(range(width)), 1)
        if not mean:
            return Window(rows, columns)
        return Window(rows, columns, _mean(channels, (height, width)), groups=channels)

    return make


WINDOWS: dict[Op, Callable[[TaskGraph, Task], Window]] = {
    Op.CONV2D: _conv,
    Op.CONV_TRANSPOSE2D: _transposed,
    Op.MAX_POOL2D: _max_pool,
    Op.AVG_POOL2D: _avg_pool,
    Op.GLOBAL_AVG_POOL: _global(mean=True),
    Op.GLOBAL_MAX_POOL: _global(mean=False),
}
"""The window of each operator that has one."""
