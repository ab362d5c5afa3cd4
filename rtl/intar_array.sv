// intar_array: the datapath of a core: ROWS x LANES multiply-accumulate cells, output-stationary.
//
// A cell adds up DEPTH products: element r DEPTH + d of a_data times element c DEPTH + d of w_data, all d.
//
// Every cycle with `move` takes one operand pair into the pipeline: operands (cycle t) -> products (t+1) ->
// accumulators (t+2). `first` starts the accumulators at 0, or with `resume` at `context_data`; `flush` copies the
// sums to the shadow accumulators, `spill` to `spill_data`. Flags come with the pair and are used two
// moves later. `shadow_read` puts row `shadow_row` of the shadow accumulators on `out_data` (next cycle).
//
// Packing     PACK lanes of a row share a multiplier: w[p] + w[p + FACTORS] 2^FIELD + ... is one factor (FIELD bits hold any
//             product), a[row] the other, and the products of the lanes are the digits of theirs. A digit below 0
//             borrows 1 from the next one: the accumulator of that lane adds the sign as its carry. Exact for all
//             operands, -2^(n-1) among them. 27 x 18 bits hold two products of 8 x 8 bits (25 x 8), or of 16 x 4 (25 x 16).
//
// One process with blocking assignments in reverse pipeline order, unpacked arrays: state private to the process, which
// simulates an order of magnitude faster than a process per cell and synthesises to the same registers.
module intar_array #(
    parameter int ROWS     = 4,
    parameter int LANES    = 4,
    parameter int DEPTH    = 1,
    parameter int A_BITS   = 8,
    parameter int W_BITS   = 8,
    parameter int A_USED   = A_BITS,  // bits of an operand that count: it fits in them
    parameter int W_USED   = W_BITS,
    parameter int PACK     = 1,  // 1 ... LANES
    parameter int ACC_BITS = 32,  // no sum ever overflows it
    parameter bit CONTEXTS = 1'b0,  // spill_data and context_data are used
    parameter int ROW_BITS = (ROWS > 1) ? $clog2(ROWS) : 1
) (
    input  logic                           clk,
    input  logic                           move,
    input  logic                           take,          // the pair is valid
    input  logic [ROWS*DEPTH*A_BITS-1:0]   a_data,
    input  logic [LANES*DEPTH*W_BITS-1:0]  w_data,
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
  localparam int FIELD = A_USED + W_USED;
  localparam int FACTORS = (LANES + PACK - 1) / PACK;  // multipliers of a row
  localparam int FACTOR_BITS = (PACK > 1) ? (PACK - 1) * FIELD + W_USED + 1 : W_USED;

  localparam int PRODUCTS = DEPTH * FACTORS;  // of a row: all of the first channel, then those of the next one

  logic signed [A_USED-1:0] a[0:ROWS*DEPTH-1];
  logic signed [FACTOR_BITS-1:0] w[0:PRODUCTS-1];
  logic [PACK*FIELD-1:0] product[0:ROWS-1][0:PRODUCTS-1];
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
            acc[r][c] = $signed(context_data[(r*LANES+c)*ACC_BITS+:ACC_BITS]);
        end
      end else if (add_first) begin
        /* verilator unroll_disable */
        for (int r = 0; r < ROWS; r = r + 1) begin
          /* verilator unroll_full */
          for (int c = 0; c < LANES; c = c + 1) acc[r][c] = '0;
        end
      end
      /* verilator unroll_disable */
      for (int r = 0; r < ROWS; r = r + 1) begin
        /* verilator unroll_full */
        for (int p = 0; p < PRODUCTS; p = p + 1)
          acc[r][p%FACTORS] = acc[r][p%FACTORS] + ACC_BITS'($signed(product[r][p][0+:FIELD]));
        /* verilator unroll_full */
        for (int d = 0; d < PRODUCTS; d = d + FACTORS) begin
          /* verilator unroll_full */
          for (int c = FACTORS; c < LANES; c = c + 1)
            acc[r][c] = acc[r][c] + ACC_BITS'($signed(product[r][d+c%FACTORS][c/FACTORS*FIELD+:FIELD]))
                + ACC_BITS'({1'b0, product[r][d+c%FACTORS][c/FACTORS*FIELD-1]});
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
        for (int p = 0; p < PRODUCTS; p = p + 1)
          product[r][p] = (PACK*FIELD)'(a[r*DEPTH+p/FACTORS] * w[p]);
      end
    end
    if (move && take) begin
      /* verilator unroll_full */
      for (int r = 0; r < ROWS * DEPTH; r = r + 1) a[r] = $signed(a_data[r*A_BITS+:A_USED]);
      /* verilator unroll_full */
      for (int p = 0; p < PRODUCTS; p = p + 1) begin
        w[p] = FACTOR_BITS'($signed(w_data[(p%FACTORS*DEPTH+p/FACTORS)*W_BITS+:W_USED]));
        for (int c = p % FACTORS + FACTORS; c < LANES; c = c + FACTORS)
          w[p] = w[p] + (FACTOR_BITS'($signed(w_data[(c*DEPTH+p/FACTORS)*W_BITS+:W_USED]))
              <<< (c / FACTORS * FIELD));
      end
    end
  end
  /* verilator lint_on BLKSEQ */
endmodule
