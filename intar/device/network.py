"""What the choice of a machine knows of a network: rough cycles and memory of a shape of the arrays."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property, wraps
from itertools import zip_longest
from typing import Any, Concatenate, ParamSpec, TypeVar

from intar.device.budget import Budget
from intar.ir.beats import beat_addresses
from intar.ir.circuit import circuit
from intar.ir.deal import tile_bands
from intar.ir.kernels import channel_beats, kernel_beats, least_ring, overfills
from intar.ir.parameters import parameter_bytes
from intar.ir.phases import merged_groups
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

IMAGES = 3
"""Images as large as the largest tensor, on each core, that kernels have to leave memory for where a shape is chosen: what a
convolution reads and makes, and one that waits beside it."""

SLACK = 1.2
"""How much more memories of images take than `Network.images` says: not all fit into each other so well."""


P = ParamSpec("P")
R = TypeVar("R")


def _once(method: Callable[Concatenate[Network, P], R]) -> Callable[Concatenate[Network, P], R]:
    """A method that is computed once for the same arguments: every shape that is compared asks."""

    @wraps(method)
    def found(network: Network, *args: P.args, **more: P.kwargs) -> R:
        key = (method, *args, *more.items())
        if key not in network.known:
            network.known[key] = method(network, *args, **more)
        return network.known[key]

    return found


@dataclass(frozen=True)
class Network:
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
    def known(self) -> dict[tuple[object, ...], Any]:
        """What has been computed (`_once`)."""
        return {}

    @_once
    def groups(self, rows: int) -> list[tuple[int, Mapping[tuple[int, int], int]]]:
        """Of each convolution its pixels, and how many groups have the same (channels, taps), on arrays of so many rows
        (`intar.quant.phases`)."""
        tasks = [task for task in self.graph.tasks if isinstance(task, QConv)]
        return [
            (self.graph.tensor(task.output).cols, Counter(merged_groups(self.graph, task, rows)))
            for task in tasks
        ]

    @_once
    def products(self, cores: int, rows: int, lanes: int, apart: bool) -> list[int]:
        """Cycles of each convolution, if its weights are there; results of all cores enter a memory beat by beat. `apart`:
        cores share the channels of the last tiles."""
        found = []
        for pixels, groups in self.groups(rows):
            tiles, total, channels = ceil_div(pixels, lanes), 0, 0
            for (height, depth), alike in groups.items():
                full, rest = divmod(height, rows)
                blocks = full * max(depth, rows) + (max(depth, rest) if rest else 0)
                channels += height * alike
                for band, count, shares in tile_bands(tiles, cores, alike * ceil_div(height, rows), apart):
                    total += ceil_div(len(band), count) * ceil_div(alike * blocks, shares)
            found.append(max(total, channels * tiles))
        return found

    @_once
    def passing(self, cores: int, lanes: int, ring: int) -> list[int]:
        """Beats of each convolution's weights that a port brings into a ring of so many; shares of the cores that make other
        channels have a port each, where weights come in blocks."""
        return [
            ceil_div(again, max(1, cores // ceil_div(pixels, lanes))) if overfills(once, ring) else once
            for (once, again), (pixels, _) in zip(self.kernels(lanes), self.groups(1), strict=True)
        ]

    @_once
    def beside(self, lanes: int) -> int:
        """Cycles of vector tasks and of moves, which take an element a cycle where they don't take whole beats."""
        total = sum(height * ceil_div(width, lanes) for height, width in self.vectors)
        for task in self.graph.tasks:
            if isinstance(task, QMove):
                tensors = {name: self.graph.tensor(name) for name in (*task.inputs, task.output)}
                beats = beat_addresses(task, tensors, lanes, self.depth)
                out, whole = tensors[task.output], beats is not None
                total += out.rows * (ceil_div(out.cols, lanes) if whole else out.cols)
        return total

    @_once
    def images(self, lanes: int) -> tuple[int, int]:
        """Elements, in whole beats, of memories for tensors that are read in windows, which each core has, and for others,
        if the tasks run one after the other: a memory holds one tensor at a time."""
        return self._banks(lanes, windows=True), self._banks(lanes, windows=False)

    def _banks(self, lanes: int, windows: bool) -> int:
        """Of memories for one kind of tensors: the largest one is as large as the largest tensor at any time, the second as
        the second largest, and so on."""
        tasks = self.graph.tasks
        made = {task.output: number for number, task in enumerate(tasks)}
        grid = {name for task in tasks if isinstance(task, QConv | QPool) for name in task.inputs}
        beside = {name for t in tasks if not isinstance(t, QConv | QPool | QMove) for name in t.inputs}
        spans = []
        for tensor in self.graph.tensors:
            name, reads = tensor.name, [n for n, task in enumerate(tasks) if tensor.name in task.inputs]
            if name in grid if windows else name in beside or name not in grid:
                first = min([made.get(name, len(tasks)), *reads])
                spans.append((tensor.rows * ceil_div(tensor.cols, lanes) * lanes, first, max([0, *reads])))
        banks: list[int] = []
        for number in range(len(tasks)):
            there = sorted((size for size, first, last in spans if first <= number <= last), reverse=True)
            banks = [max(pair) for pair in zip_longest(banks, there, fillvalue=0)]
        return sum(banks)

    @_once
    def kernels(self, lanes: int) -> list[tuple[int, int]]:
        """Beats of the weights of each convolution, and of all its channels: more where phases share filters."""
        tasks = [task for task in self.graph.tasks if isinstance(task, QConv)]
        return [(kernel_beats(task, lanes), channel_beats(task, lanes)) for task in tasks]

    @_once
    def least_ring(self, rows: int, lanes: int) -> int:
        """Beats of a ring at least (`intar.ir.kernels`)."""
        return least_ring(self.graph, rows, lanes)

    @_once
    def parameter_bytes(self, rows: int, lanes: int) -> int:
        """Multiplier, shift and bias of all channels of convolutions."""
        return parameter_bytes([height for height, _, _ in self.convolutions], rows, 1, lanes)


def network_of(quantised: Quantised, channels: int, on_chip: bool) -> Network:
    """What the circuit does of a network, on cells that multiply so many channels a cycle."""
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
    return Network(*works, stream, a_bits, largest, operand_bits(graph), channels, on_chip, graph)


def estimate(network: Network, cores: int, rows: int, lanes: int, port_bits: int, ring: int = 0) -> int:
    """Rough cycles of all matmuls and convolutions one after the other: what the shapes are compared by. `ring`: beats of
    that through which kernels pass (0: there is none); each convolution takes as long as its products or its kernel.

    The parameters of convolutions come through one port, beside the products. Where weights are on chip, which may have
    lanes of any number, what is done beside the arrays counts as well.
    """
    total = 0
    for height, depth, width in network.matmuls:
        rounds = ceil_div(ceil_div(width, lanes), cores)
        weights = 0 if network.on_chip else rounds * depth * lanes * network.weight_bits // port_bits
        total += max(rounds * ceil_div(height, rows) * max(depth, rows), weights)
    whole, blocks = (network.products(cores, rows, lanes, apart) for apart in (True, False))
    if not ring:
        total += sum(whole)
    else:
        coming = [
            beats * lanes * network.weight_bits // port_bits for beats in network.passing(cores, lanes, ring)
        ]
        over = [overfills(once, ring) for once, _ in network.kernels(lanes)]
        made = [blocks[n] if large else whole[n] for n, large in enumerate(over)]
        total += sum(map(max, made, coming))
    if network.on_chip:
        return total + (0 if network.convolutions else network.beside(lanes))
    return max(total, 8 * network.parameter_bytes(rows, lanes) // port_bits)


def image_bytes(network: Network, cores: int, rows: int, lanes: int) -> int:
    """Memory for convolutions at least: every core keeps all weights and parameters, whole beats, and its images."""
    if not network.convolutions:
        return 0
    beats = sum(count * ceil_div(taps, lanes) for count, taps in network.filters)
    bits = beats * lanes * network.weight_bits + IMAGES * network.largest * network.tensor_bits
    return cores * (bits // 8 + network.parameter_bytes(rows, lanes))


def kernel_ring(
    network: Network, budget: Budget, cores: int, rows: int, lanes: int, port_bits: int, room: int
) -> tuple[int, bool]:
    """Beats of the ring that kernels of convolutions pass through (0: all stay), and whether there is memory for it.

    Where not all fit beside the images it is, as far as there is room, twice the kernel with which all take the fewest
    cycles: those that are no larger come as a whole, so that phases read them again, and cores share the channels of the
    last tiles; larger ones come block by block, through several ports where cores share channels. Then the fewest beats
    come.
    """
    stay = image_bytes(network, cores, rows, lanes) <= room
    if not network.convolutions or network.on_chip or (stay and budget.kernels is None):
        return 0, stay
    bits = lanes * network.weight_bits
    windows, others = (int(SLACK * size * network.tensor_bits / 8) for size in network.images(lanes))
    most = ((room - others) // cores - windows - network.parameter_bytes(rows, lanes)) * 8 // bits
    least = network.least_ring(rows, lanes)
    if budget.kernels is not None:
        ring = budget.kernels * 8 // bits
        return ring, least <= ring <= most
    sizes = {2 * once for once, _ in network.kernels(lanes) if least < 2 * once <= most}

    def rating(ring: int) -> tuple[int, int, int]:
        cycles = estimate(network, cores, rows, lanes, port_bits, ring)
        return cycles, sum(network.passing(1, lanes, ring)), ring

    ring = min([least, *sizes], key=rating)
    return ring, ring <= most


def ceil_div(a: int, b: int) -> int:
    """Smallest integer not below ``a / b``."""
    return (a + b - 1) // b
