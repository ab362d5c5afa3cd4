"""Recurrent layers of PyTorch, their steps loops of the circuit or unrolled: cycles, tasks, constants, CPU seconds."""

from __future__ import annotations

import argparse
from time import process_time

import torch
from torch import nn

import intar
from intar.frontends.torch_graph import import_torch

CELLS = {"lstm": nn.LSTM, "gru": nn.GRU, "rnn": nn.RNN}


class Network(nn.Module):
    """Layers, and a linear one on all steps of the last."""

    def __init__(self, kind: str, inputs: int, hidden: int, layers: int, ways: int) -> None:
        super().__init__()
        self.rnn = CELLS[kind](inputs, hidden, layers, batch_first=True, bidirectional=ways == 2)
        self.head = nn.Linear(hidden * ways, 4)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.head(self.rnn(x)[0])


def measure(given: argparse.Namespace, steps: int) -> str:
    """A line of the table."""
    torch.manual_seed(0)
    module = Network(given.kind, given.inputs, given.hidden, given.layers, given.ways).eval()
    samples = torch.randn(16, steps, given.inputs)
    graph = import_torch(module, samples)
    begin = process_time()
    budget = {"multipliers": given.multipliers}
    design = intar.compile(graph, samples.numpy(), budget=budget, loop=not given.unroll).design
    seconds = process_time() - begin
    commands = sum(len(getattr(node, "steps", ())) for node in design.program.nodes)
    constants = sum(map(len, design.images.values()))
    columns = [
        f"{given.kind} x{given.layers}" + (", both ways" if given.ways == 2 else ""),
        steps,
        "unrolled" if given.unroll else "loop",
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
    parser.add_argument("--layers", type=int, default=1)
    parser.add_argument("--ways", type=int, choices=(1, 2), default=1, help="directions")
    parser.add_argument("--steps", type=int, nargs="+", default=[20, 100])
    parser.add_argument("--unroll", action="store_true", help="no loops")
    parser.add_argument("--multipliers", type=int, default=64)
    given = parser.parse_args()
    print(
        "cell | steps | | tasks | cycles | nodes | steps of nodes | bytes of constants | CPU seconds",
        flush=True,
    )
    for steps in given.steps:
        print(measure(given, steps), flush=True)


if __name__ == "__main__":
    main()
