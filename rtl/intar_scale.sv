// intar_scale: multiply, round, shift, offset and clamp for one lane, exact in 64 bits.
//
//   split = 1   value (high 2^24 + low) times the coefficient: clamp(rq(value, a, shift) + zero, lo, hi) with
//               high and low multiplied apart (coefficient_a = coefficient_b), 24 <= shift <= 62
//   split = 0   clamp((high a + low b + 2^(shift-1) >> shift) + zero, lo, hi), 1 <= shift <= 46
//
// Latency     6 moves: operands in t -> result in t+6. `shift` and `split` come with the operands; zero, lo and hi
//             are used 5 moves later and come then (they are the same for all lanes and delayed once for all).
module intar_scale #(
    parameter int VALUE_BITS = 18  // of zero, lo, hi and the result, signed
) (
    input  logic                         clk,
    input  logic                         move,
    input  logic signed [24:0]           high,
    input  logic signed [24:0]           low,
    input  logic signed [31:0]           coefficient_a,
    input  logic signed [31:0]           coefficient_b,
    input  logic [5:0]                   shift,
    input  logic                         split,
    input  logic signed [VALUE_BITS-1:0] zero,
    input  logic signed [VALUE_BITS-1:0] lo,
    input  logic signed [VALUE_BITS-1:0] hi,
    output logic signed [VALUE_BITS-1:0] result
);
  // Two product registers: the second one goes into the multiplier when the tool retimes.
  logic signed [56:0] product_a1, product_a2, product_a3, product_b1, product_b2;
  logic signed [63:0] rounding, part, sum, scaled, moved;
  logic [5:0] shift1, shift2, shift3, shift4;
  logic split1, split2, split3, split4;
  logic [5:0] final_shift;
  assign rounding = 64'sd1 <<< (shift2 - 6'd1);
  assign final_shift = split4 ? shift4 - 6'd24 : shift4;
  assign moved = scaled + 64'(zero);

  always_ff @(posedge clk) begin
    if (move) begin
      product_a1 <= high * coefficient_a;
      product_b1 <= low * coefficient_b;
      shift1 <= shift;
      split1 <= split;

      product_a2 <= product_a1;
      product_b2 <= product_b1;
      shift2 <= shift1;
      split2 <= split1;

      product_a3 <= product_a2;
      part <= split2 ? (64'(product_b2) + rounding) >>> 24 : 64'(product_b2) + rounding;
      shift3 <= shift2;
      split3 <= split2;

      sum <= 64'(product_a3) + part;
      shift4 <= shift3;
      split4 <= split3;

      scaled <= sum >>> final_shift;

      if (moved < 64'(lo)) result <= lo;
      else if (moved > 64'(hi)) result <= hi;
      else result <= moved[VALUE_BITS-1:0];
    end
  end
endmodule
