// intar_steps: the step program of a node: a ROM and the register with the current step.
//
// Start      a pulse of one cycle; `step` holds the first step and `valid` is 1 from the next cycle on.
// Advance    with `valid`: the next step is current from the next cycle on, one step per cycle if wanted. After the
//            last step `valid` falls and stays 0 until the next start.
// next_step  what `step` becomes at the next start or advance, for state that is set up from the step in the
//            same cycle (that is how switching costs nothing).
// Program    step i in bits i STEP_BITS to (i+1) STEP_BITS - 1; the layout of a step belongs to the node.
module intar_steps #(
    parameter int STEPS     = 1,   // >= 1
    parameter int STEP_BITS = 32,  // >= 1
    parameter logic [STEPS*STEP_BITS-1:0] PROGRAM = '0
) (
    input  logic                 clk,
    input  logic                 rst_n,
    input  logic                 start,
    input  logic                 advance,
    output logic                 valid,
    output logic [STEP_BITS-1:0] step,
    output logic [STEP_BITS-1:0] next_step
);
  localparam int INDEX_BITS = (STEPS > 1) ? $clog2(STEPS) : 1;
  localparam logic [INDEX_BITS-1:0] LAST = INDEX_BITS'(STEPS - 1);

  logic [STEP_BITS-1:0] rom[0:STEPS-1];
  initial begin
    for (int i = 0; i < STEPS; i = i + 1) rom[i] = PROGRAM[i*STEP_BITS+:STEP_BITS];
  end

  logic [INDEX_BITS-1:0] next;  // 0 again while the last step runs: ready for the next start
  logic is_last;
  assign next_step = rom[next];
  always_ff @(posedge clk) begin
    if (!rst_n) begin
      valid <= 1'b0;
      is_last <= 1'b0;
      next <= '0;
    end else if (start || (valid && advance)) begin
      valid <= start || !is_last;
      if (start || !is_last) begin
        is_last <= next == LAST;
        next <= (next == LAST) ? '0 : next + 1'b1;
      end
    end
    if (start || (valid && advance && !is_last)) step <= next_step;
  end
endmodule
