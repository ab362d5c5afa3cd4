// intar_rows_root: the reciprocal root of a row's spread W = count squares - sum^2 + epsilon (docs/numerics.md, LayerNorm).
//
//   pair   floor(log2(W) / 2);  root  the greatest integer below 2^19 with root^2 w <= 2^60, w = W 2^22 / 4^pair (24 bits)
//
// Bit by bit: `rest` = 2^60 - root^2 w, `part` = 2^(b+1) root w and `term` = 4^b w for the bit b that is tried.
// Latency     go in t (while !busy) -> ready in t+24, with root and pair; !busy in t+25.
module intar_rows_root (
    input  logic               clk,
    input  logic               rst_n,
    input  logic               go,
    input  logic        [15:0] count,
    input  logic signed [31:0] sum,
    input  logic        [45:0] squares,
    input  logic        [60:0] epsilon,
    output logic               busy,
    output logic               ready,
    output logic        [18:0] root,
    output logic        [ 4:0] pair
);
  localparam logic [4:0] PREPARE = 5'd4, LAST = 5'd23;

  logic [4:0] phase, highest;
  logic [15:0] count_in;
  logic signed [31:0] sum_in;
  logic [60:0] epsilon_in;
  logic [45:0] squares_in;
  logic [61:0] product1, product2, square1, square2, spread;
  logic [83:0] shifted;
  logic [62:0] rest, part, term, both;
  logic [17:0] result;
  logic fits;
  always_comb begin
    highest = 5'd0;
    for (int i = 1; i <= 30; i = i + 1) begin
      if (spread[2*i+:2] != 2'd0) highest = 5'(i);
    end
  end
  assign shifted = {spread, 22'd0} >> {pair, 1'b0};
  assign both = part + term;
  assign fits = rest >= both;
  assign ready = busy && phase == LAST;
  assign root = {result, fits};
  always_ff @(posedge clk) begin
    if (!rst_n) busy <= 1'b0;
    else if (go) busy <= 1'b1;
    else if (ready) busy <= 1'b0;
    phase <= go ? 5'd0 : phase + 1'b1;
    if (go) begin
      count_in <= count;
      sum_in <= sum;
      epsilon_in <= epsilon;
      squares_in <= squares;
    end
    product1 <= 62'(count_in) * 62'(squares_in);
    product2 <= product1;
    square1 <= 62'(64'(sum_in) * 64'(sum_in));
    square2 <= square1;
    spread <= product2 - square2 + 62'(epsilon_in);
    if (phase == PREPARE - 5'd1) pair <= highest;
    if (phase == PREPARE) begin
      rest <= 63'd1 << 60;
      part <= '0;
      term <= 63'(shifted[23:0]) << 36;
    end else begin
      if (fits) rest <= rest - both;
      part <= (fits ? both + term : part) >> 1;
      term <= term >> 2;
      result <= root[17:0];
    end
  end

  logic unused;
  assign unused = &{1'b0, shifted[83:24]};
endmodule
