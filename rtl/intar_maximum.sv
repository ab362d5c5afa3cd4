// intar_maximum: elementwise maximum of runs of consecutive beats, in front of a vector unit.
//
// Step        64 bits, lowest first: maxima - 1 (32), beats of a maximum - 1 (32). A run of 1 beat passes unchanged.
// Latency     the beat that completes a maximum, taken in cycle t, stands at the output in t+1.
// Throughput  1 beat per cycle, across maxima and steps: the next maximum is collected while the last one waits.
// Handshake   in_ready depends on out_ready in the same cycle.
module intar_maximum #(
    parameter int LANES = 4,  // elements of a beat
    parameter int BITS  = 8,  // of an element, signed
    parameter int SEGMENTS = 1,  // see intar_steps
    parameter int STEPS = 1,
    parameter logic [STEPS*64-1:0] PROGRAM = '0,
    parameter logic [SEGMENTS*32-1:0] ENDS = '0
) (
    input  logic                  clk,
    input  logic                  rst_n,
    input  logic                  start,
    input  logic [7:0]            segment,
    input  logic                  in_valid,
    output logic                  in_ready,
    input  logic [LANES*BITS-1:0] in_data,
    output logic                  out_valid,
    input  logic                  out_ready,
    output logic [LANES*BITS-1:0] out_data
);
  logic valid, go, first, last, step_last;
  logic [63:0] step, unused_next;
  logic [31:0] beat, count;
  intar_steps #(
      .STEPS(STEPS),
      .STEP_BITS(64),
      .PROGRAM(PROGRAM),
      .SEGMENTS(SEGMENTS),
      .ENDS(ENDS)
  ) steps (
      .clk(clk),
      .rst_n(rst_n),
      .start(start),
      .segment(segment),
      .advance(go && last && step_last),
      .valid(valid),
      .step(step),
      .next_step(unused_next)
  );
  assign first = beat == 32'd0;
  assign last = beat == step[32+:32];
  assign step_last = count == step[0+:32];
  assign in_ready = valid && (!last || !out_valid || out_ready);
  assign go = in_valid && in_ready;
  always_ff @(posedge clk) begin
    if (start) begin
      beat <= '0;
      count <= '0;
    end else if (go) begin
      beat <= last ? '0 : beat + 1'b1;
      if (last) count <= step_last ? '0 : count + 1'b1;
    end
    if (!rst_n) out_valid <= 1'b0;
    else if (go && last) out_valid <= 1'b1;
    else if (out_ready) out_valid <= 1'b0;
  end

  logic [LANES*BITS-1:0] largest, merged;  // so far, and with this beat
  always_comb begin
    for (int l = 0; l < LANES; l = l + 1) begin
      if (first || $signed(in_data[l*BITS+:BITS]) > $signed(largest[l*BITS+:BITS]))
        merged[l*BITS+:BITS] = in_data[l*BITS+:BITS];
      else merged[l*BITS+:BITS] = largest[l*BITS+:BITS];
    end
  end
  always_ff @(posedge clk) begin
    if (go) largest <= merged;
    if (go && last) out_data <= merged;
  end

  logic unused;
  assign unused = &{1'b0, unused_next};
endmodule
