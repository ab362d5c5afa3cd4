// intar_shift: intar_scale for coefficients that are powers of two: shift, add, round, shift, offset and clamp, no product.
//
//   clamp((a 2^shift_a + b 2^shift_b + 2^(shift-1) >> shift) + zero, lo, hi), without the rounding term for shift = 0
//
// Latency     6 moves, as intar_scale: operands and shifts in t -> result in t+6; zero, lo and hi come 5 moves later.
module intar_shift #(
    parameter int VALUE_BITS = 18,  // of zero, lo, hi and the result, signed
    parameter int WIDTH      = 55   // -2^(WIDTH-2) <= a 2^shift_a + b 2^shift_b < 2^(WIDTH-2), 8 to 63
) (
    input  logic                         clk,
    input  logic                         move,
    input  logic signed [47:0]           a,
    input  logic signed [24:0]           b,
    input  logic [4:0]                   shift_a,
    input  logic [4:0]                   shift_b,
    input  logic [5:0]                   shift,
    input  logic signed [VALUE_BITS-1:0] zero,
    input  logic signed [VALUE_BITS-1:0] lo,
    input  logic signed [VALUE_BITS-1:0] hi,
    output logic signed [VALUE_BITS-1:0] result
);
  logic unused;  // upper bits that a narrow instance does not need
  assign unused = &{1'b0, a, b};
  localparam int MOVED_BITS = ((WIDTH > VALUE_BITS) ? WIDTH : VALUE_BITS) + 1;
  localparam logic [5:0] MOST = 6'(WIDTH - 1);  // from here on the rounded result is 0

  // Every shift in two moves: by multiples of 8, then by 0 to 7.
  logic signed [WIDTH-1:0] a1, a2, b1, b2, rounding, sum3, coarse4, scaled5;
  logic signed [MOVED_BITS-1:0] moved;
  logic [2:0] fine_a1, fine_b1, fine4;
  logic [5:0] shift1, shift2, shift3;
  assign rounding = (shift2 == 6'd0) ? '0 : WIDTH'(1) <<< (shift2 - 6'd1);
  assign moved = MOVED_BITS'(scaled5) + MOVED_BITS'(zero);
  always_ff @(posedge clk) begin
    if (move) begin
      a1 <= WIDTH'(a) <<< {shift_a[4:3], 3'd0};
      b1 <= WIDTH'(b) <<< {shift_b[4:3], 3'd0};
      fine_a1 <= shift_a[2:0];
      fine_b1 <= shift_b[2:0];
      shift1 <= (shift > MOST) ? MOST : shift;

      a2 <= a1 <<< fine_a1;
      b2 <= b1 <<< fine_b1;
      shift2 <= shift1;

      sum3 <= a2 + b2 + rounding;
      shift3 <= shift2;

      coarse4 <= sum3 >>> {shift3[5:3], 3'd0};
      fine4 <= shift3[2:0];

      scaled5 <= coarse4 >>> fine4;

      if (moved < MOVED_BITS'(lo)) result <= lo;
      else if (moved > MOVED_BITS'(hi)) result <= hi;
      else result <= moved[VALUE_BITS-1:0];
    end
  end
endmodule
