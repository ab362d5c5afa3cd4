"""How many channels the convolutions of a network have on the grid, how many filters, and the weights that a core keeps.

`apart`: as if every phase had filters of its own. Networks of `designs/tiny` on the budgets of `benchmarks/tiny.py`, and
designs on theirs.

>>> python benchmarks/filters.py cnv rnet                                                         # doctest: +SKIP
"""

from __future__ import annotations

import argparse
import sys

from tiny import CASES, MODELS

from intar.errors import UserError
from intar.ir.quantgraph import QConv, stored_bits
from intar.options import parse_budget
from intar.quant.forms import machine_form
from intar.session import open_source


def row(name: str) -> str:
    """A row of the table, of the network in the form that its machine performs."""
    if case := CASES.get(name):
        budget = parse_budget([case.budget])
        source = open_source(f"{MODELS}:{name}", device=case.device, scheme=case.scheme, budget=budget)
    else:
        source = open_source(name)
    machine, graph = source.machine, machine_form(source.quantised, source.machine).graph
    convs = [task for task in graph.tasks if isinstance(task, QConv)]
    beat = machine.lanes * stored_bits(graph)[1] // 8
    apart = sum(g.channels * -(-len(g.taps) // machine.lanes) for task in convs for g in task.groups)
    together = sum(n * -(-taps // machine.lanes) for task in convs for n, taps in task.filter_sizes)
    channels = sum(len(task.channel_filters) for task in convs)
    filters = sum(len(task.filter_taps) for task in convs)
    arrays = f"{machine.cores} x {machine.rows} x {machine.lanes}"
    return f"| {name} | {arrays} | {channels:,} | {filters:,} | {apart * beat:,} | {together * beat:,} |"


def main() -> int:
    """Command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("networks", nargs="+", help=f"of {', '.join(CASES)}, or designs")
    print("| network | arrays | channels | filters | bytes apart | bytes |\n|---|---|---|---|---|---|")
    for name in parser.parse_args().networks:
        print(row(name), flush=True)
    return 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except UserError as error:
        sys.exit(str(error))
