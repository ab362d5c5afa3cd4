"""How each ONNX operator becomes tasks: one function an operator, and the table of them."""

from __future__ import annotations

from collections.abc import Callable
from math import prod

import numpy as np
from onnx import TensorProto

from intar.frontends.importer import Importer
from intar.frontends.onnx_broadcast import alike, repeated
from intar.frontends.onnx_chosen import CHOSEN
from intar.frontends.onnx_einsum import einsum
from intar.frontends.onnx_functions import FUNCTIONS, unary
from intar.frontends.onnx_images import IMAGES, leaky_relu
from intar.frontends.onnx_matmul import gemm, matmul
from intar.frontends.onnx_moves import MOVES
from intar.frontends.onnx_nodes import Node, Rejected
from intar.frontends.onnx_norms import axis_norm, group_norm, layer_norm, lp_norm, rms_norm
from intar.frontends.onnx_qdq import clip_quantised, dequantize_linear, quantize_linear, whole_numbers
from intar.frontends.onnx_quant import QUANTS
from intar.frontends.onnx_recurrent import recurrent
from intar.frontends.onnx_reductions import REDUCTIONS
from intar.frontends.onnx_sklearn import SKLEARN
from intar.frontends.onnx_spelled import SPELLED
from intar.ir.ops import POSITION, Op, broadcast_shape
from intar.ir.shapes import AttrValue

Handler = Callable[[Importer, Node], None]


def _binary(op: Op) -> Handler:
    def handler(importer: Importer, node: Node) -> None:
        if node.attrs.get("broadcast"):
            raise Rejected(
                "it uses broadcasting as it was before operator set 7", hint="export the model again"
            )
        for x, mask in (node.inputs[:2], node.inputs[1::-1]) if op is Op.ADD else ():
            placed = importer.mask(mask)
            if placed is not None and placed.form == "added":
                importer.put_mask(node, x, placed)
                return
        importer.emit(node, op, alike(importer, node, [importer.tensor(name) for name in node.inputs[:2]]))

    return handler


def _gelu(importer: Importer, node: Node) -> None:
    approximate = node.attrs.get("approximate", "none")
    importer.emit(node, Op.GELU, [importer.tensor(node.inputs[0])], {"approximate": approximate})


def _elu(importer: Importer, node: Node) -> None:
    """ELU, SELU and CELU; `rate` is ours, PyTorch's input_scale."""
    alpha = float(node.attrs.get("alpha", 1.67326319217681884765625 if node.op == "Selu" else 1.0))
    scale = float(node.attrs.get("gamma", 1.05070102214813232421875 if node.op == "Selu" else 1.0))
    rate = 1 / alpha if node.op == "Celu" else float(node.attrs.get("rate", 1.0))
    attrs = {"alpha": alpha, "scale": scale, "rate": rate}
    importer.emit(node, Op.ELU, [importer.tensor(node.inputs[0])], attrs)


def _swish(importer: Importer, node: Node) -> None:
    x, alpha = importer.tensor(node.inputs[0]), float(node.attrs.get("alpha", 1.0))
    if alpha == 1.0:
        importer.emit(node, Op.SILU, [x])
        return
    output = node.outputs[0]
    factor = importer.graph.constant(f"{output}:alpha", np.asarray(alpha, np.float64))
    scaled = importer.emit(node, Op.MUL, [x, factor], output=f"{output}:scaled")
    gate = importer.emit(node, Op.SIGMOID, [scaled], output=f"{output}:gate")
    importer.emit(node, Op.MUL, [x, gate])


def _softmax(importer: Importer, node: Node) -> None:
    """Along one axis; before operator set 13 along all axes from `axis` on together."""
    masked = importer.masked.get(node.inputs[0])
    x = masked.scores if masked else importer.tensor(node.inputs[0])
    shape, output = importer.graph.shapes[x], node.outputs[0]
    rank, old = len(shape), importer.opset < 13 and not node.attrs.get("single")
    axis = int(node.attrs.get("axis", 1 if old else -1))
    if not -rank <= axis < rank:
        raise Rejected(f"its axis {axis} does not exist in a tensor of {rank} axes", code="graph")
    axis += rank * (axis < 0)
    if masked and axis != rank - 1:
        importer.tensor(node.inputs[0])  # says what such a mask is for
    if masked:
        at = importer.alias[POSITION]
        importer.emit(node, Op.CACHED_SOFTMAX, [x, at], {"cached": masked.mask.cached})
    elif axis == rank - 1:
        importer.emit(node, Op.SOFTMAX, [x])
    elif old:
        flat = {"shape": (prod(shape[:axis]), prod(shape[axis:]))}
        x = importer.emit(node, Op.RESHAPE, [x], flat, output=f"{output}:flat")
        x = importer.emit(node, Op.SOFTMAX, [x], output=f"{output}:rows")
        importer.emit(node, Op.RESHAPE, [x], {"shape": shape})
    else:
        perm = (*(a for a in range(rank) if a != axis), axis)
        x = importer.emit(node, Op.TRANSPOSE, [x], {"perm": perm}, output=f"{output}:turned")
        x = importer.emit(node, Op.SOFTMAX, [x], output=f"{output}:rows")
        importer.emit(node, Op.TRANSPOSE, [x], {"perm": tuple(perm.index(a) for a in range(rank))})


def _neg(importer: Importer, node: Node) -> None:
    minus = importer.graph.constant(f"{node.outputs[0]}:minus_one", np.asarray(-1.0))
    importer.emit(node, Op.MUL, [importer.tensor(node.inputs[0]), minus])


def _abs(importer: Importer, node: Node) -> None:
    """A leaky ReLU that leaks with the other sign."""
    leaky_relu(importer, node.became("LeakyRelu", node.inputs, {"alpha": -1.0}))


def _sum(importer: Importer, node: Node) -> None:
    total = importer.tensor(node.inputs[0])
    if len(node.inputs) == 1:
        importer.alias[node.outputs[0]] = total
    for position, name in enumerate(node.inputs[1:], 1):
        last = position == len(node.inputs) - 1
        output = "" if last else f"{node.outputs[0]}:{position}"
        operands = alike(importer, node, [total, importer.tensor(name)])
        total = importer.emit(node, Op.ADD, operands, output=output)


def _clip(importer: Importer, node: Node) -> None:
    low = _bound(importer, node, 1, -np.inf)
    high = _bound(importer, node, 2, np.inf)
    largest = float(np.finfo(np.float32).max)
    if node.inputs[0] in importer.grids:
        clip_quantised(importer, node, low, high)
    elif low <= -largest and high >= largest:
        importer.alias[node.outputs[0]] = importer.tensor(node.inputs[0])
    elif low == 0 and high >= largest:
        importer.emit(node, Op.RELU, [importer.tensor(node.inputs[0])])
    elif low < high:
        # Bounds of single precision's last number are none.
        attrs = {"low": low if low > -largest else -np.inf, "high": high if high < largest else np.inf}
        importer.emit(node, Op.CLIP, [importer.tensor(node.inputs[0])], attrs)
    else:
        raise Rejected(f"it clips to the empty range {low:g} … {high:g}")


def _bound(importer: Importer, node: Node, position: int, default: float) -> float:
    name = node.input(position)
    return float(importer.value(name, "bound").reshape(-1)[0]) if name else default


def _same(importer: Importer, node: Node) -> None:
    """Identity: the output is the input."""
    if node.inputs[0] in importer.grids:
        importer.grids[node.outputs[0]] = importer.grids[node.inputs[0]]
    else:
        importer.alias[node.outputs[0]] = importer.tensor(node.inputs[0])


def _dropout(importer: Importer, node: Node) -> None:
    training = importer.values.get(node.input(2))
    if node.input(2) and (training is None or bool(training.any())):
        raise Rejected("it is in training mode", hint="export the model for inference (model.eval())")
    if len(node.outputs) > 1 and importer.is_read(node.outputs[1]):
        raise Rejected("its mask is used", hint="export the model for inference (model.eval())")
    _same(importer, node)


def _cast(importer: Importer, node: Node) -> None:
    from intar.frontends.onnx_graph import FLOATS

    if node.op == "Cast" and node.attrs["to"] not in FLOATS and not _is_index(importer, node):
        raise Rejected("it turns an activation into another type than float", "activations are real numbers")
    if node.op == "Cast" and node.inputs[0] in importer.integer_inputs:
        whole_numbers(importer, node)
        return
    _same(importer, node)


def _is_index(importer: Importer, node: Node) -> bool:
    """Whether a Cast makes an integer of another kind of an index, which is a whole number already."""
    tensor = importer.alias.get(node.inputs[0], "")
    while (maker := importer.graph.makers.get(tensor)) is not None and maker.op is Op.RESHAPE:
        tensor = maker.inputs[0]
    return maker is not None and maker.op is Op.ARGMAX and node.attrs["to"] != TensorProto.BOOL


def _expand(importer: Importer, node: Node) -> None:
    shape = importer.shape(node.inputs[0])
    wanted = tuple(int(n) for n in importer.value(node.inputs[1], "shape").reshape(-1))
    same = len(wanted) <= len(shape) and all(
        m in (1, n) for m, n in zip(wanted[::-1], shape[::-1], strict=False)
    )
    if same:
        _same(importer, node)
    elif importer.id_input(node.inputs[0]):
        raise Rejected("it repeats an input of ids", hint="repeat the rows that they choose")
    else:
        x = importer.tensor(node.inputs[0])
        importer.alias[node.outputs[0]] = repeated(importer, node, x, broadcast_shape(shape, wanted))


def _tile(importer: Importer, node: Node) -> None:
    """Copies of the tensor one behind the other along each axis."""
    repeats = [int(n) for n in importer.value(node.inputs[1], "repeats").reshape(-1)]
    shape, x = importer.shape(node.inputs[0]), importer.tensor(node.inputs[0])
    if len(repeats) != len(shape) or min(repeats, default=1) < 1:
        raise Rejected(f"it repeats a tensor of {len(shape)} axes {repeats} times", code="graph")
    if all(n == 1 or size == 1 for n, size in zip(repeats, shape, strict=True)):
        target = tuple(n * size for n, size in zip(repeats, shape, strict=True))
        x = repeated(importer, node, x, target)
    else:
        for axis, n in enumerate(repeats):
            if n > 1:
                output = importer.graph.fresh(f"{node.outputs[0]}:repeated")
                x = importer.emit(node, Op.CONCAT, [x] * n, {"axis": axis}, output=output)
    importer.alias[node.outputs[0]] = x


def _group_rational(importer: Importer, node: Node) -> None:
    a, b = (
        importer.graph.constant(
            f"{node.outputs[0]}:{role}", np.asarray(importer.value(name, f"the {role}"), np.float64)
        )
        for role, name in zip(("numerator", "denominator"), node.inputs[1:], strict=True)
    )
    x = importer.tensor(node.inputs[0])
    axis = int(node.attrs.get("axis", -1))
    axis += len(importer.graph.shapes[x]) * (axis < 0)
    attrs: dict[str, AttrValue] = {"groups": int(node.attrs.get("groups", 1)), "axis": axis, "repeats": 1}
    importer.emit(node, Op.RATIONAL, [x, a, b], attrs)


def _batch_normalization(importer: Importer, node: Node) -> None:
    if node.attrs.get("training_mode", 0) or (len(node.outputs) > 1 and any(node.outputs[1:])):
        raise Rejected("it is in training mode", hint="export the model for inference (model.eval())")
    roles = ("scale", "bias", "mean", "variance")
    scale, bias, mean, variance = (
        importer.value(name, role).astype(np.float64)
        for name, role in zip(node.inputs[1:5], roles, strict=True)
    )
    factor = scale / np.sqrt(variance + node.attrs.get("epsilon", 1e-5))
    x, output = importer.tensor(node.inputs[0]), node.outputs[0]
    rank = len(importer.graph.shapes[x])
    if prod(factor.shape) == 0 or rank < 2:
        raise Rejected(f"its input has {rank} axes, it needs at least 2", code="graph")
    gain = importer.graph.constant(f"{output}:scale", factor)
    shift = importer.graph.constant(f"{output}:shift", bias - mean * factor)
    importer.emit(node, Op.SCALE_SHIFT, [x, gain, shift], {"axis": 1})


def _branch(importer: Importer, node: Node) -> None:
    """One whose condition is known is no node any more (`onnx_branches`)."""
    raise Rejected(
        "its condition is computed at run time",
        "a circuit has one way through it",
        f"if an input decides it, {importer.made_constant(next(iter(importer.ids), 'INPUT'))}; else choose between "
        "both results (Where)",
    )


def _argmax(importer: Importer, node: Node) -> None:
    """Along the last axis; another one is brought there."""
    shape, x = importer.shape(node.inputs[0]), importer.tensor(node.inputs[0])
    rank, keep = len(shape), int(node.attrs.get("keepdims", 1))
    if node.attrs.get("select_last_index", 0):
        raise Rejected("it takes the last of equal elements", "the first one is found")
    axis = int(node.attrs.get("axis", 0)) % rank
    if axis != rank - 1:
        perm = (*(a for a in range(rank) if a != axis), axis)
        x = importer.emit(node, Op.TRANSPOSE, [x], {"perm": perm}, output=f"{node.outputs[0]}:turned")
    if axis == rank - 1 or not keep:
        importer.emit(node, Op.ARGMAX, [x], {"keepdims": keep})
        return
    found = importer.emit(node, Op.ARGMAX, [x], {"keepdims": 0}, output=f"{node.outputs[0]}:found")
    importer.emit(node, Op.RESHAPE, [found], {"shape": (*shape[:axis], 1, *shape[axis + 1 :])})


HANDLERS: dict[str, Handler] = {
    "Abs": _abs,
    "Add": _binary(Op.ADD),
    "ArgMax": _argmax,
    "BatchNormalization": _batch_normalization,
    "Cast": _cast,
    "CastLike": _cast,
    "Clip": _clip,
    "DequantizeLinear": dequantize_linear,
    "Celu": _elu,
    "Dropout": _dropout,
    "Elu": _elu,
    "Exp": unary(Op.EXP),
    "Einsum": einsum,
    "Expand": _expand,
    "GRU": recurrent,
    "Gelu": _gelu,
    "Gemm": gemm,
    "HardSwish": unary(Op.HARDSWISH),
    "Identity": _same,
    "If": _branch,
    "GroupNormalization": group_norm,
    "InstanceNormalization": group_norm,
    "LSTM": recurrent,
    "LayerNormalization": layer_norm,
    "LpNormalization": lp_norm,
    "MatMul": matmul,
    "Mish": unary(Op.MISH),
    "Mul": _binary(Op.MUL),
    "Neg": _neg,
    "QuantizeLinear": quantize_linear,
    "RMSNormalization": rms_norm,
    "RNN": recurrent,
    "Relu": unary(Op.RELU),
    "Selu": _elu,
    "Sigmoid": unary(Op.SIGMOID),
    "SimplifiedLayerNormalization": rms_norm,
    "Softmax": _softmax,
    "Softplus": unary(Op.SOFTPLUS),
    "Sub": _binary(Op.SUB),
    "Sum": _sum,
    "Swish": _swish,
    "Tanh": unary(Op.TANH),
    "Tile": _tile,
    "intar.AxisNormalization": axis_norm,
    "intar.GroupRational": _group_rational,
    **CHOSEN,
    **FUNCTIONS,
    **MOVES,
    **REDUCTIONS,
    **IMAGES,
    **QUANTS,
    **SKLEARN,
    **SPELLED,
}
"""The translation of each operator that does not vanish by constant folding: of ONNX's own domain, and of ours."""
