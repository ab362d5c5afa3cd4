"""ATen operators on images: convolution, pooling, resizing."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from itertools import pairwise
from math import prod
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


def _triple(given: int | Sequence[int]) -> tuple[int, ...]:
    """Depth, height and width; PyTorch takes one number for all three."""
    numbers = [given] if isinstance(given, int) else list(given)
    return tuple(int(n) for n in (numbers * 3 if len(numbers) == 1 else numbers))


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


PADDINGS = {"constant": "constant", "reflect": "reflect", "replicate": "edge", "circular": "wrap"}


def _pad(w: Writer, a: Arguments) -> None:
    """PyTorch names the last axis first, ONNX all fronts before all ends."""
    pad = [int(n) for n in a["pad"]]
    free = len(w.shape(a["self"])) - len(pad) // 2
    fronts, ends = ([0] * free + pad[side::2][::-1] for side in (0, 1))
    attrs = {"mode": PADDINGS[a.get("mode", "constant")]}
    w.give("Pad", [a["self"], w.integers([*fronts, *ends]), float(a.get("value") or 0)], attrs)


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
    handlers = {
        3: (_conv1d, _conv_transpose1d),
        4: (_conv2d, _conv_transpose2d),
        5: (_conv3d, _conv_transpose3d),
    }
    if len(shape) not in handlers:
        raise Rejected(f"its weight has the shape {show(shape)}, expected three to five axes")
    handlers[len(shape)][bool(a["transposed"])](w, a)


def _conv3d(w: Writer, a: Arguments) -> None:
    stride, dilation, padding = _triple(a["stride"]), _triple(a["dilation"]), a["padding"]
    if isinstance(padding, str):
        spans = [
            d * (k - 1) * (padding == "same") for d, k in zip(dilation, w.shape(a["weight"])[2:], strict=True)
        ]
        pads = [*(span // 2 for span in spans), *(span - span // 2 for span in spans)]
    else:
        pads = [*_triple(padding)] * 2
    attrs = {"strides": stride, "pads": pads, "dilations": dilation, "group": int(a["groups"])}
    w.give("Conv", [a["input"], a["weight"], a["bias"]], attrs)


def _conv_transpose3d(w: Writer, a: Arguments) -> None:
    raise Rejected(
        f"it enlarges a volume {show(w.shape(a['input']))}",
        "of convolutions of volumes there are those that are not transposed",
        "enlarge it by nearest neighbours and convolve that, or work slice by slice",
    )


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
    window, divisor = _pool_window(a), a["divisor_override"]
    if divisor is None:
        w.give("AveragePool", [a["self"]], window | {"count_include_pad": int(a["count_include_pad"])})
        return
    if a["ceil_mode"]:
        raise Rejected(
            "it divides windows that are cut off at the end by a number of its own", hint="pad the image"
        )
    mean = w.emit("AveragePool", [a["self"]], window | {"count_include_pad": 1})
    w.give("Mul", [mean, prod(window["kernel_shape"]) / float(divisor)])


def _pool3d(op: str) -> Callable[[Writer, Arguments], None]:
    def handler(w: Writer, a: Arguments) -> None:
        if a.get("divisor_override") is not None:
            raise Rejected(
                "it divides by a number of its own", "a mean divides by the elements of its window"
            )
        attrs = {
            "kernel_shape": _triple(a["kernel_size"]),
            "strides": _triple(a["stride"] or a["kernel_size"]),
            "pads": _triple(a["padding"]) * 2,
            "ceil_mode": int(a["ceil_mode"]),
        }
        if op == "MaxPool":
            attrs["dilations"] = _triple(a["dilation"])
        else:
            attrs["count_include_pad"] = int(a["count_include_pad"])
        w.give(op, [a["self"]], attrs)

    return handler


def _windows(have: int, want: int) -> list[tuple[int, int]]:
    """Begin and end of the windows that make `want` elements of `have`, as PyTorch lays them."""
    return [(i * have // want, -(-(i + 1) * have // want)) for i in range(want)]


def _alike(windows: Sequence[tuple[int, int]]) -> tuple[int, int] | None:
    """Length and distance of windows that are all alike; None for others."""
    lengths = {stop - start for start, stop in windows}
    steps = {after[0] - before[0] for before, after in pairwise(windows)} or {windows[0][1]}
    return (min(lengths), min(steps)) if len(lengths) == len(steps) == 1 and min(steps) else None


def _adaptive(whole: str, op: str) -> Callable[[Writer, Arguments], None]:
    """A pool whose windows make an image of a given size. Where they are not alike, the largest is that of elements in the
    order in which windows read them, and a mean a product with a matrix for each axis."""

    def handler(w: Writer, a: Arguments) -> None:
        x, size = a["self"], w.shape(a["self"])[2 - len(w.shape(a["self"])) :]
        target = [
            have if want is None else int(want) for have, want in zip(size, a["output_size"], strict=True)
        ]
        if all(want == 1 for want in target):
            w.give(whole, [x])
            return
        if 0 in target:
            raise Rejected(f"it pools {show(size)} to nothing", code="graph")
        laid = [_windows(have, want) for have, want in zip(size, target, strict=True)]
        regular = [_alike(windows) for windows in laid]
        if op == "AveragePool" and None in regular:
            for axis, (have, windows) in enumerate(zip(size, laid, strict=True), 2):
                matrix = np.zeros((have, len(windows)), np.float32)
                for column, (start, stop) in enumerate(windows):
                    matrix[start:stop, column] = 1 / (stop - start)
                x = w.emit("intar.Along", [x, matrix], {"axis": axis})
            w.give("Identity", [x])
            return
        for axis, windows in enumerate(laid):
            if regular[axis] is None:  # the last element of a shorter window counts twice
                longest = max(stop - start for start, stop in windows)
                read = [min(start + n, stop - 1) for start, stop in windows for n in range(longest)]
                x = w.emit("Gather", [x, w.integers(read)], {"axis": axis + 2})
                regular[axis] = (longest, longest)
        lengths, steps = zip(*(each for each in regular if each), strict=True)
        w.give(op, [x], {"kernel_shape": lengths, "strides": steps})

    return handler


def _target(w: Writer, a: Arguments, whole: Sequence[int] = ()) -> list[Any]:
    """Inputs of a Resize. PyTorch computes with a scale that it was given, even where the size is another one's, unless the
    size is a `whole` multiple of the old one."""
    source, shape = a.get("self", a.get("input")), w.shape(w.current)
    old, new = w.shape(source)[2:], shape[2:]
    named = ("scales",) if len(new) == 1 else ("scales_d", "scales_h", "scales_w")[-len(new) :]
    given = a.get("scale_factors") or [a.get(name) for name in named]
    sides = list(zip(given, old, new, strict=True))
    if a.get("align_corners") or all(factor is None or factor * have == want for factor, have, want in sides):
        return [source, None, None, w.integers(shape)]
    exact = [factor is None or want in [n * have for n in whole] for factor, have, want in sides]
    factors = [
        want / have if known else float(factor)
        for known, (factor, have, want) in zip(exact, sides, strict=True)
    ]
    return [source, None, np.asarray([1.0, 1.0, *factors])]


def _interpolated(mode: str, **attrs: Any) -> Callable[[Writer, Arguments], None]:
    """Resizing by products; with `antialias` what lies outside does not count."""

    def handler(w: Writer, a: Arguments) -> None:
        transform = "align_corners" if a["align_corners"] else "half_pixel"
        whole = (1,) if mode == "linear" and not attrs else ()
        w.give(
            "Resize",
            _target(w, a, whole),
            {"mode": mode, "coordinate_transformation_mode": transform, **attrs},
        )

    return handler


def _repeated(transform: str) -> Callable[[Writer, Arguments], None]:
    """Resizing by copies."""

    def handler(w: Writer, a: Arguments) -> None:
        attrs = {"mode": "nearest", "coordinate_transformation_mode": transform, "nearest_mode": "floor"}
        if transform == "half_pixel":
            attrs["nearest_mode"] = "round_prefer_ceil"  # the floor of (i + 1/2) / scale
        w.give("Resize", _target(w, a, (1, 2) if transform == "asymmetric" else ()), attrs)

    return handler


def _col2im(w: Writer, a: Arguments) -> None:
    pads = [int(n) for n in a["padding"]]
    attrs = {"dilations": list(a["dilation"]), "strides": list(a["stride"]), "pads": pads * 2}
    w.give("Col2Im", [a["self"], w.integers(a["output_size"]), w.integers(a["kernel_size"])], attrs)


def _pixel_shuffle(w: Writer, a: Arguments) -> None:
    w.give("DepthToSpace", [a["self"]], {"blocksize": int(a["upscale_factor"]), "mode": "CRD"})


def _pixel_unshuffle(w: Writer, a: Arguments) -> None:
    w.give("SpaceToDepth", [a["self"]], {"blocksize": int(a["downscale_factor"]), "mode": "CRD"})


IMAGES: dict[str, Callable[[Writer, Arguments], None]] = {
    "_adaptive_avg_pool3d": _adaptive("GlobalAveragePool", "AveragePool"),
    "_upsample_bicubic2d_aa": _interpolated("cubic", cubic_coeff_a=-0.5, antialias=1, exclude_outside=1),
    "_upsample_bilinear2d_aa": _interpolated("linear", antialias=1, exclude_outside=1),
    "_upsample_nearest_exact1d": _repeated("half_pixel"),
    "_upsample_nearest_exact2d": _repeated("half_pixel"),
    "_upsample_nearest_exact3d": _repeated("half_pixel"),
    "adaptive_avg_pool2d": _adaptive("GlobalAveragePool", "AveragePool"),
    "adaptive_avg_pool3d": _adaptive("GlobalAveragePool", "AveragePool"),
    "adaptive_max_pool2d": _adaptive("GlobalMaxPool", "MaxPool"),
    "adaptive_max_pool3d": _adaptive("GlobalMaxPool", "MaxPool"),
    "avg_pool2d": _avg_pool2d,
    "avg_pool3d": _pool3d("AveragePool"),
    "col2im": _col2im,
    "constant_pad_nd": _pad,
    "conv1d": _conv1d,
    "conv2d": _conv2d,
    "conv3d": _conv3d,
    "conv_transpose1d": _conv_transpose1d,
    "conv_transpose2d": _conv_transpose2d,
    "convolution": _convolution,
    "max_pool2d": _max_pool2d,
    "max_pool2d_with_indices": _max_pool2d,
    "max_pool3d": _pool3d("MaxPool"),
    "max_pool3d_with_indices": _pool3d("MaxPool"),
    "pad": _pad,
    "pixel_shuffle": _pixel_shuffle,
    "pixel_unshuffle": _pixel_unshuffle,
    "upsample_bicubic2d": _interpolated("cubic"),
    "upsample_bilinear2d": _interpolated("linear"),
    "upsample_linear1d": _interpolated("linear"),
    "upsample_nearest1d": _repeated("asymmetric"),
    "upsample_nearest2d": _repeated("asymmetric"),
    "upsample_nearest3d": _repeated("asymmetric"),
    "upsample_trilinear3d": _interpolated("linear"),
}
"""By the operator's name without namespace and overload."""
