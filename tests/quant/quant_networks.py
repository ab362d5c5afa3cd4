"""Networks for the quantiser's tests: random ones from the builder, and a digits classifier trained on the spot."""

from __future__ import annotations

from functools import cache

import numpy as np

from intar.frontends.builder import Builder
from intar.ir.taskgraph import TaskGraph


def everything(seed: int = 0) -> tuple[TaskGraph, dict[str, np.ndarray]]:
    """Every operator once or more, and calibration samples."""
    rng = np.random.default_rng(seed)
    g = Builder("everything")
    x = g.input("x", (3, 17))
    h = g.relu(g.matmul(x, rng.normal(size=(17, 20)), rng.normal(size=20)), name="hidden")
    curved = g.gelu(g.matmul(h, rng.normal(size=(20, 20)) / 4), name="curved")
    total = g.add(h, curved, name="total")
    scaled = g.mul(total, rng.normal(size=20), name="scaled")
    shifted = g.add(scaled, rng.normal(size=(3, 20)), name="shifted")
    gate = g.sigmoid(shifted, name="gate")
    joined = g.concat([total, gate], 1, name="joined")
    turned = g.transpose(joined, (1, 0), name="turned")
    part = g.slice(turned, 0, 2, 30, name="part")
    y = g.sub(part, g.tanh(part, name="bent"), name="difference")
    y = g.mul(y, part, name="product")
    y = g.silu(g.reshape(y, (1, 84)), name="swish")
    g.output(g.hardswish(y, name="last"))
    return g.build(), {"x": rng.normal(size=(40, 3, 17))}


@cache
def digits() -> tuple[list[np.ndarray], list[np.ndarray], np.ndarray, np.ndarray, np.ndarray]:
    """A 64-64-10 ReLU classifier: weights, biases, training images (float32, 0 … 1), test images, test labels."""
    from sklearn.datasets import load_digits
    from sklearn.neural_network import MLPClassifier

    data = load_digits()
    images = (data.data / 16).astype(np.float32)
    order = np.random.default_rng(0).permutation(len(images))
    train, test = order[:1297], order[1297:]
    model = MLPClassifier((64,), max_iter=60, learning_rate_init=3e-3, random_state=0, tol=0)
    import warnings

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # it says that 60 rounds were not enough to converge
        model.fit(images[train], data.target[train])
    weights = [w.astype(np.float32) for w in model.coefs_]
    biases = [b.astype(np.float32) for b in model.intercepts_]
    return weights, biases, images[train], images[test], data.target[test]


def digits_graph(batch: int = 1) -> TaskGraph:
    """The classifier as a task graph: input ``x`` (batch, 64), output ``logits`` (batch, 10)."""
    weights, biases, *_ = digits()
    g = Builder("digits")
    x = g.input("x", (batch, 64))
    hidden = g.relu(g.matmul(x, weights[0], biases[0]), name="hidden")
    g.output(g.matmul(hidden, weights[1], biases[1], name="logits"))
    return g.build()
