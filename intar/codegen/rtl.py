"""Renders a Program as SystemVerilog: `kernel.sv`, which instantiates and wires, and the library modules it uses.

The kernel has the ports and the register map of a Vitis kernel (ap_ctrl_chain); one AXI4 master
``m_axi_<argument>`` for each argument that a load or a store uses, pointers in the order of the arguments.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

import jinja2

from intar.assets import asset_dir
from intar.codegen.constants import hexadecimal
from intar.codegen.rtl_library import modules
from intar.codegen.rtl_nodes import arrays, memories, movers, ports, rows, vector
from intar.codegen.rtl_nodes.program import Rom, concatenated
from intar.codegen.rtl_nodes.site import Instance, Site, argument_names
from intar.codegen.storage import U280_URAM
from intar.errors import InternalError
from intar.ir.names import sanitise
from intar.ir.nodes.ports import Load, Store
from intar.ir.program import Node, Program

MAKERS: Mapping[str, Callable[[Site, Instance, Any], None]] = {
    "load": ports.load,
    "store": ports.store,
    "buffer": memories.buffer,
    "constant": memories.constant,
    "image": memories.image,
    "feed": arrays.feed,
    "core": arrays.core,
    "vector": vector.vector,
    "rows": rows.rows,
    "gather": movers.gather,
    "argmax": movers.argmax,
    "router": movers.router,
}

MOST_SEGMENTS, MOST_ROUNDS = 256, (1 << 16) - 1
_FOREIGN = re.compile(r"[^A-Za-z0-9 _.,:;+*/()\[\]<>=|#-]")
PART = 64
"""Steps of a long program that are put together before the others join them."""

CONTROL_BITS = 12
"""Bits of a register address."""


@dataclass(frozen=True)
class Bundle:
    """One AXI4 master of the kernel: ports ``m_axi_<name>_*``.

    Parameters
    ----------
    name : the argument's, or ``gmem0`` and so on.
    width : bits of a word: 32, 64, ... 1024.
    read, write : the channels that the kernel has.
    """

    name: str
    width: int = 512
    read: bool = True
    write: bool = True


@dataclass(frozen=True)
class _Wire:
    """A link as the template shows it."""

    name: str
    width: int
    depth: int
    comment: str
    level_bits: int


@dataclass(frozen=True)
class KernelView:
    """What `kernel.sv.j2` gets."""

    top: str
    title: str
    control_bits: int
    arguments: list[str]
    scalars: list[str]
    limits: dict[str, int]
    bundles: list[Bundle]
    counts: list[str]
    sequencer: list[tuple[str, str | int]]
    nodes: list[Instance]
    wires: list[_Wire]
    memory_files: list[str]


def top_name(program: Program) -> str:
    """Module name of the kernel of `program`."""
    return sanitise([f"kernel_{program.name}"])[f"kernel_{program.name}"]


def bundles(program: Program) -> tuple[Bundle, ...]:
    """The AXI4 masters of the kernel, in the order of the arguments.

    Raises
    ------
    InternalError : two loads or two stores share an argument, or a node's port width is not its argument's.
    """
    found = []
    names = argument_names(program)
    for argument in program.arguments:
        loads = [n for n in program.nodes if isinstance(n, Load) and n.argument == argument.name]
        stores = [n for n in program.nodes if isinstance(n, Store) and n.argument == argument.name]
        both: list[Load | Store] = [*loads, *stores]
        users = [node.name for node in both]
        if len(loads) > 1 or len(stores) > 1:
            raise InternalError(
                f"argument {argument.name!r} is used by {users}: one load and one store at most"
            )
        if any(node.port_bits != argument.port_bits for node in both):
            raise InternalError(f"{users} and argument {argument.name!r} differ in their port width")
        if users:
            found.append(Bundle(names[argument.name], argument.port_bits, bool(loads), bool(stores)))
    return tuple(found)


def memory_files(program: Program) -> dict[str, str]:
    """Of each memory of constants, by its name, the file with its contents, below ``rtl``."""
    names = sanitise(node.name for node in program.nodes)
    return {node.name: f"{names[node.name]}.mem" for node in program.constants}


def render_rtl(
    program: Program, images: Mapping[str, bytes] = MappingProxyType({}), *, uram: int = U280_URAM
) -> dict[str, bytes]:
    """The RTL of `program`: path → contents.

    Parameters
    ----------
    images : the images of its memories of constants, by their names; others are left alone.
    uram : UltraRAMs of the device, which large memories take (`intar.codegen.storage`).

    Returns
    -------
    ``rtl/kernel.sv``, ``rtl/intar/*.sv`` (the library files that it needs), ``rtl/filelist.f`` (compile order, paths
    relative to ``rtl``), ``rtl/*.mem`` (memories of constants, a beat a line), and scripts for Vivado:
    ``rtl/synth.tcl`` (synthesis with reports), ``rtl/package_ip.tcl``, which is read by ``rtl/package_xo.tcl`` (the .xo for
    `v++ --link`) and by ``rtl/overlay.tcl`` (a bitstream for a Zynq board).

    Raises
    ------
    InternalError : the program breaks a rule of the hardware; never the user's mistake.
    """
    view = _view(program, uram)
    files = {"rtl/kernel.sv": _render("kernel.sv.j2", kernel=view).encode()}
    always = ["intar_control", "intar_sequencer", *(["intar_fifo"] if view.wires else [])]
    library = modules([*always, *(node.module for node in view.nodes)])
    for name in library:
        files[f"rtl/intar/{name}.sv"] = (asset_dir("rtl") / f"{name}.sv").read_bytes()
    listing = [*(f"intar/{name}.sv" for name in library), "kernel.sv"]
    files["rtl/filelist.f"] = ("\n".join(listing) + "\n").encode()
    contents = memory_files(program)
    for node in program.constants:
        files[f"rtl/{contents[node.name]}"] = hexadecimal(node, images)
    masters = _largest_first(program)
    for name in ("synth", "package_ip", "package_xo", "overlay"):
        files[f"rtl/{name}.tcl"] = _render(f"{name}.tcl.j2", kernel=view, masters=masters).encode()
    return files


def _largest_first(program: Program) -> list[str]:
    """The names of the AXI4 masters, those of the largest buffers first."""
    names = argument_names(program)
    size = {names[argument.name]: argument.words * argument.port_bits for argument in program.arguments}
    return sorted((bundle.name for bundle in bundles(program)), key=lambda name: -size[name])


def instances(program: Program, *, uram: int = U280_URAM) -> dict[str, Instance]:
    """The instance of each node of `program`, by the node's name, wired as in `kernel.sv`.

    Raises
    ------
    InternalError : as `render_rtl`.
    """
    site = Site(program, uram)
    return {node.name: _instance(site, node) for node in program.nodes}


def _instance(site: Site, node: Node) -> Instance:
    """The instance of `node`, wired."""
    made = Instance(
        f"intar_{node.kind}", f"node_{site.names[node.name]}", _comment(f"{node.kind} {node.name}")
    )
    made.ports += [("clk", "ap_clk"), ("rst_n", "ap_rst_n"), ("start", "start"), ("segment", "segment")]
    if len(site.program.rounds) > 1:
        made.parameters.append(("SEGMENTS", len(site.program.rounds)))
    made.ports.append(("done", f"done_{site.names[node.name]}"))
    MAKERS[node.kind](site, made, node)
    return made


def render_instance(instance: Instance) -> str:
    """The text of `instance` in `kernel.sv`."""
    return _render("node.sv.j2", node=instance)


def _render(template: str, **view: object) -> str:
    loader = jinja2.FileSystemLoader(asset_dir("templates") / "rtl")
    environment = jinja2.Environment(
        loader=loader,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.filters["sv"] = _parameter
    environment.tests["rom"] = lambda value: isinstance(value, Rom)
    return environment.get_template(template).render(view)


def _parameter(value: str | int | Rom, indent: int) -> str:
    """A parameter value; a step program is a concatenation, last step first, a line and a note per step.

    Of long programs parts are put together first: Verilator joins two parts at a time and copies what it has, so that the
    time for one long list is quadratic (6,500 words of 128 bits: 155 s, in parts of 64 words 4 s).
    """
    if not isinstance(value, Rom):
        return str(value)
    lines = []
    last = len(value.steps) - 1
    for index in range(last, -1, -1):
        first_of_part = last >= PART and index % PART == 0
        comma = "," if index and not first_of_part else " "
        note = _comment(value.notes[index])
        if last >= PART and (index == last or index % PART == PART - 1):
            lines.append("{")
        lines.append(
            f"{value.bits}'h{value.steps[index]:x}{comma}  // step {index}{': ' if note else ''}{note}"
        )
        if first_of_part:
            lines.append("}," if index else "}")
    pad = "\n" + " " * indent
    return "{" + pad + pad.join(lines) + "\n" + " " * (indent - 4) + "}"


def _comment(text: str) -> str:
    """Free text that may stand in a line comment of any language that we generate."""
    return _FOREIGN.sub("?", text)[:160].rstrip()


# ---------------------------------------------------------------- the view of a program


def _view(program: Program, uram: int) -> KernelView:
    site = Site(program, uram)
    nodes = [_instance(site, node) for node in program.nodes]
    wires = [
        _Wire(
            site.links[link.name],
            link.lanes * link.bits,
            link.depth,
            _comment(f"link from {link.src} to {link.dst}: {link.lanes} x {link.bits} bits"),
            link.depth.bit_length(),
        )
        for link in program.links
    ]
    if len(program.arguments) + len(program.scalars) > ((1 << CONTROL_BITS) - 16) // 12:
        raise InternalError(f"{len(program.arguments)} arguments do not fit into the register map")
    return KernelView(
        top=top_name(program),
        title=_comment(program.name),
        control_bits=CONTROL_BITS,
        arguments=list(argument_names(program).values()),
        scalars=list(program.scalars),
        limits={"position": program.positions, "entry": len(program.entries) - 1},
        bundles=list(bundles(program)),
        counts=[site.count(node.name) for node in program.nodes if isinstance(node, Store)],
        sequencer=[("NODES", len(nodes)), *_rounds(program)],
        nodes=nodes,
        wires=wires,
        memory_files=list(memory_files(program).values()),
    )


def _rounds(program: Program) -> list[tuple[str, str | int]]:
    """The sequencer's play list; empty for programs that are played once as a whole."""
    if program.rounds == (1,):
        return []
    if len(program.rounds) > MOST_SEGMENTS or max(program.rounds) > MOST_ROUNDS:
        raise InternalError(f"the sequencer has no room for the rounds {program.rounds}")
    found: list[tuple[str, str | int]] = [
        ("SEGMENTS", len(program.rounds)),
        ("ROUNDS", concatenated(16, program.rounds)),
    ]
    if program.entries:
        found.append(("ENTRIES", len(program.entries)))
        found.append(("FIRST", concatenated(8, [entry.first for entry in program.entries])))
        found.append(("LAST", concatenated(8, [entry.end - 1 for entry in program.entries])))
    return found
