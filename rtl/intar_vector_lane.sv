// intar_vector_lane: one physical lane of the vector unit: source -> affine -> binary -> rational -> table.
//
// Where no step has both affine and binary (MERGED) both use one scaler at the place of the binary operation; with SHIFT_ONLY all
// coefficients are powers of two and a scaler is a shifter.
//
// A pipeline that moves as a whole (`move`). What a step decides is the same for all lanes: it is delayed once, outside,
// and each group of settings comes in the move in which it is used (A, B below; element in t):
//   affine_bounds  zero, lo, hi (18 bits each, lowest first)             at t+7
//   binary_zeros   zx, zy (18 each)                                      at t+A
//   binary_scale   mx, my (32 each), shift (6), multiply (1), affine (1) at t+A+2
//   binary_bounds  zero, lo, hi (18 each)                                at t+A+7
//                  With LATE the zero is that much more: `late`, which comes with the element.
//   rational_*     see intar_rational; its operand                       at t+B
//   table_index    half (17), low bits (4), first entry (16), log2 of a group's entries (4)   at t+C
//   table_use                                                            at t+T-1
//   table_round    q (5)                                                 at t+T-2
//   table_bounds   q (5), lo, hi (18 each)                               at t+T-1
// A = 8 with AFFINE before BINARY, else 1. B = A + 8 with BINARY, else A. C = B + 19 with RATIONAL, else B. Result at t+T:
// T = C, with TABLE C + 2, with SLOPES C + 5, with CURVES C + 7. With MERGED `affine` chooses the affine operation and binary_bounds holds its bounds. With SHIFT_ONLY the
// multiplier of affine and of the product is 2^30, mx holds log2 of it (5 bits), my also 32 if it is not 0 and 64 if
// it is negative.
module intar_vector_lane #(
    parameter bit AFFINE        = 1'b1,
    parameter bit BINARY        = 1'b1,
    parameter bit MERGED        = 1'b0,  // only with AFFINE and BINARY
    parameter bit PRODUCT       = 1'b1,  // some binary operation is a product
    parameter bit LATE          = 1'b0,  // some bias is added to its result; only with AFFINE and BINARY, not MERGED
    parameter bit SHIFT_ONLY    = 1'b0,
    parameter int VALUE_BITS    = 48,    // of source + bias, up to 48
    parameter bit RATIONAL      = 1'b0,
    parameter int SETS          = 1,     // of coefficients of rational functions, all slots, 1 to 65536
    parameter bit TABLE         = 1'b1,
    parameter bit SLOPES        = 1'b1,
    parameter bit CURVES        = 1'b0,  // only with SLOPES
    parameter int TABLE_ENTRIES = 256,  // of all slots, 1 to 65536
    parameter int GROUP_BITS    = 0,    // of a function's group, 0 to 12; 0: functions without groups
    parameter int SET_BITS      = (SETS > 1) ? $clog2(SETS) : 1,
    parameter int BASE_BITS     = 32,   // of a base, 1 to 32; without SLOPES of a result, 1 to 18
    parameter int SLOPE_BITS    = 32,   // of a slope, also at the end of a curve, 1 to 32
    parameter int CURVE_BITS    = 18,   // of a curve, 1 to 18
    parameter int WRITE         = 4,    // table entries written at a time, see intar_lookup
    parameter int WIDTH         = 32,   // bits of an entry that is written
    parameter int ENTRY_BITS    = (TABLE_ENTRIES > 1) ? $clog2(TABLE_ENTRIES) : 1,
    parameter int GROUP         = (GROUP_BITS > 0) ? GROUP_BITS : 1,
    parameter     STYLE         = "auto"  // ram_style of the tables: distributed, block, auto
) (
    input  logic                  clk,
    input  logic                  move,
    input  logic signed [47:0]    source,
    input  logic signed [47:0]    bias,
    input  logic signed [17:0]    late,
    input  logic signed [31:0]    mult,
    input  logic [5:0]            shift,
    input  logic [GROUP-1:0]      group,          // of the function
    input  logic signed [17:0]    operand,        // y
    input  logic [53:0]           affine_bounds,
    input  logic [35:0]           binary_zeros,
    input  logic [71:0]           binary_scale,
    input  logic [53:0]           binary_bounds,
    input  logic [37:0]           rational_where,
    input  logic                  rational_fine,
    input  logic                  rational_used,
    input  logic [53:0]           rational_bounds,
    input  logic [40:0]           table_index,
    input  logic                  table_use,
    input  logic [4:0]            table_round,
    input  logic [40:0]           table_bounds,
    input  logic [10:0]           write_words,    // of a set of coefficients, whatever `move` is
    input  logic [SET_BITS-1:0]   write_set,
    input  logic [11*32-1:0]      write_set_data,
    input  logic                  write_base,     // table memory: WRITE entries per cycle, whatever `move` is
    input  logic                  write_slope,
    input  logic                  write_curve,
    input  logic [ENTRY_BITS-1:0] write_at,
    input  logic [WRITE*WIDTH-1:0] write_data,
    output logic signed [17:0]    result
);
  logic unused;  // an instance without some operation does not look at its settings
  assign unused = &{1'b0, rational_where, rational_fine, rational_used, rational_bounds, write_words, write_set, write_set_data, bias, late, mult, shift, operand, affine_bounds, binary_zeros, binary_scale, binary_bounds, table_index,
                    table_use, table_round, table_bounds, write_base, write_slope, write_curve, write_at, write_data, group, source1, value, value_mult,
                    value_shift, late_value, late_mult, late_shift};

  // ---- source registers
  logic signed [47:0] source1;
  logic signed [17:0] operand1;
  always_ff @(posedge clk) begin
    if (move) begin
      source1 <= source;
      operand1 <= operand;
    end
  end

  // ---- affine: value + bias, then the scaler
  logic signed [47:0] value, late_value;  // source + bias, and two moves later (MERGED)
  logic signed [31:0] value_mult, late_mult;
  logic [5:0] value_shift, late_shift;
  generate
    if (AFFINE) begin : g_value
      logic signed [47:0] bias1;
      logic signed [31:0] mult1;
      logic [5:0] shift1;
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
    end else begin : g_no_value
      assign value = '0;
      assign value_mult = '0;
      assign value_shift = '0;
    end
    if (AFFINE && MERGED) begin : g_merged
      always_ff @(posedge clk) begin
        if (move) begin
          late_value <= value;
          late_mult <= value_mult;
          late_shift <= value_shift;
        end
      end
    end else begin : g_apart
      assign late_value = '0;
      assign late_mult = '0;
      assign late_shift = '0;
    end
  endgenerate

  logic signed [17:0] affine_value, affine_operand;
  generate
    if (AFFINE && !MERGED) begin : g_affine
      if (SHIFT_ONLY) begin : g_shift
        intar_shift #(
            .WIDTH(VALUE_BITS + 7)
        ) scale (
            .clk(clk),
            .move(move),
            .a(value),
            .b(25'sd0),
            .shift_a(5'd6),
            .shift_b(5'd0),
            .shift(value_shift - 6'd24),
            .zero($signed(affine_bounds[0+:18])),
            .lo($signed(affine_bounds[18+:18])),
            .hi($signed(affine_bounds[36+:18])),
            .result(affine_value)
        );
      end else begin : g_scale
        localparam bit WIDE = VALUE_BITS > 25;
        intar_scale #(
            .WIDE(WIDE)
        ) scale (
            .clk(clk),
            .move(move),
            .high(WIDE ? 25'($signed(value[47:24])) : $signed(value[24:0])),
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
      end
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

  // ---- binary: differences, product of the differences, then the scaler
  logic signed [17:0] binary_value;
  generate
    if (BINARY) begin : g_binary
      logic signed [17:0] dx, dy, dx2, dy2;
      logic signed [35:0] product;
      logic signed [47:0] whole;  // what is scaled by one coefficient: the product, or the affine value
      logic affine_now, split;
      logic [5:0] shift2;
      logic signed [17:0] zero, more;
      if (LATE) begin : g_late
        intar_delay #(
            .WIDTH(18),
            .MOVES(15)
        ) delay (
            .clk(clk),
            .move(move),
            .in_data(late),
            .out_data(more)
        );
      end else begin : g_not_late
        assign more = '0;
      end
      assign zero = $signed(binary_bounds[0+:18]) + more;
      assign affine_now = MERGED && binary_scale[71];
      assign split = affine_now || binary_scale[70];
      assign whole = affine_now ? late_value : 48'(product);
      assign shift2 = affine_now ? late_shift : binary_scale[64+:6];
      always_ff @(posedge clk) begin
        if (move) begin
          dx <= affine_value - $signed(binary_zeros[0+:18]);
          dy <= affine_operand - $signed(binary_zeros[18+:18]);
          product <= PRODUCT ? dx * dy : 36'sd0;
          dx2 <= dx;
          dy2 <= dy;
        end
      end
      if (SHIFT_ONLY) begin : g_shift
        logic signed [24:0] second;
        assign second = binary_scale[38] ? -25'(dy2) : 25'(dy2);
        // Sums have 18 bits, shifted by up to 29; products 36, shifted by 6.
        intar_shift #(
            .WIDTH((MERGED && VALUE_BITS > 42) ? VALUE_BITS + 7 : 49)
        ) scale (
            .clk(clk),
            .move(move),
            .a(split ? whole : 48'(dx2)),
            .b((split || !binary_scale[37]) ? 25'sd0 : second),
            .shift_a(split ? 5'd6 : binary_scale[0+:5]),
            .shift_b(binary_scale[32+:5]),
            .shift(split ? shift2 - 6'd24 : shift2),
            .zero(zero),
            .lo($signed(binary_bounds[18+:18])),
            .hi($signed(binary_bounds[36+:18])),
            .result(binary_value)
        );
      end else begin : g_scale
        logic signed [31:0] mx, my;
        assign mx = affine_now ? late_mult : $signed(binary_scale[0+:32]);
        assign my = $signed(binary_scale[32+:32]);
        intar_scale scale (
            .clk(clk),
            .move(move),
            .high(split ? 25'($signed(whole[47:24])) : 25'(dx2)),
            .low(split ? $signed({1'b0, whole[23:0]}) : 25'(dy2)),
            .coefficient_a(mx),
            .coefficient_b(split ? mx : my),
            .shift(shift2),
            .split(split),
            .zero(zero),
            .lo($signed(binary_bounds[18+:18])),
            .hi($signed(binary_bounds[36+:18])),
            .result(binary_value)
        );
      end
    end else begin : g_no_binary
      logic unused_operand;
      assign binary_value = affine_value;
      assign unused_operand = &{1'b0, affine_operand};
    end
  endgenerate

  // ---- rational function
  logic signed [17:0] function_value;
  generate
    if (RATIONAL) begin : g_rational
      logic [GROUP-1:0] member;
      intar_delay #(
          .WIDTH(GROUP),
          .MOVES((AFFINE && !MERGED ? 8 : 1) + (BINARY ? 8 : 0))
      ) delay (
          .clk(clk),
          .move(move),
          .in_data(group),
          .out_data(member)
      );
      intar_rational #(
          .GROUPS(SETS),
          .GROUP_BITS(GROUP)
      ) evaluate (
          .clk(clk),
          .move(move),
          .value(binary_value),
          .group(member),
          .where(rational_where),
          .fine(rational_fine),
          .used(rational_used),
          .bounds(rational_bounds),
          .write(write_words),
          .write_at(write_set),
          .write_data(write_set_data),
          .result(function_value)
      );
    end else begin : g_no_rational
      assign function_value = binary_value;
    end
  endgenerate

  // ---- table
  generate
    if (TABLE) begin : g_table
      logic [GROUP-1:0] table_group;
      if (GROUP_BITS > 0) begin : g_groups
        intar_delay #(
            .WIDTH(GROUP),
            .MOVES((AFFINE && !MERGED ? 8 : 1) + (BINARY ? 8 : 0) + (RATIONAL ? 19 : 0))
        ) delay (
            .clk(clk),
            .move(move),
            .in_data(group),
            .out_data(table_group)
        );
      end else begin : g_no_groups
        assign table_group = '0;
      end
      intar_lookup #(
          .SLOPES(SLOPES),
          .CURVES(CURVES),
          .TABLE_ENTRIES(TABLE_ENTRIES),
          .GROUP_BITS(GROUP_BITS),
          .BASE_BITS(BASE_BITS),
          .SLOPE_BITS(SLOPE_BITS),
          .CURVE_BITS(CURVE_BITS),
          .WRITE(WRITE),
          .WIDTH(WIDTH),
          .STYLE(STYLE)
      ) lookup (
          .clk(clk),
          .move(move),
          .value(function_value),
          .group(table_group),
          .table_index(table_index),
          .table_use(table_use),
          .table_round(table_round),
          .table_bounds(table_bounds),
          .write_base(write_base),
          .write_slope(write_slope),
          .write_curve(write_curve),
          .write_at(write_at),
          .write_data(write_data),
          .result(result)
      );
    end else begin : g_no_table
      assign result = function_value;
    end
  endgenerate
endmodule
