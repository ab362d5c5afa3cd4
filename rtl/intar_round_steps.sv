// intar_round_steps: intar_steps for a node whose numbers (multipliers, shifts, bounds) differ from round to round of a loop.
//
// A step is the lowest HEAD bits of its word in PROGRAM, which are the same in every round, and above them a row of NUMBERS.
//
// Word        HEAD + 17 bits, lowest first: head, row (16), moves (1): round r of the segment has the numbers r rows further on.
// Numbers     row i in bits i (STEP_BITS - HEAD) and up. With ROWS = 0 there are none, and PROGRAM has whole steps.
// All else    start, advance, segments, valid, step, next_step: as intar_steps, to the cycle, but that `step` means nothing while
//             `valid` is 0. `round` is stable from a start on until all steps of the segment are over.
module intar_round_steps #(
    parameter int STEPS     = 1,   // >= 1
    parameter int STEP_BITS = 32,  // >= 1
    parameter int HEAD      = 0,   // less than STEP_BITS
    parameter int ROWS      = 0,   // up to 65536
    parameter logic [STEPS*((ROWS > 0) ? HEAD + 17 : STEP_BITS)-1:0] PROGRAM = '0,
    parameter logic [((ROWS > 0) ? ROWS : 1)*(STEP_BITS-HEAD)-1:0] NUMBERS = '0,
    parameter int SEGMENTS  = 1,   // 1 to 256
    parameter logic [SEGMENTS*32-1:0] ENDS = '0
) (
    input  logic                 clk,
    input  logic                 rst_n,
    input  logic                 start,
    input  logic [7:0]           segment,
    input  logic [15:0]          round,
    input  logic                 advance,
    output logic                 valid,
    output logic [STEP_BITS-1:0] step,
    output logic [STEP_BITS-1:0] next_step
);
  localparam int WORD_BITS = (ROWS > 0) ? HEAD + 17 : STEP_BITS;
  logic [WORD_BITS-1:0] word, next_word;
  intar_steps #(
      .STEPS(STEPS),
      .STEP_BITS(WORD_BITS),
      .PROGRAM(PROGRAM),
      .SEGMENTS(SEGMENTS),
      .ENDS(ENDS)
  ) steps (
      .clk(clk),
      .rst_n(rst_n),
      .start(start),
      .segment(segment),
      .advance(advance),
      .valid(valid),
      .step(word),
      .next_step(next_word)
  );
  generate
    if (ROWS == 0) begin : g_whole
      logic unused;
      assign step = word;
      assign next_step = next_word;
      assign unused = &{1'b0, round, NUMBERS};
    end else begin : g_rounds
      localparam int TAIL = STEP_BITS - HEAD;
      localparam int ROW_BITS = (ROWS > 1) ? $clog2(ROWS) : 1;
      localparam logic [STEP_BITS-1:0] LOW = {STEP_BITS{1'b1}} >> TAIL;  // the head's bits
      logic [TAIL-1:0] numbers[0:ROWS-1];
      initial begin
        for (int i = 0; i < ROWS; i = i + 1) numbers[i] = NUMBERS[i*TAIL+:TAIL];
      end
      logic [15:0] row;
      logic [TAIL-1:0] tail, next_tail;
      logic unused;
      assign row = next_word[HEAD+:16] + (next_word[HEAD+16] ? round : 16'd0);
      assign next_tail = numbers[ROW_BITS'(row)];
      always_ff @(posedge clk) begin
        if (start || (valid && advance)) tail <= next_tail;
      end
      assign step = (STEP_BITS'(tail) << HEAD) | (STEP_BITS'(word) & LOW);
      assign next_step = (STEP_BITS'(next_tail) << HEAD) | (STEP_BITS'(next_word) & LOW);
      assign unused = &{1'b0, row, word};
    end
  endgenerate
endmodule
