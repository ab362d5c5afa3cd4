// intar_vector_params: the parameters of a vector unit's groups: two banks, filled as far ahead of the unit as they allow.
//
// Plays the program of intar_vector (its header has the step) by itself. Parameters come by lane, four beats (multiplier,
// shift, bias low, bias high) of an element for each lane; or by row: a set of these four, which hold for all lanes, LANES / 4 sets
// in a beat (or one in ceil(4 / LANES) beats). A beat with several sets stays at the input until its last one, or the last one of a
// block of groups, is in a bank; each block begins a beat. Bits 16 and up of the shift are the group of the table that a lane looks up.
// At a step that loads it waits, `at_load`: the beats of that are taken by others (`load_take`), until `load_end`.
//
// `full` says that the values shown are those of the group that the unit has arrived at; `drop` ends the group.
// Latency     a group's last parameters taken in t -> full in t+1; drop in t -> the next group's values in t+1.
// Throughput  a beat, or a set by row, a cycle while a bank is free, across groups and steps without a gap.
module intar_vector_params #(
    parameter int LANES       = 4,
    parameter int GROUP       = 1,     // bits of the group of a table, 1 to 12
    parameter bit LANE_PARAMS = 1'b1,  // ways of parameters that some step uses
    parameter bit ROW_PARAMS  = 1'b1,
    parameter bit LOADS       = 1'b1,  // some step loads
    parameter int SEGMENTS    = 1,     // see intar_steps
    parameter int STEPS       = 1,
    parameter int ROWS        = 0,     // of numbers, see intar_round_steps; its HEAD is 72
    parameter logic [STEPS*((ROWS > 0) ? 89 : 617)-1:0] PROGRAM = '0,
    parameter logic [((ROWS > 0) ? ROWS : 1)*545-1:0] NUMBERS = '0,
    parameter logic [SEGMENTS*32-1:0] ENDS = '0
) (
    input  logic                   clk,
    input  logic                   rst_n,
    input  logic                   start,
    input  logic [7:0]             segment,
    input  logic [15:0]            round,
    input  logic                   params_valid,
    output logic                   params_ready,
    input  logic [LANES*32-1:0]    params_data,
    output logic                   at_load,
    input  logic                   load_take,
    input  logic                   load_end,
    output logic                   full,
    input  logic                   drop,
    output logic [LANES*32-1:0]    lane_mults,
    output logic [LANES*6-1:0]     lane_shifts,
    output logic [LANES*32-1:0]    lane_lows,
    output logic [LANES*16-1:0]    lane_highs,
    output logic [LANES*GROUP-1:0] lane_groups,
    output logic [127:0]           row_values    // multiplier, shift, bias low, bias high
);
  localparam bit PER_CHANNEL = LANE_PARAMS || ROW_PARAMS;
  localparam int ROW_BEATS = (LANES + 3) / LANES;
  localparam int SETS = (LANES >= 4) ? LANES / 4 : 1;
  localparam int PLACE_BITS = (SETS > 1) ? $clog2(SETS) : 1;

  logic valid, per_channel, by_row, set_last, take, group_last, advance, beat_last;
  logic [616:0] step, unused_next;
  logic [31:0] group;
  logic [1:0] kind;       // of the parameter that the next beat brings
  logic [1:0] full_banks;
  logic fill, bank;       // the banks that are filled and shown
  logic unused;
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
  assign at_load = valid && LOADS && step[67];
  assign per_channel = valid && PER_CHANNEL && step[65] && !at_load;
  assign by_row = ROW_PARAMS && (step[69] || !LANE_PARAMS);
  assign take = per_channel && !full_banks[fill] && params_valid;
  assign set_last = kind == (by_row ? 2'(ROW_BEATS - 1) : 2'd3);
  assign group_last = set_last && group == step[0+:32];
  assign advance = per_channel ? take && group_last : !at_load || load_end;
  assign params_ready = (per_channel && !full_banks[fill] && beat_last) || load_take;
  assign full = full_banks[bank];
  assign unused = &{1'b0, step, unused_next};
  always_ff @(posedge clk) begin
    if (start) begin
      kind <= 2'd0;
      group <= '0;
      fill <= 1'b0;
      bank <= 1'b0;
      full_banks <= 2'b00;
    end else begin
      if (take) begin
        kind <= set_last ? 2'd0 : kind + 1'b1;
        if (set_last) begin
          fill <= !fill;
          full_banks[fill] <= 1'b1;
          group <= group_last ? '0 : group + 1'b1;
        end
      end
      if (drop) begin
        bank <= !bank;
        full_banks[bank] <= 1'b0;
      end
    end
  end

  generate
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
        if (take && !by_row && kind == 2'd0) mults[fill] <= params_data;
        if (take && !by_row && kind == 2'd1) shifts[fill] <= shift_data;
        if (take && !by_row && kind == 2'd1) groups[fill] <= group_data;
        if (take && !by_row && kind == 2'd2) lows[fill] <= params_data;
        if (take && !by_row && kind == 2'd3) highs[fill] <= high_data;
      end
      assign lane_mults = mults[bank];
      assign lane_shifts = shifts[bank];
      assign lane_lows = lows[bank];
      assign lane_highs = highs[bank];
      assign lane_groups = groups[bank];
    end else begin : g_no_lanes
      logic unused_data;
      assign {lane_mults, lane_shifts, lane_lows, lane_highs, lane_groups} = '0;
      assign unused_data = &{1'b0, params_data};
    end
    if (ROW_PARAMS && SETS > 1) begin : g_sets
      logic [127:0] values[0:1];
      logic [PLACE_BITS-1:0] place, next_place;  // of the set that goes next, and of that behind it in its beat
      logic [15:0] member;                       // the group's number in its block
      logic block_last;
      assign place = (member == '0) ? step[490+:PLACE_BITS] : next_place;
      assign block_last = member == step[474+:16];
      assign beat_last = !by_row || block_last || place == PLACE_BITS'(SETS - 1);
      always_ff @(posedge clk) begin
        if (start) begin
          member <= '0;
        end else if (take && by_row) begin
          values[fill] <= params_data[place*128+:128];
          next_place <= (place == PLACE_BITS'(SETS - 1)) ? '0 : place + 1'b1;
          member <= block_last ? '0 : member + 1'b1;
        end
      end
      assign row_values = values[bank];
    end else if (ROW_PARAMS) begin : g_rows
      for (genvar i = 0; i < 4; i = i + 1) begin : g_kinds
        logic [31:0] values[0:1];
        always_ff @(posedge clk) begin
          if (take && by_row && kind == 2'(i / LANES)) values[fill] <= params_data[(i%LANES)*32+:32];
        end
        assign row_values[i*32+:32] = values[bank];
      end
      assign beat_last = 1'b1;
    end else begin : g_no_rows
      assign row_values = '0;
      assign beat_last = 1'b1;
    end
  endgenerate
endmodule
