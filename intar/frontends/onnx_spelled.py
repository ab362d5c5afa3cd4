"""Operators that are written as others: what stands for them is exact."""

from __future__ import annotations

from collections.abc import Callable
from math import prod

import numpy as np

from intar.frontends.importer import Importer
from intar.frontends.onnx_matmul import along
from intar.frontends.onnx_nodes import Node, Rejected
from intar.frontends.onnx_steps import Steps
from intar.frontends.onnx_volumes import or_volume

Handler = Callable[[Importer, Node], None]


def _of(write: Callable[[Steps, Importer, Node], str]) -> Handler:
    """The handler of an operator whose result `write` names."""

    def handler(importer: Importer, node: Node) -> None:
        importer.alias[node.outputs[0]] = importer.alias[write(Steps(importer, node), importer, node)]

    return handler


def _modulo(steps: Steps, importer: Importer, node: Node) -> str:
    """What is left of a division: with the sign of the divisor, or (`fmod`) of the dividend."""
    a, b = node.inputs
    if not importer.is_constant(b):
        raise Rejected(
            "its divisor is an activation",
            "a quotient of two activations is not exact, and what is left of it jumps at whole numbers",
            "make the divisor a constant",
        )
    if not (np.isfinite(importer.real(b)) & (importer.real(b) != 0)).all():
        raise Rejected("its divisor is 0 or not finite", code="graph")
    whole = steps("intar.Trunc" if node.attrs.get("fmod", 0) else "Floor", [steps("Div", [a, b])])
    return steps("Sub", [a, steps("Mul", [whole, b])])


def _product(steps: Steps, importer: Importer, node: Node) -> str:
    """Of all elements along axes: one half times the other, until one is left."""
    shape = importer.shape(node.inputs[0])
    given = importer.integers(node, 1, "axes")
    if not given and node.attrs.get("noop_with_empty_axes", 0):
        return steps("Identity", [node.inputs[0]])
    axes = sorted({axis % len(shape) for axis in (given or range(len(shape)))})
    kept = [axis for axis in range(len(shape)) if axis not in axes]
    x = steps("Transpose", [node.inputs[0]], {"perm": [*kept, *axes]})
    left = prod(shape[axis] for axis in axes)
    x = steps.reshape(x, [*(shape[axis] for axis in kept), left])
    while left > 1:
        first, second, *rest = steps.parts(x, len(kept), [left // 2, left // 2, *[1] * (left % 2)])
        x = steps.join([steps("Mul", [first, second]), *rest], len(kept))
        left -= left // 2
    keep = node.attrs.get("keepdims", 1)
    return steps.reshape(x, [1 if a in axes else n for a, n in enumerate(shape) if keep or a not in axes])


def _scan(op: str) -> Callable[[Steps, Importer, Node], str]:
    """What an operator makes of all elements so far: of pairs, of fours, and so on."""

    def write(steps: Steps, importer: Importer, node: Node) -> str:
        x, axis = node.inputs[0], int(node.attrs["axis"])
        size, span = importer.shape(x)[axis], 1
        while span < size:
            first, rest = steps.parts(x, axis, [span, size - span])
            before = steps.parts(x, axis, [size - span, span])[0]
            x = steps.join([first, steps(op, [rest, before])], axis)
            span *= 2
        return steps("Identity", [x])

    return write


def _mean(steps: Steps, importer: Importer, node: Node) -> str:
    total = steps("Sum", node.inputs)
    return steps("Mul", [total, np.asarray(1 / len(node.inputs), np.float32)])


def _response(steps: Steps, importer: Importer, node: Node) -> str:
    """LRN: over a power of the sum of the squares of neighbouring channels, which a convolution of one pixel makes."""
    x, size, channels = node.inputs[0], int(node.attrs["size"]), importer.shape(node.inputs[0])[1]
    alpha, beta, bias = (
        float(node.attrs.get(key, value)) for key, value in (("alpha", 1e-4), ("beta", 0.75), ("bias", 1.0))
    )
    apart = np.arange(channels)[:, None] - np.arange(channels)
    near = (apart <= (size - 1) // 2) & (-apart <= size // 2)
    weight = (near * (alpha / size)).T.reshape(channels, channels, *(1,) * (len(importer.shape(x)) - 2))
    square = steps("Mul", [x, x])
    sums = steps("Conv", [square, weight.astype(np.float32), np.full(channels, bias, np.float32)])
    return steps("Mul", [x, steps("Pow", [sums, np.asarray(-beta)])])


def _length_pool(steps: Steps, importer: Importer, node: Node) -> str:
    """LpPool: the root of the sum of powers in a window."""
    order, window = float(node.attrs.get("p", 2)), node.attrs["kernel_shape"]
    power = steps("Pow", [steps("Abs", [node.inputs[0]]), np.asarray(order)])
    attrs = {key: value for key, value in node.attrs.items() if key != "p"}
    mean = steps("AveragePool", [power], attrs | {"count_include_pad": 1})
    return steps("Pow", [steps("Mul", [mean, np.asarray(prod(window))]), np.asarray(1 / order)])


def _shrink(steps: Steps, importer: Importer, node: Node) -> str:
    """Nothing of what is within `lambd` of 0, the rest nearer to 0 by `bias`."""
    x, limit, bias = node.inputs[0], float(node.attrs.get("lambd", 0.5)), float(node.attrs.get("bias", 0.0))
    sides = [
        steps("Mul", [steps(op, [x, np.asarray(end)]), steps("Add", [x, np.asarray(nearer)])])
        for op, end, nearer in (("Greater", limit, -bias), ("Less", -limit, bias))
    ]
    return steps("Add", sides)


def _above(steps: Steps, importer: Importer, node: Node) -> str:
    """x where it is above a threshold, else 0."""
    alpha = np.asarray(node.attrs.get("alpha", 1.0), np.float32)
    return steps("Mul", [node.inputs[0], steps("Greater", [node.inputs[0], alpha])])


def _triangle(steps: Steps, importer: Importer, node: Node) -> str:
    diagonal = int(importer.value(node.inputs[1], "diagonal").reshape(-1)[0]) if node.input(1) else 0
    half = np.triu if node.attrs.get("upper", 1) else np.tril
    kept = half(np.ones(importer.shape(node.inputs[0])[-2:], np.float32), diagonal)
    return steps("Mul", [node.inputs[0], kept])


def _one_hot(steps: Steps, importer: Importer, node: Node) -> str:
    """Rows of a matrix of ones that ids choose."""
    if not importer.id_input(node.inputs[0]):
        raise Rejected(
            "its indices are computed at run time",
            "ids come from outside",
            "take them as an input; of the largest element of a row compare the row with it (max)",
        )
    depth = int(importer.value(node.inputs[1], "depth").reshape(-1)[0])
    off, on = (float(n) for n in importer.value(node.inputs[2], "values").reshape(-1))
    rows = steps("Gather", [np.where(np.eye(depth, dtype=bool), on, off).astype(np.float32), node.inputs[0]])
    rank = len(importer.shape(rows))
    axis = int(node.attrs.get("axis", -1)) % rank
    perm = list(range(rank - 1))
    return steps("Transpose", [rows], {"perm": [*perm[:axis], rank - 1, *perm[axis:]]})


def _top(importer: Importer, node: Node) -> None:
    """The largest or smallest element and its index; more than one would have to be sorted."""
    k = int(importer.value(node.inputs[1], "k").reshape(-1)[0]) if node.input(1) else int(node.attrs["k"])
    axis, largest = int(node.attrs.get("axis", -1)), node.attrs.get("largest", 1)
    if k != 1:
        raise Rejected(
            f"it gives the {k} {'largest' if largest else 'smallest'} elements",
            "what moves where is fixed in the circuit: there is the one largest element, and its index",
            "end the network before it and leave it to the host",
        )
    steps, (values, *indices) = Steps(importer, node), node.outputs
    if values and importer.is_read(values):
        made = steps(
            "ReduceMax" if largest else "ReduceMin", [node.inputs[0]], {"axes": [axis], "keepdims": 1}
        )
        importer.alias[values] = importer.alias[made]
    if indices and importer.is_read(indices[0]):
        made = steps("ArgMax" if largest else "ArgMin", [node.inputs[0]], {"axis": axis, "keepdims": 1})
        importer.alias[indices[0]] = importer.alias[made]


def _smallest(steps: Steps, importer: Importer, node: Node) -> str:
    return steps("ArgMax", [steps("Neg", [node.inputs[0]])], node.attrs)


def _to_image(steps: Steps, importer: Importer, node: Node) -> str:
    """Col2Im: columns of windows added where these lie in an image: a transposed convolution with single ones."""
    image, block = (
        [int(n) for n in importer.value(name, role)]
        for name, role in zip(node.inputs[1:], ("image's shape", "block's shape"), strict=True)
    )
    if len(image) != 2:
        raise Rejected(f"its image has {len(image)} axes", "images have rows and columns")
    batch, rows, _ = importer.shape(node.inputs[0])
    dilations, strides = (list(node.attrs.get(key, (1, 1))) for key in ("dilations", "strides"))
    pads = list(node.attrs.get("pads", (0, 0, 0, 0)))
    spans = [dilation * (size - 1) + 1 for dilation, size in zip(dilations, block, strict=True)]
    inside = [image[a] + pads[a] + pads[a + 2] - spans[a] for a in (0, 1)]
    windows = [inside[a] // strides[a] + 1 for a in (0, 1)]
    attrs = {
        **{"dilations": dilations, "strides": strides, "pads": pads, "group": rows // prod(block)},
        "output_padding": [inside[a] % strides[a] for a in (0, 1)],
    }
    x = steps.reshape(node.inputs[0], [batch, rows, *windows])
    ones = np.tile(
        np.eye(prod(block), dtype=np.float32).reshape(-1, 1, *block), (rows // prod(block), 1, 1, 1)
    )
    return steps("ConvTranspose", [x, ones], attrs)


def _either(steps: Steps, importer: Importer, node: Node) -> str:
    """One of two truth values, but not both."""
    apart = steps("Sub", node.inputs)
    return steps("Mul", [apart, apart])


def _never(importer: Importer, node: Node) -> None:
    """Activations are numbers, and finite."""
    importer.values[node.outputs[0]] = np.zeros(importer.shape(node.inputs[0]), bool)


def _along(importer: Importer, node: Node) -> None:
    """Ours: each row along an axis times a constant matrix."""
    x, matrix = importer.tensor(node.inputs[0]), importer.value(node.inputs[1], "matrix")
    importer.alias[node.outputs[0]] = along(importer, node, x, int(node.attrs["axis"]), matrix)


SPELLED: dict[str, Handler] = {
    "ArgMin": _of(_smallest),
    "Col2Im": _of(_to_image),
    "IsInf": _never,
    "IsNaN": _never,
    "LRN": _of(_response),
    "LpPool": or_volume(_of(_length_pool)),
    "Mean": _of(_mean),
    "Mod": _of(_modulo),
    "OneHot": _of(_one_hot),
    "ReduceProd": _of(_product),
    "Shrink": _of(_shrink),
    "ThresholdedRelu": _of(_above),
    "TopK": _top,
    "Trilu": _of(_triangle),
    "Xor": _of(_either),
    "intar.Along": _along,
    "intar.CumMax": _of(_scan("Max")),
    "intar.CumMin": _of(_scan("Min")),
    "intar.CumProd": _of(_scan("Mul")),
}
"""The translation of each of them."""
