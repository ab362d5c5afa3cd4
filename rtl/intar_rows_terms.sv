// intar_rows_terms: second pass over a row: what is kept of each element, and what a row is divided by.
//
//   kind 0  softmax: powers of two of the distances to `top`, and their sum
//        1  normalisation: elements times 2^lift; their sum (0 unless `centred`) and that of their squares
//        2  row over its peak: elements; for the sum 2^24 times the peak, which is 1 at least
//        3  peak: 1; the same
//
// `top` is that of intar_rows_maximum. A row's slices come one behind the other, perhaps with pauses between rows.
//
// Latency     operands of a slice in t, which `go` says, `values` and `top` in t+1 -> `terms` in t+10; of a row's last slice ->
//             total, sum and squares in t+11, for this cycle. Never stops.
module intar_rows_terms #(
    parameter int RATE = 4,         // elements of a slice
    parameter int BITS = 8,
    parameter bit SOFTMAX = 1'b1,   // kinds that there are
    parameter bit NORM = 1'b0,
    parameter bit PEAK = 1'b0       // 2 and 3
) (
    input  logic                        clk,
    input  logic                        rst_n,
    input  logic                        go,
    input  logic                        first,        // slice of its row
    input  logic                        last,
    input  logic        [          1:0] kind,
    input  logic                        centred,
    input  logic        [          3:0] lift,
    input  logic        [         24:0] mult,         // of powers, as shift
    input  logic        [          5:0] shift,
    input  logic        [     RATE-1:0] used,         // elements that count: others are 0
    input  logic        [RATE*BITS-1:0] values,
    input  logic signed [     BITS-1:0] top,
    output logic                        terms_valid,
    output logic        [  RATE*25-1:0] terms,
    output logic                        sums_valid,
    output logic        [         40:0] total,
    output logic signed [         31:0] sum,
    output logic        [         45:0] squares
);
  localparam int POWER = 25, TOTAL = 41;
  localparam logic [1:0] PEAK_ALONE = 2'd3;

  logic [RATE-1:0] used1;
  logic [9:0] going;
  logic first10, last10, go11, first11, last11;
  intar_delay #(.WIDTH(2), .MOVES(10)) places (.clk(clk), .move(1'b1), .in_data({first, last}), .out_data({first10, last10}));
  assign terms_valid = going[9];
  assign sums_valid = go11 && last11;
  always_ff @(posedge clk) begin
    used1 <= used;
    going <= rst_n ? {going[8:0], go} : '0;
    go11 <= rst_n && going[9];
    first11 <= first10;
    last11 <= last10;
  end

  // Powers of two.
  logic [RATE*POWER-1:0] powers;
  generate
    if (SOFTMAX) begin : g_powers
      logic [24:0] mult2;
      logic [5:0] shift4;
      intar_delay #(.WIDTH(25), .MOVES(2)) mults (.clk(clk), .move(1'b1), .in_data(mult), .out_data(mult2));
      intar_delay #(.WIDTH(6), .MOVES(4)) shifts (.clk(clk), .move(1'b1), .in_data(shift), .out_data(shift4));
      for (genvar p = 0; p < RATE; p = p + 1) begin : g_lane
        intar_rows_power #(
            .BITS(BITS)
        ) lane (
            .clk(clk),
            .value(values[p*BITS+:BITS]),
            .top(top),
            .used(used1[p]),
            .mult(mult2),
            .shift(shift4),
            .power(powers[p*POWER+:POWER])
        );
      end
    end else begin : g_no_powers
      assign powers = '0;
    end
  endgenerate

  // Elements, 16 bits wide.
  logic [RATE*16-1:0] elements9;
  logic [RATE*POWER-1:0] elements;
  logic plain10;  // no powers are wanted
  generate
    if (NORM || PEAK) begin : g_elements
      logic alone1;
      logic [3:0] lift1;
      logic [RATE*16-1:0] elements2;
      intar_delay #(.WIDTH(RATE * 16), .MOVES(7)) later (.clk(clk), .move(1'b1), .in_data(elements2), .out_data(elements9));
      intar_delay #(.WIDTH(1), .MOVES(10)) kinds (.clk(clk), .move(1'b1), .in_data(kind != 2'd0), .out_data(plain10));
      always_ff @(posedge clk) begin
        alone1 <= PEAK && kind == PEAK_ALONE;
        lift1 <= NORM ? lift : 4'd0;
        for (int p = 0; p < RATE; p = p + 1) begin
          elements2[p*16+:16] <= alone1 ? 16'd1 : used1[p] ? 16'($signed(values[p*BITS+:BITS])) << lift1 : 16'd0;
          elements[p*POWER+:POWER] <= POWER'($signed(elements9[p*16+:16]));
        end
      end
    end else begin : g_no_elements
      assign {elements9, elements, plain10} = '0;
    end
  endgenerate
  assign terms = plain10 ? elements : powers;

  // The sum of powers, or the peak.
  logic [TOTAL-1:0] powers_total;
  generate
    if (SOFTMAX) begin : g_total
      logic [TOTAL-1:0] slice_total, slice_total11, earlier;
      always_comb begin
        slice_total = '0;
        for (int p = 0; p < RATE; p = p + 1) slice_total = slice_total + TOTAL'(powers[p*POWER+:POWER]);
      end
      assign powers_total = first11 ? slice_total11 : earlier + slice_total11;
      always_ff @(posedge clk) begin
        slice_total11 <= slice_total;
        if (go11) earlier <= powers_total;
      end
    end else begin : g_no_total
      assign powers_total = '0;
    end
    if (PEAK) begin : g_peak
      logic heights11;
      logic [BITS-1:0] height1, height11;
      intar_delay #(.WIDTH(1), .MOVES(11)) kinds (.clk(clk), .move(1'b1), .in_data(kind[1]), .out_data(heights11));
      intar_delay #(.WIDTH(BITS), .MOVES(10)) height (.clk(clk), .move(1'b1), .in_data(height1), .out_data(height11));
      always_comb begin
        height1 = {!top[BITS-1], top[BITS-2:0]};
        if (height1 == '0) height1 = BITS'(1);
      end
      assign total = heights11 ? {1'b0, 40'(height11) << 24} : powers_total;
    end else begin : g_no_peak
      assign total = powers_total;
    end
  endgenerate

  // The sums of a normalised row's elements and of their squares.
  generate
    if (NORM) begin : g_moments
      logic signed [31:0] slice_sum10, slice_sum11, sum_before, new_sum;
      logic [45:0] slice_square10, slice_square11, squares_before;
      logic signed [31:0] element_squares[0:RATE-1];
      logic centred11;
      intar_delay #(.WIDTH(1), .MOVES(11)) centre (.clk(clk), .move(1'b1), .in_data(centred), .out_data(centred11));
      always_comb begin
        slice_sum10 = '0;
        slice_square10 = '0;
        for (int p = 0; p < RATE; p = p + 1) begin
          slice_sum10 = slice_sum10 + 32'($signed(elements[p*POWER+:16]));
          slice_square10 = slice_square10 + 46'(element_squares[p]);
        end
      end
      assign new_sum = first11 ? slice_sum11 : sum_before + slice_sum11;
      assign sum = centred11 ? new_sum : '0;
      assign squares = first11 ? slice_square11 : squares_before + slice_square11;
      always_ff @(posedge clk) begin
        for (int p = 0; p < RATE; p = p + 1) element_squares[p] <= $signed(elements9[p*16+:16]) * $signed(elements9[p*16+:16]);
        slice_sum11 <= slice_sum10;
        slice_square11 <= slice_square10;
        if (go11) begin
          sum_before <= new_sum;
          squares_before <= squares;
        end
      end
    end else begin : g_no_moments
      assign {sum, squares} = '0;
    end
  endgenerate

  logic unused;
  assign unused = &{1'b0, kind, centred, lift, mult, shift, values, top, elements9, used1, go11, first11};
endmodule
