// intar_vector_settings: what a step of a vector unit decides for all lanes, delayed to the moves in which they use it.
//
// The step's fields are in the header of intar_vector, the moves in that of intar_vector_lane; with A, B, C, T of the latter:
// Latency     in moves: affine_bounds 7, binary_zeros A, binary_scale A+2, binary_bounds A+7, rational_where B, rational_fine
//             B+17, rational_used and rational_bounds B+18, table_index C, table_round T-2, table_use and table_bounds T-1.
//             What belongs to an operation that there is not is 0.
// Throughput  a step each move.
module intar_vector_settings #(
    parameter bit AFFINE   = 1'b1,  // operations that there are
    parameter bit BINARY   = 1'b1,
    parameter bit MERGED   = 1'b0,  // see intar_vector_lane
    parameter bit RATIONAL = 1'b0,
    parameter bit TABLE    = 1'b1,
    parameter bit SLOPES   = 1'b0,
    parameter bit CURVES   = 1'b0   // only with SLOPES
) (
    input  logic         clk,
    input  logic         move,
    input  logic [616:0] step,
    output logic [53:0]  affine_bounds,
    output logic [35:0]  binary_zeros,
    output logic [71:0]  binary_scale,
    output logic [53:0]  binary_bounds,
    output logic [37:0]  rational_where,
    output logic         rational_fine,
    output logic         rational_used,
    output logic [53:0]  rational_bounds,
    output logic [40:0]  table_index,
    output logic         table_use,
    output logic [4:0]   table_round,
    output logic [40:0]  table_bounds
);
  localparam int A = (AFFINE && !MERGED) ? 8 : 1;
  localparam int B = A + (BINARY ? 8 : 0);
  localparam int C = B + (RATIONAL ? 19 : 0);
  localparam int T = C + (TABLE ? (CURVES ? 7 : SLOPES ? 5 : 2) : 0);
  logic unused;
  assign unused = &{1'b0, clk, move, step};

  generate
    if (AFFINE && !MERGED) begin : g_affine
      intar_delay #(.WIDTH(54), .MOVES(7))
          bounds (.clk(clk), .move(move), .in_data(step[176+:54]), .out_data(affine_bounds));
    end else begin : g_no_affine
      assign affine_bounds = '0;
    end
    if (BINARY) begin : g_binary
      intar_delay #(.WIDTH(36), .MOVES(A))
          zeros (.clk(clk), .move(move), .in_data(step[230+:36]), .out_data(binary_zeros));
      intar_delay #(.WIDTH(72), .MOVES(A + 2))
          scale (.clk(clk), .move(move), .in_data({step[70], step[266+:71]}), .out_data(binary_scale));
      intar_delay #(.WIDTH(54), .MOVES(A + 7))
          bounds (.clk(clk), .move(move), .in_data(step[337+:54]), .out_data(binary_bounds));
    end else begin : g_no_binary
      assign binary_zeros = '0;
      assign binary_scale = '0;
      assign binary_bounds = '0;
    end
    if (RATIONAL) begin : g_rational
      intar_delay #(.WIDTH(38), .MOVES(B))
          where (.clk(clk), .move(move), .in_data(step[506+:38]), .out_data(rational_where));
      intar_delay #(.WIDTH(1), .MOVES(B + 17))
          fine (.clk(clk), .move(move), .in_data(step[544]), .out_data(rational_fine));
      intar_delay #(.WIDTH(55), .MOVES(B + 18))
          bounds (.clk(clk), .move(move), .in_data(step[545+:55]), .out_data({rational_bounds, rational_used}));
    end else begin : g_no_rational
      assign rational_where = '0;
      assign rational_fine = 1'b0;
      assign rational_used = 1'b0;
      assign rational_bounds = '0;
    end
    if (TABLE) begin : g_table
      intar_delay #(.WIDTH(41), .MOVES(C))
          index (.clk(clk), .move(move), .in_data(step[392+:41]), .out_data(table_index));
      intar_delay #(.WIDTH(1), .MOVES(T - 1))
          use_it (.clk(clk), .move(move), .in_data(step[391]), .out_data(table_use));
    end else begin : g_no_table
      assign table_index = '0;
      assign table_use = 1'b0;
    end
    if (TABLE && SLOPES) begin : g_slopes
      intar_delay #(.WIDTH(5), .MOVES(T - 2))
          rounding (.clk(clk), .move(move), .in_data(step[433+:5]), .out_data(table_round));
      intar_delay #(.WIDTH(41), .MOVES(T - 1))
          bounds (.clk(clk), .move(move), .in_data(step[433+:41]), .out_data(table_bounds));
    end else begin : g_no_slopes
      assign table_round = '0;
      assign table_bounds = '0;
    end
  endgenerate
endmodule
