"""What a user would gain who does not know of it: weights on chip, where all of them fit and it pays."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from intar.device import Board, Budget, make_machine
from intar.device.network import estimate, network_of
from intar.errors import UserError
from intar.ir.ops import Op
from intar.ir.quantgraph import Quantised
from intar.ir.schedule import Machine, Mode
from intar.ir.taskgraph import TaskGraph
from intar.quant.forms import machine_form
from intar.schedule.solve import solve

WORTH = 1.25
"""As many times as fast a network has to be with its weights on chip: they make the circuit one for these weights only."""

ON_CHIP = {"weights": "chip"}


@dataclass(frozen=True)
class OnChip:
    """The machine with weights on chip of the same budget, and the cycles that its schedule takes there and here."""

    machine: Machine
    cycles: int
    instead: int

    def __str__(self) -> str:
        machine = self.machine
        cores = f"{machine.cores} core{'s' * (machine.cores > 1)} of {machine.cells}"
        return (
            f"all weights fit on chip: add --budget weights=chip for about {self.cycles:,} cycles in place of "
            f"{self.instead:,} ({cores} multipliers; other weights are another bitstream)"
        )

    def document(self) -> dict[str, Any]:
        """As in the commands' JSON."""
        shape = {key: getattr(self.machine, key) for key in ("cores", "rows", "lanes", "depth")}
        return {"budget": ON_CHIP, "cycles": self.cycles, "instead": self.instead, "text": str(self)} | shape


def weights_on_chip(
    graph: TaskGraph,
    quantised: Quantised,
    machine: Machine,
    asked: tuple[Board, Budget],
    mode: Mode,
    cycles: int,
) -> OnChip | None:
    """What weights on chip would make of a network, if they fit there and it is `WORTH` it; None: nothing to say.

    Looked at are networks that are not looped, keep no states, and have weights in memory because nobody has said where
    they are to be. A schedule is only searched where the machines' estimates differ as much.

    Parameters
    ----------
    asked : what `machine` was made of (`intar.device.read_budget`).
    mode, cycles : pattern of the network's schedule, and what it takes.
    """
    board, budget = asked
    if budget.weights or machine.on_chip or any(task.op is Op.CACHED_SOFTMAX for task in graph.tasks):
        return None
    options: Mapping[str, object] = {key: value for key, value in vars(budget).items() if value is not None}
    try:
        other = make_machine(board, {**options, **ON_CHIP}, quantised)
        if _estimated(quantised, machine) < WORTH * _estimated(quantised, other):
            return None
        found = solve(machine_form(quantised, other).graph, other, mode).objective
    except UserError:  # they don't fit, or the budget fixes what they can't have
        return None
    return OnChip(other, found, cycles) if cycles >= WORTH * found else None


def _estimated(quantised: Quantised, machine: Machine) -> int:
    network = network_of(quantised, machine.depth, machine.on_chip)
    return estimate(network, machine.cores, machine.rows, machine.lanes, machine.port_bits)
