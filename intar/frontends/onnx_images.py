"""Operators on images: convolution, pooling, resizing, and what ONNX lets them mean."""

from __future__ import annotations

from collections.abc import Callable
from math import prod

import numpy as np

from intar.frontends.importer import Importer
from intar.frontends.onnx_broadcast import activations
from intar.frontends.onnx_moves import take
from intar.frontends.onnx_nodes import Node, Rejected
from intar.frontends.onnx_resize import padded, resize
from intar.frontends.onnx_signals import or_signal
from intar.frontends.onnx_volumes import or_volume
from intar.ir.ops import Op
from intar.ir.shapes import AttrValue, Shape, show


def _image(importer: Importer, name: str) -> Shape:
    """The shape of an image of two dimensions. Raises Rejected."""
    shape = importer.shape(name)
    if len(shape) != 4:
        raise Rejected(
            f"its input '{name}' has the shape {show(shape)}",
            "images have the axes batch, channels, height and width, signals batch, channels and length",
        )
    return shape


def _pair(node: Node, name: str, default: int = 1) -> tuple[int, int]:
    values = [int(n) for n in node.attrs.get(name, (default, default))]
    if len(values) != 2:
        raise Rejected(f"its {name} has {len(values)} numbers, expected 2", code="graph")
    return values[0], values[1]


def _pads(node: Node, size: Shape, kernel: Shape, stride: Shape, dilation: Shape) -> Shape:
    """Top, left, bottom, right, with `auto_pad` worked out."""
    auto = node.attrs.get("auto_pad", "NOTSET")
    if auto in ("NOTSET", ""):
        pads = tuple(int(n) for n in node.attrs.get("pads", (0, 0, 0, 0)))
        if len(pads) != 4 or min(pads) < 0:
            raise Rejected(f"its pads are {list(pads)}", "padding is four numbers from 0 on")
        return pads
    if auto == "VALID":
        return (0, 0, 0, 0)
    before, after = [], []
    for axis in (0, 1):
        wanted = -(-size[axis] // stride[axis])
        total = max(0, (wanted - 1) * stride[axis] + dilation[axis] * (kernel[axis] - 1) + 1 - size[axis])
        small, large = total // 2, total - total // 2
        before.append(small if auto == "SAME_UPPER" else large)
        after.append(large if auto == "SAME_UPPER" else small)
    return (*before, *after)


def _declared_kernel(node: Node, weight: Shape) -> Shape:
    kernel = tuple(int(n) for n in node.attrs.get("kernel_shape", weight[2:]))
    if kernel != weight[2:]:
        raise Rejected(
            f"its kernel_shape {list(kernel)} is not that of its weight {show(weight)}", code="graph"
        )
    return kernel


def _operands(importer: Importer, node: Node) -> list[str]:
    """Image, weight and bias; the weight has to be constant."""
    for position, role in ((1, "weight"), (2, "bias")):
        name = node.input(position)
        if name and not importer.is_constant(name):
            raise Rejected(
                f"its {role} '{name}' is an activation", "weights are laid out before the circuit runs"
            )
    return [importer.tensor(name) for name in node.inputs if name]


def _pad(importer: Importer, node: Node) -> None:
    """Zeros around an image: a convolution with single ones, which goes into the convolution behind it (`simplify`). Along
    other axes constants of zeros are joined. Less than nothing is cut off. Another number is taken off before and added
    again behind; elements that are there already are copied."""
    shape, value = importer.shape(node.inputs[0]), float(node.attrs.get("value", 0.0))
    given = node.attrs.get("pads", node.attrs.get("paddings"))
    pads = [int(n) for n in given] if given is not None else importer.integers(node, 1, "pads") or []
    if name := node.input(2):
        value = float(importer.value(name, "value").reshape(-1)[0])
    axes = [axis % len(shape) for axis in importer.integers(node, 3, "axes") or range(len(shape))]
    if len(pads) != 2 * len(axes):
        raise Rejected(f"its pads are {pads}", "two numbers for each axis", code="graph")
    sides = dict(zip(axes, zip(pads, pads[len(axes) :], strict=False), strict=True))
    x, mode = importer.tensor(node.inputs[0]), node.attrs.get("mode", "constant")
    if mode != "constant":
        for axis, (before, after) in sides.items():
            x = take(importer, node, x, axis, padded(mode, shape[axis], before, after))
    elif value:
        if not np.isfinite(value):
            raise Rejected(f"it pads with {value:g}", "padding is a finite number", "pad with zeros")
        number = importer.graph.constant(f"{node.outputs[0]}:value", np.asarray(value))
        below = importer.emit(
            node, Op.SUB, [x, number], output=importer.graph.fresh(f"{node.outputs[0]}:part")
        )
        around = _zeros_around(importer, node, below, sides)
        x = importer.emit(
            node, Op.ADD, [around, number], output=importer.graph.fresh(f"{node.outputs[0]}:part")
        )
    else:
        x = _zeros_around(importer, node, x, sides)
    importer.alias[node.outputs[0]] = x


def _zeros_around(importer: Importer, node: Node, x: str, sides: dict[int, tuple[int, int]]) -> str:
    """The tensor with so many zeros before and after each axis; fewer than none are elements cut off."""
    shape, last = importer.graph.shapes[x], importer.graph.fresh(node.outputs[0])

    def step(op: Op, inputs: list[str], attrs: dict[str, AttrValue]) -> str:
        return importer.emit(node, op, inputs, attrs, output=importer.graph.fresh(f"{last}:part"))

    for axis, (before, after) in sides.items():
        size = importer.graph.shapes[x][axis]
        cut: dict[str, AttrValue] = {"axis": axis, "start": max(-before, 0), "stop": size - max(-after, 0)}
        if min(before, after) < 0:
            x = step(Op.SLICE, [x], cut)
    sides = {axis: (max(before, 0), max(after, 0)) for axis, (before, after) in sides.items()}
    if len(shape) == 3 and max(sides.get(2, (0, 0))) > 0:  # a signal is an image of one row
        image = {axis + (axis == 2): around for axis, around in sides.items()}
        have = importer.graph.shapes[x]
        x = _zeros_around(importer, node, step(Op.RESHAPE, [x], {"shape": (*have[:2], 1, have[2])}), image)
        made = importer.graph.shapes[x]
        return step(Op.RESHAPE, [x], {"shape": (*made[:2], made[3])})
    around = [n for axis in (2, 3) for n in sides.get(axis, (0, 0))] if len(shape) == 4 else []
    if any(around):
        ones = importer.graph.constant(f"{last}:ones", np.ones((shape[1], 1, 1, 1), np.float32))
        top, bottom, left, right = around
        attrs: dict[str, AttrValue] = {
            "stride": (1, 1),
            "pads": (top, left, bottom, right),
            "dilation": (1, 1),
        }
        x = step(Op.CONV2D, [x, ones], attrs | {"groups": shape[1]})
    for axis, (before, after) in sides.items():
        if max(before, after) > 0 and not (around and axis >= 2):
            have = importer.graph.shapes[x]
            zeros = [
                importer.graph.constant(
                    f"{last}:zeros", np.zeros((*have[:axis], n, *have[axis + 1 :]), np.float32)
                )
                for n in (before, after)
                if n
            ]
            parts = [*zeros[: before > 0], x, *zeros[before > 0 :]]
            x = step(Op.CONCAT, activations(importer, node, parts, axis), {"axis": axis})
    return x


def _conv(importer: Importer, node: Node) -> None:
    shape, weight = _image(importer, node.inputs[0]), importer.shape(node.inputs[1])
    if len(weight) != 4:
        raise Rejected(f"its weight has the shape {show(weight)}, expected four axes", code="graph")
    kernel, stride, dilation = (
        _declared_kernel(node, weight),
        _pair(node, "strides"),
        _pair(node, "dilations"),
    )
    attrs: dict[str, AttrValue] = {
        "stride": stride,
        "pads": _pads(node, shape[2:], kernel, stride, dilation),
        "dilation": dilation,
        "groups": int(node.attrs.get("group", 1)),
    }
    importer.emit(node, Op.CONV2D, _operands(importer, node), attrs)


def _conv_transpose(importer: Importer, node: Node) -> None:
    shape, weight = _image(importer, node.inputs[0]), importer.shape(node.inputs[1])
    if len(weight) != 4:
        raise Rejected(f"its weight has the shape {show(weight)}, expected four axes", code="graph")
    kernel, stride, dilation = (
        _declared_kernel(node, weight),
        _pair(node, "strides"),
        _pair(node, "dilations"),
    )
    extra, pads = _pair(node, "output_padding", 0), _transposed_pads(node, shape, kernel, stride, dilation)
    # Negative padding at the end is what output_padding is.
    more = [max(0, -pads[2 + axis]) for axis in (0, 1)]
    if min(pads[:2]) < 0:
        raise Rejected(f"its pads are {list(pads)}", "padding in front is from 0 on")
    attrs: dict[str, AttrValue] = {
        "stride": stride,
        "pads": (*pads[:2], max(0, pads[2]), max(0, pads[3])),
        "dilation": dilation,
        "output_padding": (extra[0] + more[0], extra[1] + more[1]),
        "groups": int(node.attrs.get("group", 1)),
    }
    importer.emit(node, Op.CONV_TRANSPOSE2D, _operands(importer, node), attrs)


def _transposed_pads(node: Node, shape: Shape, kernel: Shape, stride: Shape, dilation: Shape) -> Shape:
    """Top, left, bottom, right; from `output_shape` or `auto_pad` where the node has them."""
    auto = node.attrs.get("auto_pad", "NOTSET")
    extra, wanted = _pair(node, "output_padding", 0), node.attrs.get("output_shape")
    if not wanted and auto in ("NOTSET", "", "VALID"):
        return _pads(node, shape[2:], kernel, stride, dilation)
    sizes = [int(n) for n in wanted][-2:] if wanted else [shape[2 + a] * stride[a] for a in (0, 1)]
    before, after = [], []
    for axis in (0, 1):
        span = dilation[axis] * (kernel[axis] - 1) + 1
        total = stride[axis] * (shape[2 + axis] - 1) + extra[axis] + span - sizes[axis]
        small, large = total // 2, total - total // 2
        before.append(small if auto == "SAME_UPPER" else large)
        after.append(large if auto == "SAME_UPPER" else small)
    return (*before, *after)


def _pool(importer: Importer, node: Node) -> None:
    shape = _image(importer, node.inputs[0])
    if len(node.outputs) > 1 and any(importer.is_read(name) for name in node.outputs[1:]):
        raise Rejected("its indices are used", "only the values of a pool are computed")
    kernel, stride, dilation = _pair(node, "kernel_shape"), _pair(node, "strides"), _pair(node, "dilations")
    attrs: dict[str, AttrValue] = {
        "kernel": kernel,
        "stride": stride,
        "pads": _pads(node, shape[2:], kernel, stride, dilation),
        "dilation": dilation,
        "ceil": int(node.attrs.get("ceil_mode", 0)),
    }
    if node.op == "AveragePool":
        attrs["count_include_pad"] = int(node.attrs.get("count_include_pad", 0))
    importer.emit(
        node,
        Op.MAX_POOL2D if node.op == "MaxPool" else Op.AVG_POOL2D,
        [importer.tensor(node.inputs[0])],
        attrs,
    )


def _global(op: Op) -> Callable[[Importer, Node], None]:
    def handler(importer: Importer, node: Node) -> None:
        _image(importer, node.inputs[0])
        importer.emit(node, op, [importer.tensor(node.inputs[0])])

    return handler


def _prelu(importer: Importer, node: Node) -> None:
    x, slope = importer.tensor(node.inputs[0]), node.inputs[1]
    if not importer.is_constant(slope):
        raise Rejected(f"its slope '{slope}' is an activation", "slopes are constants")
    shape, values = importer.shape(node.inputs[0]), importer.real(slope).astype(np.float64)
    if len(shape) < 2 or values.size not in (1, shape[1]) or values.size != max((1, *values.shape)):
        raise Rejected(
            f"its slope has the shape {show(values.shape)}",
            "one number for each channel (axis 1) is supported",
        )
    if values.size > 1 and prod(values.shape[-(len(shape) - 2) :] if len(shape) > 2 else ()) != 1:
        raise Rejected(
            f"its slope has the shape {show(values.shape)}",
            "one number for each channel (axis 1) is supported",
        )
    row = importer.graph.constant(
        f"{node.outputs[0]}:slope", np.broadcast_to(values.reshape(-1), (shape[1],))
    )
    importer.emit(node, Op.PRELU, [x, row])


def leaky_relu(importer: Importer, node: Node) -> None:
    """``max(x, 0) + alpha · min(x, 0)``."""
    x, shape = importer.tensor(node.inputs[0]), importer.shape(node.inputs[0])
    if len(shape) < 2:
        raise Rejected(f"its input has the shape {show(shape)}", "a leaky ReLU needs two axes")
    slope = np.full(shape[1], float(node.attrs.get("alpha", 0.01)))
    importer.emit(node, Op.PRELU, [x, importer.graph.constant(f"{node.outputs[0]}:slope", slope)])


def _space_to_depth(importer: Importer, node: Node) -> None:
    shape, block = _image(importer, node.inputs[0]), int(node.attrs["blocksize"])
    if shape[2] % block or shape[3] % block:
        raise Rejected(f"blocks of {block} do not divide {show(shape)}", code="graph")
    attrs: dict[str, AttrValue] = {"block": (block, block)}
    x, output = importer.tensor(node.inputs[0]), node.outputs[0]
    if node.attrs.get("mode", "DCR") == "DCR":
        importer.emit(node, Op.SPACE_TO_DEPTH, [x], attrs)
        return
    blocks = importer.emit(node, Op.SPACE_TO_DEPTH, [x], attrs, output=f"{output}:blocks")
    made = importer.graph.shapes[blocks]
    split = {"shape": (made[0], block * block, shape[1], *made[2:])}
    x = importer.emit(node, Op.RESHAPE, [blocks], split, output=f"{output}:split")
    x = importer.emit(node, Op.TRANSPOSE, [x], {"perm": (0, 2, 1, 3, 4)}, output=f"{output}:turned")
    importer.emit(node, Op.RESHAPE, [x], {"shape": made})


def _depth_to_space(importer: Importer, node: Node) -> None:
    shape, block = _image(importer, node.inputs[0]), int(node.attrs["blocksize"])
    x, output = importer.tensor(node.inputs[0]), node.outputs[0]
    if shape[1] % (block * block):
        raise Rejected(f"{shape[1]} channels are no blocks of {block}×{block}", code="graph")
    if node.attrs.get("mode", "DCR") == "CRD":
        channels = shape[1] // (block * block)
        split = {"shape": (shape[0], channels, block * block, *shape[2:])}
        x = importer.emit(node, Op.RESHAPE, [x], split, output=f"{output}:split")
        x = importer.emit(node, Op.TRANSPOSE, [x], {"perm": (0, 2, 1, 3, 4)}, output=f"{output}:turned")
        x = importer.emit(node, Op.RESHAPE, [x], {"shape": shape}, output=f"{output}:blocks")
    attrs = {"block": (block, block), "size": (shape[2] * block, shape[3] * block)}
    importer.emit(node, Op.DEPTH_TO_SPACE, [x], attrs)


IMAGES: dict[str, Callable[[Importer, Node], None]] = {
    "AveragePool": or_volume(or_signal(_pool)),
    "Conv": or_volume(or_signal(_conv)),
    "ConvTranspose": or_volume(or_signal(_conv_transpose)),
    "DepthToSpace": _depth_to_space,
    "GlobalAveragePool": or_volume(or_signal(_global(Op.GLOBAL_AVG_POOL))),
    "GlobalMaxPool": or_volume(or_signal(_global(Op.GLOBAL_MAX_POOL))),
    "LeakyRelu": leaky_relu,
    "MaxPool": or_volume(or_signal(_pool)),
    "PRelu": _prelu,
    "Pad": _pad,
    "Resize": resize,
    "SpaceToDepth": _space_to_depth,
    "Upsample": resize,
}
"""The translation of each of them."""
