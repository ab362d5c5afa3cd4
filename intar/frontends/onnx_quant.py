"""Rounding to a grid spelled as one node: QONNX's Quant, BipolarQuant and Trunc, which Brevitas and QKeras export.

The node says real values on both sides. Of a constant the integers are kept; an activation is clipped to what its bits
hold, where the next width of the machine holds more, and rounded to the grid.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np

from intar.frontends.onnx_nodes import Node, Rejected
from intar.ir.ops import Op
from intar.ir.shapes import Shape
from intar.ir.taskgraph import QuantParams

if TYPE_CHECKING:
    from intar.frontends.importer import Importer

DOMAINS = ("qonnx.custom_op.general", "onnx.brevitas", "finn.custom_op.general")
"""What the domain of these operators has been called."""

ROUNDINGS: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    "ROUND": np.rint,
    "HALF_EVEN": np.rint,
    "HALF_UP": lambda v: np.sign(v) * np.floor(np.abs(v) + 0.5),
    "HALF_DOWN": lambda v: np.sign(v) * np.ceil(np.abs(v) - 0.5),
    "CEIL": np.ceil,
    "FLOOR": np.floor,
    "UP": lambda v: np.sign(v) * np.ceil(np.abs(v)),
    "DOWN": np.fix,
}
"""Modes of a Quant node. Activations go down, or to the nearest integer; which way a tie goes is the machine's own."""

NEAREST = ("ROUND", "HALF_EVEN", "HALF_UP", "HALF_DOWN")

ACTIVATION_BITS = (4, 8, 10, 16)
CONSTANT_BITS = (4, 8, 16, 32)
"""Widths of the machine's integers; the widest of a constant is a bias."""


def quant(importer: Importer, node: Node) -> None:
    """Quant (also IntQuant): x, scale, zero point, bit width; signed, narrow, rounding_mode."""
    x, scales, zeros, bits = _parameters(importer, node, node.inputs)
    signed, narrow = bool(node.attrs.get("signed", 1)), bool(node.attrs.get("narrow", 0))
    mode = str(node.attrs.get("rounding_mode", "ROUND")).upper()
    if mode not in ROUNDINGS:
        raise Rejected(f"its rounding mode is {mode}", f"modes are {', '.join(ROUNDINGS)}")
    if bits == 1 and signed:
        _bipolar(importer, node, x, scales)
        return
    low = -(1 << (bits - 1)) + narrow if signed else 0
    high = (1 << (bits - signed)) - 1 - (narrow and not signed)
    if x in importer.values:
        real = importer.real(x).astype(np.float64)
        steps = np.clip(real / scales + zeros, low, high)
        _keep(importer, node, ROUNDINGS[mode](steps) - zeros, scales)
        return
    if mode not in (*NEAREST, "FLOOR") and not (mode == "DOWN" and low == 0 and not zeros.any()):
        hint = "export the activation with rounding mode ROUND or FLOOR"
        raise Rejected(
            f"it rounds an activation with mode {mode}",
            "activations go to the nearest integer, or down",
            hint,
        )
    if scales.size != 1 or zeros.size != 1:
        why = "activations have one scale and one zero point"
        raise Rejected("it quantises an activation by channel", why, "train it with one scale for the tensor")
    width = next((width for width in ACTIVATION_BITS if width >= bits), None)
    if width is None:
        raise Rejected(f"it quantises an activation to {bits} bits", "activations have at most 16")
    grid = QuantParams(
        bits=width,  # type: ignore[arg-type]
        signed=signed,
        scale=float(scales.item()),
        zero_point=int(zeros.item()),
    )
    tensor = importer.tensor(x)
    if mode not in NEAREST:
        maker = importer.graph.makers.get(tensor)
        if low == zeros.item() and maker is not None and maker.op is Op.RELU:
            tensor = maker.inputs[0]  # the grid ends at 0 itself, and what is added may join a bias
        tensor = _moved(importer, node, Op.ADD, tensor, (ALMOST - 0.5) * float(scales.item()))
    tensor = clip_to_integers(importer, node, tensor, grid, low, high)
    importer.alias[node.outputs[0]] = importer.on_grid(tensor, grid, node.outputs[0], node.source)


ALMOST = 2.0**-12
"""Rounding down is rounding to the nearest of half a step less, but for what is less than this below a whole number of
steps; without it a whole number would be a tie."""


def _moved(importer: Importer, node: Node, op: Op, tensor: str, number: float) -> str:
    """A tensor plus or times a number."""
    constant = importer.graph.constant(f"{node.outputs[0]}:number", np.asarray(number))
    return importer.emit(node, op, [tensor, constant], output=importer.graph.fresh(f"{node.outputs[0]}:part"))


def trunc(importer: Importer, node: Node) -> None:
    """Trunc: x, scale, zero point, bit widths before and after. The integers lose their last bits, and keep the scale.

    Rounding down is that of half a step less; integers over a power of two are never so near to the next step that it errs.
    """
    if len(node.inputs) != 5:
        raise Rejected(
            f"it has {len(node.inputs)} inputs", "a Trunc with five is supported", "export it as Quant"
        )
    before = importer.value(node.inputs[3], "bit width").reshape(-1)
    x, scales, zeros, bits = _parameters(importer, node, [*node.inputs[:3], node.inputs[4]])
    mode = str(node.attrs.get("rounding_mode", "FLOOR")).upper()
    if mode not in (*NEAREST, "FLOOR"):
        raise Rejected(f"its rounding mode is {mode}", "activations go to the nearest integer, or down")
    width = next((width for width in ACTIVATION_BITS if width > bits), None)
    if scales.size != 1 or zeros.any() or before.size != 1 or width is None or before[0] < bits:
        raise Rejected(
            "its integers have a zero point, a scale for each channel or more than 15 bits",
            "an activation has one scale",
        )
    scale, lost = float(scales.item()), 2.0 ** (bits - float(before[0]))
    tensor = _moved(importer, node, Op.MUL, importer.tensor(x), lost)
    if mode == "FLOOR" and lost < 1:
        tensor = _moved(importer, node, Op.ADD, tensor, (lost - 1) / 2 * scale)
    grid = QuantParams(bits=width, scale=scale)  # type: ignore[arg-type]
    importer.alias[node.outputs[0]] = importer.on_grid(tensor, grid, node.outputs[0], node.source)


def bipolar_quant(importer: Importer, node: Node) -> None:
    """BipolarQuant: x, scale; the scale where x is positive or 0, else its negative."""
    _bipolar(importer, node, node.inputs[0], importer.value(node.inputs[1], "scale").astype(np.float64))


def _bipolar(importer: Importer, node: Node, x: str, scales: np.ndarray) -> None:
    if x not in importer.values:
        _bipolar_activation(importer, node, importer.tensor(x), scales)
        return
    _keep(importer, node, np.where(importer.real(x) >= 0, 1.0, -1.0), scales)


def _bipolar_activation(importer: Importer, node: Node, tensor: str, scales: np.ndarray) -> None:
    """A step from −1 to 1, in integers of four bits."""
    if scales.size != 1:
        why = "activations have one scale"
        raise Rejected("it quantises an activation by channel", why, "train it with one scale for the tensor")
    scale, output = float(scales.item()), node.outputs[0]
    step = importer.emit(
        node,
        Op.FUNCTION,
        [tensor],
        {"function": "not_negative"},
        output=importer.graph.fresh(f"{output}:step"),
    )
    step = importer.on_grid(step, QuantParams(bits=4, scale=1.0), f"{output}:truth", node.source)
    width = importer.graph.shapes[tensor][-1]
    ends = [
        importer.graph.constant(f"{output}:{role}", np.full(width, value))
        for role, value in (("scale", 2 * scale), ("shift", -scale))
    ]
    attrs = {"axis": len(importer.graph.shapes[tensor]) - 1}
    both = importer.emit(
        node, Op.SCALE_SHIFT, [step, *ends], attrs, output=importer.graph.fresh(f"{output}:both")
    )
    grid = QuantParams(bits=4, scale=scale)
    importer.alias[output] = importer.on_grid(both, grid, output, node.source)


def clip_to_integers(
    importer: Importer, node: Node, tensor: str, grid: QuantParams, low: int, high: int
) -> str:
    """The tensor on the grid and clipped to its integers from `low` to `high`; as it is where the grid has no others."""
    if (low, high) == (grid.qmin, grid.qmax):
        return tensor
    assert isinstance(grid.scale, float) and isinstance(grid.zero_point, int)
    output = node.outputs[0]
    bounds = {"low": (low - grid.zero_point) * grid.scale, "high": (high - grid.zero_point) * grid.scale}
    rounded = importer.on_grid(tensor, grid, f"{output}:rounded", node.source)
    return importer.emit(node, Op.CLIP, [rounded], bounds, output=f"{output}:clipped")


def _parameters(importer: Importer, node: Node, inputs: list[str]) -> tuple[str, np.ndarray, np.ndarray, int]:
    if len(inputs) != 4:
        raise Rejected(f"it has {len(inputs)} inputs, it needs 4", code="graph")
    x, *rest = inputs
    roles = ("scale", "zero point", "bit width")
    scales, zeros, bits = (
        importer.value(name, role).astype(np.float64) for name, role in zip(rest, roles, strict=True)
    )
    if not (np.isfinite(scales).all() and (scales > 0).all()):
        raise Rejected("its scale is not positive", code="graph")
    if (
        bits.size != 1
        or not 1 <= (width := float(bits.reshape(-1)[0])) <= 32
        or width % 1
        or (zeros % 1).any()
    ):
        raise Rejected("its bit width or zero point is no integer, or it has more than 32 bits")
    return x, scales, zeros, int(width)


def _keep(importer: Importer, node: Node, ints: np.ndarray, scales: np.ndarray) -> None:
    """Keep the integers of a constant, zero point subtracted, in the least width that holds them."""
    largest = max(float(ints.max(initial=0)), -float(ints.min(initial=0)) - 1)
    width = next((width for width in CONSTANT_BITS if largest < 1 << (width - 1)), None)
    if width is None:
        raise Rejected("its integers have more than 32 bits", code="graph")
    axis = _axis(scales.shape, ints.shape)
    form = QuantParams(
        bits=width,  # type: ignore[arg-type]
        scale=float(scales.reshape(-1)[0]) if axis is None else tuple(map(float, scales.reshape(-1))),
        axis=axis,
    )
    importer.packed[node.outputs[0]] = (ints.astype(f"int{max(width, 8)}"), form)


def _axis(scales: Shape, shape: Shape) -> int | None:
    """The axis of a tensor that scales broadcast to it differ along; None: one scale. Raises Rejected for several."""
    axes = [axis for axis, size in enumerate(scales) if size != 1]
    lead = len(shape) - len(scales)
    if not axes:
        return None
    if len(axes) > 1 or lead < 0 or scales[axes[0]] != shape[axes[0] + lead]:
        raise Rejected(
            "its scale is not one number or one for each channel", "weights have a scale an output"
        )
    return axes[0] + lead


QUANTS = {
    f"{domain}.{op}": handler
    for domain in DOMAINS
    for op, handler in {
        "Quant": quant,
        "IntQuant": quant,
        "BipolarQuant": bipolar_quant,
        "Trunc": trunc,
    }.items()
}
