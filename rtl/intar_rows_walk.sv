// intar_rows_walk: where one pass of intar_rows is: step, row, slot of the row, slice of the row.
//
// Every advance goes on by one slice of RATE elements; rows take the slots in turn, across steps. Fields of a step
// that count are in intar_rows. All outputs are those of the slice that the next advance passes. `used` are the elements of
// the slice that count: the first `first` of a step's first row; with `grow` one more in each row after it, up to `cols`; but
// none from `position` up to the step's `cached`. With PEAK rows of which the peak alone is wanted have one beat.
module intar_rows_walk #(
    parameter int LANES      = 4,
    parameter int RATE       = 4,
    parameter int PLACE_BITS = 1,  // of the number of a slice in its row
    parameter int SLOT_BITS = 2,   // of the number of a slot
    parameter bit PEAK       = 1'b0,
    parameter int SEGMENTS   = 1,  // see intar_steps
    parameter int STEPS      = 1,
    parameter int STEP_BITS = 358,
    parameter int HEAD      = 123,  // see intar_round_steps
    parameter int ROWS      = 0,
    parameter logic [STEPS*((ROWS > 0) ? HEAD + 17 : STEP_BITS)-1:0] PROGRAM = '0,
    parameter logic [((ROWS > 0) ? ROWS : 1)*(STEP_BITS-HEAD)-1:0] NUMBERS = '0,
    parameter logic [SEGMENTS*32-1:0] ENDS = '0
) (
    input  logic                  clk,
    input  logic                  rst_n,
    input  logic                  start,
    input  logic [7:0]            segment,
    input  logic [15:0]           round,
    input  logic [31:0]           position,
    input  logic                  advance,
    output logic                  valid,
    output logic [STEP_BITS-1:0]  step,
    output logic [SLOT_BITS-1:0]  slot,
    output logic [PLACE_BITS+SLOT_BITS-1:0] at,  // slot and slice
    output logic [31:0]           slice,       // of the beat
    output logic                  slice_last,  // of the beat
    output logic                  row_first,
    output logic                  row_last,
    output logic [RATE-1:0]       used         // elements of the slice that count
);
  localparam int SLICES = LANES / RATE;
  localparam int SLICE_BITS = (SLICES > 1) ? $clog2(SLICES) : 1;

  logic [31:0] row, beat;
  logic [SLICE_BITS-1:0] slice_count;
  logic [PLACE_BITS-1:0] place;
  logic beat_last, step_last;
  logic [STEP_BITS-1:0] next_step;
  logic [16:0] counted, left, next_counted;  // elements of this row that count, of it from this slice on; of the next row
  logic [16:0] ahead, gap_end;  // elements from this slice on that lie before `position`, before `cached`
  logic [16:0] first_ahead, next_gap_end;
  intar_round_steps #(
      .STEPS(STEPS),
      .STEP_BITS(STEP_BITS),
      .HEAD(HEAD),
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
      .advance(advance && row_last && step_last),
      .valid(valid),
      .step(step),
      .next_step(next_step)
  );
  assign slice = 32'(slice_count);
  assign slice_last = slice_count == SLICE_BITS'(SLICES - 1);
  assign beat_last = beat == step[32+:32] || (PEAK && step[99+:2] == 2'd3);
  assign row_first = place == '0;
  assign row_last = slice_last && beat_last;
  assign step_last = row == step[0+:32];
  assign at = {slot, place};
  always_comb begin
    next_counted = counted;
    if (step_last) next_counted = next_step[81+:17];
    else if (step[98] && counted < step[64+:17]) next_counted = counted + 1'b1;
    first_ahead = (|position[31:17]) ? '1 : position[16:0];
    next_gap_end = step_last ? next_step[106+:17] : step[106+:17];
    for (int p = 0; p < RATE; p = p + 1) used[p] = left > 17'(p) && (ahead > 17'(p) || gap_end <= 17'(p));
  end
  always_ff @(posedge clk) begin
    if (start) begin
      slice_count <= '0;
      place <= '0;
      beat <= '0;
      row <= '0;
      slot <= '0;
      counted <= next_step[81+:17];
      left <= next_step[81+:17];
      ahead <= first_ahead;
      gap_end <= next_step[106+:17];
    end else if (advance) begin
      slice_count <= slice_last ? '0 : slice_count + 1'b1;
      place <= row_last ? '0 : place + 1'b1;
      if (slice_last) beat <= beat_last ? '0 : beat + 1'b1;
      left <= (left > 17'(RATE)) ? left - 17'(RATE) : '0;
      ahead <= (ahead > 17'(RATE)) ? ahead - 17'(RATE) : '0;
      gap_end <= (gap_end > 17'(RATE)) ? gap_end - 17'(RATE) : '0;
      if (row_last) begin
        counted <= next_counted;
        left <= next_counted;
        ahead <= first_ahead;
        gap_end <= next_gap_end;
        slot <= slot + 1'b1;
        row <= step_last ? '0 : row + 1'b1;
      end
    end
  end

  logic unused;
  assign unused = &{1'b0, step, next_step};
endmodule
