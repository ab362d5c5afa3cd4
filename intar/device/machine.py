"""From a board, a budget and a network to the Machine that is scheduled for."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, fields
from functools import cached_property
from typing import get_args

from intar.device.boards import Board, find_board, suggest
from intar.errors import ConfigError, Finding
from intar.ir.beats import beat_addresses
from intar.ir.circuit import circuit
from intar.ir.packing import array_blocks, products_at_once
from intar.ir.parameters import parameter_bytes
from intar.ir.quantgraph import (
    QConv,
    QMatmul,
    QMove,
    QPool,
    QProduct,
    QuantGraph,
    Quantised,
    operand_bits,
    stored_bits,
    weight_bits,
)
from intar.ir.schedule import Machine, Where

USABLE = 0.7
"""Share of the DSPs and block memories that a design takes unless the budget says otherwise: the rest is routing room."""

ALIASES = {"clock": "clock_mhz", "onchip": "onchip_bytes", "memory": "onchip_bytes"}

CORES = 63
"""Cores at most: a router has 128 outputs, and a tensor may go to all cores and to what stands before states' ports."""

IMAGES = 3
"""Images as large as the largest tensor, on each core, that kernels have to leave memory for where a shape is chosen: what a
convolution reads and makes, and one that waits beside it."""

REAL = ("clock_mhz", "efficiency")
"""Options that need not be whole numbers."""

WORDS = {"weights": get_args(Where)}
"""Options that are words, and which."""

MOST_CORES = 8

WIDEST = 64
"""Lanes that are chosen at most for pixels of convolutions, and for weights on chip."""

DEEPEST = 8
"""Channels that a cell is chosen to multiply at most."""

WORDS_DEN = 64
"""Cycles in which words of a slow port are counted."""


@dataclass(frozen=True)
class Budget:
    """Overrides; None means: choose.

    `multipliers` are multiply-accumulates a cycle of all arrays, `dsp` the DSP blocks that make them: as many, or fewer
    where a block makes several (`intar.ir.packing`). `depth`: channels that a cell multiplies a cycle (1 if not given).
    `ports` are weight ports, one a core; `inputs` and `outputs` ports for those, `states` ports that read states for
    products. `divisions`: rows of a softmax that are divided at a time. `row_units`: rows nodes, for softmaxes that run side
    by side. `efficiency`: what a memory channel gives of its share of the board's bandwidth; unless it is given, a port gets
    a word a cycle. `weights`: ``memory`` (if not given) or ``chip``, where weights, parameters and functions are.
    """

    multipliers: int | None = None
    dsp: int | None = None
    cores: int | None = None
    rows: int | None = None
    lanes: int | None = None
    depth: int | None = None
    rate: int | None = None
    ports: int | None = None
    port_bits: int | None = None
    onchip_bytes: int | None = None
    clock_mhz: float | None = None
    latency: int | None = None
    inputs: int | None = None
    outputs: int | None = None
    states: int | None = None
    efficiency: float | None = None
    divisions: int | None = None
    row_units: int | None = None
    weights: Where | None = None

    @staticmethod
    def parse(options: Mapping[str, object]) -> Budget:
        """From ``{"dsp": 32, "lanes": "16", "onchip": "512K", …}``; ConfigError with all that is wrong."""
        if not isinstance(options, Mapping):
            hint = 'write for example {"dsp": 32, "onchip": "512K"}'
            raise ConfigError(
                Finding(f"{options!r} is no mapping of options to numbers", "budget", hint=hint)
            )
        names = {field.name for field in fields(Budget)}
        values: dict[str, int | float | str] = {}
        findings = []
        for key, raw in options.items():
            name = ALIASES.get(key, key)
            if name not in names:
                hint = suggest(key, names | set(ALIASES))
                findings.append(Finding(f"there is no budget {key!r}", f"budget {key}={raw}", hint=hint))
                continue
            if name in WORDS:
                if raw not in WORDS[name]:
                    hint = f"write {key}={' or '.join(WORDS[name])}"
                    findings.append(
                        Finding(f"{raw!r} is no place for weights", f"budget {key}={raw}", hint=hint)
                    )
                elif name in values:
                    hint = "keep one of the two"
                    findings.append(Finding(f"{name} is given twice", f"budget {key}={raw}", hint=hint))
                values[name] = str(raw)
                continue
            value = _number(raw)
            if value is None or value <= 0 or (name not in REAL and value != int(value)):
                what = f"{raw!r} is not a positive {'number' if name in REAL else 'whole number'}"
                hint = "write for example 32, or 512K and 2M for bytes"
                findings.append(Finding(what, f"budget {key}={raw}", hint=hint))
            elif name in values:
                findings.append(
                    Finding(f"{name} is given twice", f"budget {key}={raw}", hint="keep one of the two")
                )
            else:
                values[name] = value if name in REAL else int(value)
        if findings:
            raise ConfigError(findings)
        return Budget(**values)  # type: ignore[arg-type]


def _number(raw: object) -> float | None:
    if isinstance(raw, bool):
        return None
    if isinstance(raw, (int, float)):
        return float(raw)
    text, scale = str(raw).strip(), 1
    for suffix, factor in (("K", 1 << 10), ("M", 1 << 20), ("G", 1 << 30)):
        if text.upper().endswith(suffix):
            text, scale = text[:-1], factor
    try:
        return float(text) * scale
    except ValueError:
        return None


@dataclass(frozen=True)
class _Network:
    """What the choice depends on: (rows, k, n) of matmuls, (channels, taps, pixels) of the groups of convolutions, (how
    many, taps) of their filters, (rows, cols) of vector tasks, bits of weights and tensors, elements of the largest tensor,
    bits of the arrays' operands; `on_chip`: weights and parameters are there from the start; `graph`: what the circuit does.

    Where cells multiply `depth` channels a cycle, `k` counts operand beats, and a weight has the bits of so many channels. A
    convolution runs as a matmul of its three numbers whose right side are the pixels; its weights lie on chip.
    """

    matmuls: tuple[tuple[int, int, int], ...]
    convolutions: tuple[tuple[int, int, int], ...]
    filters: tuple[tuple[int, int], ...]
    vectors: tuple[tuple[int, int], ...]
    weight_bits: int
    tensor_bits: int
    largest: int
    operands: tuple[int, int]
    depth: int
    on_chip: bool
    graph: QuantGraph

    @cached_property
    def groups(self) -> Mapping[tuple[int, int, int], int]:
        """How many groups of convolutions have the same three numbers."""
        return Counter(self.convolutions)

    @cached_property
    def _beside(self) -> dict[int, int]:
        return {}

    def beside(self, lanes: int) -> int:
        """Cycles of vector tasks and of moves, which take an element a cycle where they don't take whole beats."""
        if lanes not in self._beside:
            total = sum(height * ceil_div(width, lanes) for height, width in self.vectors)
            for task in self.graph.tasks:
                if isinstance(task, QMove):
                    tensors = {name: self.graph.tensor(name) for name in (*task.inputs, task.output)}
                    out, whole = tensors[task.output], beat_addresses(task, tensors, lanes) is not None
                    total += out.rows * (ceil_div(out.cols, lanes) if whole else out.cols)
            self._beside[lanes] = total
        return self._beside[lanes]

    @cached_property
    def _parameters(self) -> dict[tuple[int, int], int]:
        return {}

    def parameter_bytes(self, rows: int, lanes: int) -> int:
        """Multiplier, shift and bias of all channels of convolutions."""
        if (rows, lanes) not in self._parameters:
            channels = [height for height, _, _ in self.convolutions]
            self._parameters[rows, lanes] = parameter_bytes(channels, rows, 1, lanes)
        return self._parameters[rows, lanes]


def _network(quantised: Quantised, channels: int, on_chip: bool) -> _Network:
    graph = circuit(quantised.graph)
    matmuls, vectors = [], []
    convolutions: list[tuple[int, int, int]] = []
    filters: list[tuple[int, int]] = []
    a_bits, _ = stored_bits(graph)
    for task in graph.tasks:
        out = graph.tensor(task.output)
        if isinstance(task, QMatmul):
            depth = ceil_div(graph.tensor(task.inputs[0]).cols, channels)
            matmuls.append((out.rows, depth, out.cols))
        elif isinstance(task, QProduct):
            rows, depth = out.rows // task.batch, ceil_div(graph.tensor(task.inputs[0]).cols, channels)
            matmuls.extend([(rows, depth, out.cols)] * task.batch)
        elif isinstance(task, QConv):
            convolutions.extend((group.channels, len(group.taps), out.cols) for group in task.groups)
            filters.extend(task.filter_sizes)
        elif not isinstance(task, QMove | QPool):
            vectors.append((out.rows, out.cols))
    stream = weight_bits(graph) * channels
    largest = max((tensor.rows * tensor.cols for tensor in graph.tensors), default=0)
    works = tuple(matmuls), tuple(convolutions), tuple(filters), tuple(vectors)
    return _Network(*works, stream, a_bits, largest, operand_bits(graph), channels, on_chip, graph)


def ceil_div(a: int, b: int) -> int:
    """Smallest integer not below ``a / b``."""
    return (a + b - 1) // b


def _power_of_two(value: int) -> bool:
    return value & (value - 1) == 0


def _mistakes(board: Board, budget: Budget) -> Iterator[Finding]:
    """Everything that is wrong with a budget on a board."""
    if budget.port_bits is not None and not _power_of_two(budget.port_bits):
        near = 1 << (budget.port_bits.bit_length() - 1)
        yield Finding(
            f"{budget.port_bits} is not a power of two", "budget port_bits", "AXI has no other widths",
            f"take {near} or {2 * near}",
        )  # fmt: skip
    if budget.rate and budget.lanes and budget.rate < budget.lanes and budget.lanes % budget.rate:
        near = _slice(budget.lanes, budget.rate)
        yield Finding(
            f"{budget.rate} vector lanes do not divide {budget.lanes} lanes", "budget rate",
            "a vector unit takes a beat in equal slices", f"take {near}",
        )  # fmt: skip
    if (
        budget.port_bits is not None
        and _power_of_two(budget.port_bits)
        and not 32 <= budget.port_bits <= 1024
    ):
        yield Finding(
            f"a port of {budget.port_bits} bits",
            "budget port_bits",
            "AXI has 32 to 1024",
            "take 32 to 1024 bits",
        )
    for small in ("rows", "rate"):
        value = getattr(budget, small)
        if value is not None and budget.lanes is not None and value > budget.lanes:
            why = "a feed fills a block of rows while it empties the last one" if small == "rows" else ""
            yield Finding(
                f"{value} {small} with {budget.lanes} lanes",
                f"budget {small}",
                why,
                f"take at most {budget.lanes}",
            )
    if budget.efficiency is not None and budget.efficiency > 1:
        yield Finding(
            f"an efficiency of {budget.efficiency}", "budget efficiency", "a channel gives no more than it has",
            "take at most 1",
        )  # fmt: skip
    if budget.cores is not None and budget.cores > CORES:
        yield Finding(
            f"{budget.cores} cores",
            "budget cores",
            "one buffer feeds all of them",
            f"take at most {CORES}",
        )
    if budget.ports is not None and budget.cores is not None and budget.ports != budget.cores:
        yield Finding(
            f"{budget.ports} weight ports for {budget.cores} cores", "budget ports",
            "every core has a weight port of its own", "leave `ports` out, or make both equal",
        )  # fmt: skip
    if budget.depth and budget.lanes and budget.lanes % budget.depth:
        yield Finding(
            f"a depth of {budget.depth} does not divide {budget.lanes} lanes", "budget depth",
            "a feed sends a beat of a row in equal parts", f"take {_slice(budget.lanes, budget.depth)}",
        )  # fmt: skip
    have = (budget.cores or 1) * (budget.rows or 1) * (budget.lanes or 1) * (budget.depth or 1)
    if budget.multipliers is not None and have > budget.multipliers:
        yield Finding(
            f"cores, rows and lanes make {have} multipliers, more than the {budget.multipliers} allowed",
            "budget multipliers", hint=f"raise it to {have}, or ask for fewer cores, rows or lanes",
        )  # fmt: skip
    if budget.dsp is not None and budget.dsp > board.dsp:
        yield Finding(
            f"{budget.dsp} DSPs, and {board.name} has {board.dsp} DSPs", "budget dsp",
            hint=f"take at most {board.dsp}, or a larger device",
        )  # fmt: skip
    yield from _overdrawn(board, budget, 4, 4)
    if budget.onchip_bytes is not None and budget.onchip_bytes > board.onchip_bytes:
        yield Finding(
            f"{budget.onchip_bytes} bytes on chip, and {board.name} has {board.onchip_bytes}", "budget onchip",
            "block memories of the part", f"take at most {board.onchip_bytes}, or a larger device",
        )  # fmt: skip


def _overdrawn(board: Board, budget: Budget, a_bits: int, w_bits: int) -> Iterator[Finding]:
    """Arrays of operands of so many bits that take more DSPs than there are."""
    pack = products_at_once(a_bits, w_bits, board.multiplier)
    why = f"a DSP makes {pack} product{'s' if pack > 1 else ''} of {a_bits} by {w_bits} bits a cycle"
    most = min(budget.dsp or board.dsp, board.dsp)
    cells = (budget.rows or 1) * (budget.depth or 1)
    arrays = array_blocks(budget.cores or 1, cells, budget.lanes or 1, pack)
    if arrays > most:
        yield Finding(
            f"cores, rows and lanes take {arrays} DSPs, more than the {most} "
            + ("allowed" if most < board.dsp else f"that {board.name} has"),
            "budget dsp" if budget.dsp else "budget", why, "ask for fewer cores, rows or lanes",
        )  # fmt: skip
    if budget.multipliers and ceil_div(budget.multipliers, pack) > board.dsp:
        yield Finding(
            f"{budget.multipliers} multipliers, and {board.name} has {board.dsp} DSPs", "budget multipliers",
            why, f"take at most {board.dsp * pack}, or a larger device",
        )  # fmt: skip


def _estimate(network: _Network, cores: int, rows: int, lanes: int, port_bits: int) -> int:
    """Rough cycles of all matmuls and convolutions one after the other: what the shapes are compared by.

    The parameters of convolutions come through one port, beside the products. Where weights are on chip, which may have
    lanes of any number, what is done beside the arrays counts as well.
    """
    total = 0
    for height, depth, width in network.matmuls:
        rounds = ceil_div(ceil_div(width, lanes), cores)
        weights = 0 if network.on_chip else rounds * depth * lanes * network.weight_bits // port_bits
        total += max(rounds * ceil_div(height, rows) * max(depth, rows), weights)
    for (height, depth, width), groups in network.groups.items():
        full, rest = divmod(height, rows)
        blocks = full * max(depth, rows) + (max(depth, rest) if rest else 0)
        rounds, left = divmod(ceil_div(width, lanes), cores)
        total += groups * (rounds * blocks + (ceil_div(blocks, cores // left) if left else 0))
    if network.on_chip:
        return total + (0 if network.convolutions else network.beside(lanes))
    return max(total, 8 * network.parameter_bytes(rows, lanes) // port_bits)


def _image_bytes(network: _Network, cores: int, rows: int, lanes: int) -> int:
    """Memory for convolutions at least: every core keeps all weights and parameters, whole beats, and its images."""
    if not network.convolutions:
        return 0
    beats = sum(count * ceil_div(taps, lanes) for count, taps in network.filters)
    bits = beats * lanes * network.weight_bits + IMAGES * network.largest * network.tensor_bits
    return cores * (bits // 8 + network.parameter_bytes(rows, lanes))


def _divisors(value: int) -> list[int]:
    return [part for part in range(1, value + 1) if value % part == 0]


def _misfits(lanes: int, port_bits: int, network: _Network) -> list[int]:
    """Element widths (weights, tensors, parameters) whose beats of `lanes` go through ports, and neither fill words nor are
    parts of them."""
    constants = set() if network.on_chip else {network.weight_bits, 32}
    widths = sorted({network.tensor_bits, *constants})
    return [w for w in widths if lanes * w % port_bits and port_bits % (lanes * w)]


def _powers(most: int) -> list[int]:
    return [1 << i for i in range(most.bit_length())] if most > 0 else [1]


def _depths(budget: Budget, network: _Network) -> list[int]:
    """Channels that a cell may multiply a cycle: 1 unless the budget says it, or weights are on chip."""
    if budget.depth:
        return [budget.depth]
    deep = network.on_chip and network.matmuls and not network.convolutions
    return _powers(min(DEEPEST, budget.lanes or DEEPEST)) if deep else [1]


def _shape(
    board: Board, budget: Budget, network: _Network, clock: float, port_bits: int
) -> tuple[tuple, tuple[int, int, int]] | None:
    """How good the best shape is, and that: (cores, rows, lanes). Least estimated cycles, then fewest multipliers, then
    fewest cores; None: none is within the budget.

    Shapes on which all cores' kernels and images don't fit on chip come last. Without convolutions a beat of weights is a
    port word at most, since they come through it as they are needed; wider ones are looked at where there are more rows, all
    of which use a weight, and more multipliers than square arrays of such beats have on all ports, and where weights are on
    chip.
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
        for cores in [fixed_cores] if fixed_cores else range(1, ports + 1):
            highest = min(lanes, tallest)
            for rows in [budget.rows] if budget.rows else [r for r in _powers(lanes) if r < 2 * highest]:
                cells = rows * network.depth
                if (
                    cores * cells * lanes > most
                    or array_blocks(cores, cells, lanes, pack) > dsp
                    or rows > lanes
                ):
                    continue
                cycles = _estimate(network, cores, rows, lanes, port_bits)
                large = _image_bytes(network, cores, rows, lanes) > room
                key = (large, cycles, cores * cells * lanes, cores, network.depth, rows)
                if best is None or key < best[0]:
                    best = (key, (cores, rows, lanes))
    return best


def _rate(network: _Network, cores: int, rows: int, lanes: int, port_bits: int) -> int:
    """Fewest vector lanes that keep up: a block drains within a tile, other vector tasks take a tenth of the time.

    These run on one core. Beside images no other core has work meanwhile.
    """
    shortest = min((depth for _, depth, _ in (*network.matmuls, *network.convolutions)), default=1)
    budget = _estimate(network, cores, rows, lanes, port_bits) // 10
    if not network.convolutions:
        budget *= cores
    beats = sum(height * ceil_div(width, lanes) for height, width in network.vectors)
    for rate in _divisors(lanes):
        slow = lanes // rate
        if rows * slow <= max(shortest, rows) and beats * slow <= budget:
            return rate
    return lanes


def _slice(lanes: int, rate: int) -> int:
    """The most vector lanes within `rate` that divide `lanes`."""
    return max(part for part in _divisors(lanes) if part <= rate)


def read_budget(board: Board | str, budget: Budget | Mapping[str, object] | None) -> tuple[Board, Budget]:
    """Board and budget, checked as far as no network is needed for it.

    Raises
    ------
    ConfigError : unknown board or option, or a budget that contradicts itself or exceeds the board; lists everything.
    """
    if isinstance(board, str):
        board = find_board(board)
    if budget is None:
        budget = Budget()
    elif not isinstance(budget, Budget):
        budget = Budget.parse(budget)
    if findings := list(_mistakes(board, budget)):
        raise ConfigError(findings)
    return board, budget


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
    network = _network(quantised, budget.depth or 1, on_chip)
    findings = list(_overdrawn(board, budget, *network.operands))
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
    deeper = [_network(quantised, depth, on_chip) for depth in _depths(budget, network)]
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
    _, (cores, rows, lanes), network = min(found, key=lambda one: one[0])
    return Machine(
        cores=cores,
        rows=rows,
        lanes=lanes,
        depth=network.depth,
        rate=_slice(lanes, budget.rate) if budget.rate else _rate(network, cores, rows, lanes, port_bits),
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
        device=board.name,
    )
