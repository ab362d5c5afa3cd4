"""How each ATen operator is written in ONNX's vocabulary: arithmetic, functions, products, normalisation.

A handler takes the writer and the operator's arguments by their names in ATen's schema, defaults filled in.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from math import prod
from typing import Any

import numpy as np
import torch

from intar.frontends.onnx_nodes import Rejected
from intar.frontends.torch_attention import ATTENTION
from intar.frontends.torch_functions import FUNCTIONS
from intar.frontends.torch_images import IMAGES
from intar.frontends.torch_moves import MOVES
from intar.frontends.torch_nodes import Writer
from intar.frontends.torch_quant import QUANTISED
from intar.frontends.torch_recurrent import RECURRENT
from intar.frontends.torch_reductions import REDUCTIONS

Arguments = Mapping[str, Any]
Handler = Callable[[Writer, Arguments], None]


def _first(a: Arguments) -> Any:
    """The operand of a unary operator, whatever its schema calls it."""
    return a["self"] if "self" in a else a["input"] if "input" in a else next(iter(a.values()))


def _unary(op: str) -> Handler:
    def handler(w: Writer, a: Arguments) -> None:
        w.give(op, [_first(a)])

    return handler


def _sum(op: str) -> Handler:
    """``self ± alpha · other``."""

    def handler(w: Writer, a: Arguments) -> None:
        other, alpha = a["other"], a.get("alpha", 1)
        if alpha != 1:
            other = w.emit("Mul", [other, float(alpha)])
        w.give(op, [a["self"], other])

    return handler


def _rsub(w: Writer, a: Arguments) -> None:
    x = a["self"] if a.get("alpha", 1) == 1 else w.emit("Mul", [a["self"], float(a["alpha"])])
    w.give("Sub", [a["other"], x])


def _mul(w: Writer, a: Arguments) -> None:
    w.give("Mul", [a["self"], a["other"]])


def _div(w: Writer, a: Arguments) -> None:
    rounding = {"floor": "Floor", "trunc": "intar.Trunc"}.get(str(a.get("rounding_mode")))
    if rounding is None:
        w.give("Div", [a["self"], a["other"]])
    else:
        w.give(rounding, [w.emit("Div", [a["self"], a["other"]])])


def _pow(w: Writer, a: Arguments) -> None:
    w.give("Pow", [a["self"], a["exponent"]])


def _rsqrt(w: Writer, a: Arguments) -> None:
    w.give("Reciprocal", [w.emit("Sqrt", [a["self"]])])


def _clamp(w: Writer, a: Arguments) -> None:
    low, high = a.get("min", a.get("min_val")), a.get("max", a.get("max_val"))
    if all(bound is None or (w.is_constant(bound) and prod(w.shape(bound)) == 1) for bound in (low, high)):
        w.give("Clip", [a["self"], low, high])
        return
    x = a["self"] if low is None else w.emit("Max", [a["self"], low])
    w.give("Identity", [x if high is None else w.emit("Min", [x, high])])


def _relu6(w: Writer, a: Arguments) -> None:
    w.give("Clip", [_first(a), 0.0, 6.0])


def _hardsigmoid(w: Writer, a: Arguments) -> None:
    shifted = w.emit("Add", [a["self"], 3.0])
    w.give("Mul", [w.emit("Clip", [shifted, 0.0, 6.0]), 1 / 6])


def _gelu(w: Writer, a: Arguments) -> None:
    w.give("Gelu", [a["self"]], {"approximate": a["approximate"]})


def _elu(w: Writer, a: Arguments) -> None:
    attrs = {"alpha": float(a["alpha"]), "gamma": float(a["scale"]), "rate": float(a["input_scale"])}
    w.give("Elu", [a["self"]], attrs)


def _celu(w: Writer, a: Arguments) -> None:
    w.give("Celu", [a["self"]], {"alpha": float(a["alpha"])})


def _softplus(w: Writer, a: Arguments) -> None:
    """Beyond the threshold PyTorch takes x itself; from 16 on that differs by less than single precision shows."""
    beta, threshold = float(a["beta"]), float(a["threshold"])
    x = a["self"] if beta == 1 else w.emit("Mul", [a["self"], beta])
    y = w.emit("Softplus", [x])
    if threshold < 16:
        y = w.emit("Where", [w.emit("Greater", [x, threshold]), x, y])
    w.give("Identity", [y if beta == 1 else w.emit("Mul", [y, 1 / beta])])


def _glu(w: Writer, a: Arguments) -> None:
    """One half gates the other."""
    axis, size = a["dim"] % len(w.shape(a["self"])), w.shape(a["self"])[a["dim"]]
    first, gate = w.fresh(f"{w.current.name}:first"), w.fresh(f"{w.current.name}:gate")
    w.emit("Split", [a["self"], w.integers([size // 2] * 2)], {"axis": axis}, [first, gate])
    w.give("Mul", [first, w.emit("Sigmoid", [gate])])


def _by_channel(w: Writer, a: Arguments) -> list[Any]:
    """What a norm reads, its scale and its shift of each channel; ones and zeros where it has none."""
    channels = w.shape(a["input"])[1]
    weight = a["weight"] if a["weight"] is not None else np.ones(channels, np.float32)
    return [a["input"], weight, a["bias"] if a["bias"] is not None else np.zeros(channels, np.float32)]


def _group_norm(w: Writer, a: Arguments) -> None:
    attrs = {"num_groups": int(a["group"]), "epsilon": float(a["eps"])}
    w.give("GroupNormalization", _by_channel(w, a), attrs)


def _leaky_relu(w: Writer, a: Arguments) -> None:
    w.give("LeakyRelu", [a["self"]], {"alpha": float(a["negative_slope"])})


def _prelu(w: Writer, a: Arguments) -> None:
    if not w.is_constant(a["weight"]):
        raise Rejected("its slope is an activation", "slopes are constants")
    slope, rank = w.array(a["weight"]), len(w.shape(a["self"]))
    w.give("PRelu", [a["self"], slope.reshape(-1, *(1,) * (rank - 2))])


def _softmax(op: str) -> Handler:
    def handler(w: Writer, a: Arguments) -> None:
        w.give(op, [a["self"]], {"axis": int(a["dim"])})

    return handler


def _where(w: Writer, a: Arguments) -> None:
    w.give("Where", [a["condition"], a["self"], a["other"]])


def _masked_fill(w: Writer, a: Arguments) -> None:
    w.give("Where", [a["mask"], a["value"], a["self"]])


def transposed(w: Writer, weight: Any) -> str:
    """A matrix with its axes exchanged; a constant is transposed now."""
    if w.is_constant(weight):
        return w.constant(w.array(weight).T, f"{w.name(weight)}:transposed")
    return w.emit("Transpose", [weight], {"perm": (1, 0)})


def _linear(w: Writer, a: Arguments) -> None:
    weight = transposed(w, a["weight"])
    if a.get("bias") is None:
        w.give("MatMul", [a["input"], weight])
    else:
        w.give("Add", [w.emit("MatMul", [a["input"], weight]), a["bias"]])


def _matmul(w: Writer, a: Arguments) -> None:
    w.give("MatMul", [a["self"], a.get("mat2", a.get("other"))])


def _addmm(w: Writer, a: Arguments) -> None:
    """``beta · self + alpha · product``, of matrices or of batches of them."""
    first, second = (a["mat1"], a["mat2"]) if "mat1" in a else (a["batch1"], a["batch2"])
    product = w.emit("MatMul", [first, second])
    if a["alpha"] != 1:
        product = w.emit("Mul", [product, float(a["alpha"])])
    if a["beta"] == 0:
        w.give("Identity", [product])
        return
    addend = a["self"] if a["beta"] == 1 else w.emit("Mul", [a["self"], float(a["beta"])])
    w.give("Add", [product, addend])


def _layer_norm(w: Writer, a: Arguments) -> None:
    attrs = {"axis": -len(a["normalized_shape"]), "epsilon": float(a["eps"])}
    weight = a["weight"] if a["weight"] is not None else np.ones(a["normalized_shape"], np.float32)
    w.give("LayerNormalization", [a["input"], weight, a["bias"]], attrs)


def _rms_norm(w: Writer, a: Arguments) -> None:
    epsilon = a["eps"] if a["eps"] is not None else torch.finfo(torch.float32).eps
    attrs = {"axis": -len(a["normalized_shape"]), "epsilon": float(epsilon)}
    weight = a["weight"] if a["weight"] is not None else np.ones(a["normalized_shape"], np.float32)
    w.give("RMSNormalization", [a["input"], weight], attrs)


def _batch_norm(w: Writer, a: Arguments) -> None:
    if a.get("training"):
        raise Rejected("it is in training mode", hint="call .eval() before the export")
    inputs = [*_by_channel(w, a), a["running_mean"], a["running_var"]]
    w.give("BatchNormalization", inputs, {"epsilon": float(a["eps"])})


def _instance_norm(w: Writer, a: Arguments) -> None:
    """With the input's own statistics, or as a batch norm with those from training."""
    if a["use_input_stats"]:
        w.give("InstanceNormalization", _by_channel(w, a), {"epsilon": float(a["eps"])})
    else:
        _batch_norm(w, a)


def _training_norm(w: Writer, a: Arguments) -> None:
    raise Rejected("it is in training mode", hint="call .eval() before the export")


def _dropout(w: Writer, a: Arguments) -> None:
    if a["train"] and a["p"] > 0:
        raise Rejected("it is in training mode", hint="call .eval() before the export")
    w.give("Identity", [a["input"]])


def _copy(w: Writer, a: Arguments) -> None:
    """Numbers become truth values where they are not 0, and whole numbers without what is behind the point."""
    x, dtype = _first(a), a.get("dtype")
    if dtype is None or dtype.is_floating_point or w.holds(x, torch.bool):
        w.give("Identity", [x])
    elif dtype is torch.bool:
        w.give("Not", [w.emit("Equal", [x, 0.0])])
    elif dtype.is_complex:
        raise Rejected("it turns an activation into complex numbers", "activations are real numbers")
    else:
        w.give("intar.Trunc" if _real(w, x) else "Identity", [x])


def _real(w: Writer, x: Any) -> bool:
    return any(w.holds(x, kind) for kind in (torch.float32, torch.float64, torch.float16, torch.bfloat16))


def _one_hot(w: Writer, a: Arguments) -> None:
    values = np.asarray([0, 1], np.float32)
    w.give("OneHot", [a["self"], w.integers([w.shape(w.current)[-1]]), values], {"axis": -1})


def _bilinear(w: Writer, a: Arguments) -> None:
    """``x1 · W[o] · x2`` for each output: a product with all matrices side by side, and sums of products."""
    weight, first = w.array(a["weight"]), w.shape(a["input1"])
    outputs, rows, columns = weight.shape
    wide = w.emit("MatMul", [a["input1"], weight.transpose(1, 0, 2).reshape(rows, outputs * columns)])
    wide = w.emit("Reshape", [wide, w.integers((*first[:-1], outputs, columns))])
    other = w.emit("Reshape", [a["input2"], w.integers((*first[:-1], 1, columns))])
    made = w.emit("ReduceSum", [w.emit("Mul", [wide, other])], {"axes": [-1], "keepdims": 0})
    w.give("Identity", [made if a.get("bias") is None else w.emit("Add", [made, a["bias"]])])


def _embedding(w: Writer, a: Arguments) -> None:
    if not w.is_constant(a["weight"]):
        raise Rejected("its table is computed at run time", "tables are constants")
    w.give("Gather", [a["weight"], a["indices"]], {"axis": 0})


def _embedding_bag(w: Writer, a: Arguments) -> None:
    """Rows of a table, and of each bag of equally many the sum, mean or largest."""
    if not (w.is_constant(a["weight"]) and w.is_constant(a["offsets"])):
        raise Rejected("its table or offsets are computed at run time", "tables and sizes are constants")
    if a["per_sample_weights"] is not None or a["padding_idx"] >= 0:
        raise Rejected(
            "it weighs its rows", hint="write embedding(ids), a product with the weights and a sum"
        )
    count, width = w.shape(a["indices"])[0], w.shape(a["weight"])[1]
    starts = [int(n) for n in w.array(a["offsets"])]
    ends = starts[1:] if a["include_last_offset"] else [*starts[1:], count]
    sizes = {end - start for start, end in zip(starts, ends, strict=False)}
    if len(sizes) != 1 or not (size := sizes.pop()):
        raise Rejected("its bags differ in size", hint="fill them with an id whose row is zero")
    rows = w.emit("Gather", [a["weight"], a["indices"]], {"axis": 0})
    rows = w.emit("Reshape", [rows, w.integers([len(ends), size, width])])
    w.give(("ReduceSum", "ReduceMean", "ReduceMax")[a["mode"]], [rows], {"axes": [1], "keepdims": 0})


def _arg(op: str) -> Handler:
    """Along an axis, or of all elements as one row."""

    def handler(w: Writer, a: Arguments) -> None:
        if a.get("dim") is not None:
            w.give(op, [a["self"]], {"axis": int(a["dim"]), "keepdims": int(a["keepdim"])})
            return
        row = w.emit("Reshape", [a["self"], w.integers([prod(w.shape(a["self"]))])])
        w.give(op, [row], {"axis": 0, "keepdims": 0})

    return handler


def _group_rational(w: Writer, a: Arguments) -> None:
    if not (w.is_constant(a["a"]) and w.is_constant(a["b"])):
        raise Rejected(
            "its coefficients are computed at run time", "they become tables", "make them parameters"
        )
    w.give("intar.GroupRational", [a["x"], a["a"], a["b"]], {"groups": int(a["groups"])})


HANDLERS: dict[str, Handler] = {
    "_embedding_bag": _embedding_bag,
    "_embedding_bag_forward_only": _embedding_bag,
    "_native_batch_norm_legit": _training_norm,
    "_native_batch_norm_legit_functional": _training_norm,
    "_native_batch_norm_legit_no_training": _batch_norm,
    "_log_softmax": _softmax("LogSoftmax"),
    "_softmax": _softmax("Softmax"),
    "_to_copy": _copy,
    "abs": _unary("Abs"),
    "add": _sum("Add"),
    "addmm": _addmm,
    "alias": _copy,
    "argmax": _arg("ArgMax"),
    "argmin": _arg("ArgMin"),
    "baddbmm": _addmm,
    "batch_norm": _batch_norm,
    "bilinear": _bilinear,
    "bmm": _matmul,
    "celu": _celu,
    "clamp": _clamp,
    "clamp_max": _clamp,
    "clamp_min": _clamp,
    "clone": _copy,
    "contiguous": _copy,
    "detach": _copy,
    "div": _div,
    "dropout": _dropout,
    "elu": _elu,
    "embedding": _embedding,
    "exp": _unary("Exp"),
    "gelu": _gelu,
    "glu": _glu,
    "group_rational": _group_rational,
    "hardsigmoid": _hardsigmoid,
    "hardswish": _unary("HardSwish"),
    "hardtanh": _clamp,
    "instance_norm": _instance_norm,
    "layer_norm": _layer_norm,
    "leaky_relu": _leaky_relu,
    "lift_fresh_copy": _copy,
    "log_softmax": _softmax("LogSoftmax"),
    "linear": _linear,
    "masked_fill": _masked_fill,
    "matmul": _matmul,
    "mish": _unary("Mish"),
    "mm": _matmul,
    "mul": _mul,
    "native_batch_norm": _training_norm,
    "native_dropout": _dropout,
    "native_group_norm": _group_norm,
    "native_layer_norm": _layer_norm,
    "neg": _unary("Neg"),
    "one_hot": _one_hot,
    "pow": _pow,
    "prelu": _prelu,
    "relu": _unary("Relu"),
    "relu6": _relu6,
    "rms_norm": _rms_norm,
    "rsqrt": _rsqrt,
    "rsub": _rsub,
    "selu": _unary("Selu"),
    "sigmoid": _unary("Sigmoid"),
    "silu": _unary("Swish"),
    "softmax": _softmax("Softmax"),
    "softplus": _softplus,
    "sub": _sum("Sub"),
    "tanh": _unary("Tanh"),
    "to": _copy,
    "where": _where,
    **ATTENTION,
    **FUNCTIONS,
    **IMAGES,
    **MOVES,
    **QUANTISED,
    **RECURRENT,
    **REDUCTIONS,
}
"""By the operator's name without namespace and overload."""

SUPPORTED = tuple(name for name, handler in HANDLERS.items() if not name.startswith(("_", "native_")))
"""Names of the operators for messages: those that a user's code calls, without the internal ones behind them."""
