"""Random small networks of images, to try the whole compiler on geometries that nobody thought of.

The same choices make the same network on every machine.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Protocol

import numpy as np

from intar.frontends.builder import Builder
from intar.ir.quantgraph import Quantised
from intar.ir.shapes import Shape
from intar.ir.taskgraph import TaskGraph
from intar.quant.quantise import quantise
from intar.quant.scheme import Scheme


class Choices(Protocol):
    """Where the choices come from."""

    def number(self, low: int, high: int) -> int:
        """A whole number from `low` to `high`."""

    def pick(self, options: Sequence[Any]) -> Any:
        """One of them."""


class Seeded:
    """Choices of a generator."""

    def __init__(self, seed: int) -> None:
        self._rng = np.random.default_rng([seed, 3])

    def number(self, low: int, high: int) -> int:
        """A whole number from `low` to `high`, each as likely."""
        return int(self._rng.integers(low, high + 1))

    def pick(self, options: Sequence[Any]) -> Any:
        """One of them, each as likely."""
        return options[self.number(0, len(options) - 1)]


class Grower:
    """Adds one random operator after the other; `images` are the names of all that were made so far."""

    def __init__(self, choices: Choices, shape: Shape) -> None:
        self.choices, self.builder, self._constants = choices, Builder("images"), 0
        self.images = [self.builder.input("x", shape)]

    def grow(self, op: str) -> None:
        """Add an operator of :data:`OPERATORS` to some image, if there is one that it fits."""
        x = self.choices.pick(self.images)
        made = OPERATORS[op](self, x, *self.builder.shape(x)[1:])
        if made:
            self.images.append(made)

    def graph(self) -> TaskGraph:
        """The network, with its last two images as outputs."""
        outputs = [name for name in self.images if name != "x"][-2:]
        self.builder.output(*outputs)
        return self.builder.build()

    def _pair(self, low: int, high: int) -> tuple[int, int]:
        return self.choices.number(low, high), self.choices.number(low, high)

    def _values(self, *shape: int) -> np.ndarray:
        self._constants += 1
        return np.random.default_rng(self._constants).normal(size=shape).astype(np.float32) * np.float32(0.6)

    def _groups(self, channels: int, options: tuple[int, ...]) -> int:
        return int(self.choices.pick([n for n in options if channels % n == 0]))

    def _window(self, height: int, width: int) -> dict[str, Any]:
        """Kernel, stride, dilation and padding with which something is left of the image."""
        number, sizes = self.choices.number, (height, width)
        kernel = tuple(number(1, min(3, size)) for size in sizes)
        dilation = tuple(
            number(1, 2) if (k - 1) * 2 < size else 1 for k, size in zip(kernel, sizes, strict=True)
        )
        pads = tuple(number(0, dilation[a % 2] * (kernel[a % 2] - 1)) for a in range(4))
        return {"kernel": kernel, "dilation": dilation, "pads": pads, "stride": self._pair(1, 3)}

    def conv(self, x: str, channels: int, height: int, width: int) -> str:
        """A convolution with one, two or as many groups as channels."""
        groups, spec = self._groups(channels, (1, 2, channels)), self._window(height, width)
        kernel = spec.pop("kernel")
        weight = self._values(groups * self.choices.number(1, 2), channels // groups, *kernel)
        return self.builder.conv2d(x, weight, self._values(len(weight)), groups=groups, **spec)

    def transposed(self, x: str, channels: int, height: int, width: int) -> str:
        """A transposed convolution, of images of up to 7 pixels a side."""
        if max(height, width) > 7:
            return ""
        groups, stride, kernel = self._groups(channels, (1, channels)), self._pair(1, 3), self._pair(1, 3)
        pads = tuple(self.choices.number(0, (kernel[a % 2] - 1) // 2) for a in range(4))
        weight = self._values(channels, self.choices.number(1, 2), *kernel)
        return self.builder.conv_transpose2d(x, weight, stride=stride, pads=pads, groups=groups)

    def upsample(self, x: str, channels: int, height: int, width: int) -> str:
        """Nearest upsampling, of images of up to 7 pixels a side."""
        return "" if max(height, width) > 7 else self.builder.upsample_nearest(x, self._pair(1, 2))

    def max_pool(self, x: str, channels: int, height: int, width: int) -> str:
        """A max pool, rounded up or not."""
        return self.builder.max_pool2d(x, ceil=bool(self.choices.number(0, 1)), **self._window(height, width))

    def avg_pool(self, x: str, channels: int, height: int, width: int) -> str:
        """A mean, rounded up or not, with padding or without."""
        ceil, counted = (bool(n) for n in self._pair(0, 1))
        spec = self._window(height, width)
        return self.builder.avg_pool2d(x, ceil=ceil, count_include_pad=counted, **spec)

    def global_pool(self, x: str, channels: int, height: int, width: int) -> str:
        """Mean or maximum of all pixels."""
        kinds = [self.builder.global_avg_pool, self.builder.global_max_pool]
        return str(self.choices.pick(kinds)(x))

    def gate(self, x: str, channels: int, height: int, width: int) -> str:
        """The image times a number for each channel, made of the channels' means or maxima (squeeze and excitation)."""
        weight, made = self._values(channels, channels, 1, 1), self.global_pool(x, channels, height, width)
        factors = self.builder.sigmoid(self.builder.conv2d(made, weight, self._values(channels)))
        image = self.builder.upsample_nearest(factors, (height, width))
        return self.builder.mul(*self.choices.pick([(x, image), (image, x)]))

    def relu(self, x: str, channels: int, height: int, width: int) -> str:
        """A ReLU."""
        return self.builder.relu(x)

    def prelu(self, x: str, channels: int, height: int, width: int) -> str:
        """A PReLU with a slope for each channel."""
        return self.builder.prelu(x, self._values(channels))

    def affine(self, x: str, channels: int, height: int, width: int) -> str:
        """Scale and shift of each channel."""
        return self.builder.scale_shift(x, self._values(channels), self._values(channels), axis=1)

    def learned(self, x: str, channels: int, height: int, width: int) -> str:
        """Functions of groups of channels, some where the channels are the last axis."""
        groups = self.choices.pick([n for n in (1, 2, 3) if (n - 1) * -(-channels // n) < channels])
        a, b = self._values(1, 4) / 4 ** np.arange(4, dtype=np.float32), self._values(groups, 4) ** 2
        if self.choices.number(0, 1):
            return self.builder.rational(x, a, b, groups=groups, axis=1)
        rows = self.builder.rational(self.builder.transpose(x, (0, 2, 3, 1)), a, b, groups=groups)
        return self.builder.transpose(rows, (0, 3, 1, 2))

    def place(self, x: str, channels: int, height: int, width: int) -> str:
        """A constant for each position."""
        return self.builder.add(x, self._values(1, height, width))

    def join(self, x: str, channels: int, height: int, width: int) -> str:
        """Sum, product or concatenation with an image of the same shape."""
        shape = self.builder.shape(x)
        y = self.choices.pick([name for name in self.images if self.builder.shape(name) == shape])
        kind = self.choices.pick(("add", "mul", "concat"))
        if kind == "concat":
            return self.builder.concat([x, y], 1)
        return self.builder.add(x, y) if kind == "add" else self.builder.mul(x, y)

    def part(self, x: str, channels: int, height: int, width: int) -> str:
        """Some consecutive channels."""
        start = self.choices.number(0, channels - 1)
        return self.builder.slice(x, 1, start, self.choices.number(start + 1, channels))

    def blocks(self, x: str, channels: int, height: int, width: int) -> str:
        """Blocks of 2 × 2 to channels or back, where they divide the image."""
        if channels % 4 == 0 and max(height, width) < 8:
            return self.builder.depth_to_space(x, 2)
        if height % 2 or width % 2 or channels > 7:
            return ""
        return self.builder.space_to_depth(x, 2)


OPERATORS: dict[str, Callable[..., str]] = {
    "conv": Grower.conv,
    "transposed": Grower.transposed,
    "upsample": Grower.upsample,
    "max_pool": Grower.max_pool,
    "avg_pool": Grower.avg_pool,
    "global_pool": Grower.global_pool,
    "gate": Grower.gate,
    "relu": Grower.relu,
    "prelu": Grower.prelu,
    "affine": Grower.affine,
    "learned": Grower.learned,
    "place": Grower.place,
    "join": Grower.join,
    "part": Grower.part,
    "blocks": Grower.blocks,
}
"""What a network can be made of, by name."""

USUAL = (*("conv",) * 3, *("upsample",) * 2, *("join",) * 2, *OPERATORS)
"""Operators in the proportion in which they are drawn."""


def random_network(choices: Choices, length: int = 5) -> TaskGraph:
    """A network of up to `length` operators on one image of 1 to 3 channels and 2 to 9 rows and columns."""
    sizes = choices.number(1, 3), choices.number(2, 9), choices.number(2, 9)
    grower = Grower(choices, (1, *sizes))
    for _ in range(choices.number(1, length)):
        grower.grow(choices.pick(USUAL))
    if len(grower.images) == 1:
        grower.grow("conv")
    return grower.graph()


def random_images(seed: int, scheme: Scheme, length: int = 5) -> tuple[TaskGraph, Quantised]:
    """A random network and its integers, calibrated with four random images."""
    graph = random_network(Seeded(seed), length)
    samples = np.random.default_rng([seed, 4]).normal(size=(4, *graph.tensor("x").shape))
    return graph, quantise(graph, scheme, {"x": samples})
