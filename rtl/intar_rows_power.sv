// intar_rows_power: one lane of intar_rows: 2^-(distance to the row's maximum), 24 bits after the point.
//
// Latency     operands in t -> power in t+9; `mult` comes in t+1, `shift` in t+3 and is used in t+4, too (it is the same
//             for all lanes and delayed once for all). Never stops.
module intar_rows_power #(
    parameter int BITS = 8
) (
    input  logic                   clk,
    input  logic signed [BITS-1:0] value,
    input  logic signed [BITS-1:0] top,
    input  logic                   used,   // 0: the power is 0
    input  logic        [24:0]     mult,
    input  logic        [5:0]      shift,
    output logic        [24:0]     power
);
  localparam int DEEPEST = 26;  // from this integer part on nothing is left

  logic [BITS-1:0] distance;
  logic [BITS+24:0] product1, product2;
  logic [46:0] rounded, exponent;
  logic [5:0] shift_later;
  logic [4:0] whole1, whole2, whole3;
  logic [7:0] fine;
  logic [40:0] entry;  // value and fall
  logic [24:0] value1, chord;
  logic [23:0] fall;
  logic [7:0] used_later;
  logic [40:0] found;
  intar_rows_table entries (
      .index(exponent[15:8]),
      .entry(found)
  );
  logic [25:0] half;
  assign half = (26'd1 << whole3) >> 1;
  always_ff @(posedge clk) begin
    distance <= BITS'(top - value);
    used_later <= {used_later[6:0], used};

    product1 <= distance * mult;
    product2 <= product1;
    rounded <= 47'(product2) + (47'd1 << (shift - 6'd1));
    shift_later <= shift;
    exponent <= rounded >> shift_later;

    entry <= found;
    fine <= exponent[7:0];
    whole1 <= (exponent[46:16] > 31'(DEEPEST)) ? 5'(DEEPEST) : exponent[20:16];

    fall <= entry[15:0] * fine;
    value1 <= entry[40:16];
    whole2 <= whole1;

    chord <= value1 - 25'((fall + 24'd128) >> 8);
    whole3 <= whole2;

    power <= used_later[7] ? 25'((26'(chord) + half) >> whole3) : 25'd0;
  end
endmodule
