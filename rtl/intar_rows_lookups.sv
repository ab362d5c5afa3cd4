// intar_rows_lookups: the tables of intar_rows: they are filled, each play anew, and results pass them.
//
// LOAD_PROGRAM names the slots that a play fills from `tables` (intar_table_load), from its first cycle on; 73 bits a slot, lowest
// first: first entry (16), entries - 1 (16), q (5), lo, hi (18 each). `filled` says that all of them are full.
//
// Latency     of `place` and `groups`, RESULT moves before the values that they belong to: values in t -> results 2 moves later, with
//             SLOPES 5, with CURVES 7 (TABLES).
module intar_rows_lookups #(
    parameter int LANES = 4,       // of `tables`
    parameter int RATE  = 4,       // values a move
    parameter int BITS  = 8,       // of a result
    parameter int RESULT = 6,
    parameter bit SLOPES = 1'b0,   // see intar_lookup
    parameter bit CURVES = 1'b0,
    parameter int TABLE_ENTRIES = 16,
    parameter int GROUP_BITS = 0,  // up to 7
    parameter int BASE_BITS = 8,
    parameter int SLOPE_BITS = 8,
    parameter int CURVE_BITS = 8,
    parameter int WIDTH = 8,
    parameter STYLE = "auto",
    parameter int SEGMENTS = 1,    // see intar_round_steps
    parameter int LOAD_STEPS = 1,
    parameter int LOAD_ROWS = 0,
    parameter logic [LOAD_STEPS*((LOAD_ROWS > 0) ? 17 : 73)-1:0] LOAD_PROGRAM = '0,
    parameter logic [((LOAD_ROWS > 0) ? LOAD_ROWS : 1)*73-1:0] LOAD_NUMBERS = '0,
    parameter logic [SEGMENTS*32-1:0] LOAD_ENDS = '0,
    parameter int GROUP = (GROUP_BITS > 0) ? GROUP_BITS : 1  // leave
) (
    input  logic                  clk,
    input  logic                  rst_n,
    input  logic                  start,
    input  logic [           7:0] segment,
    input  logic [          15:0] round,
    input  logic                  tables_valid,
    output logic                  tables_ready,
    input  logic [  LANES*32-1:0] tables_data,
    output logic                  filled,
    input  logic                  move,
    input  logic [          81:0] place,    // half, low bits, first entry, log2 of a group's entries, q, lo, hi
    input  logic [RATE*GROUP-1:0] groups,
    input  logic [   RATE*18-1:0] values,
    output logic [ RATE*BITS-1:0] results
);
  localparam int TABLES = CURVES ? 7 : SLOPES ? 5 : 2;
  localparam int LATENCY = RESULT + TABLES;
  localparam int ENTRY_BITS = (TABLE_ENTRIES > 1) ? $clog2(TABLE_ENTRIES) : 1;
  localparam int WRITE = ((LANES % 4 == 0) ? 4 : (LANES % 2 == 0) ? 2 : 1) * (32 / WIDTH);
  logic load_valid, load_last, write_base, write_slope, write_curve;
  logic [72:0] load_step, unused_load_next;
  logic [ENTRY_BITS-1:0] write_at;
  logic [WRITE*WIDTH-1:0] write_data;
  logic [40:0] index, bounds;
  logic [4:0] rounding;
  logic [RATE*GROUP-1:0] groups_later;
  logic unused;
  assign filled = !load_valid;
  assign unused = &{1'b0, load_step, unused_load_next, place};
  intar_round_steps #(
      .STEPS(LOAD_STEPS),
      .STEP_BITS(73),
      .ROWS(LOAD_ROWS),
      .PROGRAM(LOAD_PROGRAM),
      .NUMBERS(LOAD_NUMBERS),
      .SEGMENTS(SEGMENTS),
      .ENDS(LOAD_ENDS)
  ) load_steps (
      .clk(clk),
      .rst_n(rst_n),
      .start(start),
      .segment(segment),
      .round(round),
      .advance(load_last),
      .valid(load_valid),
      .step(load_step),
      .next_step(unused_load_next)
  );
  intar_table_load #(
      .LANES(LANES),
      .WIDTH(WIDTH),
      .ENTRY_BITS(ENTRY_BITS),
      .SLOPES(SLOPES),
      .CURVES(CURVES)
  ) load (
      .clk(clk),
      .rst_n(rst_n),
      .start(start),
      .go(load_valid && tables_valid),
      .data(tables_data),
      .first(load_step[0+:ENTRY_BITS]),
      .entries_end(load_step[16+:16]),
      .bounds(load_step[32+:41]),
      .take(tables_ready),
      .last(load_last),
      .write_base(write_base),
      .write_slope(write_slope),
      .write_curve(write_curve),
      .write_at(write_at),
      .write_data(write_data)
  );
  intar_delay #(.WIDTH(RATE * GROUP), .MOVES(RESULT)) group (.clk(clk), .move(move), .in_data(groups), .out_data(groups_later));
  intar_delay #(.WIDTH(41), .MOVES(RESULT)) indices (.clk(clk), .move(move), .in_data(place[40:0]), .out_data(index));
  generate
    if (SLOPES) begin : g_slopes
      intar_delay #(.WIDTH(5), .MOVES(LATENCY - 2)) rounds (.clk(clk), .move(move), .in_data(place[41+:5]), .out_data(rounding));
      intar_delay #(.WIDTH(41), .MOVES(LATENCY - 1)) limits (.clk(clk), .move(move), .in_data(place[41+:41]), .out_data(bounds));
    end else begin : g_whole
      assign {rounding, bounds} = '0;
    end
    for (genvar p = 0; p < RATE; p = p + 1) begin : g_lane
      logic signed [17:0] result;
      logic unused_result;
      intar_lookup #(
          .SLOPES(SLOPES),
          .CURVES(CURVES),
          .TABLE_ENTRIES(TABLE_ENTRIES),
          .GROUP_BITS(GROUP_BITS),
          .BASE_BITS(BASE_BITS),
          .SLOPE_BITS(SLOPE_BITS),
          .CURVE_BITS(CURVE_BITS),
          .WRITE(WRITE),
          .WIDTH(WIDTH),
          .STYLE(STYLE)
      ) lookup (
          .clk(clk),
          .move(move),
          .value($signed(values[p*18+:18])),
          .group(groups_later[p*GROUP+:GROUP]),
          .table_index(index),
          .table_use(1'b1),
          .table_round(rounding),
          .table_bounds(bounds),
          .write_base(write_base),
          .write_slope(write_slope),
          .write_curve(write_curve),
          .write_at(write_at),
          .write_data(write_data),
          .result(result)
      );
      assign results[p*BITS+:BITS] = result[BITS-1:0];
      assign unused_result = &{1'b0, result};
    end
  endgenerate
endmodule
