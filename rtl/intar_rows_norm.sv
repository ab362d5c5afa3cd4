// intar_rows_norm: one lane of intar_rows: an element of a row, normalised, scaled and moved (docs/numerics.md, LayerNorm).
//
//   z = ((count value - sum) (2 root + 1) + 2^(down-1)) >> down, 25 bits
//   result = clamp(((z gain + offset 2^(q-14) + 2^(q-1)) >> q) + zero, lo, hi)
//
// Latency     11 moves: value in t -> result in t+11. The other operands are the same for all lanes, or delayed by their
//             owner: count comes with value, sum 1 move later, root 2, down 4 and 5 (two ports), gain 6, offset and q 7,
//             q again 9, zero, lo and hi 10 moves later.
module intar_rows_norm #(
    parameter int BITS = 16
) (
    input  logic                   clk,
    input  logic                   move,
    input  logic signed [    15:0] value,
    input  logic        [    15:0] count,
    input  logic signed [    31:0] sum,
    input  logic        [    18:0] root,
    input  logic        [     5:0] down,
    input  logic        [     5:0] down_later,
    input  logic signed [    24:0] gain,
    input  logic signed [    31:0] offset,
    input  logic        [     5:0] q,
    input  logic        [     5:0] q_later,
    input  logic signed [    17:0] zero,
    input  logic signed [    17:0] lo,
    input  logic signed [    17:0] hi,
    output logic signed [BITS-1:0] result
);
  logic signed [31:0] whole;
  logic signed [32:0] apart;
  logic signed [20:0] odd;
  logic signed [38:0] apart_low;
  logic signed [36:0] apart_high;
  logic signed [53:0] product, rounded;
  logic signed [24:0] z;
  logic signed [42:0] scaled_low;
  logic signed [32:0] scaled_high;
  logic signed [49:0] scaled;
  logic signed [63:0] offset_later, total, down_scaled, moved;
  assign odd = {1'b0, root, 1'b1};
  assign moved = down_scaled + 64'(zero);
  always_ff @(posedge clk) begin
    if (move) begin
      whole <= 32'(value * $signed({1'b0, count}));
      apart <= 33'(whole) - 33'(sum);
      apart_low <= $signed({1'b0, apart[16:0]}) * odd;
      apart_high <= $signed(apart[32:17]) * odd;
      product <= (54'(apart_high) <<< 17) + 54'(apart_low);
      rounded <= product + (54'sd1 <<< (down - 6'd1));
      z <= 25'(rounded >>> down_later);
      scaled_low <= z * $signed({1'b0, gain[16:0]});
      scaled_high <= z * $signed(gain[24:17]);
      scaled <= (50'(scaled_high) <<< 17) + 50'(scaled_low);
      offset_later <= (64'(offset) <<< (q - 6'd14)) + (64'sd1 <<< (q - 6'd1));
      total <= 64'(scaled) + offset_later;
      down_scaled <= total >>> q_later;
      if (moved < 64'(lo)) result <= BITS'(lo);
      else if (moved > 64'(hi)) result <= BITS'(hi);
      else result <= moved[BITS-1:0];
    end
  end
endmodule
