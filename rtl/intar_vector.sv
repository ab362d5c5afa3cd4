// intar_vector: vector unit: affine requantise, binary operation, rational function and table lookup on beats of LANES elements,
// RATE of them a cycle.
//
// Step        617 bits, lowest first: groups - 1 (32), beats - 1 (32), source is x (1), per channel (1), uses y (1),
//             load (1), per channel values are used (1), per channel values by row (1), affine (1), late (1), mult (32), shift (8),
//             bias (64) | affine zero, lo, hi (18 each) |
//             binary zx, zy (18 each), mx, my (32 each), shift (6), multiply (1), zero, lo, hi (18 each) |
//             table use (1), half (17), low bits (4), first entry (16), log2 of a group's entries (4), q (5), lo, hi (18 each) |
//             load: first entry (16), entries - 1 (16); by row instead: groups of a block - 1 (16), place of its first set in a beat (16) |
//             rational zero (18), lift (4), first set (16), 34 fraction bits of the sum (1), used (1), zero of the result, lo, hi (18 each),
//             sets that are loaded - 1 (16) | the first element of a beat of y is that of all lanes (1).
//             With `late` the bias of per channel values is not added in the affine operation but to the result of the binary one.
//             An operation that a step does not use is the identity (see intar/codegen/rtl_nodes/vector.py). For MERGED and SHIFT_ONLY
//             see intar_vector_lane.
// Load        a step with `load` fills a table slot from `params` or, if the rational function is used, its sets of coefficients
//             (intar_vector_load). It begins when the pipeline is empty.
// Params      two banks: a group's beats, or by row its set, are taken while the group before is processed, also across steps (intar_vector_params).
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
    parameter bit LATE          = 1'b0,  // some step adds its bias to the product
    parameter bit SPREAD        = 1'b0,  // some step has one factor for all lanes
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
    parameter logic [STEPS*((ROWS > 0) ? 89 : 617)-1:0] PROGRAM = '0,
    parameter logic [((ROWS > 0) ? ROWS : 1)*545-1:0] NUMBERS = '0,
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
  localparam bit LOADS = TABLE || RATIONAL;
  localparam int ENTRY_BITS = (TABLE_ENTRIES > 1) ? $clog2(TABLE_ENTRIES) : 1;
  localparam int WRITE = ((LANES % 4 == 0) ? 4 : (LANES % 2 == 0) ? 2 : 1) * (32 / WIDTH);  // table entries written at a time
  localparam int LATENCY = ((AFFINE && !MERGED) ? 8 : 1) + (BINARY ? 8 : 0) + (RATIONAL ? 19 : 0)
      + (TABLE ? (CURVES ? 7 : SLOPES ? 5 : 2) : 0);  // T of intar_vector_lane
  localparam int SET_BITS = (SETS > 1) ? $clog2(SETS) : 1;
  localparam int GROUP = (GROUP_BITS > 0) ? GROUP_BITS : 1;

  // ---- the step that is processed
  logic valid, advance, issue, use_x, per_channel, use_y, is_load, move, enough;
  logic slice_last, beat_last, group_last, source_valid;
  logic [616:0] step, unused_next;
  logic [31:0] group, beat;
  logic [SLICE_BITS-1:0] slice;
  logic params_full, at_load, load_take, load_end, empty;
  logic made_valid, made_ready;  // results, before their maxima
  logic [LANES*BITS-1:0] made_data;
  logic source_x_valid, source_x_ready;  // x, or maxima of x
  logic [LANES*BITS-1:0] source_x;
  intar_round_steps #(
      .STEPS(STEPS),
      .STEP_BITS(617),
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
  assign use_y = HAS_Y && step[66];
  assign is_load = LOADS && step[67];
  assign slice_last = slice == SLICE_BITS'(SLICES - 1);
  assign beat_last = beat == step[32+:32];
  assign group_last = group == step[0+:32];
  assign source_valid = use_x ? source_x_valid : acc_valid;
  assign move = !made_valid || made_ready;
  assign enough = valid && !is_load && move && (!per_channel || params_full);
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
    end else if (issue) begin
      slice <= slice_last ? '0 : slice + 1'b1;
      if (slice_last) begin
        beat <= beat_last ? '0 : beat + 1'b1;
        if (beat_last) group <= group_last ? '0 : group + 1'b1;
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

  // ---- parameters of groups, and what loads write
  logic [LANES*32-1:0] lane_mults, lane_lows;
  logic [LANES*6-1:0] lane_shifts;
  logic [LANES*16-1:0] lane_highs;
  logic [LANES*GROUP-1:0] lane_groups;
  logic [127:0] row_values;
  logic [10:0] write_words;
  logic [SET_BITS-1:0] write_set;
  logic [11*32-1:0] write_set_data;
  logic write_base, write_slope, write_curve;
  logic [ENTRY_BITS-1:0] write_at;
  logic [WRITE*WIDTH-1:0] write_data;
  generate
    if (PER_CHANNEL || LOADS) begin : g_params
      intar_vector_params #(
          .LANES(LANES),
          .GROUP(GROUP),
          .LANE_PARAMS(LANE_PARAMS),
          .ROW_PARAMS(ROW_PARAMS),
          .LOADS(LOADS),
          .STEPS(STEPS),
          .ROWS(ROWS),
          .PROGRAM(PROGRAM),
          .NUMBERS(NUMBERS),
          .SEGMENTS(SEGMENTS),
          .ENDS(ENDS)
      ) params (
          .clk(clk),
          .rst_n(rst_n),
          .start(start),
          .segment(segment),
          .round(round),
          .params_valid(params_valid),
          .params_ready(params_ready),
          .params_data(params_data),
          .at_load(at_load),
          .load_take(load_take),
          .load_end(load_end),
          .full(params_full),
          .drop(issue && per_channel && slice_last && beat_last),
          .lane_mults(lane_mults),
          .lane_shifts(lane_shifts),
          .lane_lows(lane_lows),
          .lane_highs(lane_highs),
          .lane_groups(lane_groups),
          .row_values(row_values)
      );
    end else begin : g_no_params
      assign at_load = 1'b0;
      assign params_ready = 1'b0;
      assign params_full = 1'b0;
      assign {lane_mults, lane_shifts, lane_lows, lane_highs, lane_groups, row_values} = '0;
    end
    if (LOADS) begin : g_load
      intar_vector_load #(
          .LANES(LANES),
          .TABLE(TABLE),
          .RATIONAL(RATIONAL),
          .SLOPES(SLOPES),
          .CURVES(CURVES),
          .WIDTH(WIDTH),
          .ENTRY_BITS(ENTRY_BITS),
          .SET_BITS(SET_BITS)
      ) load (
          .clk(clk),
          .rst_n(rst_n),
          .start(start),
          .go(valid && is_load && at_load && empty && params_valid),
          .step(step),
          .data(params_data),
          .take(load_take),
          .last(load_end),
          .write_words(write_words),
          .write_set(write_set),
          .write_set_data(write_set_data),
          .write_base(write_base),
          .write_slope(write_slope),
          .write_curve(write_curve),
          .write_at(write_at),
          .write_data(write_data)
      );
    end else begin : g_no_load
      assign load_take = 1'b0;
      assign load_end = 1'b0;
      assign {write_words, write_set, write_set_data} = '0;
      assign {write_base, write_slope, write_curve, write_at, write_data} = '0;
    end
  endgenerate

  // ---- lanes
  logic [RATE*BITS-1:0] results;
  intar_vector_lanes #(
      .LANES(LANES),
      .RATE(RATE),
      .ACC_BITS(ACC_BITS),
      .BITS(BITS),
      .HAS_ACC(HAS_ACC),
      .HAS_X(HAS_X),
      .LANE_PARAMS(LANE_PARAMS),
      .ROW_PARAMS(ROW_PARAMS),
      .AFFINE(AFFINE),
      .BINARY(BINARY),
      .MERGED(MERGED),
      .PRODUCT(PRODUCT),
      .LATE(LATE),
      .SPREAD(SPREAD),
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
      .WRITE(WRITE),
      .WIDTH(WIDTH),
      .STYLE(STYLE)
  ) lanes (
      .clk(clk),
      .move(move),
      .step(step),
      .slice(slice),
      .acc_data(acc_data),
      .x_data(source_x),
      .y_data(y_data),
      .lane_mults(lane_mults),
      .lane_shifts(lane_shifts),
      .lane_lows(lane_lows),
      .lane_highs(lane_highs),
      .lane_groups(lane_groups),
      .row_values(row_values),
      .write_words(write_words),
      .write_set(write_set),
      .write_set_data(write_set_data),
      .write_base(write_base),
      .write_slope(write_slope),
      .write_curve(write_curve),
      .write_at(write_at),
      .write_data(write_data),
      .results(results)
  );

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
  assign unused = &{1'b0, step, unused_next, acc_valid, x_valid, x_data, y_valid, params_valid, params_data, at_load, load_take};
endmodule
