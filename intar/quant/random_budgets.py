"""Random budgets, as awkward as `make_machine` takes them: odd lanes, several ports, slow ports, several rows nodes."""

from __future__ import annotations

import numpy as np

from intar.device.boards import boards
from intar.device.machine import make_machine
from intar.errors import ConfigError
from intar.ir.kernels import kernel_beats, least_ring
from intar.ir.quantgraph import QConv, Quantised
from intar.ir.schedule import Machine
from intar.quant.streamed import stream_states

TRIES = 30
"""Budgets that are drawn until one fits the network: many lanes do not fit the words of a port."""


ON_CHIP = 0.3
"""How often weights are on chip."""


def with_ring(seed: int, quantised: Quantised, machine: Machine) -> Machine:
    """The machine, in one of three cases with a ring that kernels of convolutions pass through."""
    rng = np.random.default_rng([seed, 10])
    least = least_ring(quantised.graph, machine.rows, machine.lanes)
    if not least or machine.on_chip or rng.random() > 0.35:
        return machine
    tasks = [task for task in quantised.graph.tasks if isinstance(task, QConv)]
    most = 2 * max(kernel_beats(task, machine.lanes) for task in tasks)
    return machine.model_copy(update={"kernel_ring": int(rng.integers(least, max(least, most) + 1))})


def random_budget(rng: np.random.Generator) -> dict[str, float | str]:
    """Options of `Budget.parse`: each is fixed or left to the compiler."""
    options = {
        "cores": (1, 1, 2, 3, 4),
        "rows": (1, 1, 2, 3, 4, 5),
        "lanes": (3, 4, 4, 5, 6, 8, 8, 12, 16, 20),
        "rate": (1, 2, 3, 4, 8),
        "port_bits": (32, 64, 64, 128, 256, 512),
        "latency": (1, 7, 64),
        "depth": (1, 1, 2, 3, 4),
        "inputs": (1, 2, 3),
        "outputs": (1, 2, 3),
        "divisions": (1, 2, 3, 5),
        "row_units": (1, 2, 2, 3),
        "states": (1, 2),
        "efficiency": (0.02, 0.1, 0.3, 0.7),
    }
    always = ("cores", "rows", "lanes", "latency")
    return {
        name: values[int(rng.integers(len(values)))]
        for name, values in options.items()
        if name in always or rng.random() < 0.4
    }


def random_machine(seed: int, quantised: Quantised) -> Machine:
    """A machine for the network on some board, of a budget that `make_machine` accepts; with ports for states only where
    these can be read as weights are. The seed and the network decide it.

    Raises
    ------
    ConfigError
        None of `TRIES` budgets was accepted.
    """
    rng, names = np.random.default_rng([seed, 8]), list(boards())
    weights = "chip" if np.random.default_rng([seed, 9]).random() < ON_CHIP else "memory"
    for left in range(TRIES)[::-1]:
        budget, board = random_budget(rng), names[int(rng.integers(len(names)))]
        budget["weights"] = weights
        if not quantised.graph.positions:
            budget.pop("states", None)
        try:
            machine = make_machine(board, budget, quantised)
            stream_states(quantised, machine)
        except ConfigError:
            if not left:
                raise
        else:
            return with_ring(seed, quantised, machine)
    raise AssertionError
