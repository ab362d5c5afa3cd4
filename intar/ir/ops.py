"""The operators of a task graph: one table with arity, attributes, shape rule and cost of each.

A new operator is one :class:`Op` member, one :data:`OPS` row here and one function in
:mod:`intar.ir.reference`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import Enum
from math import prod

Shape = tuple[int, ...]
AttrValue = int | float | str | tuple[int, ...]
Attrs = Mapping[str, AttrValue]


class Op(str, Enum):
    """What a task computes. ``quantize`` and ``dequantize`` are absent: they live on as tensor formats."""

    MATMUL = "matmul"
    ADD = "add"
    SUB = "sub"
    MUL = "mul"
    RELU = "relu"
    SIGMOID = "sigmoid"
    TANH = "tanh"
    GELU = "gelu"
    HARDSWISH = "hardswish"
    SILU = "silu"
    SCALE_SHIFT = "scale_shift"
    RESHAPE = "reshape"
    TRANSPOSE = "transpose"
    CONCAT = "concat"
    SLICE = "slice"

    def __str__(self) -> str:
        return self.value


class ShapeMismatch(ValueError):
    """The operands or attributes of a task do not fit together; the message is a sentence for the user."""


@dataclass(frozen=True)
class OpSpec:
    """What the compiler needs to know of one operator.

    Parameters
    ----------
    inputs : least and largest number of inputs (the largest is None when there is no limit).
    infer : shape of the output from the shapes of the inputs and the attributes; raises ShapeMismatch.
    attrs : legal values of each required attribute: a type, or a tuple of the allowed words.
    constants : positions of the inputs that have to be constants.
    macs : multiply-accumulates from the shapes of the inputs.
    summary : one line for documentation and listings.
    """

    inputs: tuple[int, int | None]
    infer: Callable[[list[Shape], Attrs], Shape]
    summary: str
    attrs: Mapping[str, type | tuple[str, ...]] = field(default_factory=dict)
    constants: tuple[int, ...] = ()
    macs: Callable[[list[Shape]], int] = lambda shapes: 0


def show(shape: Shape) -> str:
    """A shape as the user reads it: ``1×256``; ``scalar`` for rank 0."""
    return "×".join(str(n) for n in shape) if shape else "scalar"


def broadcast_shape(a: Shape, b: Shape) -> Shape:
    """NumPy's broadcasting of two shapes; raises ShapeMismatch."""
    rank = max(len(a), len(b))
    wide_a, wide_b = (1,) * (rank - len(a)) + a, (1,) * (rank - len(b)) + b
    if any(m != n and 1 not in (m, n) for m, n in zip(wide_a, wide_b, strict=True)):
        raise ShapeMismatch(f"shapes {show(a)} and {show(b)} can't be broadcast together")
    return tuple(n if m == 1 else m for m, n in zip(wide_a, wide_b, strict=True))


def broadcast_kind(a: Shape, b: Shape) -> str:
    """Which operand of a binary operator is repeated: ``none``, ``left``, ``right`` or ``both``."""
    out = broadcast_shape(a, b)
    return {(True, True): "none", (False, True): "left", (True, False): "right"}.get(
        (a == out, b == out), "both"
    )


def _unary(shapes: list[Shape], attrs: Attrs) -> Shape:
    return shapes[0]


def _binary(shapes: list[Shape], attrs: Attrs) -> Shape:
    return broadcast_shape(*shapes)


def _matmul(shapes: list[Shape], attrs: Attrs) -> Shape:
    x, weight = shapes[:2]
    if len(weight) != 2:
        raise ShapeMismatch(f"the weight has to be a K×N matrix, not {show(weight)}")
    if not x:
        raise ShapeMismatch("the input of a matmul needs at least one axis")
    if x[-1] != weight[0]:
        raise ShapeMismatch(
            f"the last axis of the input has {x[-1]} elements (shape {show(x)}), "
            f"the weight {show(weight)} expects {weight[0]}"
        )
    if len(shapes) == 3 and shapes[2] != (weight[1],):
        raise ShapeMismatch(f"the bias has shape {show(shapes[2])}, expected {weight[1]}")
    return (*x[:-1], weight[1])


def _axis(shape: Shape, attrs: Attrs) -> int:
    axis = attrs["axis"]
    assert isinstance(axis, int)
    if not 0 <= axis < len(shape):
        raise ShapeMismatch(f"axis {axis} does not exist in shape {show(shape)}")
    return axis


def _scale_shift(shapes: list[Shape], attrs: Attrs) -> Shape:
    x, scale, shift = shapes
    channels = x[_axis(x, attrs)]
    for role, shape in (("scale", scale), ("shift", shift)):
        if shape != (channels,):
            raise ShapeMismatch(
                f"the {role} has shape {show(shape)}, expected {channels} (axis {attrs['axis']} of {show(x)})"
            )
    return x


def _reshape(shapes: list[Shape], attrs: Attrs) -> Shape:
    target = attrs["shape"]
    assert isinstance(target, tuple)
    if prod(target) != prod(shapes[0]) or any(n < 0 for n in target):
        raise ShapeMismatch(
            f"shape {show(shapes[0])} ({prod(shapes[0])} elements) can't become "
            f"{show(target)} ({prod(target)} elements)"
        )
    return target


def _transpose(shapes: list[Shape], attrs: Attrs) -> Shape:
    perm = attrs["perm"]
    assert isinstance(perm, tuple)
    if sorted(perm) != list(range(len(shapes[0]))):
        raise ShapeMismatch(
            f"perm {list(perm)} is not a permutation of the {len(shapes[0])} axes of {show(shapes[0])}"
        )
    return tuple(shapes[0][p] for p in perm)


def _concat(shapes: list[Shape], attrs: Attrs) -> Shape:
    axis = _axis(shapes[0], attrs)
    first = shapes[0]
    for shape in shapes[1:]:
        if len(shape) != len(first) or shape[:axis] + shape[axis + 1 :] != first[:axis] + first[axis + 1 :]:
            raise ShapeMismatch(f"shapes {show(first)} and {show(shape)} differ outside axis {axis}")
    return (*first[:axis], sum(shape[axis] for shape in shapes), *first[axis + 1 :])


def _slice(shapes: list[Shape], attrs: Attrs) -> Shape:
    axis, start, stop = _axis(shapes[0], attrs), attrs["start"], attrs["stop"]
    assert isinstance(start, int) and isinstance(stop, int)
    if not 0 <= start < stop <= shapes[0][axis]:
        raise ShapeMismatch(
            f"the range {start}:{stop} is not inside axis {axis} of {show(shapes[0])}, or it is empty"
        )
    return (*shapes[0][:axis], stop - start, *shapes[0][axis + 1 :])


def _matmul_macs(shapes: list[Shape]) -> int:
    return prod(shapes[0]) * shapes[1][1]


_BROADCAST = {"broadcast": ("none", "left", "right", "both")}

OPS: dict[Op, OpSpec] = {
    Op.MATMUL: OpSpec(
        (2, 3),
        _matmul,
        "x (…, K) times constant weight (K, N), plus constant bias (N)",
        constants=(1, 2),
        macs=_matmul_macs,
    ),
    Op.ADD: OpSpec((2, 2), _binary, "elementwise sum, NumPy broadcasting", _BROADCAST),
    Op.SUB: OpSpec((2, 2), _binary, "elementwise difference, NumPy broadcasting", _BROADCAST),
    Op.MUL: OpSpec((2, 2), _binary, "elementwise product, NumPy broadcasting", _BROADCAST),
    Op.RELU: OpSpec((1, 1), _unary, "max(x, 0)"),
    Op.SIGMOID: OpSpec((1, 1), _unary, "1 / (1 + exp(-x))"),
    Op.TANH: OpSpec((1, 1), _unary, "hyperbolic tangent"),
    Op.GELU: OpSpec((1, 1), _unary, "x·Φ(x), exact or its tanh form", {"approximate": ("none", "tanh")}),
    Op.HARDSWISH: OpSpec((1, 1), _unary, "x · clip(x/6 + 1/2, 0, 1)"),
    Op.SILU: OpSpec((1, 1), _unary, "x · sigmoid(x)"),
    Op.SCALE_SHIFT: OpSpec(
        (3, 3), _scale_shift, "x · scale[c] + shift[c] along one axis", {"axis": int}, constants=(1, 2)
    ),
    Op.RESHAPE: OpSpec((1, 1), _reshape, "the same elements in row-major order", {"shape": tuple}),
    Op.TRANSPOSE: OpSpec(
        (1, 1), _transpose, "axes permuted: output axis i is input axis perm[i]", {"perm": tuple}
    ),
    Op.CONCAT: OpSpec((1, None), _concat, "joined along one axis", {"axis": int}),
    Op.SLICE: OpSpec(
        (1, 1), _slice, "elements start to stop-1 of one axis", {"axis": int, "start": int, "stop": int}
    ),
}
"""The operator table: every :class:`Op` has one row."""
