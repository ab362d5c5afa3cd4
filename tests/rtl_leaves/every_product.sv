// Every combination of operands of one packed multiplier: A_BITS x W_BITS bits, PACK products at a time.
//
// A pair a cycle into an array of 16 x 16 PACK cells, none held longer than that: row r has the lowest four bits of its operand
// from r, lane p those of the first operand of its multiplier from p, and a counter has all other bits. `errors` counts the cycles
// with a wrong product; `done` comes when all have been seen.
module every_product #(
    parameter int A_BITS = 8,
    parameter int W_BITS = 8,
    parameter int PACK   = 2
) (
    input  logic        clk,
    input  logic        rst_n,
    output logic        done,
    output logic [31:0] seen,
    output logic [31:0] errors
);
  localparam int SIDE = 16;
  localparam int LANES = SIDE * PACK;
  localparam int ACC_BITS = A_BITS + W_BITS;
  localparam int COUNT_BITS = A_BITS + PACK * W_BITS - 8;

  logic [COUNT_BITS:0] count;
  logic [2:0] full;
  logic [SIDE*A_BITS-1:0] a_data, a_past[0:2];
  logic [LANES*W_BITS-1:0] w_data, w_past[0:2];
  logic [SIDE*LANES*ACC_BITS-1:0] sums;
  logic wrong;
  logic [LANES*ACC_BITS-1:0] unused_out;

  always_comb begin
    for (int n = 0; n < SIDE; n++) begin
      a_data[n*A_BITS+:A_BITS] = A_BITS'({count[COUNT_BITS-1:0], 4'(n)});
      for (int d = 0; d < PACK; d++)
        w_data[(d*SIDE+n)*W_BITS+:W_BITS] = W_BITS'({count[COUNT_BITS-1:0] >> (A_BITS - 4), 4'(n)} >> (d * W_BITS));
    end
    wrong = 1'b0;
    for (int r = 0; r < SIDE; r++)
      for (int c = 0; c < LANES; c++)
        if ($signed(sums[(r*LANES+c)*ACC_BITS+:ACC_BITS]) !=
            $signed(a_past[2][r*A_BITS+:A_BITS]) * $signed(w_past[2][c*W_BITS+:W_BITS]))
          wrong = 1'b1;
  end

  always_ff @(posedge clk) begin
    if (!rst_n) begin
      count <= '0;
      full <= '0;
      seen <= '0;
      errors <= '0;
    end else begin
      if (!count[COUNT_BITS]) count <= count + 1'b1;
      full <= {full[1:0], !count[COUNT_BITS]};
      if (full[2]) seen <= seen + 1;
      if (full[2] && wrong) errors <= errors + 1;
    end
    a_past[0] <= a_data;
    w_past[0] <= w_data;
    for (int n = 1; n < 3; n++) begin
      a_past[n] <= a_past[n-1];
      w_past[n] <= w_past[n-1];
    end
  end
  assign done = count[COUNT_BITS] && full == 3'd0;

  intar_array #(
      .ROWS(SIDE),
      .LANES(LANES),
      .A_BITS(A_BITS),
      .W_BITS(W_BITS),
      .PACK(PACK),
      .ACC_BITS(ACC_BITS),
      .CONTEXTS(1'b1)
  ) array (
      .clk(clk),
      .move(1'b1),
      .take(!count[COUNT_BITS]),
      .a_data(a_data),
      .w_data(w_data),
      .multiply(full[0]),
      .add_valid(full[1]),
      .add_first(1'b1),
      .add_resume(1'b0),
      .add_flush(1'b0),
      .add_spill(1'b1),
      .context_data('0),
      .spill_data(sums),
      .shadow_read(1'b0),
      .shadow_row('0),
      .out_data(unused_out)
  );
endmodule
