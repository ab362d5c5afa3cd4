// intar_rows_columns: last pass over a normalised row: elements less the mean, scaled and moved by their columns' parameters.
//
// Parameters  a beat of gains and one of offsets for each beat of a row (32-bit elements), in that order; bits 25 and up of a gain are
//             the group of its column's table. Those of the next beat are taken while a beat is worked on; `valid` says that
//             those of this beat are there, `next` (with its last slice) that they are no longer needed.
// Latency     12 moves: the operands of a slice in t, `values` in t+1 -> results in t+12. `groups` are those of the slice in t.
module intar_rows_columns #(
    parameter int LANES = 4,        // elements of a beat
    parameter int RATE = 4,         // of a slice
    parameter int BITS = 8,         // of a result
    parameter int GROUP_BITS = 0,   // up to 7
    parameter int GROUP = (GROUP_BITS > 0) ? GROUP_BITS : 1,               // leave
    parameter int SLICE = (LANES > RATE) ? $clog2(LANES / RATE) : 1        // leave
) (
    input  logic                         clk,
    input  logic                         rst_n,
    input  logic                         start,
    input  logic                         params_valid,
    output logic                         params_ready,
    input  logic        [  LANES*32-1:0] params_data,
    output logic                         valid,
    input  logic                         next,
    output logic        [RATE*GROUP-1:0] groups,
    input  logic                         move,
    input  logic        [     SLICE-1:0] slice,    // of the beat
    input  logic        [          15:0] count,    // elements of the row
    input  logic signed [          31:0] sum,
    input  logic        [          18:0] root,
    input  logic        [           5:0] down,
    input  logic        [           5:0] q,
    input  logic        [          53:0] limits,   // zero, lo, hi, lowest first
    input  logic        [   RATE*16-1:0] values,
    output logic        [ RATE*BITS-1:0] results
);
  localparam int SLICES = LANES / RATE;
  localparam int GAIN = 25 + GROUP_BITS;  // bits of a gain that are kept

  logic gains_valid, take;
  logic [LANES*GAIN-1:0] next_gains, gains;
  logic [LANES*32-1:0] offsets;
  assign params_ready = !gains_valid || !valid || next;
  assign take = params_valid && params_ready;
  always_ff @(posedge clk) begin
    if (!rst_n || start) begin
      gains_valid <= 1'b0;
      valid <= 1'b0;
    end else begin
      if (take) gains_valid <= !gains_valid;
      valid <= (take && gains_valid) || (valid && !next);
    end
    if (take && gains_valid) begin
      gains <= next_gains;
      offsets <= params_data;
    end else if (take) begin
      for (int l = 0; l < LANES; l = l + 1) next_gains[l*GAIN+:GAIN] <= params_data[l*32+:GAIN];
    end
  end

  logic [RATE*GAIN-1:0] slice_gains;
  logic [RATE*25-1:0] factors, gains7;
  logic [RATE*32-1:0] slice_offsets, offsets8;
  generate
    if (SLICES > 1) begin : g_slice
      assign slice_gains = gains[32'(slice)*32'(RATE*GAIN)+:RATE*GAIN];
      assign slice_offsets = offsets[32'(slice)*32'(RATE*32)+:RATE*32];
    end else begin : g_beat
      logic unused;
      assign unused = &{1'b0, slice};
      assign {slice_gains, slice_offsets} = {gains, offsets};
    end
    for (genvar p = 0; p < RATE; p = p + 1) begin : g_gain
      assign factors[p*25+:25] = slice_gains[p*GAIN+:25];
      if (GROUP_BITS > 0) begin : g_group
        assign groups[p*GROUP+:GROUP] = slice_gains[p*GAIN+25+:GROUP];
      end else begin : g_no_group
        assign groups[p] = 1'b0;
      end
    end
  endgenerate
  intar_delay #(.WIDTH(RATE * 25), .MOVES(7)) gain (.clk(clk), .move(move), .in_data(factors), .out_data(gains7));
  intar_delay #(.WIDTH(RATE * 32), .MOVES(8)) offset (.clk(clk), .move(move), .in_data(slice_offsets), .out_data(offsets8));

  // What is the same for all lanes; the number is that of moves.
  logic [15:0] count1;
  logic signed [31:0] sum2;
  logic [18:0] root3;
  logic [5:0] down5, down6, q8, q10;
  logic [53:0] bounds;
  logic signed [17:0] zero, lo, hi;
  intar_delay #(.WIDTH(16), .MOVES(1)) counts (.clk(clk), .move(move), .in_data(count), .out_data(count1));
  intar_delay #(.WIDTH(32), .MOVES(2)) sums (.clk(clk), .move(move), .in_data(sum), .out_data(sum2));
  intar_delay #(.WIDTH(19), .MOVES(3)) roots (.clk(clk), .move(move), .in_data(root), .out_data(root3));
  intar_delay #(.WIDTH(6), .MOVES(5)) downs (.clk(clk), .move(move), .in_data(down), .out_data(down5));
  intar_delay #(.WIDTH(6), .MOVES(1)) down_later (.clk(clk), .move(move), .in_data(down5), .out_data(down6));
  intar_delay #(.WIDTH(6), .MOVES(8)) qs (.clk(clk), .move(move), .in_data(q), .out_data(q8));
  intar_delay #(.WIDTH(6), .MOVES(2)) q_later (.clk(clk), .move(move), .in_data(q8), .out_data(q10));
  intar_delay #(.WIDTH(54), .MOVES(11)) later (.clk(clk), .move(move), .in_data(limits), .out_data(bounds));
  assign {hi, lo, zero} = bounds;
  generate
    for (genvar p = 0; p < RATE; p = p + 1) begin : g_lane
      intar_rows_norm #(
          .BITS(BITS)
      ) lane (
          .clk(clk),
          .move(move),
          .value(values[p*16+:16]),
          .count(count1),
          .sum(sum2),
          .root(root3),
          .down(down5),
          .down_later(down6),
          .gain(gains7[p*25+:25]),
          .offset(offsets8[p*32+:32]),
          .q(q8),
          .q_later(q10),
          .zero(zero),
          .lo(lo),
          .hi(hi),
          .result(results[p*BITS+:BITS])
      );
    end
  endgenerate
endmodule
