// intar_steps: the step program of a node: a ROM and the register with the current step.
//
// Start      a pulse of one cycle; `step` holds the first step and `valid` is 1 from the next cycle on.
// Advance    with `valid`: the next step is current from the next cycle on, one step per cycle if wanted. After the
//            last step `valid` falls and stays 0 until the next start.
// next_step  what `step` becomes at the next start or advance, for state that is set up from the step in the
//            same cycle (that is how switching costs nothing).
// Program    step i in bits i STEP_BITS to (i+1) STEP_BITS - 1; the layout of a step belongs to the node.
// Segments   a start plays the steps of one segment: those from the end of the segment before up to its own end, perhaps
//            none (then `valid` stays 0). `segment` is stable from a start on until all its steps are over.
module intar_steps #(
    parameter int STEPS     = 1,   // >= 1
    parameter int STEP_BITS = 32,  // >= 1
    parameter logic [STEPS*STEP_BITS-1:0] PROGRAM = '0,
    parameter int SEGMENTS  = 1,   // 1 to 256
    parameter logic [SEGMENTS*32-1:0] ENDS = '0  // with several segments: of each the step after its last one
) (
    input  logic                 clk,
    input  logic                 rst_n,
    input  logic                 start,
    input  logic [7:0]           segment,
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

  logic [INDEX_BITS-1:0] next;  // 0 again while the last step of all runs
  logic [INDEX_BITS-1:0] index, last;
  logic is_last, empty;
  generate
    if (SEGMENTS == 1) begin : g_whole
      logic unused;
      assign index = next;
      assign last = LAST;
      assign empty = 1'b0;
      assign unused = &{1'b0, segment, ENDS};
    end else begin : g_segments
      localparam logic [SEGMENTS*32-1:0] BEGINS = ENDS << 32;
      logic [31:0] first, past;
      logic unused;
      always_comb begin
        first = '0;
        past = '0;
        for (int s = 0; s < SEGMENTS; s = s + 1) begin
          if (segment == 8'(s)) begin
            first = BEGINS[s*32+:32];
            past = ENDS[s*32+:32];
          end
        end
      end
      assign index = valid ? next : INDEX_BITS'(first);
      assign last = INDEX_BITS'(past - 1'b1);
      assign empty = first == past;
      assign unused = &{1'b0, first};
    end
  endgenerate

  assign next_step = rom[index];
  always_ff @(posedge clk) begin
    if (!rst_n) begin
      valid <= 1'b0;
      is_last <= 1'b0;
      next <= '0;
    end else if (start || (valid && advance)) begin
      valid <= start ? !empty : !is_last;
      if (start || !is_last) begin
        is_last <= index == last;
        next <= (index == LAST) ? '0 : index + 1'b1;
      end
    end
    if (start || (valid && advance && !is_last)) step <= next_step;
  end
endmodule
