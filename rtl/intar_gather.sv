// intar_gather: picks one element out of every beat taken and packs the elements into beats.
//
// Step        456 bits, lowest first: walk (424, see intar_walk; addresses in elements), row - 1 (32).
//             For each address of the walk one beat is taken and its element (address mod LANES, the lowest digit
//             of the address) is kept; a beat is sent when it is full or when `row` elements have come since the row began, padded with 0.
//             Position and row count go on across steps.
// Latency     beat taken in cycle t that completes a beat -> pushed in t+1.
// Throughput  1 element per cycle, across steps without a gap.
module intar_gather #(
    parameter int LANES        = 4,
    parameter int BITS         = 8,
    parameter int ADDRESS_BITS = 32,
    parameter int COUNT_BITS   = 32,
    parameter int SEGMENTS     = 1,  // see intar_steps
    parameter int STEPS        = 1,
    parameter logic [STEPS*456-1:0] PROGRAM = '0,
    parameter logic [SEGMENTS*32-1:0] ENDS = '0
) (
    input  logic                  clk,
    input  logic                  rst_n,
    input  logic                  start,
    input  logic [7:0]            segment,
    output logic                  done,
    input  logic                  in_valid,
    output logic                  in_ready,
    input  logic [LANES*BITS-1:0] in_data,
    output logic                  out_valid,
    input  logic                  out_ready,
    output logic [LANES*BITS-1:0] out_data
);
  localparam int LANE_BITS = (LANES > 1) ? $clog2(LANES) : 1;

  logic valid, go, walk_last;
  logic [455:0] step, next_step;
  logic [ADDRESS_BITS-1:0] address;
  assign in_ready = valid && (!out_valid || out_ready);
  assign go = in_valid && in_ready;
  intar_steps #(
      .STEPS(STEPS),
      .STEP_BITS(456),
      .PROGRAM(PROGRAM),
      .SEGMENTS(SEGMENTS),
      .ENDS(ENDS)
  ) steps (
      .clk(clk),
      .rst_n(rst_n),
      .start(start),
      .segment(segment),
      .advance(go && walk_last),
      .valid(valid),
      .step(step),
      .next_step(next_step)
  );
  logic unused_iteration_last;
  intar_walk #(
      .ADDRESS_BITS(ADDRESS_BITS),
      .COUNT_BITS(COUNT_BITS),
      .LANES(LANES)
  ) walker (
      .clk(clk),
      .load(start || (go && walk_last)),
      .next_walk(next_step[423:0]),
      .walk(step[423:0]),
      .advance(go),
      .address(address),
      .iteration_last(unused_iteration_last),
      .walk_last(walk_last)
  );

  logic [LANE_BITS-1:0] lane, place;
  logic [31:0] count;
  logic row_last, beat_last;
  logic [BITS-1:0] element;
  logic [LANES*BITS-1:0] collected, beat;
  generate
    if (LANES > 1) begin : g_lane
      assign lane = address[LANE_BITS-1:0];
    end else begin : g_one_lane
      assign lane = '0;
    end
  endgenerate
  assign element = in_data[32'(lane)*BITS+:BITS];
  assign row_last = count == step[424+:32];
  assign beat_last = row_last || place == LANE_BITS'(LANES - 1);
  always_comb begin
    beat = collected;
    beat[32'(place)*BITS+:BITS] = element;
  end
  always_ff @(posedge clk) begin
    if (start) begin
      place <= '0;
      count <= '0;
      collected <= '0;
    end else if (go) begin
      place <= beat_last ? '0 : place + 1'b1;
      count <= row_last ? '0 : count + 1'b1;
      collected <= beat_last ? '0 : beat;
    end
    if (!rst_n) out_valid <= 1'b0;
    else if (!out_valid || out_ready) out_valid <= go && beat_last;
    if (go) out_data <= beat;
  end

  logic unused;
  assign done = !valid && !out_valid;
  assign unused = &{1'b0, step, next_step, address};
endmodule
