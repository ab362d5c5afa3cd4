// intar_scale: multiply, round, shift, offset and clamp for one lane, exact in 64 bits.
//
//   WIDE = 1, split = 1   clamp(rq(value, a, shift) + zero, lo, hi) of a value of up to 49 bits, given as
//                         high 2^24 + low (coefficient_a = coefficient_b), 24 <= shift <= 62
//   WIDE = 1, split = 0   clamp((high a + low b + 2^(shift-1) >> shift) + zero, lo, hi), 1 <= shift <= 46
//   WIDE = 0              clamp(rq(high, a, shift) + zero, lo, hi) of a value of up to 25 bits; low, b, split unused
//
// Multipliers a coefficient is 15 signed bits above 17 unsigned ones, so that every product has 25 x 18 bits at most and
//             is one DSP block of the 7 series and of UltraScale(+): four with WIDE, two without.
// Latency     6 moves: operands in t -> result in t+6. `shift` and `split` come with the operands; zero, lo and hi
//             are used 5 moves later and come then (they are the same for all lanes and delayed once for all).
module intar_scale #(
    parameter int VALUE_BITS = 18,  // of zero, lo, hi and the result, signed
    parameter bit WIDE       = 1'b1
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
  // ---- high times a
  logic signed [39:0] a_upper;
  logic signed [42:0] a_lower;
  logic signed [56:0] product_a2, product_a3;
  always_ff @(posedge clk) begin
    if (move) begin
      a_upper <= high * $signed(coefficient_a[31:17]);
      a_lower <= high * $signed({1'b0, coefficient_a[16:0]});
      product_a2 <= (57'(a_upper) <<< 17) + 57'(a_lower);
      product_a3 <= product_a2;
    end
  end

  // ---- low times b, and the rounding: what is added to the product of high
  logic [5:0] shift1, shift2, shift3, shift4, final_shift;
  logic signed [63:0] rounding, part;
  assign rounding = 64'sd1 <<< (shift2 - 6'd1);
  always_ff @(posedge clk) begin
    if (move) begin
      shift1 <= shift;
      shift2 <= shift1;
      shift3 <= shift2;
      shift4 <= shift3;
    end
  end
  generate
    if (WIDE) begin : g_wide
      logic signed [39:0] b_upper;
      logic signed [42:0] b_lower;
      logic signed [56:0] product_b2;
      logic split1, split2, split3, split4;
      assign final_shift = split4 ? shift4 - 6'd24 : shift4;
      always_ff @(posedge clk) begin
        if (move) begin
          b_upper <= low * $signed(coefficient_b[31:17]);
          b_lower <= low * $signed({1'b0, coefficient_b[16:0]});
          product_b2 <= (57'(b_upper) <<< 17) + 57'(b_lower);
          part <= split2 ? (64'(product_b2) + rounding) >>> 24 : 64'(product_b2) + rounding;
          split1 <= split;
          split2 <= split1;
          split3 <= split2;
          split4 <= split3;
        end
      end
    end else begin : g_narrow
      logic unused;
      assign unused = &{1'b0, low, coefficient_b, split};
      assign final_shift = shift4;
      always_ff @(posedge clk) if (move) part <= rounding;
    end
  endgenerate

  logic signed [63:0] sum, scaled, moved;
  assign moved = scaled + 64'(zero);
  always_ff @(posedge clk) begin
    if (move) begin
      sum <= 64'(product_a3) + part;
      scaled <= sum >>> final_shift;
      if (moved < 64'(lo)) result <= lo;
      else if (moved > 64'(hi)) result <= hi;
      else result <= moved[VALUE_BITS-1:0];
    end
  end
endmodule
