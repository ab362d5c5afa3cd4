"""Small quantised matmul chains and schedules made by hand, for tests of the lowering alone."""

from __future__ import annotations

import itertools

import numpy as np

from intar.ir.quantgraph import QMatmul, QTensor, QuantGraph, Quantised
from intar.ir.schedule import Machine, Pattern, Placement, Residency, Schedule, Stage
from intar.quant.ranges import acc_bits


def chain(
    rows: int, widths: list[int], a_bits: int = 8, w_bits: int = 8, seed: int = 0, shifts: bool = False
) -> Quantised:
    """`rows` rows through matmul + ReLU layers of the given widths, random integers; `shifts`: factors are powers of two."""
    rng = np.random.default_rng(seed)
    tensors = [QTensor(name="t0", shape=(rows, widths[0]), bits=a_bits, scale=1.0)]
    tasks, constants = [], {}
    limit = 1 << (a_bits - 1)
    for i, (k, n) in enumerate(itertools.pairwise(widths)):
        tensors.append(QTensor(name=f"t{i + 1}", shape=(rows, n), bits=a_bits, scale=1.0))
        weight = rng.integers(-(1 << (w_bits - 1)) + 1, 1 << (w_bits - 1), (k, n))
        constants |= {
            f"w{i}": weight,
            f"b{i}": rng.integers(-(1 << 20), 1 << 20, n),
            f"m{i}": np.full(n, 1 << 30) if shifts else rng.integers(1 << 24, 1 << 30, n),
            f"s{i}": np.full(n, 27 + w_bits + k.bit_length() // 2),
        }
        tasks.append(
            QMatmul(
                name=f"fc{i}",
                inputs=(f"t{i}",),
                output=f"t{i + 1}",
                lo=0,
                hi=limit - 1,
                relu=True,
                weight=f"w{i}",
                weight_bits=w_bits,
                bias=f"b{i}",
                mult=f"m{i}",
                shift=f"s{i}",
                acc_bits=acc_bits(weight, a_bits),
            )
        )
    graph = QuantGraph(
        name="chain",
        tensors=tuple(tensors),
        tasks=tuple(tasks),
        inputs=("t0",),
        outputs=(f"t{len(widths) - 1}",),
    )
    return Quantised(graph, constants)


def schedule(
    quantised: Quantised, machine: Machine, pattern: Pattern, tile_rows: int = 0, resident: bool = False
) -> Schedule:
    """All tasks of a chain in one pattern."""
    tasks = quantised.graph.tasks
    everyone = tuple(range(machine.cores))
    if pattern == "sequential":
        stages = tuple(
            Stage(pattern=pattern, tasks=(Placement(task=t.name, cores=everyone, resident=resident),))
            for t in tasks
        )
    else:
        spots = [everyone if pattern == "interleaved" else (i % machine.cores,) for i in range(len(tasks))]
        placed = tuple(
            Placement(task=t.name, cores=c, resident=resident) for t, c in zip(tasks, spots, strict=True)
        )
        stages = (Stage(pattern=pattern, tasks=placed, tile_rows=tile_rows),)
    place = "tile" if tile_rows else "chip"
    return Schedule(
        name=quantised.graph.name,
        mode="auto",
        machine=machine,
        stages=stages,
        residency=tuple(
            Residency(tensor=t.name, place=place, bytes=0, first_stage=0, last_stage=0)
            for t in quantised.graph.tensors
        ),
        objective=1,
        bound=1,
        status="FEASIBLE",
    )


def machine(cores: int = 2, rows: int = 4, lanes: int = 8, rate: int = 4, port_bits: int = 128) -> Machine:
    """A small machine."""
    return Machine(
        cores=cores,
        rows=rows,
        lanes=lanes,
        rate=rate,
        port_bits=port_bits,
        onchip_bytes=1 << 20,
        clock_mhz=300,
    )
