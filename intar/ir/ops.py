"""The operators of a task graph: one table with arity, attributes, shape rule and cost of each.

A new operator is one :class:`Op` member, one :data:`OPS` row here and one function in
:mod:`intar.ir.reference`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import Enum
from math import inf, prod

from intar.ir import image_ops
from intar.ir.shapes import Attrs, AttrValue, Shape, ShapeMismatch, show


class Op(str, Enum):
    """What a task computes. ``quantize`` and ``dequantize`` are absent: they live on as tensor formats."""

    EMBEDDING = "embedding"
    MATMUL = "matmul"
    PRODUCT = "product"
    SOFTMAX = "softmax"
    CACHED_SOFTMAX = "cached_softmax"
    ARGMAX = "argmax"
    LAYER_NORM = "layer_norm"
    RMS_NORM = "rms_norm"
    ROW_UNIT = "row_unit"
    ROW_PEAK = "row_peak"
    ROPE = "rope"
    ADD = "add"
    SUB = "sub"
    MUL = "mul"
    RELU = "relu"
    SIGMOID = "sigmoid"
    TANH = "tanh"
    GELU = "gelu"
    HARDSWISH = "hardswish"
    SILU = "silu"
    MISH = "mish"
    SOFTPLUS = "softplus"
    ELU = "elu"
    POWER = "power"
    FUNCTION = "function"
    SCALE_SHIFT = "scale_shift"
    RESHAPE = "reshape"
    TRANSPOSE = "transpose"
    CONCAT = "concat"
    SLICE = "slice"
    CLIP = "clip"
    EXP = "exp"
    PRELU = "prelu"
    RATIONAL = "rational"
    CONV2D = "conv2d"
    CONV_TRANSPOSE2D = "conv_transpose2d"
    UPSAMPLE_NEAREST = "upsample_nearest"
    MAX_POOL2D = "max_pool2d"
    AVG_POOL2D = "avg_pool2d"
    GLOBAL_AVG_POOL = "global_avg_pool"
    GLOBAL_MAX_POOL = "global_max_pool"
    SPACE_TO_DEPTH = "space_to_depth"
    DEPTH_TO_SPACE = "depth_to_space"
    TAP_CONV = "tap_conv"
    TAP_MAX = "tap_max"

    def __str__(self) -> str:
        return self.value


FUNCTIONS = (
    *("log", "sin", "cos", "tan", "asin", "acos", "atan", "sinh", "cosh", "asinh", "acosh", "atanh", "erf"),
    *("softsign", "log_sigmoid", "floor", "ceil", "round", "trunc", "negative", "not_negative"),
)
"""What `Op.FUNCTION` may be: elementwise functions without parameters."""

TABULATED = frozenset(
    {Op.SIGMOID, Op.TANH, Op.GELU, Op.HARDSWISH, Op.SILU, Op.MISH, Op.SOFTPLUS, Op.ELU, Op.EXP}
    | {Op.POWER, Op.FUNCTION}
)
"""Elementwise functions of one tensor that become tables; the same for all elements."""


@dataclass(frozen=True)
class OpSpec:
    """What the compiler needs to know of one operator.

    Parameters
    ----------
    inputs : least and largest number of inputs (the largest is None when there is no limit).
    infer : shape of the output from the shapes of the inputs and the attributes; raises ShapeMismatch.
    attrs : legal values of each required attribute: a type, or a tuple of the allowed words.
    constants : positions of the inputs that have to be constants.
    macs : multiply-accumulates from the shapes of the inputs and the attributes.
    summary : one line for documentation and listings.
    defaults : values of attributes that a user may leave out.
    """

    inputs: tuple[int, int | None]
    infer: Callable[[list[Shape], Attrs], Shape]
    summary: str
    attrs: Mapping[str, type | tuple[str, ...]] = field(default_factory=dict)
    constants: tuple[int, ...] = ()
    macs: Callable[[list[Shape], Attrs], int] = lambda shapes, attrs: 0
    defaults: Mapping[str, AttrValue] = field(default_factory=dict)


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


def _embedding(shapes: list[Shape], attrs: Attrs) -> Shape:
    ids, table = shapes
    if len(table) != 2:
        raise ShapeMismatch(f"the table has to be a matrix with a row for each id, not {show(table)}")
    return (*ids, table[1])


def _argmax(shapes: list[Shape], attrs: Attrs) -> Shape:
    if not shapes[0]:
        raise ShapeMismatch("an argmax needs at least one axis")
    return shapes[0][:-1] + (1,) * bool(attrs["keepdims"])


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


def _product(shapes: list[Shape], attrs: Attrs) -> Shape:
    x, y = shapes
    if len(x) < 2 or len(y) < 2:
        raise ShapeMismatch(f"both operands of a product need two axes or more, not {show(x)} and {show(y)}")
    if x[:-2] != y[:-2]:
        raise ShapeMismatch(f"the leading axes of {show(x)} and {show(y)} differ")
    k, n = (y[-1], y[-2]) if attrs["transposed"] == "second" else (y[-2], y[-1])
    if x[-1] != k:
        raise ShapeMismatch(
            f"the first operand {show(x)} has rows of {x[-1]} elements, the second {show(y)} takes {k}"
        )
    return (*x[:-1], n)


def _softmax(shapes: list[Shape], attrs: Attrs) -> Shape:
    if not shapes[0]:
        raise ShapeMismatch("a softmax needs at least one axis")
    if len(shapes) == 2 and broadcast_shape(*shapes) != shapes[0]:
        raise ShapeMismatch(f"the mask {show(shapes[1])} does not fit the scores {show(shapes[0])}")
    return shapes[0]


def _cached_softmax(shapes: list[Shape], attrs: Attrs) -> Shape:
    x, position = shapes
    cached = attrs["cached"]
    if prod(position) != 1:
        raise ShapeMismatch(f"the position is one number, not {show(position)}")
    if len(x) < 2 or not isinstance(cached, int) or cached < 1 or x[-1] != cached + x[-2]:
        raise ShapeMismatch(
            f"scores {show(x)} don't have a column for each of {cached} cached tokens and one for each row"
        )
    return x


def _norm(shapes: list[Shape], attrs: Attrs) -> Shape:
    x, epsilon = shapes[0], attrs["epsilon"]
    if not x:
        raise ShapeMismatch("a normalisation needs at least one axis")
    for role, shape in zip(("scale", "shift"), shapes[1:], strict=False):
        if shape != x[-1:]:
            raise ShapeMismatch(
                f"the {role} has shape {show(shape)}, expected {x[-1]} (last axis of {show(x)})"
            )
    if not isinstance(epsilon, float) or not 0 <= epsilon < inf:
        raise ShapeMismatch(f"epsilon is {epsilon!r}, it has to be a number that is not negative")
    return x


def _rows(shapes: list[Shape], attrs: Attrs) -> Shape:
    if not shapes[0]:
        raise ShapeMismatch("the largest magnitude of rows needs at least one axis")
    return shapes[0]


def _row_peak(shapes: list[Shape], attrs: Attrs) -> Shape:
    return (*_rows(shapes, attrs)[:-1], 1)


def _rope(shapes: list[Shape], attrs: Attrs) -> Shape:
    x = shapes[0]
    if not x or x[-1] % 2:
        raise ShapeMismatch(f"a rotary embedding turns pairs: the last axis of {show(x)} has to be even")
    if any(broadcast_shape(x, shape) != x for shape in shapes[1:]):
        raise ShapeMismatch(
            f"cosine {show(shapes[1])} and sine {show(shapes[2])} don't fit the tensor {show(x)}"
        )
    return x


def _rational(shapes: list[Shape], attrs: Attrs) -> Shape:
    x, groups, repeats = shapes[0], attrs["groups"], attrs["repeats"]
    assert isinstance(groups, int) and isinstance(repeats, int)
    if not x:
        raise ShapeMismatch("a grouped rational function needs at least one axis")
    whole = x[axis := _axis(x, attrs)]
    if repeats < 1 or whole % repeats:
        raise ShapeMismatch(f"axis {axis} of {show(x)} can't be cut into {repeats} equal parts")
    size = whole // repeats
    if groups < 1 or (groups - 1) * -(-size // groups) >= size:
        named = f"axis {axis} of {show(x)}" if repeats == 1 else f"a part of {size} of axis {axis}"
        raise ShapeMismatch(f"{named} can't be cut into {groups} groups of {-(-size // max(groups, 1))}")
    for role, shape in zip(("numerator", "denominator"), shapes[1:], strict=True):
        if len(shape) != 2 or shape[0] not in (1, groups) or not shape[1]:
            raise ShapeMismatch(
                f"the coefficients of the {role} have shape {show(shape)}, expected {groups} rows, or 1 for all groups"
            )
    return x


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
    axis, start, stop, step = _axis(shapes[0], attrs), attrs["start"], attrs["stop"], attrs["step"]
    assert isinstance(start, int) and isinstance(stop, int) and isinstance(step, int)
    if step < 1:
        raise ShapeMismatch(f"its step is {step}, from 1 on there are some")
    if not 0 <= start < stop <= shapes[0][axis]:
        raise ShapeMismatch(
            f"the range {start}:{stop} is not inside axis {axis} of {show(shapes[0])}, or it is empty"
        )
    return (*shapes[0][:axis], -(-(stop - start) // step), *shapes[0][axis + 1 :])


def _clip(shapes: list[Shape], attrs: Attrs) -> Shape:
    low, high = attrs["low"], attrs["high"]
    assert isinstance(low, (int, float)) and isinstance(high, (int, float))
    if not low < high:
        raise ShapeMismatch(f"the range {low} … {high} is empty")
    return shapes[0]


def _matmul_macs(shapes: list[Shape], attrs: Attrs) -> int:
    return prod(shapes[0]) * shapes[1][1]


def _product_macs(shapes: list[Shape], attrs: Attrs) -> int:
    x, y = shapes
    return prod(x) * prod(y[-2:]) // x[-1]


HIDDEN = -1000.0
"""An element of a softmax whose mask is at or below this is hidden: next to any other it is nothing."""

POSITION = "position"
"""The input that says where in a text the first token of a call stands: what `cached_softmax` reads."""

_BROADCAST = {"broadcast": ("none", "left", "right", "both")}
_WINDOW = {"stride": tuple, "pads": tuple, "dilation": tuple}
_WINDOW_DEFAULTS: dict[str, AttrValue] = {"stride": (1, 1), "pads": (0, 0, 0, 0), "dilation": (1, 1)}
_POOL_DEFAULTS: dict[str, AttrValue] = {**_WINDOW_DEFAULTS, "ceil": 0}
_TAPS = {"taps": tuple, "counts": tuple, "channels": tuple, "size": tuple, "stride": tuple}
_TAPS_DEFAULTS: dict[str, AttrValue] = {"stride": (1, 1)}

OPS: dict[Op, OpSpec] = {
    Op.EMBEDDING: OpSpec(
        (2, 2),
        _embedding,
        "row `id` of the table for each id; ids beyond its ends take its first or last row",
        constants=(1,),
    ),
    Op.MATMUL: OpSpec(
        (2, 3),
        _matmul,
        "x (…, K) times constant weight (K, N), plus constant bias (N)",
        constants=(1, 2),
        macs=_matmul_macs,
    ),
    Op.PRODUCT: OpSpec(
        (2, 2),
        _product,
        "x (…, M, K) times y (…, K, N), both activations; transposed second: y is (…, N, K)",
        {"transposed": ("none", "second")},
        macs=_product_macs,
    ),
    Op.SOFTMAX: OpSpec(
        (1, 2),
        _softmax,
        "exp(x + mask) over its sum along the last axis; the mask is a constant, at or below -1000 it hides an element",
        constants=(1,),
    ),
    Op.CACHED_SOFTMAX: OpSpec(
        (2, 2),
        _cached_softmax,
        "softmax of scores (…, L, cached + L): row i counts the columns before `position` and cached to cached + i",
        {"cached": int},
    ),
    Op.ARGMAX: OpSpec(
        (1, 1),
        _argmax,
        "index of the first largest element along the last axis, which goes or (keepdims) becomes 1",
        {"keepdims": int},
        defaults={"keepdims": 0},
    ),
    Op.LAYER_NORM: OpSpec(
        (3, 3),
        _norm,
        "(x - mean) / sqrt(variance + epsilon) · scale[c] + shift[c], over the last axis",
        {"epsilon": float},
        constants=(1, 2),
    ),
    Op.RMS_NORM: OpSpec(
        (2, 2),
        _norm,
        "x / sqrt(mean of x² + epsilon) · scale[c], over the last axis",
        {"epsilon": float},
        constants=(1,),
    ),
    Op.ROW_UNIT: OpSpec((1, 1), _rows, "x over the largest magnitude along the last axis"),
    Op.ROW_PEAK: OpSpec((1, 1), _row_peak, "the largest magnitude along the last axis, which becomes 1"),
    Op.ROPE: OpSpec(
        (3, 3),
        _rope,
        "x · cos + turned · sin, turned = (−second half of the last axis, first half)",
        constants=(1, 2),
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
    Op.MISH: OpSpec((1, 1), _unary, "x · tanh(log(1 + exp(x)))"),
    Op.SOFTPLUS: OpSpec((1, 1), _unary, "log(1 + exp(x))"),
    Op.ELU: OpSpec(
        (1, 1),
        _unary,
        "scale · (x where it is positive, else alpha · (exp(rate · x) − 1))",
        {"alpha": float, "scale": float, "rate": float},
        defaults={"alpha": 1.0, "scale": 1.0, "rate": 1.0},
    ),
    Op.POWER: OpSpec(
        (1, 1),
        _unary,
        "x to a constant power; 0 for negative x where the power is no whole number",
        {"exponent": float},
    ),
    Op.FUNCTION: OpSpec((1, 1), _unary, "a function by its name", {"function": FUNCTIONS}),
    Op.SCALE_SHIFT: OpSpec(
        (3, 3), _scale_shift, "x · scale[c] + shift[c] along one axis", {"axis": int}, constants=(1, 2)
    ),
    Op.RESHAPE: OpSpec((1, 1), _reshape, "the same elements in row-major order", {"shape": tuple}),
    Op.TRANSPOSE: OpSpec(
        (1, 1), _transpose, "axes permuted: output axis i is input axis perm[i]", {"perm": tuple}
    ),
    Op.CONCAT: OpSpec((1, None), _concat, "joined along one axis", {"axis": int}),
    Op.SLICE: OpSpec(
        (1, 1),
        _slice,
        "every step-th element of one axis from start to stop-1",
        {"axis": int, "start": int, "stop": int, "step": int},
        defaults={"step": 1},
    ),
    Op.CLIP: OpSpec(
        (1, 1),
        _clip,
        "min(max(x, low), high)",
        {"low": float, "high": float},
        defaults={"low": -inf, "high": inf},
    ),
    Op.EXP: OpSpec((1, 1), _unary, "e to the power of x"),
    Op.PRELU: OpSpec(
        (2, 2),
        image_ops.channelwise,
        "max(x, 0) + slope[c] · min(x, 0), channels along axis 1",
        constants=(1,),
    ),
    Op.RATIONAL: OpSpec(
        (3, 3),
        _rational,
        "(a0 + a1·x + …) / (1 + |b1|·|x| + |b2|·|x|² + …), a and b by group: blocks of an axis, or of each repeat in it",
        {"groups": int, "axis": int, "repeats": int},
        constants=(1, 2),
        defaults={"groups": 1, "repeats": 1},
    ),
    Op.CONV2D: OpSpec(
        (2, 3),
        image_ops.conv2d,
        "image (N, C, H, W) with weight (O, C/groups, kh, kw), plus bias (O)",
        {**_WINDOW, "groups": int},
        constants=(1, 2),
        macs=image_ops.conv2d_macs,
        defaults={**_WINDOW_DEFAULTS, "groups": 1},
    ),
    Op.CONV_TRANSPOSE2D: OpSpec(
        (2, 3),
        image_ops.conv_transpose2d,
        "the gradient of conv2d: weight (C, O/groups, kh, kw), bias (O)",
        {**_WINDOW, "output_padding": tuple, "groups": int},
        constants=(1, 2),
        macs=image_ops.conv_transpose2d_macs,
        defaults={**_WINDOW_DEFAULTS, "output_padding": (0, 0), "groups": 1},
    ),
    Op.UPSAMPLE_NEAREST: OpSpec(
        (1, 1), image_ops.upsample_nearest, "rows and columns repeated whole times", {"factors": tuple}
    ),
    Op.MAX_POOL2D: OpSpec(
        (1, 1),
        image_ops.pool2d,
        "largest element of each window",
        {"kernel": tuple, **_WINDOW, "ceil": int},
        defaults=_POOL_DEFAULTS,
    ),
    Op.AVG_POOL2D: OpSpec(
        (1, 1),
        image_ops.pool2d,
        "mean of each window, padding counted or not",
        {"kernel": tuple, **_WINDOW, "ceil": int, "count_include_pad": int},
        defaults={**_POOL_DEFAULTS, "count_include_pad": 0},
    ),
    Op.GLOBAL_AVG_POOL: OpSpec((1, 1), image_ops.global_pool, "mean of each channel"),
    Op.GLOBAL_MAX_POOL: OpSpec((1, 1), image_ops.global_pool, "largest element of each channel"),
    Op.SPACE_TO_DEPTH: OpSpec(
        (1, 1), image_ops.space_to_depth, "blocks of positions become channels", {"block": tuple}
    ),
    Op.DEPTH_TO_SPACE: OpSpec(
        (1, 1),
        image_ops.depth_to_space,
        "channels become blocks of positions",
        {"block": tuple, "size": tuple},
    ),
    Op.TAP_CONV: OpSpec(
        (2, 3),
        image_ops.tap_window,
        "weighted sums of an image's elements at lists of offsets",
        _TAPS,
        constants=(1, 2),
        macs=image_ops.tap_macs,
        defaults=_TAPS_DEFAULTS,
    ),
    Op.TAP_MAX: OpSpec(
        (1, 1),
        image_ops.tap_window,
        "largest of an image's elements at lists of offsets",
        _TAPS,
        defaults=_TAPS_DEFAULTS,
    ),
}
"""The operator table: every :class:`Op` has one row."""
