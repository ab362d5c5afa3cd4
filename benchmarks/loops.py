"""Loops against unrolled networks: cycles, steps, size of the RTL and compile time over the number of blocks.

``python benchmarks/loops.py`` prints the table of ``docs/schedule.md``. A block is ``x + W2·relu(W1·x)`` on 16 rows of 64,
128 hidden columns, random weights, int8; 2 cores, 64 multipliers, ports of a U280. ``--gpt2`` prints that of
``docs/generate.md``: a step of the scaled GPT-2, 64 multipliers, scheme w8a8r16.
"""

from __future__ import annotations

import argparse
import time

import numpy as np

import intar
from intar import pipeline
from intar.assets import asset_dir
from intar.codegen.rtl import render_rtl
from intar.frontends import Builder
from intar.ir.program import Program
from intar.ir.taskgraph import TaskGraph
from intar.session import open_source

ROWS, WIDTH, HIDDEN = 16, 64, 128
NAMES = {True: "loop", False: "unrolled"}


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
    size = len(render_rtl(made.program, made.images)["rtl/kernel.sv"])
    return line(blocks, NAMES[loop], made.predicted.cycles, steps_of(made.program), size, f"{seconds:.2f}")


def gpt2_row(loop: bool) -> str:
    """The same of the step."""
    model = f"{asset_dir('designs') / 'gpt2' / 'model.py'}:scaled_step"
    source = open_source(model, budget={"multipliers": 64}, scheme="w8a8r16", loop=loop)
    made = pipeline.compile_quantised(source.quantised, source.machine, loops=source.loops)
    program = made.program
    sizes = (len(program.nodes), len(program.links), steps_of(program), made.predicted.cycles)
    return line(NAMES[loop], *sizes)


def steps_of(program: Program) -> int:
    """Steps of all nodes."""
    lists = ("steps", "writes", "reads")
    return sum(len(getattr(node, name, ())) for node in program.nodes for name in lists)


def line(*cells: int | str) -> str:
    return "| " + " | ".join(f"{cell:,}" if isinstance(cell, int) else cell for cell in cells) + " |"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--gpt2", action="store_true")
    if parser.parse_args().gpt2:
        print("| | nodes | links | steps of all nodes | cycles |")
        print("|---|---|---|---|---|")
        print(gpt2_row(True), gpt2_row(False), sep="\n")
        return
    row(3, True)  # imports and the engine's first use are not compile time
    print("| blocks | | cycles | steps of all nodes | kernel.sv, bytes | CPU seconds |")
    print("|---|---|---|---|---|---|")
    for loop in (True, False):
        for blocks in (3, 6, 12, 24):
            print(row(blocks, loop))


if __name__ == "__main__":
    main()
