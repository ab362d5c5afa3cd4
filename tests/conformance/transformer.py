"""A transformer block like GPT-2's, from the Python builder, small enough for every executor."""

from __future__ import annotations

import numpy as np

from intar.frontends.builder import Builder
from intar.ir.taskgraph import TaskGraph


def block(
    width: int = 32, heads: int = 2, tokens: int = 8, hidden: int = 64, *, causal: bool = True, seed: int = 0
) -> tuple[TaskGraph, np.ndarray]:
    """LayerNorm, attention, residual, LayerNorm, feed-forward with GELU, residual; and samples (16, tokens, width)."""
    rng = np.random.default_rng(seed)

    def layer(x: str, rows: int, columns: int) -> str:
        return g.matmul(x, rng.normal(size=(rows, columns)) * rows**-0.5, rng.normal(0, 0.1, columns))

    def norm(x: str) -> str:
        return g.layer_norm(x, rng.normal(1, 0.2, width), rng.normal(0, 0.1, width))

    def by_head(x: str) -> str:
        return g.transpose(g.reshape(x, (tokens, heads, width // heads)), (1, 0, 2))

    g = Builder("block_small")
    x = g.input("x", (tokens, width))
    h = norm(x)
    q, k, v = (by_head(layer(h, width, width)) for _ in range(3))
    scores = g.mul(g.product(q, k, "second"), (width // heads) ** -0.5)
    mask = np.triu(np.full((tokens, tokens), -np.inf), 1) if causal else None
    mixed = g.product(g.softmax(scores, mask), v)
    joined = g.reshape(g.transpose(mixed, (1, 0, 2)), (tokens, width))
    residual = g.add(x, layer(joined, width, width))
    hot = g.gelu(layer(norm(residual), width, hidden))
    g.output(g.add(residual, layer(hot, hidden, width)))
    return g.build(), rng.normal(size=(16, tokens, width))
