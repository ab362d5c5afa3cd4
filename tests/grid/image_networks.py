"""Random small networks of images."""

from __future__ import annotations

from hypothesis import strategies as st

from intar.frontends import Builder
from intar.ir.shapes import Shape
from intar.ir.taskgraph import TaskGraph


class _Grower:
    """Adds one random operator after the other; keeps all images made so far."""

    def __init__(self, data: st.DataObject, shape: Shape) -> None:
        self.data, self.g, self.seed = data, Builder("images"), 0
        self.images = [self.g.input("x", shape)]

    def shape(self, name: str) -> Shape:
        return self.g._assembly.shapes[name]

    def number(self, low: int, high: int) -> int:
        return self.data.draw(st.integers(low, high))

    def pair(self, low: int, high: int) -> tuple[int, int]:
        return self.number(low, high), self.number(low, high)

    def values(self, *shape: int):
        from frontends.models import normal

        self.seed += 1
        return normal(*shape, seed=self.seed, scale=0.6)

    def window(self, x: str, most: int = 3) -> dict:
        """Kernel, stride, dilation and padding with which something is left of the image."""
        height, width = self.shape(x)[2:]
        kernel = (self.number(1, min(most, height)), self.number(1, min(most, width)))
        dilation = tuple(
            self.number(1, 2) if (k - 1) * 2 < n else 1 for k, n in zip(kernel, (height, width), strict=True)
        )
        pads = tuple(self.number(0, dilation[a % 2] * (kernel[a % 2] - 1)) for a in range(4))
        return {"kernel": kernel, "dilation": dilation, "pads": pads, "stride": self.pair(1, 3)}

    def grow(self, op: str) -> None:
        g, x = self.g, self.data.draw(st.sampled_from(self.images))
        _, channels, height, width = self.shape(x)
        if op == "conv":
            groups = self.data.draw(st.sampled_from([n for n in (1, 2, channels) if channels % n == 0]))
            spec = self.window(x)
            weight = self.values(groups * self.number(1, 2), channels // groups, *spec.pop("kernel"))
            self.images.append(g.conv2d(x, weight, self.values(len(weight)), groups=groups, **spec))
        elif op == "transposed" and max(height, width) < 8:
            groups = self.data.draw(st.sampled_from([n for n in (1, channels) if channels % n == 0]))
            stride, kernel = self.pair(1, 3), self.pair(1, 3)
            pads = tuple(self.number(0, (kernel[a % 2] - 1) // 2) for a in range(4))
            weight = self.values(channels, self.number(1, 2), *kernel)
            self.images.append(g.conv_transpose2d(x, weight, stride=stride, pads=pads, groups=groups))
        elif op == "upsample" and max(height, width) < 8:
            self.images.append(g.upsample_nearest(x, self.pair(1, 2)))
        elif op in ("max", "avg"):
            ceil, spec = self.data.draw(st.booleans()), self.window(x)
            if op == "max":
                self.images.append(g.max_pool2d(x, ceil=ceil, **spec))
            else:
                counted = self.data.draw(st.booleans())
                self.images.append(g.avg_pool2d(x, ceil=ceil, count_include_pad=counted, **spec))
        elif op == "relu":
            self.images.append(g.relu(x))
        elif op == "prelu":
            self.images.append(g.prelu(x, self.values(channels)))
        elif op == "affine":
            self.images.append(g.scale_shift(x, self.values(channels), self.values(channels), axis=1))
        elif op == "place":
            self.images.append(g.add(x, self.values(1, height, width)))
        elif op in ("add", "mul", "concat"):
            others = [y for y in self.images if self.shape(y) == self.shape(x)]
            y = self.data.draw(st.sampled_from(others))
            if op == "concat":
                self.images.append(g.concat([x, y], 1))
            else:
                self.images.append(g.add(x, y) if op == "add" else g.mul(x, y))
        elif op == "slice" and channels > 1:
            start = self.number(0, channels - 1)
            self.images.append(g.slice(x, 1, start, self.number(start + 1, channels)))
        elif op == "blocks" and height % 2 == 0 and width % 2 == 0 and channels < 8:
            self.images.append(g.space_to_depth(x, 2))
        elif op == "spread" and channels % 4 == 0 and max(height, width) < 8:
            self.images.append(g.depth_to_space(x, 2))
        elif op == "global":
            self.images.append(self.data.draw(st.sampled_from([g.global_avg_pool, g.global_max_pool]))(x))


OPERATORS = ("conv", "conv", "conv", "transposed", "upsample", "upsample", "max", "avg", "relu", "prelu", "affine", "place",
             "add", "mul", "concat", "slice", "blocks", "spread", "global")  # fmt: skip


def network(data: st.DataObject, length: int = 5) -> tuple[TaskGraph, Shape]:
    """A network of up to `length` random operators on one image, with its last two images as outputs."""
    shape = (1, data.draw(st.integers(1, 3)), data.draw(st.integers(2, 9)), data.draw(st.integers(2, 9)))
    grower = _Grower(data, shape)
    for op in data.draw(st.lists(st.sampled_from(OPERATORS), min_size=1, max_size=length)):
        grower.grow(op)
    if len(grower.images) == 1:
        grower.grow("conv")
    grower.g.output(*grower.images[-2:] if len(grower.images) > 2 else grower.images[-1:])
    return grower.g.build(), shape
