"""Yosys itself: a tiny project with known multipliers and memories, kept results, a syntax error; two whole designs."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import pytest

from intar import pipeline, rendering
from intar.codegen.rtl import top_name
from intar.errors import ToolError
from intar.report.static import static_resources
from intar.session import open_source
from intar.verify import synth

pytestmark = pytest.mark.full

LEAF = """module leaf #(
    parameter int W = 16
) (
    input  logic                  clk,
    input  logic signed [W-1:0]   a,
    input  logic signed [W-1:0]   b,
    output logic signed [2*W-1:0] p
);
  always_ff @(posedge clk) p <= a * b;
endmodule
"""
KERNEL = """module kernel_tiny (
    input  logic        clk,
    input  logic        write,
    input  logic [ 8:0] address,
    input  logic [15:0] a,
    input  logic [15:0] b,
    output logic [31:0] p,
    output logic [31:0] q,
    output logic [71:0] word
);
  (* ram_style = "block" *) logic [71:0] memory[0:511];
  always_ff @(posedge clk) begin
    if (write) memory[address] <= {a, b, a, b, a[7:0]};
    word <= memory[address];
  end
  leaf #(.W(16)) first (.clk(clk), .a(a), .b(b), .p(p));
  leaf #(.W(16)) second (.clk(clk), .a(b), .b(p[15:0]), .p(q));
endmodule
"""


@pytest.fixture
def project(tmp_path: Path) -> Path:
    rtl = tmp_path / "rtl"
    rtl.mkdir()
    (rtl / "leaf.sv").write_text(LEAF)
    (rtl / "kernel.sv").write_text(KERNEL)
    (rtl / "filelist.f").write_text("leaf.sv\nkernel.sv\n")
    return tmp_path


@pytest.mark.parametrize("family", ["xcup", "xc7", "ecp5"])
def test_multipliers_and_memories_are_known_early(project: Path, family: str) -> None:
    found = synth.synthesise(project, "kernel_tiny", family, blocks=True)
    assert (found.dsp, found.bram36, found.uram, found.lut, found.ff) == (2, 1, 0, None, None)


@pytest.mark.parametrize("family", ["xcup", "xc7", "ecp5"])
def test_tiny_project(project: Path, family: str) -> None:
    found = synth.synthesise(project, "kernel_tiny", family)
    # Two 16 x 16 multipliers; 72 x 512 bits are one block memory of 36 kbit in every family.
    assert (found.dsp, found.bram36, found.uram) == (2, 1, 0)
    assert found.by_module["leaf"]["dsp"] == 2
    assert found.by_module["kernel_tiny"]["bram36"] == 1
    assert family in found.source
    # UltraScale+ keeps the product registers in the fabric, 32 for each multiplier.
    if family == "xcup":
        assert found.ff == 64


def test_a_result_is_kept_until_a_source_changes(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    runs: list[Path] = []
    real = synth._run
    monkeypatch.setattr(synth, "_run", lambda folder: (runs.append(folder), real(folder)))
    first = synth.synthesise(project, "kernel_tiny", "ecp5")
    assert synth.synthesise(project, "kernel_tiny", "ecp5") == first
    assert len(runs) == 1
    leaf = project / "rtl" / "leaf.sv"
    leaf.write_text(leaf.read_text().replace("a * b", "a + b"))
    assert synth.synthesise(project, "kernel_tiny", "ecp5").dsp == 0
    assert len(runs) == 2


def test_a_syntax_error_is_quoted(project: Path) -> None:
    leaf = project / "rtl" / "leaf.sv"
    leaf.write_text(leaf.read_text().replace("a * b;", "a * ;"))
    with pytest.raises(ToolError, match=r"leaf\.sv:9: ERROR: syntax error"):
        synth.synthesise(project, "kernel_tiny", "ecp5")
    assert not list(project.rglob("cells.json"))


@pytest.mark.parametrize("budget", [{}, {"multipliers": 32, "weights": "chip"}])
def test_the_static_count_is_that_of_the_netlist(budget: dict[str, object], tmp_path: Path) -> None:
    source = open_source("digits", budget=budget)
    made = pipeline.compile_quantised(source.quantised, source.machine)
    target = rendering.project(made).write(tmp_path / "p")
    netlist = synth.synthesise(target, top_name(made.program), "xc7", blocks=True)
    counted = static_resources(made.program, uram=0)
    assert (netlist.dsp, netlist.bram36, netlist.uram) == (counted["dsp"], counted["bram36"], counted["uram"])
    assert netlist.lut is None and netlist.ff is None and "multipliers and memories only" in netlist.source


def test_peaks_take_no_multiplier_of_their_own() -> None:
    """A rows node multiplies elements over their peaks where it multiplies powers of two."""
    path = Path(__file__).parents[2] / "benchmarks" / "rows.py"
    spec = importlib.util.spec_from_file_location("benchmark_rows", path)
    assert spec and spec.loader
    benchmark = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(benchmark)
    alone, both = (benchmark.measure(ops, blocks=True) for ops in (("softmax",), ("softmax", "unit", "peak")))
    assert alone["dsp"] == both["dsp"] > 0
    assert alone["bram36"] == both["bram36"]


@pytest.mark.parametrize("scheme, rescaling", [("w16a16", 4), ("w16a16-pow2", 0)])
def test_multipliers_of_a_whole_design(scheme: str, rescaling: int, tmp_path: Path) -> None:
    """One for each multiplier of the budget in the arrays, `rescaling` for each of the two vector lanes, none elsewhere."""
    source = open_source("intar_mlp", scheme=scheme)
    made = pipeline.compile_quantised(source.quantised, source.machine)
    target = rendering.project(made).write(tmp_path / "p")
    netlist = synth.synthesise(target, top_name(made.program), "xcup")
    assert netlist.by_module["intar_array"]["dsp"] == source.machine.multipliers == 32
    assert netlist.dsp == 32 + 2 * rescaling == static_resources(made.program, uram=960)["dsp"]
    assert netlist.lut and netlist.ff
