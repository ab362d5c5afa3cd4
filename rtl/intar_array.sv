// intar_array: the datapath of a core: ROWS x LANES multiply-accumulate cells, output-stationary.
//
// Every cycle with `move` takes one operand pair into the pipeline: operands (cycle t) -> products (t+1) ->
// accumulators (t+2). `first` starts the accumulators at 0, or with `resume` at `context_data`; `flush` copies the
// sums to the shadow accumulators, `spill` to `spill_data`. Flags come with the pair and are used two
// moves later. `shadow_read` puts row `shadow_row` of the shadow accumulators on `out_data` (next cycle).
//
// One process with blocking assignments in reverse pipeline order, unpacked arrays: state private to the process, which
// simulates an order of magnitude faster than a process per cell and synthesises to the same registers.
module intar_array #(
    parameter int ROWS     = 4,
    parameter int LANES    = 4,
    parameter int A_BITS   = 8,
    parameter int W_BITS   = 8,
    parameter int ACC_BITS = 32,  // >= A_BITS + W_BITS - 1, no sum ever overflows it
    parameter bit CONTEXTS = 1'b0,  // spill_data and context_data are used
    parameter int ROW_BITS = (ROWS > 1) ? $clog2(ROWS) : 1
) (
    input  logic                           clk,
    input  logic                           move,
    input  logic                           take,          // the pair is valid
    input  logic [ROWS*A_BITS-1:0]         a_data,
    input  logic [LANES*W_BITS-1:0]        w_data,
    input  logic                           multiply,      // the operand registers hold a pair
    input  logic                           add_valid,     // flags of the pair that is in the product registers
    input  logic                           add_first,
    input  logic                           add_resume,
    input  logic                           add_flush,
    input  logic                           add_spill,
    input  logic [ROWS*LANES*ACC_BITS-1:0] context_data,
    output logic [ROWS*LANES*ACC_BITS-1:0] spill_data,
    input  logic                           shadow_read,
    input  logic [ROW_BITS-1:0]            shadow_row,
    output logic [LANES*ACC_BITS-1:0]      out_data
);
  logic signed [A_BITS-1:0] a[0:ROWS-1];
  logic signed [W_BITS-1:0] w[0:LANES-1];
  logic signed [A_BITS+W_BITS-1:0] product[0:ROWS-1][0:LANES-1];
  logic signed [ACC_BITS-1:0] acc[0:ROWS-1][0:LANES-1];
  logic signed [ACC_BITS-1:0] shadow[0:ROWS-1][0:LANES-1];

  /* verilator lint_off BLKSEQ */
  always_ff @(posedge clk) begin
    if (shadow_read) begin
      /* verilator unroll_full */
      for (int c = 0; c < LANES; c = c + 1) out_data[c*ACC_BITS+:ACC_BITS] <= shadow[shadow_row][c];
    end
    if (move && add_valid) begin
      if (CONTEXTS && add_first && add_resume) begin
        /* verilator unroll_disable */
        for (int r = 0; r < ROWS; r = r + 1) begin
          /* verilator unroll_full */
          for (int c = 0; c < LANES; c = c + 1)
            acc[r][c] = $signed(context_data[(r*LANES+c)*ACC_BITS+:ACC_BITS]) + ACC_BITS'(product[r][c]);
        end
      end else begin
        /* verilator unroll_disable */
        for (int r = 0; r < ROWS; r = r + 1) begin
          /* verilator unroll_full */
          for (int c = 0; c < LANES; c = c + 1)
            acc[r][c] = (add_first ? ACC_BITS'(0) : acc[r][c]) + ACC_BITS'(product[r][c]);
        end
      end
      if (add_flush) begin
        /* verilator unroll_disable */
        for (int r = 0; r < ROWS; r = r + 1) begin
          /* verilator unroll_full */
          for (int c = 0; c < LANES; c = c + 1) shadow[r][c] = acc[r][c];
        end
      end
      if (CONTEXTS && add_spill) begin
        /* verilator unroll_disable */
        for (int r = 0; r < ROWS; r = r + 1) begin
          /* verilator unroll_full */
          for (int c = 0; c < LANES; c = c + 1) spill_data[(r*LANES+c)*ACC_BITS+:ACC_BITS] <= acc[r][c];
        end
      end
    end
    if (move && multiply) begin
      /* verilator unroll_disable */
      for (int r = 0; r < ROWS; r = r + 1) begin
        /* verilator unroll_full */
        for (int c = 0; c < LANES; c = c + 1) product[r][c] = a[r] * w[c];
      end
    end
    if (move && take) begin
      /* verilator unroll_full */
      for (int r = 0; r < ROWS; r = r + 1) a[r] = $signed(a_data[r*A_BITS+:A_BITS]);
      /* verilator unroll_full */
      for (int c = 0; c < LANES; c = c + 1) w[c] = $signed(w_data[c*W_BITS+:W_BITS]);
    end
  end
  /* verilator lint_on BLKSEQ */
endmodule
