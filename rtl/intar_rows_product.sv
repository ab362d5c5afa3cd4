// intar_rows_product: one lane of intar_rows: an element of the power memory times the reciprocal of its row, clamped.
//
//   result = clamp(((share ratio + half) >> down) + zero, lo, hi), half being 2^(down-1)
//
// `share` is a power of two, 0 to 2^24; with SIGNED also an element of a row over its peak, 17 bits with sign. They can be told
// apart: bit 23 of the largest power is 0.
//
// Latency     5 moves: share and ratio in t -> result in t+5. `half` comes 2 moves later, `down` 3, zero, lo and hi 4 moves later:
//             they are the same for all lanes, and made and delayed by their owner.
module intar_rows_product #(
    parameter int BITS = 8,
    parameter bit SIGNED = 1'b0
) (
    input  logic                   clk,
    input  logic                   move,
    input  logic        [    24:0] share,
    input  logic        [    18:0] ratio,
    input  logic        [    63:0] half,
    input  logic        [     5:0] down,
    input  logic signed [    17:0] zero,
    input  logic signed [    17:0] lo,
    input  logic signed [    17:0] hi,
    output logic signed [BITS-1:0] result
);
  logic signed [45:0] moved;
  generate
    if (SIGNED) begin : g_signed
      logic signed [25:0] value;
      logic signed [44:0] product2, product3, scaled;
      logic signed [63:0] rounded;
      assign value = $signed({share[24] & share[23], share});
      assign moved = 46'(scaled) + 46'(zero);
      always_ff @(posedge clk) begin
        if (move) begin
          product2 <= 45'(value * $signed({1'b0, ratio}));
          product3 <= product2;
          rounded <= 64'(product3) + $signed(half);
          scaled <= 45'(rounded >>> down);
        end
      end
    end else begin : g_powers
      logic [43:0] product2, product3, scaled;
      logic [63:0] rounded;
      assign moved = $signed({2'b0, scaled}) + 46'(zero);
      always_ff @(posedge clk) begin
        if (move) begin
          product2 <= share * ratio;
          product3 <= product2;
          rounded <= 64'(product3) + half;
          scaled <= 44'(rounded >> down);
        end
      end
    end
  endgenerate
  always_ff @(posedge clk) begin
    if (move) begin
      if (moved < 46'(lo)) result <= BITS'(lo);
      else if (moved > 46'(hi)) result <= BITS'(hi);
      else result <= moved[BITS-1:0];
    end
  end
endmodule
