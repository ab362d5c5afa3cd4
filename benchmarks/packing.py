"""What a multiply-accumulate of an array costs with a DSP of its own and with a shared one, by Yosys.

    python benchmarks/packing.py      needs the extra `synth`

Writes ``benchmarks/results/packing.json`` and prints the table of `docs/resources.md`.
"""

from __future__ import annotations

import json
import tempfile
from pathlib import Path
from typing import Any

from intar.assets import asset_dir
from intar.device.boards import DSP48E2
from intar.ir.io import write_atomic
from intar.ir.packing import products_at_once
from intar.verify.synth import synthesise

ROWS, LANES, ACC_BITS = 4, 8, 26
CASES = (("xcup", 8, 8), ("xcup", 8, 4), ("xcup", 4, 4), ("xcup", 16, 4), ("xc7", 8, 8))
"""Family, bits of both operands."""
RESULT = Path(__file__).parent / "results" / "packing.json"

TOP = """module top (
    input  logic clk, move, take, multiply, add_valid, add_first, add_flush, shadow_read,
    input  logic [1:0] shadow_row,
    input  logic [{rows}*{a}-1:0] a_data,
    input  logic [{lanes}*{w}-1:0] w_data,
    output logic [{lanes}*{acc}-1:0] out_data
);
  intar_array #(
      .ROWS({rows}), .LANES({lanes}), .A_BITS({a}), .W_BITS({w}), .PACK({pack}), .ACC_BITS({acc})
  ) array (
      .clk(clk), .move(move), .take(take), .a_data(a_data), .w_data(w_data), .multiply(multiply),
      .add_valid(add_valid), .add_first(add_first), .add_resume(1'b0), .add_flush(add_flush), .add_spill(1'b0),
      .context_data('0), .spill_data(), .shadow_read(shadow_read), .shadow_row(shadow_row), .out_data(out_data)
  );
endmodule
"""


def measure(family: str, a_bits: int, w_bits: int, pack: int) -> dict[str, Any]:
    """Cells of one array."""
    with tempfile.TemporaryDirectory(dir=".") as folder:  # the WebAssembly build of Yosys sees a private /tmp
        rtl = Path(folder) / "rtl"
        rtl.mkdir()
        (rtl / "intar_array.sv").write_bytes((asset_dir("rtl") / "intar_array.sv").read_bytes())
        fields = {"rows": ROWS, "lanes": LANES, "acc": ACC_BITS}
        (rtl / "top.sv").write_text(TOP.format(a=a_bits, w=w_bits, pack=pack, **fields))
        (rtl / "filelist.f").write_text("intar_array.sv\ntop.sv\n")
        found = synthesise(Path(folder), "top", family)
    macs = ROWS * LANES
    return {
        "family": family,
        "operands": f"{a_bits} x {w_bits}",
        "pack": pack,
        "multipliers": macs,
        "dsp": found.dsp,
        "each_dsp": round(macs / found.dsp, 2) if found.dsp else None,  # small ones become look-up tables
        "lut_each": round((found.lut or 0) / macs, 1),
        "ff_each": round((found.ff or 0) / macs, 1),
        "source": found.source,
    }


def main() -> None:
    rows = []
    print(
        "| family | operands | MAC a cycle | dsp | MAC a cycle and DSP | LUT a MAC | FF a MAC |\n"
        + "|---" * 7
        + "|"
    )
    for family, a_bits, w_bits in CASES:
        for pack in (1, products_at_once(a_bits, w_bits, DSP48E2)):
            row = measure(family, a_bits, w_bits, pack)
            rows.append(row)
            shown = ("family", "operands", "multipliers", "dsp", "each_dsp", "lut_each", "ff_each")
            print("| " + " | ".join(str(row[key]) for key in shown) + " |", flush=True)
    write_atomic(RESULT, (json.dumps(rows, indent=1) + "\n").encode())


if __name__ == "__main__":
    main()
