"""Loops against unrolled networks: cycles, steps, size of the RTL and compile time over the number of blocks.

``python benchmarks/loops.py`` prints the table of ``docs/schedule.md``. A block is ``x + W2·relu(W1·x)`` on 16 rows of 64,
128 hidden columns, random weights, int8; 2 cores, 64 multipliers, ports of a U280.
"""

from __future__ import annotations

import time

import numpy as np

import intar
from intar.codegen.rtl import render_rtl
from intar.frontends import Builder
from intar.ir.taskgraph import TaskGraph

ROWS, WIDTH, HIDDEN = 16, 64, 128


def network(blocks: int) -> TaskGraph:
    """`blocks` residual blocks."""
    rng, g = np.random.default_rng(0), Builder("stack")

    def layer(x: str, inputs: int, outputs: int) -> str:
        return g.matmul(x, rng.normal(0, 1 / np.sqrt(inputs), (inputs, outputs)).astype(np.float32))

    x = g.input("x", (ROWS, WIDTH))
    for _ in range(blocks):
        x = g.add(x, layer(g.relu(layer(x, WIDTH, HIDDEN)), HIDDEN, WIDTH))
    g.output(x)
    return g.build()


def row(blocks: int, loop: bool) -> str:
    """A line of the table."""
    samples = np.random.default_rng(1).normal(0, 1, (4, ROWS, WIDTH))
    began = time.process_time()
    made = intar.compile(network(blocks), samples, budget={"multipliers": 64, "cores": 2}, loop=loop).design
    seconds = time.process_time() - began
    lists = ("steps", "writes", "reads")
    steps = sum(len(getattr(node, name, ())) for node in made.program.nodes for name in lists)
    size = len(render_rtl(made.program)["rtl/kernel.sv"])
    cells = (blocks, "loop" if loop else "unrolled", made.predicted.cycles, steps, size, f"{seconds:.2f}")
    return "| " + " | ".join(f"{cell:,}" if isinstance(cell, int) else cell for cell in cells) + " |"


def main() -> None:
    row(3, True)  # imports and the engine's first use are not compile time
    print("| blocks | | cycles | steps of all nodes | kernel.sv, bytes | CPU seconds |")
    print("|---|---|---|---|---|---|")
    for loop in (True, False):
        for blocks in (3, 6, 12, 24):
            print(row(blocks, loop))


if __name__ == "__main__":
    main()
