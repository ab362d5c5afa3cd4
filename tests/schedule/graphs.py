"""Small quantised graphs for the scheduler's tests: shapes only, the numbers are placeholders of the right types."""

from __future__ import annotations

import random

from intar.ir.quantgraph import (
    Piece,
    QAffine,
    QBinary,
    QMatmul,
    QMove,
    QProduct,
    QSoftmax,
    QTensor,
    QuantGraph,
)
from intar.ir.schedule import Machine


class Builder:
    """Adds tasks to a graph; every method returns the name of the new tensor."""

    def __init__(self, bits: int = 16, weight_bits: int = 16):
        self.bits, self.weight_bits = bits, weight_bits
        self.tensors: list[QTensor] = []
        self.tasks: list = []
        self.inputs: list[str] = []

    def _tensor(self, name: str, shape: tuple[int, ...]) -> str:
        self.tensors.append(QTensor(name=name, shape=shape, bits=self.bits, scale=1.0))
        return name

    def shape(self, name: str) -> tuple[int, ...]:
        return next(t.shape for t in self.tensors if t.name == name)

    def input(self, rows: int, cols: int, name: str = "x") -> str:
        self.inputs.append(name)
        return self._tensor(name, (rows, cols))

    def matmul(self, x: str, cols: int) -> str:
        name = f"m{len(self.tasks)}"
        self.tasks.append(
            QMatmul(
                name=name, inputs=(x,), output=f"t_{name}", lo=-128, hi=127, weight=f"w_{name}",
                weight_bits=self.weight_bits, bias="b", mult="m", shift="s", acc_bits=40,
            )
        )  # fmt: skip
        return self._tensor(f"t_{name}", (self.shape(x)[0], cols))

    def product(self, x: str, y: str, transposed: bool = False) -> str:
        name = f"p{len(self.tasks)}"
        self.tasks.append(
            QProduct(
                name=name, inputs=(x, y), output=f"t_{name}", lo=-128, hi=127, transposed=transposed,
                mult=1, shift=24, acc_bits=40,
            )
        )  # fmt: skip
        return self._tensor(f"t_{name}", (self.shape(x)[0], self.shape(y)[0 if transposed else 1]))

    def softmax(self, x: str) -> str:
        name = f"s{len(self.tasks)}"
        self.tasks.append(
            QSoftmax(
                name=name, inputs=(x,), output=f"t_{name}", lo=0, hi=127, mult=1, shift=1, numerator=1 << 42,
                out_shift=30,
            )
        )  # fmt: skip
        return self._tensor(f"t_{name}", self.shape(x))

    def affine(self, x: str) -> str:
        name = f"a{len(self.tasks)}"
        self.tasks.append(
            QAffine(
                name=name, inputs=(x,), output=f"t_{name}", lo=-128, hi=127, bias="b", mult="m", shift="s"
            )
        )
        return self._tensor(f"t_{name}", self.shape(x))

    def add(self, x: str, y: str) -> str:
        name = f"b{len(self.tasks)}"
        self.tasks.append(
            QBinary(
                name=name,
                inputs=(x, y),
                output=f"t_{name}",
                lo=-128,
                hi=127,
                op="add",
                zx=0,
                zy=0,
                mx=1,
                my=1,
                shift=1,
            )
        )
        return self._tensor(f"t_{name}", self.shape(x))

    def transpose(self, x: str) -> str:
        name = f"v{len(self.tasks)}"
        rows, cols = self.shape(x)
        piece = Piece(input=0, offset=0, counts=(cols, rows), strides=(1, cols))
        self.tasks.append(QMove(name=name, inputs=(x,), output=f"t_{name}", lo=-128, hi=127, pieces=(piece,)))
        return self._tensor(f"t_{name}", (cols, rows))

    def part(self, x: str, first: int, cols: int) -> str:
        """Columns of a tensor of one row."""
        name = f"v{len(self.tasks)}"
        piece = Piece(input=0, offset=first, counts=(cols,), strides=(1,))
        self.tasks.append(QMove(name=name, inputs=(x,), output=f"t_{name}", lo=-128, hi=127, pieces=(piece,)))
        return self._tensor(f"t_{name}", (1, cols))

    def graph(self, name: str, outputs: list[str] | None = None) -> QuantGraph:
        read = {i for task in self.tasks for i in task.inputs}
        last = outputs or [task.output for task in self.tasks if task.output not in read]
        return QuantGraph(
            name=name,
            tensors=tuple(self.tensors),
            tasks=tuple(self.tasks),
            inputs=tuple(self.inputs),
            outputs=tuple(last),
        )


def mlp(sizes: tuple[int, ...] = (256, 1024, 2048, 256), rows: int = 1) -> QuantGraph:
    b = Builder()
    x = b.input(rows, sizes[0])
    for size in sizes[1:]:
        x = b.matmul(x, size)
    return b.graph("mlp")


def block(rows: int = 64, width: int = 64, bits: int = 8) -> QuantGraph:
    """Three projections, a combination, a residual and a feed-forward pair: the skeleton of a transformer block."""
    b = Builder(bits, bits)
    x = b.input(rows, width)
    q, k, v = b.matmul(x, width), b.matmul(x, width), b.matmul(x, width)
    y = b.matmul(b.add(b.add(q, k), v), width)
    r = b.add(x, y)
    h = b.matmul(b.affine(r), 4 * width)
    return b.graph("block", [b.add(r, b.matmul(h, width))])


def attention(rows: int = 32, width: int = 32, bits: int = 8) -> QuantGraph:
    """Projections, scores, softmax, the weighted sum, and a projection of it."""
    b = Builder(bits, bits)
    x = b.input(rows, width)
    q, k, v = b.matmul(x, width), b.matmul(x, width), b.matmul(x, width)
    p = b.softmax(b.product(q, k, transposed=True))
    return b.graph("attention", [b.matmul(b.product(p, v), width)])


def machine(**changes: object) -> Machine:
    base = dict(cores=2, rows=1, lanes=16, rate=4, port_bits=256, onchip_bytes=1 << 20, clock_mhz=250.0)
    return Machine(**{**base, **changes})


def random_case(
    seed: int, tasks: int = 5, products: bool = False, tall: bool = False, chip: bool = False
) -> tuple[QuantGraph, Machine]:
    """A random graph of `tasks` tasks and a machine with scarce memory and ports.

    With `products` a part of the tasks are softmax and products of two activations. `tall`: many rows and few columns, on
    several cores, which often had better share rows. `chip`: weights are on chip from the start.
    """
    rng = random.Random(seed)
    b = Builder(8, rng.choice((4, 8)))
    rows = rng.choice((7, 12, 13, 16, 22) if tall else (1, 4, 8, 12, 16))
    live = [b.input(rows, rng.choice((8, 16, 24)))]
    if rng.random() < 0.3:
        live.append(b.input(rows, rng.choice((8, 16)), "z"))
    while len(b.tasks) < tasks:
        x = rng.choice(live[-3:])
        same = [t for t in live if b.shape(t) == b.shape(x)]
        kind = rng.random()
        if products and kind < 0.5:
            fits = [(y, t) for y in live for t in (False, True) if b.shape(y)[1 if t else 0] == b.shape(x)[1]]
            if rng.random() < 0.4 or not fits:
                live.append(b.softmax(x))
            else:
                live.append(b.product(x, *rng.choice(fits)))
        elif kind < (0.75 if tall else 0.6):
            live.append(b.matmul(x, rng.choice((4, 8, 10, 24) if tall else (4, 8, 16, 32, 40))))
        elif kind < (0.8 if tall else 0.75):
            live.append(b.affine(x))
        elif kind < 0.93 or b.shape(x)[0] == 1:
            live.append(b.add(x, rng.choice(same)))
        else:
            live.append(b.transpose(x))
    graph = b.graph(f"random{seed}")
    used = {name for task in graph.tasks for name in task.inputs}
    graph = graph.model_copy(
        update={
            "inputs": tuple(i for i in graph.inputs if i in used),
            "tensors": tuple(t for t in graph.tensors if t.name in used or t.name not in graph.inputs),
        }
    )
    lanes = rng.choice((8, 16) if tall else (4, 8))
    made = [t for t in graph.tasks if t.kind in ("matmul", "affine")]
    fixed = sum(16 * -(-graph.tensor(t.output).cols // lanes) * lanes for t in made)
    for t in made if chip else ():
        columns = -(-graph.tensor(t.output).cols // lanes) * lanes
        fixed += graph.tensor(t.inputs[0]).cols * columns * b.weight_bits // 8 * (t.kind == "matmul")
    depths = [graph.tensor(t.inputs[0]).cols for t in graph.tasks if t.kind in ("matmul", "product")]
    ring = 2 * max(depths, default=0) * lanes * (8 if products else b.weight_bits) // 8
    soft = [-(-graph.tensor(t.output).cols // lanes) * lanes for t in graph.tasks if t.kind == "softmax"]
    rows_node = max((4 * row * (8 + 25) // 8 for row in soft), default=0)
    spare = sum(t.rows * -(-t.cols // lanes) * lanes for t in graph.tensors)
    cores, height = rng.choice((2, 3, 4) if tall else (1, 2, 3, 4)), rng.choice((1, 2, 4))
    copies = int((cores - 1) * fixed * rng.uniform(0, 1.5)) if tall else 0
    return graph, machine(
        cores=cores, rows=height, lanes=lanes, rate=rng.choice((1, 2, 4)),
        port_bits=rng.choice((64, 128) if tall else (8, 32, 64)),
        onchip_bytes=fixed + rows_node + (cores * ring if rows > height or products else 0)
        + int(spare * rng.uniform(0.25, 1.6)) + copies,
        latency=rng.choice((4, 64)), weights="chip" if chip else "memory",
    )  # fmt: skip
