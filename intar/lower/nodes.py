"""Port types before the work, nodes after it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from intar.errors import Finding, InfeasibleError
from intar.ir.bits import INDEX_BITS
from intar.ir.nodes.arrays import Core, Feed
from intar.ir.nodes.memories import Buffer, ConstantMemory, Image
from intar.ir.nodes.movers import Argmax, Gather
from intar.ir.nodes.rows import Rows
from intar.ir.nodes.vector import Vector
from intar.ir.program import Node
from intar.lower.netlist import Netlist, PortType
from intar.lower.params import TABLES
from intar.lower.scales import shift_only, value_bits
from intar.lower.site import Site, rows_node
from intar.lower.tensors import Tensors
from intar.lower.work import Work


def declare_ports(site: Site, net: Netlist, tensors: Tensors) -> None:
    """The type of every port that a flow may name."""
    machine = site.machine
    lanes, a = machine.lanes, PortType(machine.lanes, site.a_bits)
    types = net.types
    shared = [f"x{n or ''}.out" for n in range(machine.inputs)]
    shared += [f"y{n or ''}.in" for n in range(machine.outputs)]
    for name in (*shared, "r.out", "e.out", "argmax.in", "gather.in", "gather.out"):
        types[name] = a
    for unit in range(machine.row_units):
        types[f"{rows_node(unit)}.in"] = types[f"{rows_node(unit)}.out"] = a
    if site.kept:
        kept = next(iter(site.kept.values()))
        row = -(-kept.cols // lanes) * lanes if machine.state_ports else lanes
        for n in range(kept.ports):
            types[f"s{n or ''}.in"] = PortType(lanes, kept.bits)
            for name in (f"sr{n or ''}.out", f"turn_state_{n}.in", f"pack_state_{n}.in"):
                types[name] = PortType(row, kept.bits)
            types[f"join_state_{n}.in"], types[f"join_state_{n}.out"] = a, PortType(row, site.a_bits)
            for name in (f"turn_state_{n}.out", f"pack_state_{n}.out"):
                types[name] = PortType(site.weight_lanes, kept.bits)
    for name in ("i.out", "e.ids", "argmax.out", "n.in"):
        types[name] = PortType(1, INDEX_BITS)
    rows = (
        "params_rows.in",
        "params_rows.out",
        "rows.params",
        "tables_rows.in",
        "tables_rows.out",
        "rows.tables",
    )
    for name in ("p.out", *rows):
        types[name] = PortType(lanes, 32)
    for memory in tensors.banks:
        types[f"{memory.name}.in"] = types[f"{memory.name}.out"] = a
    for core in range(machine.cores):
        types[f"w{core}.out"] = PortType(site.weight_lanes, site.weight_bits)
        for name in (f"weights_{core}.in", f"weights_{core}.out", f"core_{core}.w"):
            types[name] = PortType(site.weight_lanes, site.w_bits)
        for name in (f"kernels_{core}.in", f"kernels_{core}.out"):
            types[name] = a
        for name in (f"params_{core}.in", f"params_{core}.out", f"vector_{core}.params"):
            types[name] = PortType(lanes, 32)
        types[f"feed_{core}.in"] = types[f"turn_{core}.in"] = types[f"pack_{core}.in"] = a
        types[f"turn_{core}.out"] = types[f"pack_{core}.out"] = PortType(site.weight_lanes, site.a_bits)
        operands = PortType(machine.rows * machine.depth, site.a_bits)
        types[f"feed_{core}.out"] = types[f"core_{core}.a"] = operands
        types[f"core_{core}.out"] = types[f"vector_{core}.acc"] = PortType(lanes, site.acc_bits(core))
        for port in ("x", "y", "out"):
            types[f"vector_{core}.{port}"] = a


def make_nodes(work: Work) -> list[Node]:
    """Every node but ports and routers."""
    machine = work.site.machine
    nodes: list[Node] = []
    nodes.extend(memory.node() for memory in work.tensors.banks)
    nodes.extend(memory.node() for _, memory in sorted(work.params.memories.items()) if memory.reads)
    nodes.extend(memory.node() for _, memory in sorted(work.kernels.finish().items()))
    nodes.extend(memory.node() for _, memory in sorted(work.weights.held.items()))
    for _, store in sorted(work.weights.memories.items()):
        store.finish()
        if store.memory.reads:
            nodes.append(store.memory.node())
    for core in range(machine.cores):
        nodes.extend(_core_nodes(work, core))
    nodes.extend(_state_nodes(work))
    if "gather" in work.steps:
        steps = tuple(work.steps["gather"])
        nodes.append(Gather(name="gather", lanes=machine.lanes, bits=work.site.a_bits, steps=steps))
    nodes.extend(_rows_nodes(work))
    if work.ports.argmaxes:
        steps = tuple(work.ports.argmaxes)
        nodes.append(Argmax(name="argmax", lanes=machine.lanes, bits=work.site.a_bits, steps=steps))
    return nodes


def held_images(work: Work) -> dict[str, bytes]:
    """The bytes of memories that hold constants from the start, by node."""
    memories = [*work.weights.held.values(), *work.kernels.memories.values(), *work.params.memories.values()]
    return {memory.name: memory.image for memory in memories if memory.contents and memory.reads}


def _rows_nodes(work: Work) -> Iterator[Rows]:
    """Those that have something to do; what is looked up is so on the first."""
    site, machine = work.site, work.site.machine
    for unit in range(machine.row_units):
        steps = tuple(work.steps.get(rows_node(unit), ()))
        looked: dict = {}
        if unit == 0:
            tables = tuple(table for table, _ in work.params.tables.get(TABLES, []))
            loads = tuple(work.steps.get("tables", []))
            looked = {"tables": tables, "loads": loads, **work.params.entries(TABLES)}
        if steps:
            yield Rows(
                name=rows_node(unit),
                lanes=machine.lanes,
                rate=machine.rate,
                bits=site.a_bits,
                depth=max(-(-step.cols // machine.lanes) for step in steps),
                held=machine.row_slots,
                divisions=machine.divisions,
                steps=steps,
                **looked,
            )


def _core_nodes(work: Work, core: int) -> list[Node]:
    site, machine = work.site, work.site.machine
    nodes: list[Node] = []
    form: dict = {"lanes": machine.lanes, "depth": machine.depth}
    wide: dict = {"lanes": machine.lanes, "bits": site.a_bits}
    if f"turn_{core}" in work.steps:
        turn = tuple(work.steps[f"turn_{core}"])
        nodes.append(Feed(name=f"turn_{core}", rows=machine.lanes, depth=machine.depth, **wide, steps=turn))
    if f"pack_{core}" in work.steps:
        pack = tuple(work.steps[f"pack_{core}"])
        shape: dict = {"rows": machine.depth, "depth": machine.lanes, "by_channel": True}
        nodes.append(Feed(name=f"pack_{core}", **shape, **wide, steps=pack))
    if f"core_{core}" in work.steps:
        nodes.append(
            Feed(
                name=f"feed_{core}",
                rows=machine.rows,
                **form,
                bits=site.a_bits,
                steps=tuple(work.steps[f"feed_{core}"]),
            )
        )
        nodes.append(
            Core(
                name=f"core_{core}",
                rows=machine.rows,
                **form,
                a_bits=site.a_bits,
                w_bits=site.w_bits,
                a_used=site.operands[0],
                w_used=site.operands[1],
                pack=site.pack,
                acc_bits=site.acc_bits(core),
                contexts=max(step.contexts for step in work.steps[f"core_{core}"]),
                steps=tuple(work.steps[f"core_{core}"]),
            )
        )
    if f"vector_{core}" in work.steps:
        steps = tuple(work.steps[f"vector_{core}"])
        nodes.append(
            Vector(
                name=f"vector_{core}",
                lanes=machine.lanes,
                rate=machine.rate,
                acc_bits=site.acc_bits(core),
                bits=site.a_bits,
                tables=tuple(table for table, _ in work.params.tables.get(core, [])),
                rationals=tuple(rational for rational, _ in work.params.rationals.get(core, [])),
                **work.params.entries(core),
                value_bits=value_bits(site, steps, site.acc_bits(core)),
                shift_only=shift_only(site, steps),
                steps=steps,
            )
        )
    return nodes


def _state_nodes(work: Work) -> list[Node]:
    """What stands between the states' ports and the arrays: a row of a state is one beat."""
    site, machine = work.site, work.site.machine
    nodes: list[Node] = []
    for number in range(machine.state_ports if site.kept else 0):
        kept = next(iter(site.kept.values()))
        columns = -(-kept.cols // machine.lanes)
        row: dict = {"lanes": columns * machine.lanes, "bits": kept.bits}
        forms: dict[str, dict] = {
            "turn": {"rows": machine.lanes, "depth": machine.depth, **row},
            "pack": {"rows": machine.depth, "depth": machine.lanes, "by_channel": True, **row},
            "join": {"rows": columns, "depth": machine.lanes, "lanes": machine.lanes, "bits": site.a_bits},
        }
        for kind, form in forms.items():
            if steps := work.steps.get(f"{kind}_state_{number}"):
                nodes.append(Feed(name=f"{kind}_state_{number}", **form, steps=tuple(steps)))
    return nodes


def check_memory(nodes: Sequence[Node], room: int) -> None:
    """The buffers fit into `room` bytes (InfeasibleError otherwise)."""
    memories = (n for n in nodes if isinstance(n, Buffer | ConstantMemory | Image))
    sizes = {n.name: n.depth * n.lanes * n.bits // 8 for n in memories}
    total = sum(sizes.values())
    if total > room:
        largest = sorted(sizes, key=lambda name: -sizes[name])[:3]
        raise InfeasibleError(
            Finding(
                f"the buffers need {total} bytes, {total - room} more than there are",
                where=", ".join(f"{name} ({sizes[name]} bytes)" for name in largest),
                why="a schedule that was not made for this memory",
                hint=f"give the design at least {total} bytes on chip (--budget onchip_bytes={total})",
            )
        )
