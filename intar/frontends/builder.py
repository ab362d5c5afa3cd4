"""Build a task graph in Python, one call an operator.

>>> g = Builder("mlp")
>>> x = g.input("x", (1, 256))
>>> h = g.relu(g.matmul(x, w, b))
>>> g.output(h)
>>> graph = g.build()
"""

from __future__ import annotations

import linecache
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from intar.errors import Finding, GraphError
from intar.frontends.assemble import Assembly
from intar.frontends.masks import finite_mask
from intar.ir.image_ops import spread
from intar.ir.ops import OPS, Op
from intar.ir.shapes import AttrValue, Shape
from intar.ir.taskgraph import TaskGraph

Numbers = int | Sequence[int]
"""One number for all axes, or one for each: (rows, columns); padding also (top, left, bottom, right)."""

Operand = str | np.ndarray | float | int | Sequence[float]


class Builder:
    """Collects operators; each method returns the name of the tensor that it makes.

    A tensor operand is the name that an earlier call returned; a number, list or array is a constant.
    Every method takes ``name=``, the output's name; without it, outputs are ``relu_1``, ``relu_2``, ….
    Mistakes are collected, and :meth:`build` raises all of them, each with the line of Python that made it.
    """

    def __init__(self, name: str) -> None:
        self._assembly = Assembly(name)
        self._count: dict[str, int] = {}

    def input(self, name: str, shape: Sequence[int]) -> str:
        """An input of the network, of a fixed shape."""
        return self._assembly.input(name, shape, _caller())

    def shape(self, tensor: str) -> Shape:
        """The shape of a tensor that an earlier call returned."""
        return self._assembly.shapes[tensor]

    def output(self, *tensors: str) -> None:
        """Mark tensors as outputs, in this order."""
        for tensor in tensors:
            self._operand(tensor, Op.RESHAPE, _caller())
            self._assembly.outputs.append(tensor)

    def embedding(self, ids: str, table: Operand, *, name: str = "") -> str:
        """Row ``ids[…]`` of table (V, d) for each id of an input (…): (…, d)."""
        return self._task(Op.EMBEDDING, [ids, table], name=name)

    def argmax(self, x: str, keepdims: bool = False, *, name: str = "") -> str:
        """Index of the first largest element along the last axis; an output of the network."""
        return self._task(Op.ARGMAX, [x], {"keepdims": int(keepdims)}, name=name)

    def matmul(self, x: str, weight: Operand, bias: Operand | None = None, *, name: str = "") -> str:
        """``x @ weight + bias``: x (…, K), weight (K, N), bias (N,)."""
        return self._task(Op.MATMUL, [x, weight] if bias is None else [x, weight, bias], name=name)

    def product(self, x: str, y: str, transposed: str = "none", *, name: str = "") -> str:
        """``x @ y`` of two activations: x (…, M, K), y (…, K, N), or (…, N, K) when `transposed` is ``second``."""
        return self._task(Op.PRODUCT, [x, y], {"transposed": transposed}, name=name)

    def softmax(self, x: str, mask: Operand | None = None, *, name: str = "") -> str:
        """``exp(x + mask)`` over its sum along the last axis; the mask is a constant and hides where it is
        ``-inf`` or below -1000."""
        if mask is not None and not isinstance(mask, str):
            mask = finite_mask(np.asarray(mask, np.float32))
        return self._task(Op.SOFTMAX, [x] if mask is None else [x, mask], name=name)

    def cached_softmax(self, x: str, position: str, cached: int, *, name: str = "") -> str:
        """Softmax of scores (…, L, cached + L): row i counts the columns before `position`, an input of one integer, and
        those from `cached` to ``cached + i``."""
        return self._task(Op.CACHED_SOFTMAX, [x, position], {"cached": cached}, name=name)

    def layer_norm(
        self, x: str, scale: Operand, shift: Operand, epsilon: float = 1e-5, *, name: str = ""
    ) -> str:
        """``(x - mean) / sqrt(variance + epsilon) * scale + shift`` over the last axis."""
        return self._task(Op.LAYER_NORM, [x, scale, shift], {"epsilon": float(epsilon)}, name=name)

    def rms_norm(self, x: str, scale: Operand, epsilon: float = 1e-6, *, name: str = "") -> str:
        """``x / sqrt(mean(x**2) + epsilon) * scale`` over the last axis."""
        return self._task(Op.RMS_NORM, [x, scale], {"epsilon": float(epsilon)}, name=name)

    def row_unit(self, x: str, *, name: str = "") -> str:
        """``x / max(abs(x))`` of each row (last axis); rows of zeros stay."""
        return self._task(Op.ROW_UNIT, [x], name=name)

    def row_peak(self, x: str, *, name: str = "") -> str:
        """``max(abs(x))`` of each row: the last axis becomes 1."""
        return self._task(Op.ROW_PEAK, [x], name=name)

    def rope(self, x: str, cosine: Operand, sine: Operand, *, name: str = "") -> str:
        """``x * cosine + turned * sine`` with ``turned = (-second half, first half)`` of the last axis."""
        return self._task(Op.ROPE, [x, cosine, sine], name=name)

    def add(self, a: Operand, b: Operand, *, name: str = "") -> str:
        """``a + b`` with NumPy broadcasting."""
        return self._task(Op.ADD, [a, b], name=name)

    def sub(self, a: Operand, b: Operand, *, name: str = "") -> str:
        """``a - b`` with NumPy broadcasting."""
        return self._task(Op.SUB, [a, b], name=name)

    def mul(self, a: Operand, b: Operand, *, name: str = "") -> str:
        """``a * b`` with NumPy broadcasting."""
        return self._task(Op.MUL, [a, b], name=name)

    def relu(self, x: str, *, name: str = "") -> str:
        """``max(x, 0)``."""
        return self._task(Op.RELU, [x], name=name)

    def sigmoid(self, x: str, *, name: str = "") -> str:
        """``1 / (1 + exp(-x))``."""
        return self._task(Op.SIGMOID, [x], name=name)

    def tanh(self, x: str, *, name: str = "") -> str:
        """Hyperbolic tangent."""
        return self._task(Op.TANH, [x], name=name)

    def gelu(self, x: str, approximate: str = "none", *, name: str = "") -> str:
        """``x * Phi(x)``; `approximate` is ``none`` (error function) or ``tanh``."""
        return self._task(Op.GELU, [x], {"approximate": approximate}, name=name)

    def hardswish(self, x: str, *, name: str = "") -> str:
        """``x * clip(x / 6 + 1/2, 0, 1)``."""
        return self._task(Op.HARDSWISH, [x], name=name)

    def silu(self, x: str, *, name: str = "") -> str:
        """``x * sigmoid(x)``."""
        return self._task(Op.SILU, [x], name=name)

    def mish(self, x: str, *, name: str = "") -> str:
        """``x * tanh(log(1 + exp(x)))``."""
        return self._task(Op.MISH, [x], name=name)

    def softplus(self, x: str, *, name: str = "") -> str:
        """``log(1 + exp(x))``."""
        return self._task(Op.SOFTPLUS, [x], name=name)

    def elu(
        self, x: str, alpha: float = 1.0, scale: float = 1.0, rate: float = 1.0, *, name: str = ""
    ) -> str:
        """``scale * x`` where x is positive, else ``scale * alpha * (exp(rate * x) - 1)``."""
        return self._task(
            Op.ELU, [x], {"alpha": float(alpha), "scale": float(scale), "rate": float(rate)}, name=name
        )

    def power(self, x: str, exponent: float, *, name: str = "") -> str:
        """``x ** exponent``; 0 of negative numbers where the exponent is no whole number."""
        return self._task(Op.POWER, [x], {"exponent": float(exponent)}, name=name)

    def function(self, x: str, function: str, *, name: str = "") -> str:
        """An elementwise function by its name, one of `intar.ir.ops.FUNCTIONS`."""
        return self._task(Op.FUNCTION, [x], {"function": function}, name=name)

    def scale_shift(self, x: str, scale: Operand, shift: Operand, axis: int = -1, *, name: str = "") -> str:
        """``x * scale[c] + shift[c]``, c along `axis`."""
        return self._task(Op.SCALE_SHIFT, [x, scale, shift], {"axis": self._axis(x, axis)}, name=name)

    def reshape(self, x: str, shape: Sequence[int], *, name: str = "") -> str:
        """The same elements in another shape; one axis may be -1."""
        target = [int(n) for n in shape]
        size = int(np.prod(self._assembly.shapes.get(x, ()), dtype=np.int64))
        rest = -int(np.prod(target, dtype=np.int64))
        if target.count(-1) == 1 and rest > 0 and size % rest == 0:
            target[target.index(-1)] = size // rest
        return self._task(Op.RESHAPE, [x], {"shape": tuple(target)}, name=name)

    def transpose(self, x: str, perm: Sequence[int] | None = None, *, name: str = "") -> str:
        """Axes permuted (reversed when `perm` is None)."""
        rank = len(self._assembly.shapes.get(x, ()))
        order = range(rank)[::-1] if perm is None else [int(p) + rank * (p < 0) for p in perm]
        return self._task(Op.TRANSPOSE, [x], {"perm": tuple(order)}, name=name)

    def concat(self, tensors: Sequence[Operand], axis: int = -1, *, name: str = "") -> str:
        """The tensors joined along `axis`."""
        if not tensors:
            self._assembly.findings.append(Finding("concat of no tensors", _caller()))
            return name or "concat"
        return self._task(Op.CONCAT, list(tensors), {"axis": self._axis(tensors[0], axis)}, name=name)

    def slice(self, x: str, axis: int, start: int, stop: int, step: int = 1, *, name: str = "") -> str:
        """Every `step`-th of the elements `start` to ``stop - 1`` of `axis`; negative positions count from the end, as in
        Python."""
        axis = self._axis(x, axis)
        shape = self._assembly.shapes.get(x, ())
        size = shape[axis] if 0 <= axis < len(shape) else 0
        begin, end = (int(n) + size * (n < 0) for n in (start, stop))
        return self._task(Op.SLICE, [x], {"axis": axis, "start": begin, "stop": end, "step": step}, name=name)

    def clip(self, x: str, low: float = -np.inf, high: float = np.inf, *, name: str = "") -> str:
        """``min(max(x, low), high)``."""
        return self._task(Op.CLIP, [x], {"low": float(low), "high": float(high)}, name=name)

    def exp(self, x: str, *, name: str = "") -> str:
        """``e ** x``."""
        return self._task(Op.EXP, [x], name=name)

    def prelu(self, x: str, slope: Operand, *, name: str = "") -> str:
        """``max(x, 0) + slope[c] * min(x, 0)``, channels c along axis 1."""
        return self._task(Op.PRELU, [x, slope], name=name)

    def rational(
        self, x: str, a: Operand, b: Operand, *, groups: int = 1, axis: int = -1, name: str = ""
    ) -> str:
        """``(a0 + a1·x + …) / (1 + |b1|·|x| + …)`` (GR-KAN). The axis is cut into `groups` blocks of
        ``ceil(size / groups)``, the last may be shorter; `a` (groups or 1, degree + 1) and `b` (groups or 1, degree)
        have a row for each of them, or one for all."""
        attrs = {"groups": groups, "axis": self._axis(x, axis), "repeats": 1}
        return self._task(Op.RATIONAL, [x, a, b], attrs, name=name)

    def conv2d(
        self,
        x: str,
        weight: Operand,
        bias: Operand | None = None,
        *,
        stride: Numbers = 1,
        pads: Numbers = 0,
        dilation: Numbers = 1,
        groups: int = 1,
        name: str = "",
    ) -> str:
        """Convolution of images (N, C, H, W): weight (O, C / groups, kernel rows, kernel columns), bias (O)."""
        attrs = {"stride": stride, "pads": pads, "dilation": dilation, "groups": groups}
        return self._window(Op.CONV2D, [x, weight] if bias is None else [x, weight, bias], attrs, name)

    def conv_transpose2d(
        self,
        x: str,
        weight: Operand,
        bias: Operand | None = None,
        *,
        stride: Numbers = 1,
        pads: Numbers = 0,
        output_padding: Numbers = 0,
        dilation: Numbers = 1,
        groups: int = 1,
        name: str = "",
    ) -> str:
        """Transposed convolution: weight (C, O / groups, kernel rows, kernel columns), bias (O)."""
        attrs = {"stride": stride, "pads": pads, "dilation": dilation, "groups": groups}
        attrs["output_padding"] = output_padding
        operands = [x, weight] if bias is None else [x, weight, bias]
        return self._window(Op.CONV_TRANSPOSE2D, operands, attrs, name)

    def upsample_nearest(self, x: str, factors: Numbers, *, name: str = "") -> str:
        """Every element repeated `factors` times down and to the right."""
        return self._window(Op.UPSAMPLE_NEAREST, [x], {"factors": factors}, name)

    def max_pool2d(
        self,
        x: str,
        kernel: Numbers,
        *,
        stride: Numbers | None = None,
        pads: Numbers = 0,
        dilation: Numbers = 1,
        ceil: bool = False,
        name: str = "",
    ) -> str:
        """Largest element of each window; `stride` is the kernel's size unless given; `ceil` rounds sizes up."""
        attrs = {"kernel": kernel, "stride": kernel if stride is None else stride, "pads": pads}
        return self._window(Op.MAX_POOL2D, [x], {**attrs, "dilation": dilation, "ceil": int(ceil)}, name)

    def avg_pool2d(
        self,
        x: str,
        kernel: Numbers,
        *,
        stride: Numbers | None = None,
        pads: Numbers = 0,
        dilation: Numbers = 1,
        ceil: bool = False,
        count_include_pad: bool = False,
        name: str = "",
    ) -> str:
        """Mean of each window; padding counts as zeros with `count_include_pad`."""
        attrs = {"kernel": kernel, "stride": kernel if stride is None else stride, "pads": pads}
        attrs |= {"dilation": dilation, "ceil": int(ceil), "count_include_pad": int(count_include_pad)}
        return self._window(Op.AVG_POOL2D, [x], attrs, name)

    def global_avg_pool(self, x: str, *, name: str = "") -> str:
        """Mean of each channel: (N, C, 1, 1)."""
        return self._task(Op.GLOBAL_AVG_POOL, [x], name=name)

    def global_max_pool(self, x: str, *, name: str = "") -> str:
        """Largest element of each channel: (N, C, 1, 1)."""
        return self._task(Op.GLOBAL_MAX_POOL, [x], name=name)

    def space_to_depth(self, x: str, block: Numbers, *, name: str = "") -> str:
        """Blocks of positions become channels, position by position (ONNX SpaceToDepth); sizes are rounded up."""
        return self._window(Op.SPACE_TO_DEPTH, [x], {"block": block}, name)

    def depth_to_space(self, x: str, block: Numbers, size: Numbers | None = None, *, name: str = "") -> str:
        """The inverse (ONNX DepthToSpace, mode DCR), cut to `size` rows and columns when given."""
        pair = spread("block", block)
        if size is None and isinstance(pair, tuple):
            shape = self._assembly.shapes.get(x, ())
            size = tuple(n * b for n, b in zip(shape[2:], pair, strict=False))
        return self._window(Op.DEPTH_TO_SPACE, [x], {"block": block, "size": size}, name)

    def taps(
        self, op: Op, x: str, attrs: Mapping[str, AttrValue], *constants: Operand, name: str = ""
    ) -> str:
        """``tap_conv`` (with weight and perhaps bias) or ``tap_max`` with the attributes of :mod:`intar.ir.taps`."""
        return self._task(op, [x, *constants], attrs, name=name)

    def build(self) -> TaskGraph:
        """The finished graph.

        Raises
        ------
        GraphError
            Everything that was wrong with the calls, or with the graph that they make.
        """
        if self._assembly.findings:
            raise GraphError(self._assembly.findings)
        return self._assembly.finish()

    def _window(self, op: Op, operands: list[Operand], attrs: Mapping[str, object], name: str) -> str:
        full = {key: spread(key, attrs.get(key, OPS[op].defaults.get(key))) for key in OPS[op].attrs}
        return self._task(op, operands, full, name=name)  # type: ignore[arg-type]

    def _axis(self, x: Operand, axis: int) -> int:
        shape = self._assembly.shapes.get(x, ()) if isinstance(x, str) else np.shape(x)
        return axis + len(shape) if axis < 0 else axis

    def _operand(self, operand: Operand, op: Op, place: str) -> str:
        if not isinstance(operand, str):
            array = np.asarray(operand)
            if array.dtype.kind in "iub":
                array = array.astype(np.float64)
            return self._assembly.constant(f"{op}_constant_{len(self._assembly.constants) + 1}", array)
        if operand not in self._assembly.shapes:
            self._assembly.findings.append(
                Finding(
                    f"there is no tensor '{operand}' yet", place, hint="pass what an earlier call returned"
                )
            )
            self._assembly.shapes.pop(operand, None)
        return operand

    def _task(
        self, op: Op, operands: list[Operand], attrs: Mapping[str, AttrValue] | None = None, *, name: str
    ) -> str:
        place = _caller()
        count = self._count[op] = self._count.get(op, 0) + 1
        output = name or self._assembly.fresh(f"{op}_{count}")
        if output in self._assembly.shapes:
            self._assembly.findings.append(Finding(f"the name '{output}' is used twice", place))
            return output
        inputs = [self._operand(operand, op, place) for operand in operands]
        return self._assembly.task(op, inputs, output, attrs, source=place)


def _caller() -> str:
    """``file.py:12: h = g.relu(x)`` of the first frame outside this module."""
    frame = sys._getframe(1)
    while frame.f_back is not None and frame.f_code.co_filename == __file__:
        frame = frame.f_back
    file, line = frame.f_code.co_filename, frame.f_lineno
    text = linecache.getline(file, line).strip()
    return f"{Path(file).name}:{line}: {text}" if text else f"{Path(file).name}:{line}"
