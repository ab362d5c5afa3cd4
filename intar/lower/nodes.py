"""Port types before the work, nodes after it."""

from __future__ import annotations

from collections.abc import Sequence

from intar.errors import Finding, InfeasibleError
from intar.ir.program import INDEX_BITS, Argmax, Buffer, Core, Feed, Gather, Image, Node, Rows, Vector
from intar.lower.netlist import Netlist, PortType
from intar.lower.params import TABLES
from intar.lower.scales import shift_only, value_bits
from intar.lower.site import Site
from intar.lower.tensors import Tensors
from intar.lower.work import Work


def declare_ports(site: Site, net: Netlist, tensors: Tensors) -> None:
    """The type of every port that a flow may name."""
    machine = site.machine
    lanes, a = machine.lanes, PortType(machine.lanes, site.a_bits)
    types = net.types
    shared = [f"x{n or ''}.out" for n in range(machine.inputs)]
    shared += [f"y{n or ''}.in" for n in range(machine.outputs)]
    shared += ["r.out", "s.in", "sr.out"]
    for name in (*shared, "e.out", "argmax.in", "gather.in", "gather.out", "rows.in", "rows.out"):
        types[name] = a
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
        for name in (f"w{core}.out", f"weights_{core}.in", f"weights_{core}.out", f"core_{core}.w"):
            types[name] = PortType(lanes, site.w_bits)
        for name in (f"kernels_{core}.in", f"kernels_{core}.out"):
            types[name] = a
        for name in (f"params_{core}.in", f"params_{core}.out", f"vector_{core}.params"):
            types[name] = PortType(lanes, 32)
        types[f"feed_{core}.in"] = types[f"turn_{core}.in"] = types[f"turn_{core}.out"] = a
        types[f"feed_{core}.out"] = types[f"core_{core}.a"] = PortType(machine.rows, site.a_bits)
        types[f"core_{core}.out"] = types[f"vector_{core}.acc"] = PortType(lanes, site.acc_bits(core))
        for port in ("x", "y", "out"):
            types[f"vector_{core}.{port}"] = a


def make_nodes(work: Work) -> list[Node]:
    """Every node but ports and routers."""
    machine = work.site.machine
    nodes: list[Node] = []
    nodes.extend(memory.node() for memory in work.tensors.banks)
    nodes.extend(memory.node() for _, memory in sorted(work.params.memories.items()) if memory.reads)
    nodes.extend(memory.node() for _, memory in sorted(work.kernels.memories.items()))
    for _, store in sorted(work.weights.memories.items()):
        store.memory.depth = store.kept + 2 * store.slot
        if store.memory.reads:
            nodes.append(store.memory.node())
    for core in range(machine.cores):
        nodes.extend(_core_nodes(work, core))
    if "gather" in work.steps:
        steps = tuple(work.steps["gather"])
        nodes.append(Gather(name="gather", lanes=machine.lanes, bits=work.site.a_bits, steps=steps))
    if "rows" in work.steps:
        nodes.append(_rows_node(work))
    if work.ports.argmaxes:
        steps = tuple(work.ports.argmaxes)
        nodes.append(Argmax(name="argmax", lanes=machine.lanes, bits=work.site.a_bits, steps=steps))
    return nodes


def _rows_node(work: Work) -> Rows:
    site, machine, steps = work.site, work.site.machine, tuple(work.steps["rows"])
    depth = max(-(-step.cols // machine.lanes) for step in steps)
    return Rows(
        name="rows",
        lanes=machine.lanes,
        rate=machine.rate,
        bits=site.a_bits,
        depth=depth,
        tables=tuple(table for table, _ in work.params.tables.get(TABLES, [])),
        **work.params.entries(TABLES),
        steps=steps,
        loads=tuple(work.steps.get("tables", [])),
    )


def _core_nodes(work: Work, core: int) -> list[Node]:
    site, machine = work.site, work.site.machine
    nodes: list[Node] = []
    if f"turn_{core}" in work.steps:
        steps = tuple(work.steps[f"turn_{core}"])
        lanes = machine.lanes
        nodes.append(Feed(name=f"turn_{core}", rows=lanes, lanes=lanes, bits=site.a_bits, steps=steps))
    if f"core_{core}" in work.steps:
        nodes.append(
            Feed(
                name=f"feed_{core}",
                rows=machine.rows,
                lanes=machine.lanes,
                bits=site.a_bits,
                steps=tuple(work.steps[f"feed_{core}"]),
            )
        )
        nodes.append(
            Core(
                name=f"core_{core}",
                rows=machine.rows,
                lanes=machine.lanes,
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


def check_memory(nodes: Sequence[Node], room: int) -> None:
    """The buffers fit into `room` bytes (InfeasibleError otherwise)."""
    sizes = {n.name: n.depth * n.lanes * n.bits // 8 for n in nodes if isinstance(n, Buffer | Image)}
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
