// intar_router: static switch: merges, splits and broadcasts beats by a pattern.
//
// Step        136 + (8 + TARGETS) MAX_LEGS bits, lowest first: rounds - 1, period - 1, beats, beats_last (32 each),
//             legs - 1 (8); then for each leg the input (8) and a bit for each output (TARGETS: 32, 64, ...).
//             for round: for leg: `beats` beats (`beats_last` in every period-th round) go from the input
//             to all outputs of the leg. A leg without beats costs a cycle.
// Latency     beat taken in cycle t -> pushed in t+1 on all its outputs; it is taken when all of them are free.
// Throughput  1 beat per cycle, across legs, rounds and steps without a gap.
module intar_router #(
    parameter int INPUTS   = 1,  // 1 to 256
    parameter int OUTPUTS  = 1,  // 1 to 256
    parameter int LANES    = 1,  // elements of a beat
    parameter int BITS     = 8,  // of an element
    parameter int OUT_BITS = 8,  // of an element on the outputs, enough for all values: sign-extended or cut
    parameter int MAX_LEGS = 1,  // 1 to 256
    parameter int SEGMENTS = 1,  // see intar_steps
    parameter int STEPS    = 1,
    parameter int TARGETS  = 32 * ((OUTPUTS + 31) / 32),
    parameter logic [STEPS*(136+(8+TARGETS)*MAX_LEGS)-1:0] PROGRAM = '0,
    parameter logic [SEGMENTS*32-1:0] ENDS = '0
) (
    input  logic                     clk,
    input  logic                     rst_n,
    input  logic                     start,
    input  logic [7:0]               segment,
    output logic                     done,
    input  logic [INPUTS-1:0]        in_valid,
    output logic [INPUTS-1:0]        in_ready,
    input  logic [INPUTS*LANES*BITS-1:0] in_data,
    output logic [OUTPUTS-1:0]       out_valid,
    input  logic [OUTPUTS-1:0]       out_ready,
    output logic [OUTPUTS*LANES*OUT_BITS-1:0] out_data
);
  localparam int LEG_BITS = 8 + TARGETS;
  localparam int STEP_BITS = 136 + LEG_BITS * MAX_LEGS;
  localparam int SOURCE_BITS = (INPUTS > 1) ? $clog2(INPUTS) : 1;

  logic valid, go, advance, empty, beat_last, leg_last, round_last, period_last;
  logic [STEP_BITS-1:0] step, unused_next;
  logic [31:0] beat, round, phase, beats;
  logic [7:0] leg;
  intar_steps #(
      .STEPS(STEPS),
      .STEP_BITS(STEP_BITS),
      .PROGRAM(PROGRAM),
      .SEGMENTS(SEGMENTS),
      .ENDS(ENDS)
  ) steps (
      .clk(clk),
      .rst_n(rst_n),
      .start(start),
      .segment(segment),
      .advance(advance && beat_last && leg_last && round_last),
      .valid(valid),
      .step(step),
      .next_step(unused_next)
  );
  assign round_last = round == step[0+:32];
  assign period_last = phase == step[32+:32];
  assign beats = period_last ? step[96+:32] : step[64+:32];
  assign leg_last = leg == step[128+:8];
  assign empty = beats == 32'd0;
  assign beat_last = empty || beat == beats - 1'b1;

  logic [7:0] source;
  logic [TARGETS-1:0] targets;
  logic [OUTPUTS-1:0] target, free;
  logic [LANES*BITS-1:0] data;
  logic [LANES*OUT_BITS-1:0] fitted;
  logic [INPUTS-1:0] selected;
  // A choice among constant places: an indexed part-select would cost a multiplier.
  always_comb begin
    source = '0;
    targets = '0;
    for (int i = 0; i < MAX_LEGS; i = i + 1) begin
      if (leg == 8'(i)) begin
        source = step[136+LEG_BITS*i+:8];
        targets = step[144+LEG_BITS*i+:TARGETS];
      end
    end
  end
  assign target = targets[OUTPUTS-1:0];
  assign free = ~out_valid | out_ready;
  intar_slice #(
      .SLICES(INPUTS),
      .WIDTH(LANES * BITS)
  ) choice (
      .data(in_data),
      .index(source[SOURCE_BITS-1:0]),
      .slice(data)
  );
  assign go = valid && !empty && (target & ~free) == '0;
  assign advance = valid && (empty || (go && (in_valid & selected) != '0));
  always_comb begin
    for (int i = 0; i < INPUTS; i = i + 1) selected[i] = source == 8'(i);
  end
  assign in_ready = go ? selected : '0;

  always_ff @(posedge clk) begin
    if (start) begin
      beat <= '0;
      leg <= '0;
      round <= '0;
      phase <= '0;
    end else if (advance) begin
      beat <= beat_last ? '0 : beat + 1'b1;
      if (beat_last) begin
        leg <= leg_last ? '0 : leg + 1'b1;
        if (leg_last) begin
          round <= round_last ? '0 : round + 1'b1;
          phase <= (period_last || round_last) ? '0 : phase + 1'b1;
        end
      end
    end
  end
  generate
    for (genvar l = 0; l < LANES; l = l + 1) begin : g_lanes
      if (OUT_BITS <= BITS) begin : g_cut
        assign fitted[l*OUT_BITS+:OUT_BITS] = data[l*BITS+:OUT_BITS];
      end else begin : g_extended
        assign fitted[l*OUT_BITS+:OUT_BITS] = {{(OUT_BITS - BITS) {data[l*BITS+BITS-1]}}, data[l*BITS+:BITS]};
      end
    end
    for (genvar o = 0; o < OUTPUTS; o = o + 1) begin : g_outputs
      always_ff @(posedge clk) begin
        if (!rst_n) out_valid[o] <= 1'b0;
        else if (free[o]) out_valid[o] <= advance && !empty && target[o];
        if (free[o]) out_data[o*LANES*OUT_BITS+:LANES*OUT_BITS] <= fitted;
      end
    end
  endgenerate

  logic unused;
  assign done = !valid && out_valid == '0;
  assign unused = &{1'b0, source, targets, unused_next, data};
endmodule
