// intar_rows_products: last pass over a row of a softmax, of a row over its peak or of a peak: terms times the row's reciprocal.
//
// Latency     6 moves: ratio, down and limits in t, shares in t+1 -> products in t+6.
module intar_rows_products #(
    parameter int RATE = 4,
    parameter int BITS = 8,         // of a result
    parameter bit SIGNED = 1'b0     // see intar_rows_product
) (
    input  logic                 clk,
    input  logic                 move,
    input  logic [         18:0] ratio,
    input  logic [          5:0] down,
    input  logic [         53:0] limits,   // zero, lo, hi, lowest first
    input  logic [  RATE*25-1:0] shares,
    output logic [RATE*BITS-1:0] products
);
  logic [18:0] ratio1;
  logic [5:0] down3, down4;
  logic [63:0] half;
  assign half = 64'd1 << (down3 - 6'd1);
  logic [53:0] bounds;
  logic signed [17:0] zero, lo, hi;
  intar_delay #(.WIDTH(6), .MOVES(3)) downs (.clk(clk), .move(move), .in_data(down), .out_data(down3));
  intar_delay #(.WIDTH(54), .MOVES(5)) later (.clk(clk), .move(move), .in_data(limits), .out_data(bounds));
  assign {hi, lo, zero} = bounds;
  always_ff @(posedge clk) begin
    if (move) begin
      ratio1 <= ratio;
      down4 <= down3;
    end
  end
  generate
    for (genvar p = 0; p < RATE; p = p + 1) begin : g_lane
      intar_rows_product #(
          .BITS(BITS),
          .SIGNED(SIGNED)
      ) lane (
          .clk(clk),
          .move(move),
          .share(shares[p*25+:25]),
          .ratio(ratio1),
          .half(half),
          .down(down4),
          .zero(zero),
          .lo(lo),
          .hi(hi),
          .result(products[p*BITS+:BITS])
      );
    end
  endgenerate
endmodule
