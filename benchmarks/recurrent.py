"""A recurrent layer of PyTorch, its steps a loop of the circuit or unrolled: cycles, tasks, constants, CPU seconds."""

from __future__ import annotations

import argparse
from time import process_time

import torch
from torch import nn

import intar
from intar.frontends.torch_graph import import_torch

CELLS = {"lstm": nn.LSTM, "gru": nn.GRU, "rnn": nn.RNN}


class Network(nn.Module):
    """A layer, and a linear one on all of its steps."""

    def __init__(self, kind: str, inputs: int, hidden: int) -> None:
        super().__init__()
        self.rnn = CELLS[kind](inputs, hidden, batch_first=True)
        self.head = nn.Linear(hidden, 4)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.head(self.rnn(x)[0])


def measure(kind: str, inputs: int, hidden: int, steps: int, loop: bool, multipliers: int) -> str:
    """A line of the table."""
    torch.manual_seed(0)
    module, samples = Network(kind, inputs, hidden).eval(), torch.randn(16, steps, inputs)
    graph = import_torch(module, samples)
    begin = process_time()
    data = samples.numpy()
    design = intar.compile(graph, data, budget={"multipliers": multipliers}, loop=loop).design
    seconds = process_time() - begin
    commands = sum(len(getattr(node, "steps", ())) for node in design.program.nodes)
    constants = sum(map(len, design.images.values()))
    form = "loop" if len(design.program.rounds) > 1 else "unrolled"
    columns = [
        kind,
        steps,
        form,
        len(design.quantised.graph.tasks),
        f"{design.predicted.cycles:,}",
        len(design.program.nodes),
    ]
    return " | ".join(map(str, [*columns, f"{commands:,}", f"{constants:,}", f"{seconds:.0f}"]))


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kind", choices=[*CELLS], default="lstm")
    parser.add_argument("--inputs", type=int, default=16)
    parser.add_argument("--hidden", type=int, default=32)
    parser.add_argument("--steps", type=int, nargs="+", default=[20, 100])
    parser.add_argument("--unroll", action="store_true", help="not as a loop")
    parser.add_argument("--multipliers", type=int, default=64)
    given = parser.parse_args()
    print(
        "cell | steps | | tasks | cycles | nodes | steps of nodes | bytes of constants | CPU seconds",
        flush=True,
    )
    for steps in given.steps:
        line = measure(given.kind, given.inputs, given.hidden, steps, not given.unroll, given.multipliers)
        print(line, flush=True)


if __name__ == "__main__":
    main()
