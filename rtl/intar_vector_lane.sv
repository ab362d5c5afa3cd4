// intar_vector_lane: one physical lane of the vector unit: source -> affine -> binary -> table.
//
// A pipeline that moves as a whole (`move`). What a step decides is the same for all lanes: it is delayed once, outside,
// and each group of settings comes in the move in which it is used (A, B below; element in t):
//   affine_bounds  zero, lo, hi (18 bits each, lowest first)             at t+7
//   binary_zeros   zx, zy (18 each)                                      at t+A
//   binary_scale   mx, my (32 each), shift (6), multiply (1)             at t+A+2
//   binary_bounds  zero, lo, hi (18 each)                                at t+A+7
//   table_index    half (17), low bits (4), first entry (16)             at t+B
//   table_use                                                            at t+B+4 (with slopes), t+B+1 (without)
//   table_round    q (5)                                                 at t+B+3
//   table_bounds   q (5), lo, hi (18 each)                               at t+B+4
// A = 8 with AFFINE, else 1. B = A + 8 with BINARY, else A. Result at t+B, t+B+5 (TABLE and SLOPES) or t+B+2 (TABLE).
module intar_vector_lane #(
    parameter bit AFFINE        = 1'b1,
    parameter bit BINARY        = 1'b1,
    parameter bit TABLE         = 1'b1,
    parameter bit SLOPES        = 1'b1,
    parameter int TABLE_ENTRIES = 256,  // of all slots, 1 to 65536
    parameter int ENTRY_BITS    = (TABLE_ENTRIES > 1) ? $clog2(TABLE_ENTRIES) : 1
) (
    input  logic                  clk,
    input  logic                  move,
    input  logic signed [47:0]    source,
    input  logic signed [47:0]    bias,
    input  logic signed [31:0]    mult,
    input  logic [5:0]            shift,
    input  logic signed [17:0]    operand,        // y
    input  logic [53:0]           affine_bounds,
    input  logic [35:0]           binary_zeros,
    input  logic [70:0]           binary_scale,
    input  logic [53:0]           binary_bounds,
    input  logic [36:0]           table_index,
    input  logic                  table_use,
    input  logic [4:0]            table_round,
    input  logic [40:0]           table_bounds,
    input  logic                  write_base,     // table memory: one entry per cycle, whatever `move` is
    input  logic                  write_slope,
    input  logic [ENTRY_BITS-1:0] write_at,
    input  logic [31:0]           write_data,
    output logic signed [17:0]    result
);
  logic unused;  // an instance without some operation does not look at its settings
  assign unused = &{1'b0, bias, mult, shift, operand, affine_bounds, binary_zeros, binary_scale, binary_bounds, table_index,
                    table_use, table_round, table_bounds, write_base, write_slope, write_at, write_data, source1};

  // ---- source registers
  logic signed [47:0] source1;
  logic signed [17:0] operand1;
  always_ff @(posedge clk) begin
    if (move) begin
      source1 <= source;
      operand1 <= operand;
    end
  end

  // ---- affine: value + bias, then the product in two parts
  logic signed [17:0] affine_value, affine_operand;
  generate
    if (AFFINE) begin : g_affine
      logic signed [47:0] value, bias1;
      logic signed [31:0] mult1, value_mult;
      logic [5:0] shift1, value_shift;
      always_ff @(posedge clk) begin
        if (move) begin
          bias1 <= bias;
          mult1 <= mult;
          shift1 <= shift;
          value <= source1 + bias1;
          value_mult <= mult1;
          value_shift <= shift1;
        end
      end
      intar_scale scale (
          .clk(clk),
          .move(move),
          .high(25'($signed(value[47:24]))),
          .low($signed({1'b0, value[23:0]})),
          .coefficient_a(value_mult),
          .coefficient_b(value_mult),
          .shift(value_shift),
          .split(1'b1),
          .zero($signed(affine_bounds[0+:18])),
          .lo($signed(affine_bounds[18+:18])),
          .hi($signed(affine_bounds[36+:18])),
          .result(affine_value)
      );
      if (BINARY) begin : g_operand
        intar_delay #(
            .WIDTH(18),
            .MOVES(7)
        ) delay (
            .clk(clk),
            .move(move),
            .in_data(operand1),
            .out_data(affine_operand)
        );
      end else begin : g_no_operand
        assign affine_operand = operand1;
      end
    end else begin : g_no_affine
      assign affine_value = source1[17:0];
      assign affine_operand = operand1;
    end
  endgenerate

  // ---- binary: differences, product of the differences, then one pair of multipliers for both operations
  logic signed [17:0] binary_value;
  generate
    if (BINARY) begin : g_binary
      logic signed [17:0] dx, dy, dx2, dy2;
      logic signed [35:0] product;
      logic multiply;
      logic signed [31:0] mx, my;
      assign mx = $signed(binary_scale[0+:32]);
      assign my = $signed(binary_scale[32+:32]);
      assign multiply = binary_scale[70];
      always_ff @(posedge clk) begin
        if (move) begin
          dx <= affine_value - $signed(binary_zeros[0+:18]);
          dy <= affine_operand - $signed(binary_zeros[18+:18]);
          product <= dx * dy;
          dx2 <= dx;
          dy2 <= dy;
        end
      end
      intar_scale scale (
          .clk(clk),
          .move(move),
          .high(multiply ? 25'($signed(product[35:24])) : 25'(dx2)),
          .low(multiply ? $signed({1'b0, product[23:0]}) : 25'(dy2)),
          .coefficient_a(mx),
          .coefficient_b(multiply ? mx : my),
          .shift(binary_scale[64+:6]),
          .split(multiply),
          .zero($signed(binary_bounds[0+:18])),
          .lo($signed(binary_bounds[18+:18])),
          .hi($signed(binary_bounds[36+:18])),
          .result(binary_value)
      );
    end else begin : g_no_binary
      logic unused_operand;
      assign binary_value = affine_value;
      assign unused_operand = &{1'b0, affine_operand};
    end
  endgenerate

  // ---- table
  generate
    if (TABLE) begin : g_table
      logic [16:0] shifted, index;
      logic [3:0] low_bits;
      logic signed [17:0] value1;
      logic [ENTRY_BITS-1:0] at;
      assign low_bits = table_index[17+:4];
      assign shifted = binary_value[16:0] + table_index[0+:17];
      assign index = shifted >> low_bits;
      logic unused_index;
      assign unused_index = &{1'b0, index};
      always_ff @(posedge clk) begin
        if (move) begin
          value1 <= binary_value;
          at <= ENTRY_BITS'(index) + table_index[21+:ENTRY_BITS];
        end
      end
      if (SLOPES) begin : g_slopes
        logic [31:0] bases[0:TABLE_ENTRIES-1];
        logic [31:0] slopes[0:TABLE_ENTRIES-1];
        logic [15:0] fraction1, fraction2;
        logic signed [31:0] base2, slope2, base3;
        logic signed [48:0] product3;
        logic signed [33:0] rounding, sum4, scaled;
        logic signed [17:0] value2, value3, value4, lo, hi;
        logic unused_product;
        assign rounding = (table_round == 5'd0) ? 34'sd0 : 34'sd1 <<< (table_round - 5'd1);
        assign scaled = sum4 >>> table_bounds[4:0];
        assign lo = $signed(table_bounds[5+:18]);
        assign hi = $signed(table_bounds[23+:18]);
        assign unused_product = &{1'b0, product3};
        always_ff @(posedge clk) begin
          if (write_base) bases[write_at] <= write_data;
          if (write_slope) slopes[write_at] <= write_data;
        end
        always_ff @(posedge clk) begin
          if (move) begin
            fraction1 <= 16'(shifted & ~(17'h1FFFF << low_bits));

            base2 <= bases[at];
            slope2 <= slopes[at];
            fraction2 <= fraction1;
            value2 <= value1;

            product3 <= slope2 * $signed({1'b0, fraction2});
            base3 <= base2;
            value3 <= value2;

            sum4 <= 34'(base3) + product3[33:0] + rounding;
            value4 <= value3;

            if (!table_use) result <= value4;
            else if (scaled < 34'(lo)) result <= lo;
            else if (scaled > 34'(hi)) result <= hi;
            else result <= scaled[17:0];
          end
        end
      end else begin : g_values
        // Without slopes the entries were rounded and clamped when they were written.
        logic [17:0] values[0:TABLE_ENTRIES-1];
        logic [17:0] looked_up;
        logic signed [17:0] value2;
        logic use2;
        always_ff @(posedge clk) begin
          if (write_base) values[write_at] <= write_data[17:0];
        end
        always_ff @(posedge clk) begin
          if (move) begin
            looked_up <= values[at];
            value2 <= value1;
            use2 <= table_use;
          end
        end
        assign result = use2 ? $signed(looked_up) : value2;
      end
    end else begin : g_no_table
      assign result = binary_value;
    end
  endgenerate
endmodule
