// intar_vector_lanes: the RATE lanes of a vector unit side by side: a slice of RATE elements of the operands' beats a move.
//
// Beats of acc, x and y and the parameters of the group have LANES elements; `slice` says which RATE of them enter. `step` is the
// step of intar_vector that they belong to: it chooses the source, whose parameters hold (lanes' own, a row's, the
// step's), and what the lanes do, for which its settings follow the elements. Writes fill the lanes' memories whatever
// `move` is.
// Latency     T moves, as intar_vector_lane has it.
// Throughput  RATE elements a move, across steps without a gap.
module intar_vector_lanes #(
    parameter int LANES         = 4,     // elements of a beat
    parameter int RATE          = 4,     // lanes; divides LANES
    parameter int ACC_BITS      = 32,    // of acc, up to 47
    parameter int BITS          = 8,     // of x, y and results, up to 16
    parameter bit HAS_ACC       = 1'b1,  // sources that some step has
    parameter bit HAS_X         = 1'b1,
    parameter bit LANE_PARAMS   = 1'b1,  // ways of parameters that some step uses
    parameter bit ROW_PARAMS    = 1'b1,
    parameter bit AFFINE        = 1'b1,  // from here on see intar_vector_lane
    parameter bit BINARY        = 1'b1,
    parameter bit MERGED        = 1'b0,
    parameter bit PRODUCT       = 1'b1,
    parameter bit LATE          = 1'b0,
    parameter bit SPREAD        = 1'b0,  // some step has the first element of a beat of y for all lanes
    parameter bit SHIFT_ONLY    = 1'b0,
    parameter int VALUE_BITS    = 48,
    parameter bit RATIONAL      = 1'b0,
    parameter int SETS          = 1,
    parameter bit TABLE         = 1'b1,
    parameter bit SLOPES        = 1'b0,
    parameter bit CURVES        = 1'b0,
    parameter int TABLE_ENTRIES = 256,
    parameter int GROUP_BITS    = 0,
    parameter int BASE_BITS     = 32,
    parameter int SLOPE_BITS    = 32,
    parameter int CURVE_BITS    = 18,
    parameter int WRITE         = 4,
    parameter int WIDTH         = 32,
    parameter     STYLE         = "auto",
    parameter int SLICE_BITS    = (LANES > RATE) ? $clog2(LANES / RATE) : 1,
    parameter int GROUP         = (GROUP_BITS > 0) ? GROUP_BITS : 1,
    parameter int SET_BITS      = (SETS > 1) ? $clog2(SETS) : 1,
    parameter int ENTRY_BITS    = (TABLE_ENTRIES > 1) ? $clog2(TABLE_ENTRIES) : 1
) (
    input  logic                      clk,
    input  logic                      move,
    input  logic [616:0]              step,
    input  logic [SLICE_BITS-1:0]     slice,
    input  logic [LANES*ACC_BITS-1:0] acc_data,
    input  logic [LANES*BITS-1:0]     x_data,
    input  logic [LANES*BITS-1:0]     y_data,
    input  logic [LANES*32-1:0]       lane_mults,
    input  logic [LANES*6-1:0]        lane_shifts,
    input  logic [LANES*32-1:0]       lane_lows,
    input  logic [LANES*16-1:0]       lane_highs,
    input  logic [LANES*GROUP-1:0]    lane_groups,
    input  logic [127:0]              row_values,  // multiplier, shift and group, bias low, bias high
    input  logic [10:0]               write_words,
    input  logic [SET_BITS-1:0]       write_set,
    input  logic [11*32-1:0]          write_set_data,
    input  logic                      write_base,
    input  logic                      write_slope,
    input  logic                      write_curve,
    input  logic [ENTRY_BITS-1:0]     write_at,
    input  logic [WRITE*WIDTH-1:0]    write_data,
    output logic [RATE*BITS-1:0]      results
);
  localparam int SLICES = LANES / RATE;
  localparam bit PER_CHANNEL = LANE_PARAMS || ROW_PARAMS;

  // ---- settings of the step, delayed once for all lanes
  logic [53:0] affine_bounds, binary_bounds, rational_bounds;
  logic [35:0] binary_zeros;
  logic [71:0] binary_scale;
  logic [37:0] rational_where;
  logic rational_fine, rational_used, table_use;
  logic [40:0] table_index, table_bounds;
  logic [4:0] table_round;
  intar_vector_settings #(
      .AFFINE(AFFINE),
      .BINARY(BINARY),
      .MERGED(MERGED),
      .RATIONAL(RATIONAL),
      .TABLE(TABLE),
      .SLOPES(SLOPES),
      .CURVES(CURVES)
  ) settings (
      .clk(clk),
      .move(move),
      .step(step),
      .affine_bounds(affine_bounds),
      .binary_zeros(binary_zeros),
      .binary_scale(binary_scale),
      .binary_bounds(binary_bounds),
      .rational_where(rational_where),
      .rational_fine(rational_fine),
      .rational_used(rational_used),
      .rational_bounds(rational_bounds),
      .table_index(table_index),
      .table_use(table_use),
      .table_round(table_round),
      .table_bounds(table_bounds)
  );

  // ---- the slice that enters
  logic [RATE*ACC_BITS-1:0] acc_slice;
  logic [RATE*BITS-1:0] x_slice, y_slice;
  logic [RATE*32-1:0] mult_slice, low_slice;
  logic [RATE*6-1:0] shift_slice;
  logic [RATE*16-1:0] high_slice;
  logic [RATE*GROUP-1:0] group_slice;
  intar_slice #(.SLICES(SLICES), .WIDTH(RATE*ACC_BITS)) acc_part (.data(acc_data), .index(slice), .slice(acc_slice));
  intar_slice #(.SLICES(SLICES), .WIDTH(RATE*BITS)) x_part (.data(x_data), .index(slice), .slice(x_slice));
  intar_slice #(.SLICES(SLICES), .WIDTH(RATE*BITS)) y_part (.data(y_data), .index(slice), .slice(y_slice));
  intar_slice #(.SLICES(SLICES), .WIDTH(RATE*32)) mult_part (.data(lane_mults), .index(slice), .slice(mult_slice));
  intar_slice #(.SLICES(SLICES), .WIDTH(RATE*6)) shift_part (.data(lane_shifts), .index(slice), .slice(shift_slice));
  intar_slice #(.SLICES(SLICES), .WIDTH(RATE*32)) low_part (.data(lane_lows), .index(slice), .slice(low_slice));
  intar_slice #(.SLICES(SLICES), .WIDTH(RATE*16)) high_part (.data(lane_highs), .index(slice), .slice(high_slice));
  intar_slice #(.SLICES(SLICES), .WIDTH(RATE*GROUP)) group_part (.data(lane_groups), .index(slice), .slice(group_slice));

  // ---- what holds for all lanes: a row's parameters, or the step's own
  logic use_x, per_channel, use_params, by_row, use_lanes, is_late, is_spread;
  logic [31:0] shared_mult;
  logic [5:0] shared_shift;
  logic [47:0] shared_bias;
  assign use_x = HAS_X && (step[64] || !HAS_ACC);
  assign per_channel = PER_CHANNEL && step[65];
  assign use_params = PER_CHANNEL && step[68];
  assign by_row = ROW_PARAMS && (step[69] || !LANE_PARAMS);
  assign use_lanes = use_params && !by_row;
  assign is_late = LATE && step[71];
  assign is_spread = SPREAD && step[616];
  assign shared_mult = use_params ? row_values[0+:32] : step[72+:32];
  assign shared_shift = use_params ? row_values[32+:6] : step[104+:6];
  assign shared_bias = use_params ? {row_values[96+:16], row_values[64+:32]} : step[112+:48];

  logic unused;
  assign unused = &{1'b0, step, row_values, acc_slice, x_slice};

  generate
    for (genvar p = 0; p < RATE; p = p + 1) begin : g_lanes
      logic signed [47:0] source, known, bias;
      logic signed [17:0] late;
      logic signed [31:0] mult;
      logic [5:0] shift;
      logic [GROUP-1:0] member;  // the group of the table
      logic signed [17:0] operand, result;
      logic unused_result;
      assign source = use_x ? 48'($signed(x_slice[p*BITS+:BITS])) : 48'($signed(acc_slice[p*ACC_BITS+:ACC_BITS]));
      assign operand = is_spread ? 18'($signed(y_data[0+:BITS])) : 18'($signed(y_slice[p*BITS+:BITS]));
      assign mult = use_lanes ? $signed(mult_slice[p*32+:32]) : $signed(shared_mult);
      assign shift = use_lanes ? shift_slice[p*6+:6] : shared_shift;
      assign member = !per_channel ? '0 : by_row ? row_values[48+:GROUP] : group_slice[p*GROUP+:GROUP];
      assign known = use_lanes ? $signed({high_slice[p*16+:16], low_slice[p*32+:32]}) : $signed(shared_bias);
      assign bias = is_late ? 48'sd0 : known;
      assign late = is_late ? known[17:0] : 18'sd0;
      assign results[p*BITS+:BITS] = result[BITS-1:0];
      assign unused_result = &{1'b0, result};
      intar_vector_lane #(
          .AFFINE(AFFINE),
          .BINARY(BINARY),
          .MERGED(MERGED),
          .PRODUCT(PRODUCT),
          .LATE(LATE),
          .SHIFT_ONLY(SHIFT_ONLY),
          .VALUE_BITS(VALUE_BITS),
          .RATIONAL(RATIONAL),
          .SETS(SETS),
          .TABLE(TABLE),
          .SLOPES(SLOPES),
          .CURVES(CURVES),
          .TABLE_ENTRIES(TABLE_ENTRIES),
          .GROUP_BITS(GROUP_BITS),
          .BASE_BITS(BASE_BITS),
          .SLOPE_BITS(SLOPE_BITS),
          .CURVE_BITS(CURVE_BITS),
          .STYLE(STYLE),
          .WRITE(WRITE),
          .WIDTH(WIDTH)
      ) lane (
          .clk(clk),
          .move(move),
          .source(source),
          .bias(bias),
          .late(late),
          .mult(mult),
          .shift(shift),
          .group(member),
          .operand(operand),
          .affine_bounds(affine_bounds),
          .binary_zeros(binary_zeros),
          .binary_scale(binary_scale),
          .binary_bounds(binary_bounds),
          .rational_where(rational_where),
          .rational_fine(rational_fine),
          .rational_used(rational_used),
          .rational_bounds(rational_bounds),
          .table_index(table_index),
          .table_use(table_use),
          .table_round(table_round),
          .table_bounds(table_bounds),
          .write_words(write_words),
          .write_set(write_set),
          .write_set_data(write_set_data),
          .write_base(write_base),
          .write_slope(write_slope),
          .write_curve(write_curve),
          .write_at(write_at),
          .write_data(write_data),
          .result(result)
      );
    end
  endgenerate
endmodule
