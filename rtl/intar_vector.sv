// intar_vector: vector unit: affine requantise, binary operation, rational function and table lookup on beats of LANES elements,
// RATE of them a cycle.
//
// Step        616 bits, lowest first: groups - 1 (32), beats - 1 (32), source is x (1), per channel (1), uses y (1),
//             load (1), per channel values are used (1), per channel values by row (1), affine (1), 1 free bit, mult (32), shift (8),
//             bias (64) | affine zero, lo, hi (18 each) |
//             binary zx, zy (18 each), mx, my (32 each), shift (6), multiply (1), zero, lo, hi (18 each) |
//             table use (1), half (17), low bits (4), first entry (16), log2 of a group's entries (4), q (5), lo, hi (18 each) |
//             load: first entry (16), entries - 1 (16) |
//             rational zero (18), lift (4), first set (16), 34 fraction bits of the sum (1), used (1), zero of the result, lo, hi (18 each),
//             sets that are loaded - 1 (16).
//             An operation that a step does not use is the identity (see intar/codegen/rtl_nodes/vector.py). For MERGED and SHIFT_ONLY
//             see intar_vector_lane.
// Load        a step with `load` fills a table slot from `params` (intar_table_load); or, if the rational function is used, its
//             sets of coefficients, a beat a cycle: each set begins a beat. It begins when the pipeline is empty.
// Params      two banks: a group's beats are taken while the group before is processed, also across steps. By lane: four
//             beats (multiplier, shift, bias low, bias high) of an element for each lane. By row: these four are the first
//             elements of one beat (of ceil(4 / LANES) beats) and hold for all lanes. Bits 16 and up of the shift are the
//             group of the table that the lane looks up.
// Maximum     with REDUCE every beat of x goes through intar_maximum, whose program has a step for each step that reads x.
// Pool        with POOL the results go through an intar_maximum, too: one cycle more.
// Latency     L = 1 + (AFFINE, not MERGED: 7) + (BINARY: 8) + (RATIONAL: 19) + (TABLE: 2, with SLOPES 5, with CURVES 7). The beat whose last elements are taken in
//             t is pushed in t+L+1. A group's last parameters taken in t -> first elements in t+1. A beat of x taken in
//             t by intar_maximum -> first elements in t+1.
// Throughput  a beat every LANES / RATE cycles, across groups and steps without a gap, at least one cycle for each beat of a
//             group's parameters and for each beat of a maximum. The pipeline stops as a whole while a finished beat
//             is not taken.
module intar_vector #(
    parameter int LANES         = 4,     // elements of a beat
    parameter int RATE          = 4,     // elements a cycle; divides LANES
    parameter int ACC_BITS      = 32,    // of acc, up to 47
    parameter int BITS          = 8,     // of x, y and out, up to 16
    parameter bit HAS_ACC       = 1'b1,  // ports that some step uses
    parameter bit HAS_X         = 1'b1,
    parameter bit HAS_Y         = 1'b1,
    parameter bit LANE_PARAMS   = 1'b1,  // ways of parameters that some step uses
    parameter bit ROW_PARAMS    = 1'b1,
    parameter bit AFFINE        = 1'b1,  // operations that some step uses
    parameter bit BINARY        = 1'b1,
    parameter bit MERGED        = 1'b0,  // affine and binary are used, but by no step both
    parameter bit PRODUCT       = 1'b1,  // some step multiplies x and y
    parameter bit SHIFT_ONLY    = 1'b0,  // all multipliers are powers of two
    parameter int VALUE_BITS    = 48,    // of source + bias in the affine operation
    parameter bit RATIONAL      = 1'b0,
    parameter int SETS          = 1,     // of coefficients of rational functions, all slots, 1 to 65536
    parameter bit TABLE         = 1'b1,
    parameter bit SLOPES        = 1'b0,
    parameter bit CURVES        = 1'b0,  // only with SLOPES
    parameter int TABLE_ENTRIES = 256,   // of all slots, 1 to 65536
    parameter int GROUP_BITS    = 0,     // of a function's group, 0 to 12; 0: functions without groups
    parameter int BASE_BITS     = 32,    // see intar_vector_lane
    parameter int SLOPE_BITS    = 32,
    parameter int CURVE_BITS    = 18,
    parameter int WIDTH         = 32,    // bits of an entry in `params`: 8, 16 or 32
    parameter     STYLE         = "auto",  // ram_style of the tables
    parameter int SEGMENTS      = 1,  // see intar_steps
    parameter int STEPS         = 1,
    parameter int ROWS          = 0,  // of numbers, see intar_round_steps; its HEAD is 72
    parameter logic [STEPS*((ROWS > 0) ? 89 : 616)-1:0] PROGRAM = '0,
    parameter logic [((ROWS > 0) ? ROWS : 1)*544-1:0] NUMBERS = '0,
    parameter logic [SEGMENTS*32-1:0] ENDS = '0,
    parameter bit REDUCE        = 1'b0,  // some step takes maxima
    parameter int X_STEPS       = 1,     // with REDUCE: steps that read x
    parameter logic [X_STEPS*64-1:0] X_PROGRAM = '0,
    parameter logic [SEGMENTS*32-1:0] X_ENDS = '0,
    parameter bit POOL          = 1'b0,  // some step gives maxima of its results
    parameter int OUT_STEPS     = 1,     // with POOL: steps that give results
    parameter logic [OUT_STEPS*64-1:0] OUT_PROGRAM = '0,
    parameter logic [SEGMENTS*32-1:0] OUT_ENDS = '0
) (
    input  logic                      clk,
    input  logic                      rst_n,
    input  logic                      start,
    input  logic [7:0]                segment,
    input  logic [15:0]               round,
    output logic                      done,
    input  logic                      acc_valid,
    output logic                      acc_ready,
    input  logic [LANES*ACC_BITS-1:0] acc_data,
    input  logic                      x_valid,
    output logic                      x_ready,
    input  logic [LANES*BITS-1:0]     x_data,
    input  logic                      y_valid,
    output logic                      y_ready,
    input  logic [LANES*BITS-1:0]     y_data,
    input  logic                      params_valid,
    output logic                      params_ready,
    input  logic [LANES*32-1:0]       params_data,
    output logic                      out_valid,
    input  logic                      out_ready,
    output logic [LANES*BITS-1:0]     out_data
);
  localparam int SLICES = LANES / RATE;
  localparam int SLICE_BITS = (SLICES > 1) ? $clog2(SLICES) : 1;
  localparam bit PER_CHANNEL = LANE_PARAMS || ROW_PARAMS;
  localparam int ROW_BEATS = (LANES + 3) / LANES;
  localparam int ENTRY_BITS = (TABLE_ENTRIES > 1) ? $clog2(TABLE_ENTRIES) : 1;
  localparam int WRITE = ((LANES % 4 == 0) ? 4 : (LANES % 2 == 0) ? 2 : 1) * (32 / WIDTH);  // table entries written at a time
  localparam int A = (AFFINE && !MERGED) ? 8 : 1;
  localparam int B = A + (BINARY ? 8 : 0);
  localparam int C = B + (RATIONAL ? 19 : 0);
  localparam int LATENCY = C + (TABLE ? (CURVES ? 7 : SLOPES ? 5 : 2) : 0);
  localparam int SET_BITS = (SETS > 1) ? $clog2(SETS) : 1;
  localparam int GROUP = (GROUP_BITS > 0) ? GROUP_BITS : 1;

  // ---- the step that is processed
  logic valid, advance, issue, use_x, per_channel, use_params, use_y, is_load, move, enough;
  logic slice_last, beat_last, group_last, source_valid;
  logic [615:0] step, unused_next;
  logic [31:0] group, beat;
  logic [SLICE_BITS-1:0] slice;
  logic [1:0] full;  // parameter banks
  logic bank, table_go, table_end, sets_go, sets_end, load_go, load_end, empty, by_row;
  logic made_valid, made_ready;  // results, before their maxima
  logic [LANES*BITS-1:0] made_data;
  logic source_x_valid, source_x_ready;  // x, or maxima of x
  logic [LANES*BITS-1:0] source_x;
  intar_round_steps #(
      .STEPS(STEPS),
      .STEP_BITS(616),
      .HEAD(72),
      .ROWS(ROWS),
      .PROGRAM(PROGRAM),
      .NUMBERS(NUMBERS),
      .SEGMENTS(SEGMENTS),
      .ENDS(ENDS)
  ) steps (
      .clk(clk),
      .rst_n(rst_n),
      .start(start),
      .segment(segment),
      .round(round),
      .advance(advance),
      .valid(valid),
      .step(step),
      .next_step(unused_next)
  );
  assign use_x = HAS_X && (step[64] || !HAS_ACC);
  assign per_channel = PER_CHANNEL && step[65];
  assign use_params = PER_CHANNEL && step[68];
  assign by_row = ROW_PARAMS && (step[69] || !LANE_PARAMS);
  assign use_y = HAS_Y && step[66];
  assign is_load = (TABLE || RATIONAL) && step[67];
  assign load_go = table_go || sets_go;
  assign load_end = table_end || sets_end;
  assign slice_last = slice == SLICE_BITS'(SLICES - 1);
  assign beat_last = beat == step[32+:32];
  assign group_last = group == step[0+:32];
  assign source_valid = use_x ? source_x_valid : acc_valid;
  assign move = !made_valid || made_ready;
  assign enough = valid && !is_load && move && (!per_channel || full[bank]);
  assign issue = enough && source_valid && (!use_y || y_valid);
  assign acc_ready = enough && slice_last && !use_x && (!use_y || y_valid);
  assign source_x_ready = enough && slice_last && use_x && (!use_y || y_valid);
  assign y_ready = enough && slice_last && use_y && source_valid;
  assign advance = (issue && slice_last && beat_last && group_last) || load_end;
  always_ff @(posedge clk) begin
    if (start) begin
      slice <= '0;
      beat <= '0;
      group <= '0;
      bank <= 1'b0;
    end else if (issue) begin
      slice <= slice_last ? '0 : slice + 1'b1;
      if (slice_last) begin
        beat <= beat_last ? '0 : beat + 1'b1;
        if (beat_last) begin
          group <= group_last ? '0 : group + 1'b1;
          if (per_channel) bank <= !bank;
        end
      end
    end
  end

  generate
    if (REDUCE) begin : g_maximum
      intar_maximum #(
          .LANES(LANES),
          .BITS(BITS),
          .STEPS(X_STEPS),
          .PROGRAM(X_PROGRAM),
          .SEGMENTS(SEGMENTS),
          .ENDS(X_ENDS)
      ) maximum (
          .clk(clk),
          .rst_n(rst_n),
          .start(start),
          .segment(segment),
          .in_valid(x_valid),
          .in_ready(x_ready),
          .in_data(x_data),
          .out_valid(source_x_valid),
          .out_ready(source_x_ready),
          .out_data(source_x)
      );
    end else begin : g_plain_x
      assign source_x_valid = x_valid;
      assign x_ready = source_x_ready;
      assign source_x = x_data;
    end
  endgenerate

  // ---- parameters: the same program, as far ahead as the two banks allow
  logic fetch_load;  // the fetching side has arrived at the load step
  logic [LANES*32-1:0] lane_mults, lane_lows;
  logic [LANES*6-1:0] lane_shifts;
  logic [LANES*16-1:0] lane_highs;
  logic [LANES*GROUP-1:0] lane_groups;
  logic [127:0] row_values;  // multiplier, shift, bias low, bias high
  generate
    if (PER_CHANNEL || TABLE || RATIONAL) begin : g_params
      logic fetch_valid, fetch_channel, fetch_row, set_last, fetch_go, fetch_bank, fetch_last, fetch_advance;
      logic [615:0] fetch_step, unused_fetch_next;
      logic [31:0] fetch_group;
      logic [1:0] kind;
      logic unused_fetch;
      intar_round_steps #(
          .STEPS(STEPS),
          .STEP_BITS(616),
          .HEAD(72),
          .ROWS(ROWS),
          .PROGRAM(PROGRAM),
          .NUMBERS(NUMBERS),
          .SEGMENTS(SEGMENTS),
          .ENDS(ENDS)
      ) fetch_steps (
          .clk(clk),
          .rst_n(rst_n),
          .start(start),
          .segment(segment),
          .round(round),
          .advance(fetch_advance),
          .valid(fetch_valid),
          .step(fetch_step),
          .next_step(unused_fetch_next)
      );
      assign fetch_load = fetch_valid && (TABLE || RATIONAL) && fetch_step[67];
      assign fetch_channel = fetch_valid && PER_CHANNEL && fetch_step[65] && !fetch_load;
      assign fetch_go = fetch_channel && !full[fetch_bank] && params_valid;
      assign fetch_row = ROW_PARAMS && (fetch_step[69] || !LANE_PARAMS);
      assign set_last = kind == (fetch_row ? 2'(ROW_BEATS - 1) : 2'd3);
      assign fetch_last = set_last && fetch_group == fetch_step[0+:32];
      assign fetch_advance = fetch_channel ? fetch_go && fetch_last : !fetch_load || load_end;
      assign params_ready = (fetch_channel && !full[fetch_bank]) || load_go;
      assign unused_fetch = &{1'b0, fetch_step, unused_fetch_next};
      always_ff @(posedge clk) begin
        if (start) begin
          kind <= 2'd0;
          fetch_group <= '0;
          fetch_bank <= 1'b0;
          full <= 2'b00;
        end else begin
          if (fetch_go) begin
            kind <= set_last ? 2'd0 : kind + 1'b1;
            if (set_last) begin
              fetch_bank <= !fetch_bank;
              full[fetch_bank] <= 1'b1;
              fetch_group <= fetch_last ? '0 : fetch_group + 1'b1;
            end
          end
          if (issue && per_channel && slice_last && beat_last) full[bank] <= 1'b0;
        end
      end
      if (LANE_PARAMS) begin : g_lanes
        logic [LANES*32-1:0] mults[0:1];
        logic [LANES*32-1:0] lows[0:1];
        logic [LANES*6-1:0] shifts[0:1], shift_data;
        logic [LANES*16-1:0] highs[0:1], high_data;
        logic [LANES*GROUP-1:0] groups[0:1], group_data;
        always_comb begin
          for (int l = 0; l < LANES; l = l + 1) begin
            group_data[l*GROUP+:GROUP] = params_data[l*32+16+:GROUP];
            shift_data[l*6+:6] = params_data[l*32+:6];
            high_data[l*16+:16] = params_data[l*32+:16];
          end
        end
        always_ff @(posedge clk) begin
          if (fetch_go && !fetch_row && kind == 2'd0) mults[fetch_bank] <= params_data;
          if (fetch_go && !fetch_row && kind == 2'd1) shifts[fetch_bank] <= shift_data;
          if (fetch_go && !fetch_row && kind == 2'd1) groups[fetch_bank] <= group_data;
          if (fetch_go && !fetch_row && kind == 2'd2) lows[fetch_bank] <= params_data;
          if (fetch_go && !fetch_row && kind == 2'd3) highs[fetch_bank] <= high_data;
        end
        assign lane_mults = mults[bank];
        assign lane_shifts = shifts[bank];
        assign lane_lows = lows[bank];
        assign lane_highs = highs[bank];
        assign lane_groups = groups[bank];
      end else begin : g_no_lanes
        assign {lane_mults, lane_shifts, lane_lows, lane_highs, lane_groups} = '0;
      end
      if (ROW_PARAMS) begin : g_rows
        for (genvar i = 0; i < 4; i = i + 1) begin : g_kinds
          logic [31:0] values[0:1];
          always_ff @(posedge clk) begin
            if (fetch_go && fetch_row && kind == 2'(i / LANES)) values[fetch_bank] <= params_data[(i%LANES)*32+:32];
          end
          assign row_values[i*32+:32] = values[bank];
        end
      end else begin : g_no_rows
        assign row_values = '0;
      end
    end else begin : g_no_params
      assign fetch_load = 1'b0;
      assign params_ready = 1'b0;
      assign full = 2'b00;
      assign {lane_mults, lane_shifts, lane_lows, lane_highs, lane_groups, row_values} = '0;
    end
  endgenerate

  // ---- table load
  logic write_base, write_slope, write_curve;
  logic [ENTRY_BITS-1:0] write_at;
  logic [WRITE*WIDTH-1:0] write_data;
  generate
    if (TABLE) begin : g_load
      intar_table_load #(
          .LANES(LANES),
          .WIDTH(WIDTH),
          .ENTRY_BITS(ENTRY_BITS),
          .SLOPES(SLOPES),
          .CURVES(CURVES)
      ) load (
          .clk(clk),
          .rst_n(rst_n),
          .start(start),
          .go(valid && is_load && !(RATIONAL && step[545]) && fetch_load && empty && params_valid),
          .data(params_data),
          .first(step[474+:ENTRY_BITS]),
          .entries_end(step[490+:16]),
          .bounds(step[433+:41]),
          .take(table_go),
          .last(table_end),
          .write_base(write_base),
          .write_slope(write_slope),
          .write_curve(write_curve),
          .write_at(write_at),
          .write_data(write_data)
      );
    end else begin : g_no_load
      assign table_go = 1'b0;
      assign table_end = 1'b0;
      assign write_base = 1'b0;
      assign write_slope = 1'b0;
      assign write_curve = 1'b0;
      assign write_at = '0;
      assign write_data = '0;
    end
  endgenerate

  // ---- coefficients of rational functions: a beat a cycle, through a register
  logic [10:0] write_words;
  logic [SET_BITS-1:0] write_set;
  logic [11*32-1:0] write_set_data;
  generate
    if (RATIONAL) begin : g_load_sets
      localparam int BEATS = (10 + LANES) / LANES;  // of a set
      logic [3:0] part;
      logic [15:0] set;
      logic part_last;
      assign part_last = part == 4'(BEATS - 1);
      assign sets_go = valid && is_load && step[545] && fetch_load && empty && params_valid;
      assign sets_end = sets_go && part_last && set == step[600+:16];
      always_ff @(posedge clk) begin
        if (start) begin
          part <= '0;
          set <= '0;
        end else if (sets_go) begin
          part <= part_last ? '0 : part + 1'b1;
          if (part_last) set <= sets_end ? '0 : set + 1'b1;
        end
        for (int i = 0; i < 11; i = i + 1) begin
          write_words[i] <= rst_n && sets_go && part == 4'(i / LANES);
          write_set_data[32*i+:32] <= params_data[(i%LANES)*32+:32];
        end
        write_set <= SET_BITS'(set + step[528+:16]);
      end
    end else begin : g_no_load_sets
      assign sets_go = 1'b0;
      assign sets_end = 1'b0;
      assign write_words = '0;
      assign write_set = '0;
      assign write_set_data = '0;
    end
  endgenerate

  // ---- settings of the step, delayed once for all lanes to the moves in which they are used
  logic [53:0] affine_bounds, binary_bounds;
  logic [35:0] binary_zeros;
  logic [71:0] binary_scale;
  logic [37:0] rational_where;
  logic rational_fine, rational_used;
  logic [53:0] rational_bounds;
  logic [40:0] table_index;
  logic table_use;
  logic [4:0] table_round;
  logic [40:0] table_bounds;
  generate
    if (AFFINE && !MERGED) begin : g_affine
      intar_delay #(.WIDTH(54), .MOVES(7))
          bounds (.clk(clk), .move(move), .in_data(step[176+:54]), .out_data(affine_bounds));
    end else begin : g_no_affine
      assign affine_bounds = '0;
    end
    if (BINARY) begin : g_binary
      intar_delay #(.WIDTH(36), .MOVES(A))
          zeros (.clk(clk), .move(move), .in_data(step[230+:36]), .out_data(binary_zeros));
      intar_delay #(.WIDTH(72), .MOVES(A + 2))
          scale (.clk(clk), .move(move), .in_data({step[70], step[266+:71]}), .out_data(binary_scale));
      intar_delay #(.WIDTH(54), .MOVES(A + 7))
          bounds (.clk(clk), .move(move), .in_data(step[337+:54]), .out_data(binary_bounds));
    end else begin : g_no_binary
      assign binary_zeros = '0;
      assign binary_scale = '0;
      assign binary_bounds = '0;
    end
    if (RATIONAL) begin : g_rational
      intar_delay #(.WIDTH(38), .MOVES(B))
          where (.clk(clk), .move(move), .in_data(step[506+:38]), .out_data(rational_where));
      intar_delay #(.WIDTH(1), .MOVES(B + 17))
          fine (.clk(clk), .move(move), .in_data(step[544]), .out_data(rational_fine));
      intar_delay #(.WIDTH(55), .MOVES(B + 18))
          bounds (.clk(clk), .move(move), .in_data(step[545+:55]), .out_data({rational_bounds, rational_used}));
    end else begin : g_no_rational
      assign rational_where = '0;
      assign rational_fine = 1'b0;
      assign rational_used = 1'b0;
      assign rational_bounds = '0;
    end
    if (TABLE) begin : g_table
      intar_delay #(.WIDTH(41), .MOVES(C))
          index (.clk(clk), .move(move), .in_data(step[392+:41]), .out_data(table_index));
      intar_delay #(.WIDTH(1), .MOVES(LATENCY - 1))
          use_it (.clk(clk), .move(move), .in_data(step[391]), .out_data(table_use));
    end else begin : g_no_table
      assign table_index = '0;
      assign table_use = 1'b0;
    end
    if (TABLE && SLOPES) begin : g_slopes
      intar_delay #(.WIDTH(5), .MOVES(LATENCY - 2))
          rounding (.clk(clk), .move(move), .in_data(step[433+:5]), .out_data(table_round));
      intar_delay #(.WIDTH(41), .MOVES(LATENCY - 1))
          bounds (.clk(clk), .move(move), .in_data(step[433+:41]), .out_data(table_bounds));
    end else begin : g_no_slopes
      assign table_round = '0;
      assign table_bounds = '0;
    end
  endgenerate

  // ---- the slice that is processed
  logic [RATE*ACC_BITS-1:0] acc_slice;
  logic [RATE*BITS-1:0] x_slice, y_slice;
  logic [RATE*32-1:0] mult_slice, low_slice;
  logic [RATE*6-1:0] shift_slice;
  logic [RATE*16-1:0] high_slice;
  logic [RATE*GROUP-1:0] group_slice;
  intar_slice #(.SLICES(SLICES), .WIDTH(RATE*ACC_BITS)) acc_part (.data(acc_data), .index(slice), .slice(acc_slice));
  intar_slice #(.SLICES(SLICES), .WIDTH(RATE*BITS)) x_part (.data(source_x), .index(slice), .slice(x_slice));
  intar_slice #(.SLICES(SLICES), .WIDTH(RATE*BITS)) y_part (.data(y_data), .index(slice), .slice(y_slice));
  intar_slice #(.SLICES(SLICES), .WIDTH(RATE*32)) mult_part (.data(lane_mults), .index(slice), .slice(mult_slice));
  intar_slice #(.SLICES(SLICES), .WIDTH(RATE*6)) shift_part (.data(lane_shifts), .index(slice), .slice(shift_slice));
  intar_slice #(.SLICES(SLICES), .WIDTH(RATE*32)) low_part (.data(lane_lows), .index(slice), .slice(low_slice));
  intar_slice #(.SLICES(SLICES), .WIDTH(RATE*16)) high_part (.data(lane_highs), .index(slice), .slice(high_slice));
  intar_slice #(.SLICES(SLICES), .WIDTH(RATE*GROUP)) group_part (.data(lane_groups), .index(slice), .slice(group_slice));

  // ---- what holds for all lanes: a row's parameters, or the step's own
  logic [31:0] shared_mult;
  logic [5:0] shared_shift;
  logic [47:0] shared_bias;
  logic use_lanes;
  assign use_lanes = use_params && !by_row;
  assign shared_mult = use_params ? row_values[0+:32] : step[72+:32];
  assign shared_shift = use_params ? row_values[32+:6] : step[104+:6];
  assign shared_bias = use_params ? {row_values[96+:16], row_values[64+:32]} : step[112+:48];

  // ---- lanes
  logic [RATE*BITS-1:0] results;
  generate
    for (genvar p = 0; p < RATE; p = p + 1) begin : g_lanes
      logic signed [47:0] source, bias;
      logic signed [31:0] mult;
      logic [5:0] shift;
      logic [GROUP-1:0] member;  // the group of the table
      logic signed [17:0] operand, result;
      assign source = use_x ? 48'($signed(x_slice[p*BITS+:BITS])) : 48'($signed(acc_slice[p*ACC_BITS+:ACC_BITS]));
      assign operand = 18'($signed(y_slice[p*BITS+:BITS]));
      assign mult = use_lanes ? $signed(mult_slice[p*32+:32]) : $signed(shared_mult);
      assign shift = use_lanes ? shift_slice[p*6+:6] : shared_shift;
      assign member = !per_channel ? '0 : by_row ? row_values[48+:GROUP] : group_slice[p*GROUP+:GROUP];
      assign bias = use_lanes ? $signed({high_slice[p*16+:16], low_slice[p*32+:32]}) : $signed(shared_bias);
      intar_vector_lane #(
          .AFFINE(AFFINE),
          .BINARY(BINARY),
          .MERGED(MERGED),
          .PRODUCT(PRODUCT),
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
      logic unused_result;
      assign results[p*BITS+:BITS] = result[BITS-1:0];
      assign unused_result = &{1'b0, result};
    end
  endgenerate

  // ---- what is in the pipeline, and the beat that its results make up
  logic [LATENCY-1:0] present, completes;
  assign empty = present == '0;
  always_ff @(posedge clk) begin
    if (!rst_n) begin
      present <= '0;
      completes <= '0;
      made_valid <= 1'b0;
    end else if (move) begin
      present <= LATENCY'({present, issue});
      completes <= LATENCY'({completes, slice_last});
      made_valid <= present[LATENCY-1] && completes[LATENCY-1];
    end
  end
  generate
    if (SLICES > 1) begin : g_collect
      // Slices enter at the top: after the last one the first has arrived at the bottom.
      always_ff @(posedge clk) begin
        if (move && present[LATENCY-1]) made_data <= {results, made_data[LANES*BITS-1:RATE*BITS]};
      end
    end else begin : g_whole
      always_ff @(posedge clk) begin
        if (move && present[LATENCY-1]) made_data <= results;
      end
    end
  endgenerate

  generate
    if (POOL) begin : g_pool
      intar_maximum #(
          .LANES(LANES),
          .BITS(BITS),
          .STEPS(OUT_STEPS),
          .PROGRAM(OUT_PROGRAM),
          .SEGMENTS(SEGMENTS),
          .ENDS(OUT_ENDS)
      ) maximum (
          .clk(clk),
          .rst_n(rst_n),
          .start(start),
          .segment(segment),
          .in_valid(made_valid),
          .in_ready(made_ready),
          .in_data(made_data),
          .out_valid(out_valid),
          .out_ready(out_ready),
          .out_data(out_data)
      );
    end else begin : g_plain_out
      assign out_valid = made_valid;
      assign made_ready = out_ready;
      assign out_data = made_data;
    end
  endgenerate

  logic unused;
  assign done = !valid && empty && !made_valid && !out_valid;
  assign unused = &{1'b0, step, unused_next, acc_valid, acc_data, x_valid, x_data, y_valid, y_data, params_valid, params_data,
                    row_values, lane_mults, lane_shifts, lane_lows, lane_highs, lane_groups, empty, fetch_load, by_row,
                    load_go};
endmodule
