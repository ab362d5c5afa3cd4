// intar_table_load: fills one table slot of all lanes of a unit from beats of parameters: bases, then slopes, then curves, each in
// address order from the lowest bit of a beat on, WIDTH bits an entry.
//
// A cycle with `go` takes four 32-bit numbers (two, one where LANES is not divisible by four) of `data`: WRITE entries; `take` says
// that it was the last of the beat, `last` that the table is complete. Where entries have no slopes they are rounded and
// clamped on the way.
// Latency     numbers taken in t -> write in t+1 (`write_*` are wires to intar_lookup).
// Throughput  four numbers a cycle, from table to table without a gap.
module intar_table_load #(
    parameter int LANES      = 4,
    parameter int WIDTH      = 32,   // bits of an entry: 8, 16 or 32
    parameter int ENTRY_BITS = 8,    // of the place of an entry, 1 to 16
    parameter bit SLOPES     = 1'b0,
    parameter bit CURVES     = 1'b0,  // only with SLOPES
    parameter int NUMBERS    = (LANES % 4 == 0) ? 4 : (LANES % 2 == 0) ? 2 : 1,
    parameter int WRITE      = NUMBERS * (32 / WIDTH)  // entries of a table are a multiple of it
) (
    input  logic                   clk,
    input  logic                   rst_n,
    input  logic                   start,
    input  logic                   go,
    input  logic [LANES*32-1:0]    data,
    input  logic [ENTRY_BITS-1:0]  first,        // place of the table's first entry
    input  logic [15:0]            entries_end,  // entries - 1
    input  logic [40:0]            bounds,       // q (5), lo, hi (18 each)
    output logic                   take,
    output logic                   last,
    output logic                   write_base,
    output logic                   write_slope,
    output logic                   write_curve,
    output logic [ENTRY_BITS-1:0]  write_at,
    output logic [WRITE*WIDTH-1:0] write_data
);
  localparam int LANE_BITS = (LANES > 1) ? $clog2(LANES) : 1;
  localparam logic [1:0] LAST_PART = CURVES ? 2'd2 : SLOPES ? 2'd1 : 2'd0;
  logic entry_last;
  logic [1:0] part;  // bases, slopes, curves
  logic [15:0] entry;
  logic [LANE_BITS-1:0] lane;
  logic [WRITE*WIDTH-1:0] raw;
  assign entry_last = entry + 16'(WRITE - 1) == entries_end;
  assign take = go && (entry_last || lane == LANE_BITS'(LANES - NUMBERS));
  assign last = go && entry_last && part == LAST_PART;
  always_ff @(posedge clk) begin
    if (start) begin
      entry <= '0;
      lane <= '0;
      part <= 2'd0;
    end else if (go) begin
      entry <= entry_last ? '0 : entry + 16'(WRITE);
      lane <= take ? '0 : lane + LANE_BITS'(NUMBERS);
      if (entry_last) part <= (part == LAST_PART) ? 2'd0 : part + 2'd1;
    end
    write_base <= rst_n && go && part == 2'd0;
    write_slope <= rst_n && go && part == 2'd1;
    write_curve <= rst_n && go && part == 2'd2;
    write_at <= ENTRY_BITS'(entry) + first;
    raw <= data[32'(lane)*32+:NUMBERS*32];
  end
  generate
    if (SLOPES) begin : g_raw
      logic unused;
      assign write_data = raw;
      assign unused = &{1'b0, bounds};
    end else begin : g_rounded
      localparam int SUM_BITS = ((WIDTH > 18) ? WIDTH : 18) + 1;
      logic [40:0] raw_bounds;  // of the step that the raw entries belong to
      logic signed [SUM_BITS-1:0] rounding;
      logic signed [17:0] lo, hi;
      assign lo = $signed(raw_bounds[5+:18]);
      assign hi = $signed(raw_bounds[23+:18]);
      assign rounding = (raw_bounds[4:0] == 5'd0) ? '0 : SUM_BITS'(1) <<< (raw_bounds[4:0] - 5'd1);
      for (genvar e = 0; e < WRITE; e++) begin : g_entry
        logic signed [SUM_BITS-1:0] scaled;
        assign scaled = (SUM_BITS'($signed(raw[WIDTH*e+:WIDTH])) + rounding) >>> raw_bounds[4:0];
        assign write_data[WIDTH*e+:WIDTH] = (scaled < SUM_BITS'(lo)) ? WIDTH'(lo) : (scaled > SUM_BITS'(hi)) ? WIDTH'(hi) : WIDTH'(scaled);
      end
      always_ff @(posedge clk) raw_bounds <= bounds;
    end
  endgenerate
endmodule
