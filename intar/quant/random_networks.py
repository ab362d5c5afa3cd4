"""Random small transformers: blocks of attention, feed-forward pairs and learned functions between all kinds of ends.

A plan says what the network is; the same plan makes a network that sees all its tokens at once, or step functions of so many
tokens behind cached ones, with the same weights.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from intar.frontends.builder import Builder
from intar.ir.ops import POSITION, Op
from intar.ir.taskgraph import TaskGraph

FUNCTIONS = ("relu", "gelu", "silu", "tanh", "sigmoid", "hardswish", "mish", "softplus", "elu")
LAYERS = ("attention", "attention", "attention", "pair", "pair", "gated", "learned", "scale")


@dataclass(frozen=True)
class Plan:
    """A network of `blocks` blocks of `layers`, each with a norm (``layer``, ``rms`` or none) before it and a residual.

    Attention has `heads` of `size` columns, keys and values for one in `shared` of them, and a `mask` (``causal``, ``end``
    or none); `joint`: all projections in one matmul; `rotary`: turned by position. Tokens come (`start`) as ids, from an
    image, through a layer or as they are; what leaves (`end`) is everything, logits, an index or the last token's row.
    """

    seed: int
    tokens: int
    width: int
    blocks: int
    layers: tuple[str, ...]
    norm: str
    heads: int
    size: int
    shared: int
    mask: str
    joint: bool
    rotary: bool
    function: str
    start: str
    end: str


def random_plan(rng: np.random.Generator, step: bool = False) -> Plan:
    """A plan; `step`: of a step function, which has attention and neither other masks than the cache's nor an image."""

    def pick(*options: Any) -> Any:
        return options[int(rng.integers(len(options)))]

    heads = pick(1, 2, 2, 3, 4, 4)
    layers = tuple(pick(*LAYERS) for _ in range(pick(1, 1, 2)))
    if step and "attention" not in layers:
        layers = ("attention", *layers)
    return Plan(
        seed=int(rng.integers(1 << 30)),
        tokens=pick(1, 2, 3, 5, 6, 7, 9, 13),
        width=pick(3, 5, 8, 8, 11, 16, 17),
        blocks=pick(1, 1, 2, 3, 3),
        layers=layers,
        norm=pick("layer", "rms", ""),
        heads=heads,
        size=pick(2, 3, 4, 4, 6, 8, 8),
        shared=pick(*(n for n in (1, 1, 2) if heads % n == 0)),
        mask=pick("", "causal", "causal", "end"),
        joint=pick(True, False),
        rotary=bool(rng.random() < 0.08),
        function=pick(*FUNCTIONS),
        start=pick("", "", "ids", "layer", *(() if step else ("image",))),
        end=pick("", "", "logits", "index", "last"),
    )


def token_network(plan: Plan) -> TaskGraph:
    """The network that sees all its tokens at once."""
    return _Network(plan, plan.tokens, 0).graph()


def step_function(plan: Plan, new: int, cached: int) -> TaskGraph:
    """The network that adds `new` tokens behind up to `cached` ones, whose keys and values are states."""
    return _Network(plan, new, cached).graph()


def random_samples(graph: TaskGraph, rng: np.random.Generator, count: int = 4) -> dict[str, np.ndarray]:
    """Calibration samples of the inputs; tokens differ much in size."""
    limits = {
        task.inputs[0]: graph.tensor(task.inputs[1]).shape[0]
        for task in graph.tasks
        if task.op is Op.EMBEDDING
    }
    found: dict[str, np.ndarray] = {}
    for name in graph.inputs:
        shape = (count, *graph.tensor(name).shape)
        if name == POSITION:
            cached = max(int(t.attrs["cached"]) for t in graph.tasks if t.op is Op.CACHED_SOFTMAX)  # type: ignore[arg-type]
            found[name] = rng.integers(0, cached + 1, shape)
        elif name in limits:
            found[name] = rng.integers(0, limits[name], shape)
        else:
            found[name] = rng.normal(size=shape) * 2.0 ** rng.uniform(-3, 1, (*shape[:-1], 1))
    return found


class _Network:
    """Draws the weights in the order in which the layers stand, so that all forms of a plan have the same."""

    def __init__(self, plan: Plan, tokens: int, cached: int) -> None:
        self.plan, self.tokens, self.cached = plan, tokens, cached
        self.g, self.rng = Builder("tokens"), np.random.default_rng(plan.seed)
        self.kept: list[str] = []

    def graph(self) -> TaskGraph:
        plan = self.plan
        x = self._start()
        if self.cached and plan.layers:
            self.position = self.g.input(POSITION, (1,))
        for block in range(plan.blocks):
            for number, layer in enumerate(plan.layers):
                made = getattr(self, f"_{layer}")(self._normed(x), f"{block}_{number}")
                x = self.g.add(x, made)
        self.g.output(self._end(x), *self.kept)
        return self.g.build()

    def _values(self, *shape: int, scale: float = 1.0, mean: float = 0.0) -> np.ndarray:
        return self.rng.normal(mean, scale, shape).astype(np.float32)

    def _layer(self, x: str, columns: int) -> str:
        inputs = self.g.shape(x)[-1]
        weight, bias = self._values(inputs, columns, scale=inputs**-0.5), self._values(columns, scale=0.1)
        return self.g.matmul(x, weight, bias if self.plan.seed % 2 else None)

    def _start(self) -> str:
        plan, g = self.plan, self.g
        if plan.start == "ids":
            return g.embedding(g.input("ids", (self.tokens,)), self._values(7, plan.width))
        if plan.start == "layer":
            return self._layer(g.input(f"x{self.tokens}", (self.tokens, 5)), plan.width)
        if plan.start == "image":
            image = g.input("image", (1, 2, 2 * self.tokens, 3))
            image = g.conv2d(image, self._values(plan.width, 2, 3, 3, scale=0.3), pads=1)
            image = g.max_pool2d(g.relu(image), (2, 3))
            return g.reshape(g.transpose(image, (0, 2, 3, 1)), (self.tokens, plan.width))
        return g.input(f"x{self.tokens}", (self.tokens, plan.width))

    def _end(self, x: str) -> str:
        plan, g = self.plan, self.g
        if plan.end == "last":
            return g.slice(x, 0, self.tokens - 1, self.tokens)
        if not plan.end:
            return x
        logits = self._layer(x, 7)
        return g.argmax(logits) if plan.end == "index" else logits

    def _normed(self, x: str) -> str:
        gains = self._values(self.plan.width, scale=0.2, mean=1.0)
        if self.plan.norm == "rms":
            return self.g.rms_norm(x, gains)
        if self.plan.norm == "layer":
            return self.g.layer_norm(x, gains, self._values(self.plan.width, scale=0.2))
        return x

    def _attention(self, x: str, place: str) -> str:
        plan, g = self.plan, self.g
        few = plan.heads // plan.shared
        counts = (plan.heads, few, few)
        if plan.joint:
            whole, at, parts = self._layer(x, sum(counts) * plan.size), 0, []
            for count in counts:
                parts.append(g.slice(whole, 1, at, at := at + count * plan.size))
        else:
            parts = [self._layer(x, count * plan.size) for count in counts]
        turned = plan.rotary and not self.cached and plan.size % 2 == 0
        names = ["", f"k_{place}_new", f"v_{place}_new"] if self.cached and plan.shared == 1 else ["", "", ""]
        q, k, v = (
            self._by_head(part, count, turned and n < 2, name)
            for n, (part, count, name) in enumerate(zip(parts, counts, names, strict=True))
        )
        if plan.shared > 1:
            rows = self.tokens
            k, v = (
                g.reshape(g.concat([g.reshape(t, (few, 1, rows * plan.size))] * plan.shared, 1),
                          (plan.heads, rows, plan.size), name=name)
                for t, name in ((k, f"k_{place}_new"), (v, f"v_{place}_new"))
            )  # fmt: skip
        if self.cached:
            self.kept += [k, v]
            k, v = (
                g.concat([g.input(f"{part}_{place}", (plan.heads, self.cached, plan.size)), new], 1)
                for part, new in (("k", k), ("v", v))
            )
        scores = g.mul(g.product(q, k, "second"), plan.size**-0.5)
        mixed = g.product(self._softmax(scores), v)
        joined = g.reshape(g.transpose(mixed, (1, 0, 2)), (self.tokens, plan.heads * plan.size))
        return self._layer(joined, plan.width)

    def _by_head(self, x: str, heads: int, turned: bool, name: str = "") -> str:
        g, size = self.g, self.plan.size
        split = g.reshape(x, (self.tokens, heads, size))
        if not turned:
            return g.transpose(split, (1, 0, 2), name=name)
        angles = np.tile(np.outer(np.arange(self.tokens), 0.5 ** np.arange(size // 2)), 2).astype(np.float32)
        return g.rope(g.transpose(split, (1, 0, 2), name=name), np.cos(angles), np.sin(angles))

    def _softmax(self, scores: str) -> str:
        if self.cached:
            return self.g.cached_softmax(scores, self.position, self.cached)
        seen = {"causal": np.tri(self.tokens), "end": np.arange(self.tokens)[None] <= self.tokens // 2}
        if self.plan.mask not in seen:
            return self.g.softmax(scores)
        mask = np.broadcast_to(np.where(seen[self.plan.mask], 0.0, -np.inf), (self.tokens,) * 2)
        return self.g.softmax(scores, mask)

    def _pair(self, x: str, place: str) -> str:
        return self._layer(getattr(self.g, self.plan.function)(self._layer(x, 19)), self.plan.width)

    def _gated(self, x: str, place: str) -> str:
        gate = getattr(self.g, self.plan.function)(self._layer(x, 12))
        return self._layer(self.g.mul(gate, self._layer(x, 12)), self.plan.width)

    def _learned(self, x: str, place: str) -> str:
        groups = max(n for n in (1, 2, 3) if (n - 1) * -(-self.plan.width // n) < self.plan.width)
        numerator = self._values(groups, 4, scale=0.2) + np.array([0, 1, 0, 0], np.float32)
        return self._layer(
            self.g.rational(x, numerator, self._values(groups, 3, scale=0.2) ** 2, groups=groups),
            self.plan.width,
        )

    def _scale(self, x: str, place: str) -> str:
        return self.g.scale_shift(x, self._values(self.plan.width), self._values(self.plan.width))
