"""Renders a Program as SystemVerilog: `kernel.sv`, which instantiates and wires, and the library modules it uses.

The kernel has the ports and the register map of a Vitis kernel (ap_ctrl_chain); one AXI4 master
``m_axi_<argument>`` for each argument that a load or a store uses, pointers in the order of the arguments.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from math import gcd

import jinja2

from intar.assets import asset_dir
from intar.codegen import rtl_steps as steps
from intar.codegen import windows
from intar.codegen.digits import address_lanes, address_unit
from intar.codegen.rtl_steps import Rom
from intar.errors import InternalError
from intar.ir.bits import INDEX_BITS
from intar.ir.names import sanitise
from intar.ir.nodes.arrays import Core, Feed
from intar.ir.nodes.memories import Buffer, Image
from intar.ir.nodes.movers import Argmax, Gather, Router
from intar.ir.nodes.ports import Load, Store
from intar.ir.nodes.rows import Rows
from intar.ir.nodes.step import Step
from intar.ir.nodes.vector import Lookups, Vector
from intar.ir.program import Argument, Link, Node, Program
from intar.ir.segments import ends

LOAD_BURST, LOAD_FIFO, LOAD_OUTSTANDING = 64, 512, 16
"""Longest read burst (words), read FIFO (words), bursts on their way."""
STORE_BURST, STORE_FIFO, STORE_OUTSTANDING = 16, 64, 16
MOST_SEGMENTS, MOST_ROUNDS = 256, (1 << 16) - 1
CONTROL_BITS = 12
"""Bits of a register address."""
LUTRAM_DEPTH, URAM_DEPTH, URAM_BITS = 64, 4096, 1 << 20
"""Up to this depth a buffer is LUTRAM; from this depth and size (bits) on it is URAM."""

TABLE_LUTRAM_DEPTH = 128
"""Up to so many words of entries tables are LUTRAM."""

_USES = {
    "intar_load": ("intar_steps", "intar_rounds", "intar_axi_read", "intar_unpack"),
    "intar_store": ("intar_steps", "intar_rounds", "intar_axi_write", "intar_pack"),
    "intar_axi_read": ("intar_fifo",),
    "intar_axi_write": ("intar_fifo",),
    "intar_buffer": ("intar_steps", "intar_walk"),
    "intar_image": ("intar_steps", "intar_walk"),
    "intar_gather": ("intar_steps", "intar_walk"),
    "intar_argmax": ("intar_steps",),
    "intar_feed": ("intar_steps",),
    "intar_core": ("intar_steps", "intar_array"),
    "intar_round_steps": ("intar_steps",),
    "intar_vector": (
        "intar_round_steps",
        "intar_maximum",
        "intar_slice",
        "intar_vector_lane",
        "intar_table_load",
        "intar_delay",
    ),
    "intar_vector_lane": ("intar_scale", "intar_shift", "intar_rational", "intar_lookup", "intar_delay"),
    "intar_rational": ("intar_reciprocal", "intar_delay"),
    "intar_router": ("intar_steps", "intar_slice"),
    "intar_rows": (
        *("intar_rows_walk", "intar_rows_power", "intar_rows_divide", "intar_rows_root", "intar_rows_norm"),
        *("intar_lookup", "intar_table_load", "intar_delay", "intar_round_steps"),
    ),
    "intar_rows_walk": ("intar_round_steps",),
    "intar_rows_power": ("intar_rows_table",),
}
"""Modules that a library module instantiates."""


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


@dataclass
class Instance:
    """A module instance; a parameter is an expression or a step program."""

    module: str
    name: str
    comment: str
    parameters: list[tuple[str, str | int | Rom]] = field(default_factory=list)
    ports: list[tuple[str, str]] = field(default_factory=list)
    unused: list[tuple[str, int]] = field(default_factory=list)  # outputs that nobody reads: name, bits


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
    names = _argument_names(program)
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


def render_rtl(program: Program, *, uram: bool = True) -> dict[str, bytes]:
    """The RTL of `program`: path → contents.

    Parameters
    ----------
    uram : large buffers are URAM; set it to False for devices without.

    Returns
    -------
    ``rtl/kernel.sv``, ``rtl/intar/*.sv`` (the library files that it needs), ``rtl/filelist.f`` (compile order, paths
    relative to ``rtl``), ``rtl/package_xo.tcl`` (Vivado: makes the .xo for `v++ --link`) and ``rtl/synth.tcl`` (Vivado:
    synthesis with reports).

    Raises
    ------
    InternalError : the program breaks a rule of the hardware; never the user's mistake.
    """
    view = _view(program, uram)
    files = {"rtl/kernel.sv": _render("kernel.sv.j2", kernel=view).encode()}
    library = _library(
        {"intar_control", "intar_sequencer", *(["intar_fifo"] if view.wires else [])}, view.nodes
    )
    for name in library:
        files[f"rtl/intar/{name}.sv"] = (asset_dir("rtl") / f"{name}.sv").read_bytes()
    listing = [*(f"intar/{name}.sv" for name in library), "kernel.sv"]
    files["rtl/filelist.f"] = ("\n".join(listing) + "\n").encode()
    files["rtl/package_xo.tcl"] = _render("package_xo.tcl.j2", kernel=view).encode()
    files["rtl/synth.tcl"] = _render("synth.tcl.j2", kernel=view).encode()
    return files


def _library(used: set[str], nodes: list[Instance]) -> list[str]:
    pending = [*used, *(node.module for node in nodes)]
    found: set[str] = set()
    while pending:
        module = pending.pop()
        if module not in found:
            found.add(module)
            pending += _USES.get(module, ())
    return sorted(found)


def instances(program: Program, *, uram: bool = True) -> dict[str, Instance]:
    """The instance of each node of `program`, by the node's name, wired as in `kernel.sv`.

    Raises
    ------
    InternalError : as `render_rtl`.
    """
    builder = _Builder(program, uram)
    return {node.name: builder.instance(node) for node in program.nodes}


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
    """A parameter value; a step program is a concatenation, last step first, a line and a note per step."""
    if not isinstance(value, Rom):
        return str(value)
    lines = []
    last = len(value.steps) - 1
    for index in range(last, -1, -1):
        comma = "," if index else " "
        note = _comment(value.notes[index])
        lines.append(
            f"{value.bits}'h{value.steps[index]:x}{comma}  // step {index}{': ' if note else ''}{note}"
        )
    pad = "\n" + " " * indent
    return "{" + pad + pad.join(lines) + "\n" + " " * (indent - 4) + "}"


def _comment(text: str) -> str:
    """Free text that may stand in a line comment of any language that we generate."""
    return re.sub(r"[^A-Za-z0-9 _.,:;+*/()\[\]<>=|#-]", "?", text)[:160].rstrip()


# ---------------------------------------------------------------- the view of a program


def _argument_names(program: Program) -> dict[str, str]:
    return sanitise(argument.name for argument in program.arguments)


def _view(program: Program, uram: bool) -> KernelView:
    builder = _Builder(program, uram)
    nodes = [builder.instance(node) for node in program.nodes]
    wires = [
        _Wire(
            builder.links[link.name],
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
        arguments=list(_argument_names(program).values()),
        scalars=list(program.scalars),
        limits={"position": program.positions, "entry": len(program.entries) - 1},
        bundles=list(bundles(program)),
        counts=[builder.count(node.name) for node in program.nodes if isinstance(node, Store)],
        sequencer=[("NODES", len(nodes)), *_rounds(program)],
        nodes=nodes,
        wires=wires,
    )


def _rounds(program: Program) -> list[tuple[str, str | int]]:
    """The sequencer's play list; empty for programs that are played once as a whole."""
    if program.rounds == (1,):
        return []
    if len(program.rounds) > MOST_SEGMENTS or max(program.rounds) > MOST_ROUNDS:
        raise InternalError(f"the sequencer has no room for the rounds {program.rounds}")
    found: list[tuple[str, str | int]] = [
        ("SEGMENTS", len(program.rounds)),
        ("ROUNDS", steps.words(16, program.rounds)),
    ]
    if program.entries:
        found.append(("ENTRIES", len(program.entries)))
        found.append(("FIRST", steps.words(8, [entry.first for entry in program.entries])))
        found.append(("LAST", steps.words(8, [entry.end - 1 for entry in program.entries])))
    return found


def bank_depth(node: Buffer | Image) -> int:
    """Beats of each memory of a node: an image has several, for neighbouring beats."""
    return -(-node.depth // windows.banks(node)) if isinstance(node, Image) else node.depth


def memory_style(node: Buffer | Image, uram: bool) -> str:
    """``ram_style`` of a buffer's memory: ``distributed``, ``block``, or ``ultra`` on a device with UltraRAM."""
    depth = bank_depth(node)
    if depth <= LUTRAM_DEPTH:
        return "distributed"
    large = depth >= URAM_DEPTH and depth * node.lanes * node.bits >= URAM_BITS
    return "ultra" if large and uram else "block"


def table_words(node: Lookups) -> tuple[int, int]:
    """(entries that are written at a time, words of so many entries) of the memories of a lane's tables."""
    written = gcd(node.lanes, 4) * 32 // node.entry_bits
    return written, -(-node.table_entries // written)


def table_style(node: Lookups) -> str:
    """``ram_style`` of those: wide and low, they would leave most of their block memories empty."""
    return "block" if table_words(node)[1] > TABLE_LUTRAM_DEPTH else "distributed"


def _lookup_parameters(node: Lookups) -> list[tuple[str, str | int | Rom]]:
    return [
        ("TABLE_ENTRIES", max(1, node.table_entries)),
        ("GROUP_BITS", node.group_bits),
        ("BASE_BITS", node.base_bits if node.slopes else node.result_bits),
        ("SLOPE_BITS", node.slope_bits),
        ("CURVE_BITS", node.curve_bits),
        ("WIDTH", node.entry_bits),
        ("STYLE", f'"{table_style(node)}"'),
    ]


class _Builder:
    """Turns nodes into instances."""

    def __init__(self, program: Program, uram: bool):
        self.program = program
        self.uram = uram
        self.names = sanitise(node.name for node in program.nodes)
        self.links = sanitise(link.name for link in program.links)
        self.arguments: dict[str, tuple[int, Argument]] = {
            a.name: (i, a) for i, a in enumerate(program.arguments)
        }
        self.bundle_names = _argument_names(program)
        self.by_end: dict[str, Link] = {end: link for link in program.links for end in (link.src, link.dst)}

    def instance(self, node: Node) -> Instance:
        """The instance of `node`, wired."""
        made = Instance(
            f"intar_{node.kind}", f"node_{self.names[node.name]}", _comment(f"{node.kind} {node.name}")
        )
        made.ports += [("clk", "ap_clk"), ("rst_n", "ap_rst_n"), ("start", "start"), ("segment", "segment")]
        if len(self.program.rounds) > 1:
            made.parameters.append(("SEGMENTS", len(self.program.rounds)))
        made.ports.append(("done", f"done_{self.names[node.name]}"))
        fill: Callable[[Instance, Node], None] = getattr(self, f"_{node.kind}")
        fill(made, node)
        return made

    def count(self, store: str) -> str:
        """The signal with the finished commands of a store."""
        waiting = any(isinstance(node, Load) and node.after == store for node in self.program.nodes)
        return f"{'' if waiting else 'unused_'}done_count_{self.names[store]}"

    def link(self, node: Node, port: str) -> Link:
        """The link at a port that has to be there."""
        end = f"{node.name}.{port}"
        if end not in self.by_end:
            raise InternalError(f"port {end} has no link")
        return self.by_end[end]

    def _stream(self, made: Instance, node: Node, port: str, output: bool, lanes: int, bits: int) -> bool:
        """Wire a stream port of `lanes` × `bits`; a port that nobody uses gets constants. True when it is used."""
        link = self.by_end.get(f"{node.name}.{port}")
        if link is None:
            self._unconnected(made, port, output, lanes * bits)
            return False
        if (link.lanes, link.bits) != (lanes, bits):
            got = f"{link.lanes} x {link.bits}"
            raise InternalError(
                f"link {link.name!r} has beats of {got} bits, {node.name}.{port} {lanes} x {bits}"
            )
        wire = f"link_{self.links[link.name]}{'_in' if output else ''}"
        made.ports += [(f"{port}_{pin}", f"{wire}_{pin}") for pin in ("valid", "ready", "data")]
        return True

    @staticmethod
    def _unconnected(made: Instance, port: str, output: bool, width: int) -> None:
        if output:
            raise InternalError(f"{made.name}: output {port!r} has no link")
        unused = f"unused_{made.name}_{port}_ready"
        made.unused.append((unused, 1))
        made.ports += [
            (f"{port}_valid", "1'b0"),
            (f"{port}_ready", unused),
            (f"{port}_data", f"{{{width}{{1'b0}}}}"),
        ]

    def _program(self, prefix: str, rom: Rom) -> list[tuple[str, str | int | Rom]]:
        """The parameters of a step program; with several segments where each ends, too."""
        found: list[tuple[str, str | int | Rom]] = [
            (f"{prefix}STEPS", len(rom.steps)),
            (f"{prefix}PROGRAM", rom),
        ]
        if len(self.program.rounds) > 1:
            behind = ends(rom.segments, len(self.program.rounds))
            found.append((f"{prefix}ENDS", steps.words(32, behind)))
        return found

    def _in_rounds(
        self, prefix: str, rom: Rom, played: Sequence[Step], head: int
    ) -> list[tuple[str, str | int | Rom]]:
        """The parameters of a step program whose rounds may have numbers of their own (`intar_round_steps`)."""
        program, numbers = steps.numbers_apart(rom, played, head)
        found = self._program(prefix, program)
        if numbers:
            found += [(f"{prefix}ROWS", len(numbers.steps)), (f"{prefix}NUMBERS", numbers)]
        return found

    def _memory(
        self, made: Instance, node: Load | Store, link: Link, burst: int, fifo: int, outstanding: int
    ) -> None:
        index, _ = self.arguments[node.argument]
        made.parameters += [
            ("PORT_BITS", node.port_bits),
            ("BEAT_BITS", link.lanes * link.bits),
            ("MAX_BURST", burst),
            ("FIFO_DEPTH", fifo),
            ("OUTSTANDING", outstanding),
        ]
        made.ports += [("round", "round"), ("argument", f"pointers[{64 * index}+:64]")]
        if max(self.program.rounds) > 1:
            made.parameters.append(("LOOPED", "1'b1"))
            if node.strides:
                made.parameters.append(("STRIDES", steps.words(32, node.strides)))

    def _axi(self, made: Instance, node: Load | Store, pins: str) -> None:
        bundle = self.bundle_names[node.argument]
        made.ports += [(f"m_axi_{pin.lower()}", f"m_axi_{bundle}_{pin}") for pin in pins.split()]

    def _load(self, made: Instance, node: Load) -> None:
        link = self.link(node, "out")
        self._memory(made, node, link, LOAD_BURST, LOAD_FIFO, LOAD_OUTSTANDING)
        made.parameters += self._program("", steps.load_rom(node, link.lanes * link.bits))
        count = self.count(node.after) if node.after else "32'd0"
        made.ports.append(("done_count", count))
        if self._stream(made, node, "ids", False, 1, INDEX_BITS):
            made.parameters.append(("LOOKUP", "1'b1"))
        self._stream(made, node, "out", True, link.lanes, link.bits)
        self._axi(made, node, "ARVALID ARREADY ARADDR ARLEN RVALID RREADY RDATA RLAST")

    def _store(self, made: Instance, node: Store) -> None:
        link = self.link(node, "in")
        self._memory(made, node, link, STORE_BURST, STORE_FIFO, STORE_OUTSTANDING)
        made.parameters += self._program("", steps.store_rom(node, link.lanes * link.bits))
        made.ports += [
            ("position", "position" if node.row else "32'd0"),
            ("done_count", self.count(node.name)),
        ]
        if node.row:
            made.parameters.append(("ROW", node.row))
        self._stream(made, node, "in", False, link.lanes, link.bits)
        self._axi(made, node, "AWVALID AWREADY AWADDR AWLEN WVALID WREADY WDATA WSTRB WLAST BVALID BREADY")

    def _buffer(self, made: Instance, node: Buffer) -> None:
        lanes = address_lanes(node)
        walks = [(step.walk, address_unit(step, lanes)) for step in (*node.writes, *node.reads)]
        address_bits, count_bits = steps.walk_bits(walks, node.depth * lanes - 1, lanes)
        made.parameters += [
            ("WIDTH", node.lanes * node.bits),
            ("DEPTH", node.depth),
            ("LANES", lanes),
            ("ADDRESS_BITS", address_bits),
            ("COUNT_BITS", count_bits),
            ("STYLE", f'"{memory_style(node, self.uram)}"'),
            *self._program("WRITE_", steps.buffer_rom(node, node.writes)),
            *self._program("READ_", steps.buffer_rom(node, node.reads)),
        ]
        self._stream(made, node, "in", False, node.lanes, node.bits)
        self._stream(made, node, "out", True, node.lanes, node.bits)

    def _image(self, made: Instance, node: Image) -> None:
        address_bits, count_bits = steps.walk_bits(((step.walk, 1) for step in node.writes), node.depth - 1)
        taps, masks, tracks = steps.tap_rom(node), steps.mask_rom(node), steps.track_rom(node)
        made.parameters += [
            ("LANES", node.lanes),
            ("BITS", node.bits),
            ("DEPTH", node.depth),
            ("PIXEL_BITS", windows.pixel_bits(node)),
            ("ADDRESS_BITS", address_bits),
            ("COUNT_BITS", count_bits),
            ("STYLE", f'"{memory_style(node, self.uram)}"'),
            ("TAPS", len(taps.steps)),
            ("TAP_PROGRAM", taps),
            ("MASKS", len(masks.steps)),
            ("COLUMN_MASKS", masks),
            ("BANKS", windows.banks(node)),
            ("PART", windows.part(node)),
            ("WINDOW", windows.window(node)),
            ("APART", int(windows.apart(node))),
            ("TRACKS", len(tracks.steps)),
            ("TRACK_PROGRAM", tracks),
            *self._program("WRITE_", steps.buffer_rom(node, node.writes)),
            *self._program("READ_", steps.image_rom(node)),
        ]
        self._stream(made, node, "in", False, node.lanes, node.bits)
        self._stream(made, node, "out", True, node.lanes, node.bits)

    def _feed(self, made: Instance, node: Feed) -> None:
        shape = [("ROWS", node.rows), ("LANES", node.lanes), ("DEPTH", node.depth), ("BITS", node.bits)]
        made.parameters += [*shape, ("BY_CHANNEL", int(node.by_channel))]
        made.parameters += self._program("", steps.feed_rom(node))
        self._stream(made, node, "in", False, node.lanes, node.bits)
        self._stream(made, node, "out", True, node.rows * node.depth, node.bits)

    def _core(self, made: Instance, node: Core) -> None:
        link = self.link(node, "out")
        if link.bits < node.acc_bits:
            raise InternalError(f"link {link.name!r} has fewer bits than the accumulators of {node.name!r}")
        made.parameters += [
            ("ROWS", node.rows),
            ("LANES", node.lanes),
            ("DEPTH", node.depth),
            ("A_BITS", node.a_bits),
            ("W_BITS", node.w_bits),
            ("A_USED", node.operand_bits[0]),
            ("W_USED", node.operand_bits[1]),
            ("PACK", node.pack),
            ("ACC_BITS", link.bits),
            ("MAX_CONTEXTS", max(step.contexts for step in node.steps)),
            *self._program("", steps.core_rom(node)),
        ]
        self._stream(made, node, "a", False, node.rows * node.depth, node.a_bits)
        self._stream(made, node, "w", False, node.lanes * node.depth, node.w_bits)
        self._stream(made, node, "out", True, node.lanes, link.bits)

    def _vector(self, made: Instance, node: Vector) -> None:
        work = [step for step in node.steps if step.load < 0]
        used = {port: f"{node.name}.{port}" in self.by_end for port in ("acc", "x", "y")}
        flags = {
            "HAS_ACC": used["acc"],
            "HAS_X": used["x"],
            "HAS_Y": used["y"],
            "LANE_PARAMS": any(step.per_channel and step.params == "lane" for step in work),
            "ROW_PARAMS": any(step.per_channel and step.params == "row" for step in work),
            "AFFINE": any(step.affine for step in work),
            "BINARY": any(step.binary != "none" for step in work),
            "MERGED": node.merged,
            "PRODUCT": any(step.binary == "mul" for step in work),
            "SHIFT_ONLY": node.shift_only,
            "RATIONAL": bool(node.rationals),
            "TABLE": bool(node.tables),
            "SLOPES": node.slopes,
            "CURVES": node.curves,
        }
        made.parameters += [
            ("LANES", node.lanes),
            ("RATE", node.rate),
            ("ACC_BITS", node.acc_bits),
            ("BITS", node.bits),
        ]
        made.parameters += [(name, f"1'b{int(value)}") for name, value in flags.items()]
        made.parameters += [("VALUE_BITS", node.value_bits)]
        made.parameters += [("SETS", max(1, node.rational_groups)), *_lookup_parameters(node)]
        made.parameters += self._in_rounds("", steps.vector_rom(node), node.steps, steps.VECTOR_HEAD)
        made.ports.append(("round", "round"))
        if any(step.reduce > 1 for step in work):
            made.parameters += [("REDUCE", "1'b1"), *self._program("X_", steps.maximum_rom(node))]
        if any(step.pool > 1 for step in work):
            made.parameters += [("POOL", "1'b1"), *self._program("OUT_", steps.pool_rom(node))]
        self._stream(made, node, "acc", False, node.lanes, node.acc_bits)
        self._stream(made, node, "x", False, node.lanes, node.bits)
        self._stream(made, node, "y", False, node.lanes, node.bits)
        self._stream(made, node, "params", False, node.lanes, 32)
        self._stream(made, node, "out", True, node.lanes, node.bits)

    def _gather(self, made: Instance, node: Gather) -> None:
        walks = [(step.walk, 1) for step in node.steps]
        address_bits, count_bits = steps.walk_bits(walks, node.lanes - 1, node.lanes)
        made.parameters += [
            ("LANES", node.lanes),
            ("BITS", node.bits),
            ("ADDRESS_BITS", address_bits),
            ("COUNT_BITS", count_bits),
            *self._program("", steps.gather_rom(node)),
        ]
        self._stream(made, node, "in", False, node.lanes, node.bits)
        self._stream(made, node, "out", True, node.lanes, node.bits)

    def _argmax(self, made: Instance, node: Argmax) -> None:
        made.parameters += [("LANES", node.lanes), ("BITS", node.bits)]
        made.parameters += self._program("", steps.argmax_rom(node))
        self._stream(made, node, "in", False, node.lanes, node.bits)
        self._stream(made, node, "out", True, 1, INDEX_BITS)

    def _rows(self, made: Instance, node: Rows) -> None:
        made.parameters += [
            ("LANES", node.lanes),
            ("RATE", node.rate),
            ("BITS", node.bits),
            ("DEPTH", node.depth),
            ("SLOTS", node.held),
            ("DIVISIONS", node.divisions),
            ("SOFTMAX", f"1'b{int(node.softmax)}"),
            ("NORM", f"1'b{int(node.norm)}"),
            *self._in_rounds("", steps.rows_rom(node), node.steps, steps.ROWS_HEAD),
        ]
        made.ports.append(("round", "round"))
        if node.loads:
            flags = {"TABLE": True, "SLOPES": node.slopes, "CURVES": node.curves}
            made.parameters += [(name, f"1'b{int(value)}") for name, value in flags.items()]
            made.parameters += _lookup_parameters(node)
            made.parameters += self._in_rounds("LOAD_", steps.loads_rom(node), node.loads, 0)
        made.ports.append(("position", "position" if node.placed else "32'd0"))
        self._stream(made, node, "in", False, node.lanes, node.bits)
        self._stream(made, node, "params", False, node.lanes, 32)
        self._stream(made, node, "tables", False, node.lanes, 32)
        self._stream(made, node, "out", True, node.lanes, node.bits)

    def _router(self, made: Instance, node: Router) -> None:
        made.parameters += [
            ("INPUTS", node.inputs),
            ("OUTPUTS", node.outputs),
            ("LANES", node.lanes),
            ("BITS", node.bits),
            ("OUT_BITS", node.leaving_bits),
            ("MAX_LEGS", steps.max_legs(node)),
            *self._program("", steps.router_rom(node)),
        ]
        sides = (("in", node.inputs, False, node.bits), ("out", node.outputs, True, node.leaving_bits))
        for side, count, output, bits in sides:
            single = Instance(made.module, made.name, "")
            for index in range(count):
                self._stream(single, node, f"{side}{index}", output, node.lanes, bits)
            made.unused += single.unused
            for pin in ("valid", "ready", "data"):
                signals = dict(single.ports)
                whole = ", ".join(signals[f"{side}{index}_{pin}"] for index in reversed(range(count)))
                made.ports.append((f"{side}_{pin}", f"{{{whole}}}"))
