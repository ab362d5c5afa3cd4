"""Quantisation in exported programs: what PyTorch's and torchao's pt2e flow writes, and fake quantisation in training.

``quantized_decomposed.quantize_per_tensor`` and its relatives, and ``fake_quantize_per_tensor_affine`` and
``fake_quantize_per_channel_affine``: both become QuantizeLinear, Clip and DequantizeLinear.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import torch

from intar.frontends.onnx_nodes import Rejected
from intar.frontends.torch_nodes import Writer

Arguments = Mapping[str, Any]

TYPES = {
    torch.int8: np.int8,
    torch.uint8: np.uint8,
    torch.int16: np.int16,
    torch.uint16: np.uint16,
    torch.int32: np.int32,
}


def _format(w: Writer, a: Arguments, dtype: Any) -> tuple[list[Any], dict[str, int]]:
    """Scale and zero point as constants, the zero point in the integers' type; and the axis, where there is one."""
    scale, zero = (a.get(f"{name}s", a.get(name)) for name in ("scale", "zero_point"))
    if not all(each is None or w.is_constant(each) for each in (scale, zero)):
        raise Rejected("its scale is computed at run time", "scales are constants", "use static quantisation")
    scales = w.array(scale).astype(np.float32)
    zeros = np.zeros(scales.shape) if zero is None else w.array(zero)
    attrs = {"axis": int(a["axis"])} if "axis" in a else {}
    if not attrs:
        scales, zeros = scales.reshape(()), zeros.reshape(())
    return [scales, zeros.astype(dtype)], attrs


def _bounds(w: Writer, a: Arguments) -> tuple[int, int]:
    low, high = (int(w.array(a[name]).item()) for name in ("quant_min", "quant_max"))
    return low, high


def _integers(w: Writer, x: Any, params: list[Any], attrs: dict[str, int], low: int, high: int) -> str:
    """The tensor as integers of the zero point's type, from `low` to `high`."""
    made = w.emit("QuantizeLinear", [x, *params], attrs)
    limits = np.iinfo(params[1].dtype)
    if (low, high) == (limits.min, limits.max):
        return made
    return w.emit("Clip", [made, *(np.asarray(bound, params[1].dtype) for bound in (low, high))])


def _type(a: Arguments) -> Any:
    if a["dtype"] not in TYPES:
        names = ", ".join(str(each).removeprefix("torch.") for each in TYPES)
        raise Rejected(f"its integers have type {a['dtype']}", hint=f"supported are {names}")
    return TYPES[a["dtype"]]


def _quantize(w: Writer, a: Arguments) -> None:
    params, attrs = _format(w, a, _type(a))
    w.give("Identity", [_integers(w, a["input"], params, attrs, *_bounds(w, a))])


def _dequantize(w: Writer, a: Arguments) -> None:
    params, attrs = _format(w, a, _type(a))
    w.give("DequantizeLinear", [a["input"], *params], attrs)


def _fake_quantize(w: Writer, a: Arguments) -> None:
    """A constant becomes its integers here; an activation is rounded where it is made."""
    low, high = _bounds(w, a)
    kinds = (np.int8, np.int16, np.int32) if low < 0 else (np.uint8, np.uint16)
    dtype = next((k for k in kinds if np.iinfo(k).min <= low and high <= np.iinfo(k).max), None)
    if dtype is None:
        raise Rejected(f"it quantises to {low} … {high}", "integers have at most 16 bits")
    params, attrs = _format(w, a, dtype)
    if w.is_constant(a["self"]):
        x = w.array(a["self"])
        spread = [1] * x.ndim
        if attrs:
            spread[attrs["axis"]] = -1
        scale, zero = (each.reshape(spread) if attrs else each for each in params)
        steps = np.rint(x * (np.float32(1) / scale) + zero.astype(np.float32))
        integers: Any = np.clip(steps, low, high).astype(dtype)
    else:
        integers = _integers(w, a["self"], params, attrs, low, high)
    w.give("DequantizeLinear", [integers, *params], attrs)


QUANTISED: dict[str, Callable[[Writer, Arguments], None]] = {
    "quantize_per_tensor": _quantize,
    "quantize_per_channel": _quantize,
    "dequantize_per_tensor": _dequantize,
    "dequantize_per_channel": _dequantize,
    "fake_quantize_per_tensor_affine": _fake_quantize,
    "fake_quantize_per_channel_affine": _fake_quantize,
}
"""By the operator's name without namespace and overload."""
