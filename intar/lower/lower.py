"""Schedule to program: which node does what, step by step, and the constant images in the order of consumption.

The unit of work is a *visit*: one task on one row tile (the whole tensor when the stage is not tiled). Visits are laid out
in schedule order; every node's program is the sequence of its shares, so nothing but data and the `need` counts of the
buffers orders the machine, and stages overlap where they can.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from intar.errors import InfeasibleError
from intar.ir.program import Program
from intar.ir.quantgraph import (
    QAffine,
    QBinary,
    QConv,
    QMatmul,
    QMove,
    QNorm,
    QPeak,
    QPool,
    QProduct,
    QSoftmax,
    QTask,
    Quantised,
    QUnit,
)
from intar.ir.schedule import Schedule
from intar.lower import causal, elementwise, grid, matmul, move, product, rows
from intar.lower.kernels import Kernels
from intar.lower.netlist import Netlist, check_names, kernel_name
from intar.lower.nodes import check_memory, declare_ports, held_images, make_nodes
from intar.lower.params import Params
from intar.lower.ports import Ports, port_arguments, port_nodes
from intar.lower.site import Common, Site, make_site
from intar.lower.tensors import Tensors
from intar.lower.visits import Visit, list_visits
from intar.lower.weights import Weights
from intar.lower.work import Kind, Work

KINDS: Mapping[type[QTask], Kind] = {
    QMatmul: matmul,
    QProduct: product,
    QSoftmax: rows,
    QNorm: rows,
    QUnit: rows,
    QPeak: rows,
    QAffine: elementwise,
    QBinary: elementwise,
    QMove: move,
    QConv: grid,
    QPool: grid,
}


@dataclass(frozen=True)
class Lowered:
    """The program and the bytes of its constant arguments and memories, by their names."""

    program: Program
    images: dict[str, bytes] = field(repr=False)


def lower(quantised: Quantised, schedule: Schedule) -> Lowered:
    """Lower a validated schedule.

    Raises
    ------
    InfeasibleError
        The buffers do not fit on chip.
    """
    try:
        return _assemble(perform(quantised, schedule))
    except InfeasibleError:
        return _assemble(perform(quantised, schedule, Common(forwards=False)))


def perform(quantised: Quantised, schedule: Schedule, common: Common = Common()) -> Work:
    """All visits of a schedule, laid out on the machine; `common` is what it shares with other parts of a network."""
    site = make_site(quantised, schedule, common)
    visits = list_visits(site)
    net, tensors = Netlist(), Tensors(site, visits)
    declare_ports(site, net, tensors)
    ports = Ports(site, net, tensors)
    weights, kernels = Weights(site, net, ports, visits), Kernels(site, net, ports)
    work = Work(site, net, tensors, ports, Params(site, net, ports), weights, kernels, causal.bands(site))
    first: dict[str, Visit] = {}
    for visit in visits:
        first.setdefault(visit.task.name, visit)
    for visit in first.values():
        work.params.add_table(visit, KINDS[type(visit.task)].vector_cores(work, visit))
    work.params.place_functions(len(schedule.stages))
    for visit in first.values():
        KINDS[type(visit.task)].prepare(work, visit)
    stage = -1
    for group in move.together(work, visits):
        for visit in group:
            if visit.stage != stage:
                stage = visit.stage
                work.params.enter(stage, work.steps)
            work.ports.load_inputs(visit)
        if len(group) > 1:
            move.append_together(work, group)
        else:
            KINDS[type(visit.task)].append(work, visit)
        for visit in group:
            work.ports.store_outputs(visit)
    return work


def positions(site: Site) -> int:
    """The last position of a call: behind all rows of a state."""
    return max([site.graph.positions, *(kept.state.rows for kept in site.kept.values())])


def _assemble(work: Work) -> Lowered:
    routers, links = work.net.finish()
    nodes = [*port_nodes(work.ports.ports), *make_nodes(work), *routers]
    check_memory(nodes, work.site.machine.onchip_bytes)
    check_names(nodes)
    arguments, images = port_arguments(work.ports.ports)
    name = work.site.graph.name
    program = Program(
        name=kernel_name(name, (each.name for each in (*nodes, *links, *arguments))),
        positions=positions(work.site),
        nodes=tuple(nodes),
        links=tuple(links),
        arguments=tuple(arguments),
    )
    return Lowered(program, images | held_images(work))
