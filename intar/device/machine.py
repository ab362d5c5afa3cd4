"""From a board, a budget and a network to the Machine that is scheduled for."""

from __future__ import annotations

from collections.abc import Mapping

from intar.device.boards import Board
from intar.device.budget import Budget, divisors, overdrawn, read_budget, whole_slice
from intar.device.network import Network, ceil_div, estimate, kernel_ring, network_of
from intar.errors import ConfigError, Finding
from intar.ir.packing import array_blocks, products_at_once
from intar.ir.quantgraph import QConv, Quantised
from intar.ir.schedule import Machine

USABLE = 0.7
"""Share of the DSPs and block memories that a design takes unless the budget says otherwise: the rest is routing room."""

MOST_CORES = 8

WIDEST = 64
"""Lanes that are chosen at most for pixels of convolutions, and for weights on chip."""

DEEPEST = 8
"""Channels that a cell is chosen to multiply at most."""

WORDS_DEN = 64
"""Cycles in which words of a slow port are counted."""


def _misfits(lanes: int, port_bits: int, network: Network) -> list[int]:
    """Element widths (weights, tensors, parameters) whose beats of `lanes` go through ports, and neither fill words nor are
    parts of them."""
    constants = set() if network.on_chip else {network.weight_bits, 32}
    widths = sorted({network.tensor_bits, *constants})
    return [w for w in widths if lanes * w % port_bits and port_bits % (lanes * w)]


def _powers(most: int) -> list[int]:
    return [1 << i for i in range(most.bit_length())] if most > 0 else [1]


def _depths(budget: Budget, network: Network) -> list[int]:
    """Channels that a cell may multiply a cycle: 1 unless the budget says it, or weights are on chip."""
    if budget.depth:
        return [budget.depth]
    deep = network.on_chip and network.matmuls and not network.convolutions
    return _powers(min(DEEPEST, budget.lanes or DEEPEST)) if deep else [1]


def _weight_ports(network: Network, cores: int, lanes: int) -> int:
    """Ports that weights come through on so many cores: kernels of convolutions through one, a single row's weights through
    those of the cores that have a column block of it, others through all."""
    if not network.convolutions:
        return cores
    blocks = (cores if height > 1 else ceil_div(width, lanes) for height, _, width in network.matmuls)
    return max((min(cores, count) for count in blocks), default=1)


def _shape(
    board: Board, budget: Budget, network: Network, clock: float, port_bits: int
) -> tuple[tuple, tuple[int, int, int, int]] | None:
    """How good the best shape is, and that: (cores, rows, lanes, beats of a ring for kernels). Least estimated cycles, then
    fewest multipliers, then fewest cores; None: none is within the budget.

    Shapes on which all cores' images don't fit on chip beside their kernels, or a ring for these, come last, those with the
    fewest cores first. Without convolutions a beat of weights is a port word at most, since they come through it as they are
    needed; wider ones are looked at where there are more rows, all of which use a weight, and more multipliers than square
    arrays of such beats have on all ports, and where weights are on chip.
    """
    pack = products_at_once(*network.operands, board.multiplier)
    dsp = budget.dsp or (board.dsp if budget.multipliers else int(board.dsp * USABLE))
    most = min(budget.multipliers or dsp * pack, dsp * pack)
    bandwidth = int(board.bandwidth * 8e3 / clock)
    ports = max(1, min(MOST_CORES, bandwidth // port_bits, board.ports))
    if network.on_chip:
        ports = MOST_CORES
    fixed_cores = budget.cores or budget.ports
    tallest = max((height for height, _, _ in (*network.matmuls, *network.convolutions)), default=1)
    beat = max(1, port_bits // network.weight_bits)
    wide = network.convolutions or network.on_chip
    if wide or (tallest > beat and (fixed_cores or ports) * beat**2 < most):
        beat = max(beat, WIDEST)
    room = budget.onchip_bytes or int(board.onchip_bytes * USABLE)
    best = None
    for lanes in [budget.lanes] if budget.lanes else _powers(min(beat, most)):
        if lanes % network.depth:
            continue
        for cores in [fixed_cores] if fixed_cores else range(1, MOST_CORES + 1):
            highest = min(lanes, tallest)
            for rows in [budget.rows] if budget.rows else [r for r in _powers(lanes) if r < 2 * highest]:
                cells = rows * network.depth
                if (
                    cores * cells * lanes > most
                    or array_blocks(cores, cells, lanes, pack) > dsp
                    or rows > lanes
                ):
                    continue
                ring, fits = kernel_ring(network, budget, cores, rows, lanes, port_bits, room)
                if not fixed_cores and (cores if ring else _weight_ports(network, cores, lanes)) > ports:
                    continue
                cycles = estimate(network, cores, rows, lanes, port_bits, ring)
                large = 0 if fits else cores
                key = (large, cycles, cores * cells * lanes, cores, network.depth, rows)
                if best is None or key < best[0]:
                    best = (key, (cores, rows, lanes, ring))
    return best


def _rate(network: Network, cores: int, rows: int, lanes: int, port_bits: int) -> int:
    """Fewest vector lanes that keep up: a block drains within a tile, other vector tasks take a tenth of the time.

    These run on one core. Beside images no other core has work meanwhile.
    """
    shortest = min((depth for _, depth, _ in (*network.matmuls, *network.convolutions)), default=1)
    budget = estimate(network, cores, rows, lanes, port_bits) // 10
    if not network.convolutions:
        budget *= cores
    beats = sum(height * ceil_div(width, lanes) for height, width in network.vectors)
    for rate in divisors(lanes):
        slow = lanes // rate
        if rows * slow <= max(shortest, rows) and beats * slow <= budget:
            return rate
    return lanes


def _pace(board: Board, efficiency: float | None, port_bits: int, clock: float) -> dict[str, int]:
    """Words that a memory channel gives a port in how many cycles."""
    if efficiency is None:
        return {}
    channel = board.bandwidth * 1e9 * efficiency / board.ports
    words = int(channel / (port_bits / 8 * clock * 1e6) * WORDS_DEN)
    return {"words_num": max(1, words), "words_den": WORDS_DEN} if words < WORDS_DEN else {}


def make_machine(
    board: Board | str, budget: Budget | Mapping[str, object] | None, quantised: Quantised
) -> Machine:
    """The machine for a network on a board.

    Parameters
    ----------
    board : a Board or its name.
    budget : overrides (`Budget`, or options for `Budget.parse`); what is None is chosen: as many cores as the memory
        bandwidth feeds (at most 8), lanes that a port word fills with weights (with convolutions, whose kernels lie on
        chip, and with all weights on chip up to 64), rows as the tensors have them (one, when every matmul has one row),
        with weights on chip up to 8 channels a cell, vector lanes as few as keep up. A DSP makes as many products as the
        widths of the arrays' operands allow.

    Raises
    ------
    ConfigError : unknown board or option, or a budget that contradicts itself or exceeds the board; lists everything.
    """
    board, budget = read_budget(board, budget)
    on_chip = budget.weights == "chip"
    network = network_of(quantised, budget.depth or 1, on_chip)
    findings = list(overdrawn(board, budget, *network.operands))
    if network.depth > 1 and any(isinstance(task, QConv) for task in quantised.graph.tasks):
        findings.append(
            Finding(
                f"a depth of {network.depth} in a network with convolutions", "budget depth",
                "an array takes one tap of a convolution a cycle", "leave `depth` out",
            )
        )  # fmt: skip
    if findings:
        raise ConfigError(findings)
    clock = budget.clock_mhz or board.clock
    port_bits = budget.port_bits or board.port_bits
    if budget.lanes is not None and (widths := _misfits(budget.lanes, port_bits, network)):
        fitting = [  # as many as a port has bits always fit
            n
            for n in range(network.depth, 4 * budget.lanes + network.depth * port_bits, network.depth)
            if not _misfits(n, port_bits, network)
        ]
        near = min(fitting, key=lambda n: abs(n - budget.lanes))  # type: ignore[operator]
        raise ConfigError(
            Finding(
                f"beats of {budget.lanes} lanes don't fit port words of {port_bits} bits",
                "budget lanes",
                f"elements of {' and '.join(map(str, widths))} bits neither fill words nor are whole parts of them",
                f"take {near} lanes, or other ports",
            )
        )
    deeper = [network_of(quantised, depth, on_chip) for depth in _depths(budget, network)]
    shapes = [(_shape(board, budget, each, clock, port_bits), each) for each in deeper]
    found = [(*shape, each) for shape, each in shapes if shape is not None]
    if not found:
        raise ConfigError(
            Finding(
                "no array fits the DSPs or multipliers with what the budget fixes",
                "budget multipliers" if budget.multipliers else "budget dsp",
                hint="raise it, or fix less of cores, rows, lanes and depth",
            )
        )
    _, (cores, rows, lanes, ring), network = min(found, key=lambda one: one[0])
    if network.convolutions and ring and ring < (least := network.least_ring(rows, lanes)):
        bits = lanes * network.weight_bits
        raise ConfigError(
            Finding(
                f"{budget.kernels} bytes of kernels on a core", "budget kernels",
                f"two blocks of {rows} channels of the longest filters are {least * bits // 8}",
                f"take at least {least * bits // 8}, or leave it out",
            )
        )  # fmt: skip
    return Machine(
        cores=cores,
        rows=rows,
        lanes=lanes,
        depth=network.depth,
        rate=whole_slice(lanes, budget.rate)
        if budget.rate
        else _rate(network, cores, rows, lanes, port_bits),
        port_bits=port_bits,
        onchip_bytes=budget.onchip_bytes or int(board.onchip_bytes * USABLE),
        clock_mhz=clock,
        latency=budget.latency or 64,
        inputs=budget.inputs or 1,
        outputs=budget.outputs or 1,
        state_ports=budget.states or 0,
        **_pace(board, budget.efficiency, port_bits, clock),
        divisions=budget.divisions or 1,
        row_units=budget.row_units or 1,
        weights=budget.weights or "memory",
        kernel_ring=ring,
        device=board.name,
    )
