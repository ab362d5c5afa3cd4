"""Render a program as a Vitis HLS project: kernel, header library, test bench, build scripts.

``render_hls`` is a pure function from a :class:`~intar.ir.program.Program` and a :class:`BuildTarget` to files.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import accumulate
from types import MappingProxyType

from intar.assets import asset_dir
from intar.codegen.constants import cpp_rows, rows_file
from intar.codegen.hls_checks import tensor_ids
from intar.codegen.hls_nodes.ports import choosing
from intar.codegen.hls_types import NodeView, Stream, beat_type
from intar.codegen.hls_views import node_views
from intar.codegen.storage import U280_URAM
from intar.codegen.templating import render
from intar.errors import Finding, InternalError, UnsupportedError
from intar.ir.names import RESERVED, SAFE
from intar.ir.program import Argument, Program

LIBRARY = (
    "intar_types.h",
    "intar_memory.h",
    "intar_walk.h",
    "intar_buffer.h",
    "intar_constant.h",
    "intar_image.h",
    "intar_feed.h",
    "intar_core.h",
    "intar_lookup.h",
    "intar_vector.h",
    "intar_rational.h",
    "intar_gather.h",
    "intar_argmax.h",
    "intar_rows.h",
    "intar_rows_table.h",
    "intar_router.h",
)
"""Headers of ``hls/`` that every generated kernel carries with it."""

HARMLESS = frozenset({"inputs", "outputs", "weights", "scratch"})
"""Reserved words of `intar.ir.names` that mean nothing in C++ and HDLs; lowering names arguments by them."""


@dataclass(frozen=True)
class BuildTarget:
    """What the hardware is built for.

    Parameters
    ----------
    part : full name of the FPGA part.
    platform : Vitis platform; empty for parts that are used without one (IP flow).
    clock_mhz : wanted frequency, MHz.
    memory : for each kernel argument its memory bank as ``v++`` writes it (``HBM[0]``, ``DDR[1]``); missing: the default.
    uram : UltraRAMs of the part.
    board : the board as Vivado names it, without its version; empty: none.
    """

    part: str = "xcu280-fsvh2892-2L-e"
    platform: str = "xilinx_u280_gen3x16_xdma_1_202211_1"
    clock_mhz: float = 300.0
    memory: Sequence[str] = field(default_factory=tuple)
    uram: int = U280_URAM
    board: str = ""

    @property
    def period_ns(self) -> str:
        """Clock period, ns, three decimals."""
        return f"{1000.0 / self.clock_mhz:.3f}"


@dataclass(frozen=True)
class ArgumentView:
    """One pointer of the kernel for the templates; `bank` may be empty."""

    name: str
    role: str
    port_bits: int
    words: int
    bundle: str
    reads: bool
    writes: bool
    bank: str
    about: str

    @property
    def word(self) -> str:
        """C++ type of a memory word."""
        return f"intar::word<{self.port_bits}>"

    @property
    def pointer(self) -> str:
        """C++ type of the parameter."""
        return f"{self.word}*" if self.writes else f"const {self.word}*"

    @property
    def bursts(self) -> str:
        """Options of the AXI master for each direction that is used."""
        sides = [side for side, used in (("read", self.reads), ("write", self.writes)) if used]
        return " ".join(f"max_{side}_burst_length=64 num_{side}_outstanding=16" for side in sides)

    @property
    def image_bytes(self) -> int:
        """Size of the buffer, bytes."""
        return self.words * self.port_bits // 8


def argument_views(program: Program, target: BuildTarget) -> tuple[ArgumentView, ...]:
    """The kernel's pointers, in the order of the C signature."""
    users = {kind: {n.argument for n in program.nodes if n.kind == kind} for kind in ("load", "store")}
    views = []
    for index, argument in enumerate(program.arguments):
        bank = target.memory[index] if index < len(target.memory) else ""
        views.append(
            ArgumentView(
                argument.name,
                argument.role,
                argument.port_bits,
                argument.words,
                f"gmem{index}",
                argument.name in users["load"],
                argument.name in users["store"],
                bank,
                _about(argument),
            )
        )
    return tuple(views)


def _about(argument: Argument) -> str:
    names = [region.name for region in argument.fields]
    shown = ", ".join(names[:4]) + (", ..." if len(names) > 4 else "")
    return f"{argument.role}{': ' + shown if shown else ''}"


def render_hls(
    program: Program,
    target: BuildTarget | None = None,
    images: Mapping[str, bytes] = MappingProxyType({}),
) -> dict[str, bytes]:
    """Files of the HLS back end, path → bytes (all below ``hls/``).

    Parameters
    ----------
    program : the machine; every buffer has its static order (`merged`).
    target : part, platform, clock and banks of the build scripts; a U280 at 300 MHz when not given.
    images : the images of its memories of constants, by their names; others are left alone.

    Raises
    ------
    UnsupportedError
        The program needs something that has no canonical form in Vitis HLS (all findings).
    InternalError
        The program breaks its own rules.
    """
    target = target or BuildTarget()
    nodes = node_views(program, target.uram)
    arguments = argument_views(program, target)
    streams = (
        *(
            Stream(link.name, beat_type(link.lanes, link.bits), link.depth, f"{link.src} -> {link.dst}")
            for link in program.links
            if not choosing(link)
        ),
        *(stream for node in nodes for stream in node.streams),
        *(
            Stream(port.stream, port.type, 2, f"{about} of {function.name}")
            for node in nodes
            for function in node.functions
            for about, port in (("entry", function.entry), ("position", function.placed))
            if port
        ),
    )
    functions = [function for node in nodes for function in node.functions]
    _check_names(program, nodes, streams)
    context = {
        "name": program.name,
        "rounds": program.rounds if program.rounds != (1,) else (),
        "plays": tuple(accumulate(program.rounds[:-1], initial=0))
        if any(rom.by_play for node in nodes for rom in node.roms)
        else (),
        "target": target,
        "nodes": nodes,
        "arguments": arguments,
        "scalars": program.scalars,
        "entries": program.entries,
        "positions": program.positions,
        "streams": streams,
        "loads": [f for f in functions if f.role == "load"],
        "tasks": [f for f in functions if f.role == "task"],
        "placed": [f.placed for f in functions if f.placed],
        "stores": [f for f in functions if f.role == "store"],
        "tensors": list(tensor_ids(program)),
    }
    files = {
        f"hls/{name}": render(f"hls/{name}.j2", **context)
        for name in (
            "kernel.cpp",
            "kernel.h",
            "sim_top.cpp",
            "tb.cpp",
            "hls_config.cfg",
            "run_hls.tcl",
            "link.cfg",
        )
    }
    for node in program.constants:
        files[f"hls/{rows_file(node)}"] = cpp_rows(node, images)
    for name in LIBRARY:
        files[f"hls/intar/{name}"] = (asset_dir("hls") / name).read_bytes()
    files["hls/intar/intar_counters.h"] = (asset_dir("sim") / "csim" / "intar_counters.h").read_bytes()
    return dict(sorted(files.items()))


def _check_names(program: Program, nodes: Sequence[NodeView], streams: Sequence[Stream]) -> None:
    scope = [
        program.name,
        *program.scalars,
        *(a.name for a in program.arguments),
        *(link.name for link in program.links),
    ]
    bad = [name for name in scope if not SAFE.match(name) or name in RESERVED - HARMLESS]
    bad += [node.name for node in program.nodes if not SAFE.match(node.name)]  # never used without a suffix
    if bad:
        raise InternalError(f"names that are not safe identifiers reached the HLS back end: {bad}")
    made = [
        program.name,
        *(argument.name for argument in program.arguments),
        *program.scalars,
        *(stream.name for stream in streams),
        *(function.name for node in nodes for function in node.functions),
        *(f"run_{function.name}" for node in nodes for function in node.functions if function.role == "task"),
    ]
    twice = sorted({name for name in made if made.count(name) > 1})
    if twice:
        raise UnsupportedError(
            Finding(
                f"the generated C++ would use the names {', '.join(map(repr, twice))} twice",
                f"program {program.name!r}",
                "functions, streams and kernel arguments share one scope",
                "rename the tensor or task that they come from",
            )
        )
