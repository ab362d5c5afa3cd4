"""What a rows node costs by what it does, by Yosys.

    python benchmarks/rows.py      needs the extra `synth`

Writes ``benchmarks/results/rows.json`` and prints the table of `docs/resources.md`.
"""

from __future__ import annotations

import json
import tempfile
from pathlib import Path
from typing import Any

from intar.assets import asset_dir
from intar.codegen.rtl_library import modules
from intar.codegen.rtl_nodes.program import step_bits
from intar.codegen.rtl_nodes.rows import ROWS, rows_rom
from intar.ir.io import write_atomic
from intar.ir.nodes.rows import Rows, RowsStep
from intar.verify.synth import synthesise

LANES, RATE, BITS, COLS = 8, 4, 16, 128
CASES = (("softmax",), ("softmax", "unit", "peak"), ("norm",), ("norm", "unit", "peak"), ("softmax", "norm"))
"""Operations of the steps of a node."""
RESULT = Path(__file__).parent / "results" / "rows.json"
FORMS: dict[str, dict[str, Any]] = {
    "softmax": {"mult": 1 << 20, "shift": 9, "numerator": 1 << 42, "out_shift": 27},
    "norm": {"centred": True, "epsilon": 77, "shift": 4, "out_shift": 30},
    "unit": {"numerator": 1 << 42, "out_shift": 4},
    "peak": {},
}

TOP = """module top (
    input  logic clk, rst_n, start, in_valid, params_valid, out_ready,
    input  logic [{lanes}*{bits}-1:0] in_data,
    input  logic [{lanes}*32-1:0] params_data,
    output logic done, in_ready, params_ready, out_valid,
    output logic [{lanes}*{bits}-1:0] out_data
);
  intar_rows #(
      .LANES({lanes}), .RATE({rate}), .BITS({bits}), .DEPTH({depth}),
      .SOFTMAX({softmax}), .NORM({norm}), .PEAK({peak}), .STEPS({steps}), .PROGRAM({program})
  ) rows (
      .clk(clk), .rst_n(rst_n), .start(start), .segment(8'd0), .round(16'd0), .position(32'd0), .done(done),
      .in_valid(in_valid), .in_ready(in_ready), .in_data(in_data),
      .params_valid(params_valid), .params_ready(params_ready), .params_data(params_data),
      .tables_valid(1'b0), .tables_ready(), .tables_data('0),
      .out_valid(out_valid), .out_ready(out_ready), .out_data(out_data)
  );
endmodule
"""


def node_of(ops: tuple[str, ...]) -> Rows:
    """A node with a step of each operation."""
    limits = {"rows": 64, "cols": COLS, "lo": -(1 << (BITS - 1)), "hi": (1 << (BITS - 1)) - 1}
    steps = tuple(RowsStep(op=op, **limits, **FORMS[op]) for op in ops)  # type: ignore[arg-type]
    return Rows(name="rows", lanes=LANES, rate=RATE, bits=BITS, depth=COLS // LANES, steps=steps)


def measure(ops: tuple[str, ...], blocks: bool = False) -> dict[str, Any]:
    """Cells of one node; with `blocks` only multipliers and memories, which takes less time."""
    node, width = node_of(ops), step_bits(ROWS)
    words = sum(word << width * index for index, word in enumerate(rows_rom(node).steps))
    flags = {"softmax": node.softmax, "norm": node.norm, "peak": node.peaks}
    text = TOP.format(
        lanes=LANES,
        rate=RATE,
        bits=BITS,
        depth=node.depth,
        steps=len(node.steps),
        program=f"{width * len(node.steps)}'h{words:x}",
        **{name: f"1'b{int(flag)}" for name, flag in flags.items()},
    )
    names = modules(["intar_rows"])
    with tempfile.TemporaryDirectory(dir=".") as folder:  # the WebAssembly build of Yosys sees a private /tmp
        target = Path(folder) / "rtl"
        target.mkdir()
        for name in names:
            (target / f"{name}.sv").write_bytes((asset_dir("rtl") / f"{name}.sv").read_bytes())
        (target / "top.sv").write_text(text)
        (target / "filelist.f").write_text("".join(f"{name}.sv\n" for name in (*names, "top")))
        found = synthesise(Path(folder), "top", "xcup", blocks)
    return {
        "does": ", ".join(ops),
        "dsp": found.dsp,
        "bram36": found.bram36,
        "lut": found.lut,
        "ff": found.ff,
        "source": found.source,
    }


def main() -> None:
    rows = []
    print("| steps | dsp | bram36 | lut | ff |\n" + "|---" * 5 + "|")
    for ops in CASES:
        row = measure(ops)
        rows.append(row)
        shown = ("does", "dsp", "bram36", "lut", "ff")
        print("| " + " | ".join(str(row[key]) for key in shown) + " |", flush=True)
    write_atomic(RESULT, (json.dumps(rows, indent=1) + "\n").encode())


if __name__ == "__main__":
    main()
