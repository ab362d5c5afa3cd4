// intar_rows_divide: the reciprocal of a sum of powers: floor(numerator 2^extra / total), one bit a cycle.
//
//   total       2^24 to 2^40; extra = floor(log2(total)) - 24
//   numerator   2^42 to 2^43 - 1; the quotient is below 2^19
//
// Latency     go in t (while !busy) -> ready in t+19, with the quotient and extra; !busy in t+20.
module intar_rows_divide (
    input  logic        clk,
    input  logic        rst_n,
    input  logic        go,
    input  logic [40:0] total,
    input  logic [42:0] numerator,
    output logic        busy,
    output logic        ready,
    output logic [18:0] quotient,
    output logic [4:0]  extra
);
  localparam int BITS = 19;

  logic [40:0] divisor, rest;
  logic [41:0] next;
  logic [BITS-1:0] bits;
  logic [BITS-2:0] result;
  logic [4:0] count, leading;
  logic fits;
  always_comb begin
    leading = 5'd0;
    for (int i = 1; i <= 16; i = i + 1) begin
      if (total[24+i]) leading = 5'(i);
    end
  end
  assign next = {rest, bits[BITS-1]};
  assign fits = next >= 42'(divisor);
  assign ready = busy && count == 5'd0;
  assign quotient = {result, fits};
  always_ff @(posedge clk) begin
    if (!rst_n) busy <= 1'b0;
    else if (go) busy <= 1'b1;
    else if (ready) busy <= 1'b0;
    if (go) begin
      divisor <= total << (5'd16 - leading);
      rest <= 41'(numerator[42:3]);
      bits <= {numerator[2:0], 16'd0};
      extra <= leading;
      count <= 5'(BITS - 1);
    end else if (busy) begin
      rest <= fits ? 41'(next - 42'(divisor)) : next[40:0];
      bits <= bits << 1;
      result <= quotient[BITS-2:0];
      count <= count - 1'b1;
    end
  end
endmodule
