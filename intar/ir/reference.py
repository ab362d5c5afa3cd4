"""Run a task graph in float64: the meaning of every operator, and the yardstick for accuracy."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from math import erf, pi, sqrt

import numpy as np

from intar.errors import Finding, GraphError
from intar.ir import image_reference as images
from intar.ir.ops import Op
from intar.ir.shapes import Attrs, show
from intar.ir.taskgraph import QuantParams, TaskGraph, dequantise, quant_arrays

Array = np.ndarray
AT_ONCE = 8
"""Samples that are run side by side where there are many."""

EDGE = float(np.finfo(np.float32).eps) / 2
"""What the arguments of a function with poles in -1 and 1 stay away from these."""

_erf = np.vectorize(erf, otypes=[np.float64])


def sigmoid(x: Array) -> Array:
    """1 / (1 + exp(-x)), without overflow."""
    e = np.exp(-np.abs(x))
    return np.where(x >= 0, 1 / (1 + e), e / (1 + e))


def gelu(x: Array, approximate: str = "none") -> Array:
    """x·Φ(x), with the error function (``none``) or its tanh form (``tanh``)."""
    if approximate == "tanh":
        return 0.5 * x * (1 + np.tanh(sqrt(2 / pi) * (x + 0.044715 * x**3)))
    return 0.5 * x * (1 + _erf(x / sqrt(2)))


def rational(x: Array, a: Array, b: Array) -> Array:
    """``(a0 + a1·x + …) / (1 + |b1|·|x| + |b2|·|x|² + …)``: the form with which GR-KAN's released kernels are trained."""
    size = np.abs(x)
    above, below = np.zeros_like(x), np.zeros_like(x)
    for coefficient in a[::-1]:
        above = above * x + coefficient
    for coefficient in np.abs(b[::-1]):
        below = (below + coefficient) * size
    return above / (1 + below)


def counted_columns(position: int, cached: int, rows: int) -> Array:
    """Which scores count of `rows` tokens, the first of which stands at `position`: (rows, cached + rows), true where.

    Columns are `cached` rows of a state, of which a text has filled those before the position, then the new tokens.
    """
    columns, own = np.arange(cached + rows), np.arange(rows)[:, None]
    return (columns < position) | ((columns >= cached) & (columns <= cached + own))


TINY = float(np.finfo(np.float32).tiny)
"""What stands for 0 where a function has a pole there."""


def power(x: Array, exponent: float) -> Array:
    """``x ** exponent``, finite everywhere: of negative numbers 0 where the exponent is no whole number, and what has a pole
    in 0 has the largest value of single precision there."""
    base = x if exponent == round(exponent) else np.maximum(x, 0)
    if exponent < 0:
        base = np.where(np.abs(base) < TINY, TINY, base)
    largest = float(np.finfo(np.float32).max)
    with np.errstate(over="ignore"):
        return np.clip(base**exponent, -largest, largest)


NAMED: dict[str, Callable[[Array], Array]] = {
    "log": lambda x: np.log(np.maximum(x, TINY)),
    "sin": np.sin,
    "cos": np.cos,
    "tan": np.tan,
    "asin": lambda x: np.arcsin(np.clip(x, -1, 1)),
    "acos": lambda x: np.arccos(np.clip(x, -1, 1)),
    "atan": np.arctan,
    "sinh": lambda x: np.sinh(np.clip(x, -88, 88)),
    "cosh": lambda x: np.cosh(np.clip(x, -88, 88)),
    "asinh": np.arcsinh,
    "acosh": lambda x: np.arccosh(np.maximum(x, 1)),
    "atanh": lambda x: np.arctanh(np.clip(x, -1 + EDGE, 1 - EDGE)),
    "erf": _erf,
    "softsign": lambda x: x / (1 + np.abs(x)),
    "log_sigmoid": lambda x: -np.logaddexp(0, -x),
    "floor": np.floor,
    "ceil": np.ceil,
    "round": np.rint,
    "trunc": np.trunc,
    "negative": lambda x: (x < 0).astype(np.float64),
    "not_negative": lambda x: (x >= 0).astype(np.float64),
}
"""`ops.FUNCTIONS`: finite everywhere; outside of its domain a function has the value at the domain's end."""


def _rational(x: list[Array], attrs: Attrs) -> Array:
    groups, axis, repeats = (int(attrs[name]) for name in ("groups", "axis", "repeats"))  # type: ignore[arg-type]
    made = []
    for part in np.split(x[0], repeats, axis):
        size = -(-part.shape[axis] // groups)
        blocks = np.split(part, range(size, part.shape[axis], size), axis)
        made += [rational(block, x[1][g % len(x[1])], x[2][g % len(x[2])]) for g, block in enumerate(blocks)]
    return np.concatenate(made, axis)


def _matmul(x: list[Array], attrs: Attrs) -> Array:
    return x[0] @ x[1] + (x[2] if len(x) == 3 else 0)


def _embedding(x: list[Array], attrs: Attrs) -> Array:
    return x[1][np.clip(np.rint(x[0]).astype(np.int64), 0, len(x[1]) - 1)]


def _scale_shift(x: list[Array], attrs: Attrs) -> Array:
    spread = [1] * x[0].ndim
    spread[int(attrs["axis"])] = -1  # type: ignore[arg-type]
    return x[0] * x[1].reshape(spread) + x[2].reshape(spread)


def _slice(x: list[Array], attrs: Attrs) -> Array:
    index = [slice(None)] * x[0].ndim
    index[int(attrs["axis"])] = slice(attrs["start"], attrs["stop"], attrs["step"])  # type: ignore[arg-type]
    return x[0][tuple(index)]


def _prelu(x: list[Array], attrs: Attrs) -> Array:
    slope = x[1].reshape(-1, *[1] * (x[0].ndim - 2))
    return np.maximum(x[0], 0) + slope * np.minimum(x[0], 0)


def _elu(x: list[Array], attrs: Attrs) -> Array:
    alpha, scale, rate = (float(attrs[key]) for key in ("alpha", "scale", "rate"))  # type: ignore[arg-type]
    return scale * (np.maximum(x[0], 0) + alpha * np.expm1(rate * np.minimum(x[0], 0)))


def _product(x: list[Array], attrs: Attrs) -> Array:
    return np.matmul(x[0], x[1].swapaxes(-1, -2) if attrs["transposed"] == "second" else x[1])


def _softmax(x: list[Array], attrs: Attrs) -> Array:
    scores = x[0] + x[1] if len(x) == 2 else x[0]
    exp = np.exp(scores - scores.max(axis=-1, keepdims=True))
    return exp / exp.sum(axis=-1, keepdims=True)


def _cached_softmax(x: list[Array], attrs: Attrs) -> Array:
    keep = counted_columns(int(x[1].reshape(-1)[0]), int(attrs["cached"]), x[0].shape[-2])  # type: ignore[arg-type]
    return _softmax([np.where(keep, x[0], -np.inf)], attrs)


def _layer_norm(x: list[Array], attrs: Attrs) -> Array:
    centred = x[0] - x[0].mean(axis=-1, keepdims=True)
    variance = (centred**2).mean(axis=-1, keepdims=True)
    return centred / np.sqrt(variance + float(attrs["epsilon"])) * x[1] + x[2]  # type: ignore[arg-type]


def _rms_norm(x: list[Array], attrs: Attrs) -> Array:
    square = (x[0] ** 2).mean(axis=-1, keepdims=True)
    return x[0] / np.sqrt(square + float(attrs["epsilon"])) * x[1]  # type: ignore[arg-type]


def _row_peak(x: list[Array], attrs: Attrs) -> Array:
    return np.abs(x[0]).max(axis=-1, keepdims=True)


def _row_unit(x: list[Array], attrs: Attrs) -> Array:
    top = _row_peak(x, attrs)
    return x[0] / np.where(top == 0, 1, top)


def _rope(x: list[Array], attrs: Attrs) -> Array:
    first, second = np.split(x[0], 2, axis=-1)
    return x[0] * x[1] + np.concatenate([-second, first], axis=-1) * x[2]


KERNELS: dict[Op, Callable[[list[Array], Attrs], Array]] = {
    Op.EMBEDDING: _embedding,
    Op.MATMUL: _matmul,
    Op.PRODUCT: _product,
    Op.SOFTMAX: _softmax,
    Op.CACHED_SOFTMAX: _cached_softmax,
    Op.ARGMAX: lambda x, attrs: np.asarray(
        x[0].argmax(axis=-1, keepdims=bool(attrs["keepdims"])), np.float64
    ),
    Op.LAYER_NORM: _layer_norm,
    Op.RMS_NORM: _rms_norm,
    Op.ROW_UNIT: _row_unit,
    Op.ROW_PEAK: _row_peak,
    Op.ROPE: _rope,
    Op.ADD: lambda x, attrs: x[0] + x[1],
    Op.SUB: lambda x, attrs: x[0] - x[1],
    Op.MUL: lambda x, attrs: x[0] * x[1],
    Op.RELU: lambda x, attrs: np.maximum(x[0], 0),
    Op.SIGMOID: lambda x, attrs: sigmoid(x[0]),
    Op.TANH: lambda x, attrs: np.tanh(x[0]),
    Op.GELU: lambda x, attrs: gelu(x[0], str(attrs["approximate"])),
    Op.HARDSWISH: lambda x, attrs: x[0] * np.clip(x[0] / 6 + 0.5, 0, 1),
    Op.SILU: lambda x, attrs: x[0] * sigmoid(x[0]),
    Op.MISH: lambda x, attrs: x[0] * np.tanh(np.logaddexp(0, x[0])),
    Op.SOFTPLUS: lambda x, attrs: np.logaddexp(0, x[0]),
    Op.ELU: _elu,
    Op.POWER: lambda x, attrs: power(x[0], float(attrs["exponent"])),  # type: ignore[arg-type]
    Op.FUNCTION: lambda x, attrs: NAMED[str(attrs["function"])](x[0]),
    Op.SCALE_SHIFT: _scale_shift,
    Op.RESHAPE: lambda x, attrs: x[0].reshape(attrs["shape"]),  # type: ignore[arg-type]
    Op.TRANSPOSE: lambda x, attrs: x[0].transpose(attrs["perm"]),  # type: ignore[arg-type]
    Op.CONCAT: lambda x, attrs: np.concatenate(x, axis=int(attrs["axis"])),  # type: ignore[arg-type]
    Op.SLICE: _slice,
    Op.CLIP: lambda x, attrs: np.clip(x[0], attrs["low"], attrs["high"]),  # type: ignore[arg-type]
    Op.EXP: lambda x, attrs: np.exp(x[0]),
    Op.PRELU: _prelu,
    Op.RATIONAL: _rational,
    Op.CONV2D: images.conv2d,
    Op.CONV_TRANSPOSE2D: images.conv_transpose2d,
    Op.UPSAMPLE_NEAREST: images.upsample_nearest,
    Op.MAX_POOL2D: images.max_pool2d,
    Op.AVG_POOL2D: images.avg_pool2d,
    Op.GLOBAL_AVG_POOL: lambda x, attrs: x[0].mean(axis=(2, 3), keepdims=True),
    Op.GLOBAL_MAX_POOL: lambda x, attrs: x[0].max(axis=(2, 3), keepdims=True),
    Op.SPACE_TO_DEPTH: images.space_to_depth,
    Op.DEPTH_TO_SPACE: images.depth_to_space,
    Op.TAP_CONV: images.tap_conv,
    Op.TAP_MAX: images.tap_max,
}
"""float64 arrays in, float64 array out: one function for each operator."""


def quantise(x: Array, quant: QuantParams) -> Array:
    """The integers (int64) nearest to `x` on the grid, ties to even, saturated to the type."""
    scale, zero = quant_arrays(quant, x.ndim)
    return np.clip(np.rint(x / scale) + zero, quant.qmin, quant.qmax).astype(np.int64)


def snap(x: Array, quant: QuantParams | None) -> Array:
    """`x` on the tensor's own grid; `x` itself when the tensor has none."""
    return x if quant is None else dequantise(quantise(x, quant), quant)


def run_float(
    graph: TaskGraph, inputs: Mapping[str, np.ndarray], *, every_tensor: bool = False
) -> dict[str, np.ndarray]:
    """Run the graph on real numbers.

    Tensors with the model's own quantisation are rounded to their grid, so an imported QDQ model behaves as
    its author's does.

    Parameters
    ----------
    graph : a valid graph.
    inputs : an array for each input, by its name in the graph or in the model; exactly the declared shape.
    every_tensor : also return the activations in between (calibration).

    Returns
    -------
    dict of float64 arrays, by name in the graph: the outputs, or all activations.

    Raises
    ------
    GraphError
        An input is missing, unknown or has another shape (all of them at once).
    """
    made = {
        name: array
        for name, (array,) in float_tensors(graph, [inputs])
        if every_tensor or name in graph.outputs
    }
    if every_tensor:
        return made
    return {name: made[name] if name in made else graph.constant(name) for name in graph.outputs}


def float_tensors(
    graph: TaskGraph, batch: Sequence[Mapping[str, np.ndarray]]
) -> Iterator[tuple[str, list[Array]]]:
    """Run several samples side by side, and give each activation as soon as it is made: its name, and its values (float64,
    of its shape) in each sample.

    An activation that all its readers have read is kept no longer, and constants are widened one at a time: all of a large
    network take gigabytes. Inputs and errors are those of :func:`run_float`.
    """
    bound = [bind_inputs(graph, inputs) for inputs in batch]
    values = {name: [one[name] for one in bound] for name in graph.inputs}
    yield from values.copy().items()
    unread = Counter(name for task in graph.tasks for name in set(task.inputs))
    for task in graph.tasks:
        tensor = graph.tensor(task.output)
        read = {
            name: values[name] if name in values else [graph.constant(name)] * len(batch)
            for name in task.inputs
        }
        if task.op is Op.MATMUL:  # the rows of all samples take their turn with one copy of the weights
            data, *constants = (read[name] for name in task.inputs)
            rows = np.concatenate([array.reshape(-1, array.shape[-1]) for array in data])
            product = KERNELS[task.op]([rows, *(array[0] for array in constants)], task.attrs)
            results = [part.reshape(tensor.shape) for part in np.split(product, len(batch))]
        else:
            samples = zip(*(read[name] for name in task.inputs), strict=True)
            results = [KERNELS[task.op](list(sample), task.attrs) for sample in samples]
        made = [snap(np.asarray(result, np.float64), tensor.quant) for result in results]
        yield task.output, made
        values[task.output] = made
        unread.subtract(set(task.inputs))
        for name in {*task.inputs, task.output} & values.keys():
            if not unread[name]:
                del values[name]


def bind_inputs(graph: TaskGraph, inputs: Mapping[str, np.ndarray]) -> dict[str, Array]:
    """The arrays as float64 by graph name, checked and on their tensors' grids. Raises GraphError."""
    found, bound, used = [], {}, set()
    for name in graph.inputs:
        tensor = graph.tensor(name)
        key = name if name in inputs else tensor.source
        if key not in inputs:
            found.append(Finding("no value was given", f"input '{tensor.source or name}'"))
            continue
        used.add(key)
        array = np.asarray(inputs[key], np.float64)
        if array.shape != tensor.shape:
            got, expected = show(array.shape), show(tensor.shape)
            found.append(Finding(f"the value has shape {got}, expected {expected}", f"input '{key}'"))
        bound[name] = snap(array, tensor.quant) if array.shape == tensor.shape else array
    for key in inputs:
        if key not in used:
            known = ", ".join(f"'{graph.tensor(name).source or name}'" for name in graph.inputs)
            found.append(Finding(f"the graph has no input '{key}'", graph.name, hint=f"its inputs: {known}"))
    if found:
        raise GraphError(found)
    return bound
