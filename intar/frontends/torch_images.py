"""ATen operators on images: convolution, pooling, resizing."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from intar.frontends.onnx_nodes import Rejected
from intar.frontends.torch_nodes import Writer
from intar.ir.shapes import show

Arguments = Mapping[str, Any]


def _pair(given: int | Sequence[int]) -> tuple[int, int]:
    """Rows and columns, from one number for both or from two."""
    numbers = [given] if isinstance(given, int) else list(given)
    return (int(numbers[0]), int(numbers[-1]))


def _conv2d(w: Writer, a: Arguments) -> None:
    stride, dilation, padding = _pair(a["stride"]), _pair(a["dilation"]), a["padding"]
    kernel = w.shape(a["weight"])[2:]
    if padding == "same":
        # PyTorch puts the odd element at the end.
        spans = [d * (k - 1) for d, k in zip(dilation, kernel, strict=True)]
        pads = [*(span // 2 for span in spans), *(span - span // 2 for span in spans)]
    else:
        pads = [0] * 4 if padding == "valid" else [*_pair(padding), *_pair(padding)]
    attrs = {"strides": stride, "pads": pads, "dilations": dilation, "group": int(a["groups"])}
    w.give("Conv", [a["input"], a["weight"], a["bias"]], attrs)


def _conv1d(w: Writer, a: Arguments) -> None:
    span = int(a["dilation"][0]) * (w.shape(a["weight"])[2] - 1)
    if isinstance(a["padding"], str):  # PyTorch puts the odd element at the end
        front, end = (span // 2, span - span // 2) if a["padding"] == "same" else (0, 0)
    else:
        front = end = int(a["padding"][0])
    attrs = {
        "strides": a["stride"],
        "pads": (front, end),
        "dilations": a["dilation"],
        "group": int(a["groups"]),
    }
    w.give("Conv", [a["input"], a["weight"], a["bias"]], attrs)


def _pad(w: Writer, a: Arguments) -> None:
    """PyTorch names the last axis first, ONNX all fronts before all ends."""
    pad = [int(n) for n in a["pad"]]
    free = len(w.shape(a["self"])) - len(pad) // 2
    fronts, ends = ([0] * free + pad[side::2][::-1] for side in (0, 1))
    w.give("Pad", [a["self"], w.integers([*fronts, *ends]), float(a.get("value") or 0)])


def _conv_transpose2d(w: Writer, a: Arguments) -> None:
    padding = _pair(a["padding"])
    attrs = {
        "strides": _pair(a["stride"]),
        "pads": (*padding, *padding),
        "dilations": _pair(a["dilation"]),
        "output_padding": _pair(a["output_padding"]),
        "group": int(a["groups"]),
    }
    w.give("ConvTranspose", [a["input"], a["weight"], a["bias"]], attrs)


def _convolution(w: Writer, a: Arguments) -> None:
    """The operator behind all of them, which programs have that were decomposed elsewhere."""
    shape = w.shape(a["weight"])
    handlers = {3: (_conv1d, _conv_transpose1d), 4: (_conv2d, _conv_transpose2d)}
    if len(shape) not in handlers:
        raise Rejected(f"its weight has the shape {show(shape)}, expected three or four axes")
    handlers[len(shape)][bool(a["transposed"])](w, a)


def _conv_transpose1d(w: Writer, a: Arguments) -> None:
    attrs = {
        "strides": a["stride"],
        "pads": (*a["padding"], *a["padding"]),
        "dilations": a["dilation"],
        "output_padding": a["output_padding"],
        "group": int(a["groups"]),
    }
    w.give("ConvTranspose", [a["input"], a["weight"], a["bias"]], attrs)


def _pool_window(a: Arguments) -> dict[str, Any]:
    padding = _pair(a["padding"])
    return {
        "kernel_shape": _pair(a["kernel_size"]),
        "strides": _pair(a["stride"] or a["kernel_size"]),
        "pads": (*padding, *padding),
        "ceil_mode": int(a["ceil_mode"]),
    }


def _max_pool2d(w: Writer, a: Arguments) -> None:
    w.give("MaxPool", [a["self"]], _pool_window(a) | {"dilations": _pair(a["dilation"])})


def _avg_pool2d(w: Writer, a: Arguments) -> None:
    if a["divisor_override"] is not None:
        raise Rejected("it divides by a number of its own", "a mean divides by the elements of its window")
    w.give("AveragePool", [a["self"]], _pool_window(a) | {"count_include_pad": int(a["count_include_pad"])})


def _adaptive(whole: str, windows: str) -> Callable[[Writer, Arguments], None]:
    """A pool whose windows make an image of a given size."""

    def handler(w: Writer, a: Arguments) -> None:
        size = w.shape(a["self"])[-2:]
        target = tuple(
            have if want is None else int(want) for have, want in zip(size, a["output_size"], strict=True)
        )
        if target == (1, 1):
            w.give(whole, [a["self"]])
            return
        if any(have % want for have, want in zip(size, target, strict=True)):
            raise Rejected(
                f"it pools {show(size)} to {show(target)}",
                "windows of equal size are supported: the target has to divide the size",
            )
        window = tuple(have // want for have, want in zip(size, target, strict=True))
        w.give(windows, [a["self"]], {"kernel_shape": window, "strides": window})

    return handler


def _target(w: Writer, a: Arguments) -> list[Any]:
    """Inputs of a Resize. PyTorch computes with a scale that it was given, even where the size is another one's."""
    source, shape = a.get("self", a.get("input")), w.shape(w.current)
    given = a.get("scale_factors") or [a.get("scales_h"), a.get("scales_w")]
    sides = list(zip(given, w.shape(source)[-2:], shape[-2:], strict=True))
    if all(factor is None or factor * old == new for factor, old, new in sides):
        return [source, None, None, w.integers(shape)]
    factors = [float(factor or new / old) for factor, old, new in sides]
    return [source, None, np.asarray([1.0, 1.0, *factors], np.float32)]


def _upsample_bilinear2d(w: Writer, a: Arguments) -> None:
    transform = "align_corners" if a["align_corners"] else "half_pixel"
    inputs = _target(w, a if not a["align_corners"] else {"self": a.get("self", a.get("input"))})
    w.give("Resize", inputs, {"mode": "linear", "coordinate_transformation_mode": transform})


def _upsample_nearest2d(w: Writer, a: Arguments) -> None:
    attrs = {"mode": "nearest", "coordinate_transformation_mode": "asymmetric", "nearest_mode": "floor"}
    w.give("Resize", _target(w, a), attrs)


def _pixel_shuffle(w: Writer, a: Arguments) -> None:
    w.give("DepthToSpace", [a["self"]], {"blocksize": int(a["upscale_factor"]), "mode": "CRD"})


def _pixel_unshuffle(w: Writer, a: Arguments) -> None:
    w.give("SpaceToDepth", [a["self"]], {"blocksize": int(a["downscale_factor"]), "mode": "CRD"})


IMAGES: dict[str, Callable[[Writer, Arguments], None]] = {
    "adaptive_avg_pool2d": _adaptive("GlobalAveragePool", "AveragePool"),
    "adaptive_max_pool2d": _adaptive("GlobalMaxPool", "MaxPool"),
    "avg_pool2d": _avg_pool2d,
    "constant_pad_nd": _pad,
    "conv1d": _conv1d,
    "conv2d": _conv2d,
    "conv_transpose1d": _conv_transpose1d,
    "conv_transpose2d": _conv_transpose2d,
    "convolution": _convolution,
    "max_pool2d": _max_pool2d,
    "max_pool2d_with_indices": _max_pool2d,
    "pixel_shuffle": _pixel_shuffle,
    "pixel_unshuffle": _pixel_unshuffle,
    "upsample_bilinear2d": _upsample_bilinear2d,
    "upsample_nearest2d": _upsample_nearest2d,
}
"""By the operator's name without namespace and overload."""
