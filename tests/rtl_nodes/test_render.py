"""The rendered RTL: complete, clean, deterministic, readable; and what the renderer refuses."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest
from engine_programs import RANDOM
from node_kernels import Images, merge, random_parts, write_rtl
from perceptron import perceptron
from program_builder import Builder

from intar.codegen.rtl import bundles, memory_files, render_rtl, top_name
from intar.codegen.rtl_nodes.arrays import CORE, FEED
from intar.codegen.rtl_nodes.functions import SLOT_LOAD
from intar.codegen.rtl_nodes.memories import BUFFER, IMAGE
from intar.codegen.rtl_nodes.movers import ARGMAX, GATHER
from intar.codegen.rtl_nodes.ports import LOAD, LOOKUP, STORE
from intar.codegen.rtl_nodes.program import ROW_BITS, Layout, pack, step_bits
from intar.codegen.rtl_nodes.rows import ROWS, ROWS_HEAD
from intar.codegen.rtl_nodes.vector import VECTOR, VECTOR_HEAD
from intar.codegen.rtl_nodes.walks import WALK
from intar.errors import InternalError
from intar.ir.nodes.memories import Buffer, BufferStep, ReadStep, Walk
from intar.ir.nodes.movers import Router
from intar.ir.nodes.ports import Load
from intar.ir.nodes.vector import Vector, VectorStep
from intar.ir.program import Program
from intar.verify.toolchain import find_verilator


def lint(program: Program, images: Images, directory: Path) -> str:
    sources = [str(file) for file in write_rtl(program, images, directory)]
    command = [str(find_verilator()), "--lint-only", "-Wall", "--top-module", top_name(program), *sources]
    return subprocess.run(command, capture_output=True, text=True, check=False).stderr


@pytest.mark.sim
@pytest.mark.parametrize("kind", ["perceptron", *sorted(RANDOM)])
def test_kernels_lint_clean_with_the_listed_files_only(kind: str, tmp_path: Path) -> None:
    if kind == "perceptron":
        program, images, _ = perceptron()
    else:
        program, images = merge(kind, random_parts(kind, 3, 50))
    assert lint(program, images, tmp_path) == ""


def test_rendering_is_deterministic_and_survives_json() -> None:
    program = perceptron()[0]
    first = render_rtl(program)
    assert render_rtl(Program.from_json(program.to_json())) == first
    listed = first["rtl/filelist.f"].decode().split()
    assert sorted(f"rtl/{name}" for name in listed) == sorted(name for name in first if name.endswith(".sv"))


def test_register_map_and_bundles_follow_the_arguments() -> None:
    program = perceptron()[0]
    files = render_rtl(program)
    kernel, script = files["rtl/kernel.sv"].decode(), files["rtl/package_ip.tcl"].decode()
    for index, argument in enumerate(program.arguments):
        assert f"  //   0x{16 + 12 * index:02x}  {argument.name}\n" in kernel
        assert f"add_register $block {argument.name} 0x{16 + 12 * index:03x} 64" in script
    stored = {node.argument for node in program.nodes if node.kind == "store"}
    for bundle in bundles(program):
        assert bundle.write == (bundle.name in stored)
        assert (f"m_axi_{bundle.name}_AWVALID," in kernel) == bundle.write
        assert (f"m_axi_{bundle.name}_ARVALID," in kernel) == bundle.read


def test_constants_are_lines_of_digits_that_vivado_is_told_of() -> None:
    builder = Builder("digits")
    reads = (ReadStep(walk=Walk(counts=(3, 1, 1, 1, 1), strides=(1, 0, 0, 0, 0))),)
    builder.constant("Rom ü", [[1, -1, -8], [2, 3, 4], [0, 0, 7]], 4, reads)
    builder.store("Rom ü.out", 3, 3, 4, port_bits=32)
    program = builder.program()
    files = render_rtl(program, builder.images)
    name = memory_files(program)["Rom ü"]
    assert re.fullmatch(r"[a-z0-9_]+\.mem", name)
    assert files[f"rtl/{name}"] == b"8f1\n432\n700\n"
    assert f'.FILE("{name}")' in files["rtl/kernel.sv"].decode()
    assert f"add_files -norecurse [file join $here {name}]\n" in files["rtl/package_ip.tcl"].decode()
    assert f"read_mem [file join $here {name}]\n" in files["rtl/synth.tcl"].decode()
    with pytest.raises(InternalError, match="'Rom ü' need an image of 5 bytes, got 0"):
        render_rtl(program)


def test_names_and_notes_cannot_break_the_source(tmp_path: Path) -> None:
    program = perceptron()[0]
    evil = 'x\nendmodule `include "a" verilator lint_off \\'
    nodes = tuple(
        node.model_copy(update={"steps": tuple(s.model_copy(update={"note": evil}) for s in node.steps)})
        if hasattr(node, "steps")
        else node
        for node in program.nodes
    )
    program = program.model_copy(update={"name": "9 ü; drop/../", "nodes": nodes})
    assert re.fullmatch(r"kernel_[a-z0-9_]+", top_name(program))
    kernel = render_rtl(program)["rtl/kernel.sv"].decode()
    assert kernel.isascii() and "`" not in kernel and "\\" not in kernel
    assert kernel.count("\nendmodule") == 1
    assert sum(line.startswith("endmodule") for line in kernel.splitlines()) == 1


def test_step_words_hold_their_fields() -> None:
    word = pack((("a", 4), ("b", 8), ("c", 4)), {"a": -1, "c": 5}, "test")
    assert word == 0x500F
    with pytest.raises(InternalError, match="a = 16 does not fit in 4 bits"):
        pack((("a", 4),), {"a": 16}, "test")
    with pytest.raises(InternalError, match="no field"):
        pack((("a", 4),), {"z": 0}, "test")


@pytest.mark.parametrize(
    "layout, module",
    [
        (BUFFER, "intar_buffer"),
        (STORE, "intar_store"),
        (IMAGE, "intar_image"),
        (FEED, "intar_feed"),
        (CORE, "intar_core"),
        (GATHER, "intar_gather"),
        (ARGMAX, "intar_argmax"),
        (WALK, "intar_constant"),
    ],
)
def test_layouts_have_the_width_of_the_modules(layout: Layout, module: str) -> None:
    source = (Path(__file__).parents[2] / "rtl" / f"{module}.sv").read_text()
    assert f"STEPS*{step_bits(layout)}-1:0]" in source


@pytest.mark.parametrize(
    "layout, head, module, name",
    [
        (VECTOR, VECTOR_HEAD, "intar_vector", ""),
        (ROWS, ROWS_HEAD, "intar_rows", ""),
        (SLOT_LOAD, 0, "intar_rows", "LOAD_"),
    ],
)
def test_numbers_have_the_width_of_the_modules(layout: Layout, head: int, module: str, name: str) -> None:
    """Whole steps, those whose numbers lie apart, and rows of these."""
    source = (Path(__file__).parents[2] / "rtl" / f"{module}.sv").read_text()
    width, apart = step_bits(layout), head + ROW_BITS + 1
    rows = f"({name}ROWS > 0)"
    assert f"{name}STEPS*({rows} ? {apart} : {width})-1:0] {name}PROGRAM" in source
    assert f"({rows} ? {name}ROWS : 1)*{width - head}-1:0] {name}NUMBERS" in source


def test_load_has_the_width_of_both_its_layouts() -> None:
    source = (Path(__file__).parents[2] / "rtl" / "intar_load.sv").read_text()
    widths = [step_bits(layout) for layout in (LOOKUP, LOAD)]
    assert "STEPS*(LOOKUP ? {} : {})-1:0]".format(*widths) in source


def test_broken_programs_are_refused() -> None:
    program = perceptron()[0]

    def change(kind: type, **update: object) -> Program:
        nodes = [n.model_copy(update=update) if isinstance(n, kind) else n for n in program.nodes]
        return program.model_copy(update={"nodes": tuple(nodes)})

    with pytest.raises(InternalError, match="without steps"):
        render_rtl(change(Load, steps=()))
    with pytest.raises(InternalError, match="port width"):
        render_rtl(change(Load, port_bits=32))
    with pytest.raises(InternalError, match="used by"):
        render_rtl(change(Load, argument=program.arguments[0].name))
    with pytest.raises(InternalError, match="beats of"):
        render_rtl(change(Router, lanes=8))
    empty = BufferStep(walk=Walk(counts=(1, 1, 0, 1, 1)))
    with pytest.raises(InternalError, match="empty loop"):
        render_rtl(change(Buffer, writes=(empty,)))
    with pytest.raises(InternalError, match="hi = 262144 does not fit"):
        render_rtl(change(Vector, steps=(VectorStep(beats=1, hi=1 << 18),)))
    with pytest.raises(InternalError, match="has no link"):
        render_rtl(program.model_copy(update={"links": program.links[1:]}))
