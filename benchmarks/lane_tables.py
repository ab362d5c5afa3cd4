"""What a lane costs with different tables, by Yosys for UltraScale+.

    python benchmarks/lane_tables.py [WORD]     all cases, or those with the word in their names

A lane of the vector unit has an affine operation of 25-bit values, no binary one. Four numbers of 32 bits are written at a
time, or what they hold of 8 or 16 bits.
"""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path

from intar.assets import asset_dir
from intar.codegen.rtl_nodes.functions import TABLE_LUTRAM_DEPTH
from intar.verify.synth import Resources, synthesise

NUMBERS = 4
CASES: dict[str, tuple[int, int, int, int, int, int]] = {
    "no function": (0, 1, 0, 1, 1, 1),
    "8 bits, GELU: 1024 entries": (1, 1024, 0, 8, 1, 1),
    "8 bits, rational, 8 groups of 256": (1, 2048, 3, 8, 1, 1),
    "8 bits, both functions of a GR-KAN": (1, 4096, 3, 8, 1, 1),
    "16 to 8 bits, GELU: 32 straight pieces": (2, 32, 0, 24, 10, 1),
    "16 to 8 bits, rational, 8 groups of 32 straight pieces": (2, 256, 3, 24, 10, 1),
    "16 to 8 bits, both functions of a GR-KAN: 384": (2, 384, 3, 25, 11, 1),
    "16 bits, GELU: 128 parabolas": (3, 128, 0, 30, 16, 10),
    "16 bits, rational, 8 groups of 128 parabolas": (3, 1024, 3, 30, 17, 10),
}
"""Numbers of an entry, entries, group bits, bits of bases, slopes and curves."""

ROWS = {"look-up of the rows node, 16 to 8 bits, 8 groups of 16 parabolas": (3, 128, 3, 24, 11, 6)}
"""Likewise; the module of the look-up alone."""

DIRECT = {
    "direct, 8 groups": (8, 3),
    "direct, both functions of a GR-KAN": (16, 3),
    "direct, 24 functions of 8 groups": (192, 3),
}
"""Sets of coefficients, group bits."""

TOP = """module top (
    input  logic clk, move, use_table, write_base, write_slope, write_curve,
    input  logic signed [47:0] source, bias,
    input  logic signed [31:0] mult,
    input  logic [5:0] shift,
    input  logic [{group}:0] member,
    input  logic [37:0] where,
    input  logic fine, used,
    input  logic [53:0] rational_bounds,
    input  logic [10:0] write_words,
    input  logic [(({sets} > 1) ? $clog2({sets}) : 1)-1:0] write_set,
    input  logic [351:0] write_set_data,
    input  logic [53:0] bounds,
    input  logic [40:0] index, table_bounds,
    input  logic [4:0] round,
    input  logic [(({entries} > 1) ? $clog2({entries}) : 1)-1:0] write_at,
    input  logic [{write}*{width}-1:0] write_data,
    output logic signed [17:0] result
);
  intar_vector_lane #(
      .AFFINE(1'b1), .BINARY(1'b0), .VALUE_BITS(25), .TABLE(1'b{table}), .RATIONAL(1'b{rational}), .SETS({sets}),
      .SLOPES(1'b{slopes}), .CURVES(1'b{curves}),
      .TABLE_ENTRIES({entries}), .GROUP_BITS({group_bits}), .BASE_BITS({base}), .SLOPE_BITS({slope}),
      .CURVE_BITS({curve}), .WRITE({write}), .WIDTH({width}), .STYLE("{style}")
  ) lane (
      .clk(clk), .move(move), .source(source), .bias(bias), .mult(mult), .shift(shift), .group(member),
      .operand(18'd0), .affine_bounds(bounds), .binary_zeros(36'd0), .binary_scale(72'd0), .binary_bounds(54'd0),
      .rational_where(where), .rational_fine(fine), .rational_used(used), .rational_bounds(rational_bounds),
      .write_words(write_words), .write_set(write_set), .write_set_data(write_set_data),
      .table_index(index), .table_use(use_table), .table_round(round), .table_bounds(table_bounds),
      .write_base(write_base), .write_slope(write_slope), .write_curve(write_curve), .write_at(write_at),
      .write_data(write_data), .result(result)
  );
endmodule
"""


LOOKUP = """module top (
    input  logic clk, move, use_table, write_base, write_slope, write_curve,
    input  logic signed [17:0] value,
    input  logic [{group}:0] member,
    input  logic [40:0] index, table_bounds,
    input  logic [4:0] round,
    input  logic [(({entries} > 1) ? $clog2({entries}) : 1)-1:0] write_at,
    input  logic [{write}*{width}-1:0] write_data,
    output logic signed [17:0] result
);
  intar_lookup #(
      .SLOPES(1'b{slopes}), .CURVES(1'b{curves}), .TABLE_ENTRIES({entries}), .GROUP_BITS({group_bits}), .BASE_BITS({base}),
      .SLOPE_BITS({slope}), .CURVE_BITS({curve}), .WRITE({write}), .WIDTH({width}), .STYLE("{style}")
  ) lookup (
      .clk(clk), .move(move), .value(value), .group(member), .table_index(index), .table_use(use_table), .table_round(round),
      .table_bounds(table_bounds), .write_base(write_base), .write_slope(write_slope), .write_curve(write_curve),
      .write_at(write_at), .write_data(write_data), .result(result)
  );
endmodule
"""


def count(top: str, fields: Mapping[str, object]) -> Resources:
    """What a lane takes; `fields` are those of `top`."""
    sources = (
        "intar_delay",
        "intar_scale",
        "intar_shift",
        "intar_reciprocal",
        "intar_rational",
        "intar_lookup",
        "intar_vector_lane",
    )
    with tempfile.TemporaryDirectory(dir=".") as folder:
        rtl = Path(folder) / "rtl"
        rtl.mkdir()
        for module in sources:
            (rtl / f"{module}.sv").write_bytes((asset_dir("rtl") / f"{module}.sv").read_bytes())
        (rtl / "top.sv").write_text(top.format(**fields))
        (rtl / "filelist.f").write_text("".join(f"{module}.sv\n" for module in (*sources, "top")))
        return synthesise(Path(folder), "top")


def tables(parts: int, entries: int, group_bits: int, base: int, slope: int, curve: int) -> dict[str, object]:
    """The fields of a lane's tables."""
    width = next(bits for bits in (8, 16, 32) if max(base, slope, curve) <= bits)
    write = NUMBERS * 32 // width if parts else 1
    style = "block" if entries // write > TABLE_LUTRAM_DEPTH else "distributed"
    fields = {"group_bits": group_bits, "base": base, "slope": slope, "curve": curve, "style": style}
    fields |= {"slopes": int(parts > 1), "curves": int(parts > 2), "group": max(group_bits, 1) - 1}
    return fields | {"entries": entries, "write": write, "width": width, "table": int(parts > 0)}


def main() -> None:
    word = sys.argv[1] if len(sys.argv) > 1 else ""
    print("| tables of the lane | DSP | RAMB18 | LUT | FF |\n|---|---|---|---|---|")
    cases = [(name, TOP, tables(*case) | {"rational": 0, "sets": 1}) for name, case in CASES.items()]
    cases += [(name, LOOKUP, tables(*case)) for name, case in ROWS.items()]
    for name, (sets, group_bits) in DIRECT.items():
        fields = tables(0, 1, 0, 1, 1, 1) | {
            "group_bits": group_bits,
            "group": group_bits - 1,
            "style": "auto",
        }
        cases.append((name, TOP, fields | {"width": 32, "rational": 1, "sets": sets}))
    for name, top, fields in cases:
        if word in name:
            show(name, count(top, fields))


def show(name: str, found: Resources) -> None:
    print(f"| {name} | {found.dsp} | {2 * found.bram36:g} | {found.lut} | {found.ff} |", flush=True)


if __name__ == "__main__":
    main()
