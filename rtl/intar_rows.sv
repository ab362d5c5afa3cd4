// intar_rows: softmax, normalisation and peaks of whole rows, rows over their peaks: row beats in, row beats out, in integers
// (docs/numerics.md).
//
// Step        358 bits, lowest first: rows - 1 (32), beats of a row - 1 (32), elements of a row (17) | elements that count in
//             the first row (17), one more in each row after it (1) | softmax, normalisation, row over its peak or peak (2; 0 to
//             3), subtract the mean (1), lift (4; 0 but for a normalisation) | first element behind `position` that counts
//             again (17; 0: none in between) | distances: mult (25), shift (6); of a normalisation s in shift | numerator or
//             epsilon (61), out_shift or q (6) | zero, lo, hi (18 each) | table use (1), half (17), low bits (4), first entry
//             (16), log2 of a group's entries (4), q (5), lo, hi (18 each).
// Passes      four, each on a row of its own, a slice of RATE elements a cycle: collect a row and find its maximum;
//             powers of two of the distances to it, and their sum; divide (one bit a cycle); multiply and clamp.
//             Of a row that is normalised: collect it; sums of elements and squares; reciprocal root; scale, move and clamp.
//             Of a row over its peak: collect it and find the largest magnitude; its elements as they are; divide; multiply
//             and clamp. Of a peak: the first pass, and one beat in the others: 1 in all lanes, times twice the peak, halved.
//             Rows are handed on through SLOTS slots of the row memory and as many of the power memory.
// Tables      with TABLE results go through an intar_lookup a lane (intar_rows_lookups). No row that is looked up leaves before all
//             tables are full.
// Parameters  gains and offsets of the columns of normalised rows (intar_rows_columns). They are taken up to three beats ahead,
//             whatever the program still needs: nobody may offer more than it needs in all.
// Latency     a row's last slice taken in t -> its powers from t+2 on; its last slice read for the powers in t ->
//             division in t+12; that takes 20 cycles, a root 25, a peak 1; last slice of a beat read for the product in t ->
//             pushed in t+7, with NORM in t+13; one that is looked up 2 later, with SLOPES 5, with CURVES 7.
// Throughput  a beat every LANES / RATE cycles (of a normalised row 2 at least), at least 20 / DIVISIONS cycles a row (of a
//             normalised one 25, of a peak (2 LANES / RATE + 12) / SLOTS). The product's pipeline stops as a whole while a
//             finished beat is not taken; the other passes go on as far as slots are free.
//             Behind a row that is looked up, one that isn't waits until it can't leave before it: no beat leaves later for that.
module intar_rows #(
    parameter int LANES = 4,  // elements of a beat, a power of two
    parameter int RATE  = 4,  // elements a cycle; divides LANES
    parameter int BITS  = 8,  // up to 16
    parameter int DEPTH = 1,  // most beats of a row
    parameter int SLOTS = 4,      // a power of two, 4 at least
    parameter int DIVISIONS = 1,  // dividers, which rows of a softmax take in turn
    parameter bit SOFTMAX = 1'b1,  // some step is a softmax
    parameter bit NORM = 1'b0,     // some step normalises
    parameter bit PEAK = 1'b0,     // some step is a peak, or a row over its
    parameter bit TABLE = 1'b0,    // some step looks its results up
    parameter bit SLOPES = 1'b0,   // see intar_lookup
    parameter bit CURVES = 1'b0,
    parameter int TABLE_ENTRIES = 16,
    parameter int GROUP_BITS = 0,  // up to 7
    parameter int BASE_BITS = 8,
    parameter int SLOPE_BITS = 8,
    parameter int CURVE_BITS = 8,
    parameter int WIDTH = 8,
    parameter STYLE = "auto",
    parameter int SEGMENTS = 1,    // see intar_round_steps
    parameter int STEPS = 1,
    parameter int ROWS = 0,        // of numbers, see intar_round_steps; its HEAD is 123, of LOAD_PROGRAM 0
    parameter logic [STEPS*((ROWS > 0) ? 140 : 358)-1:0] PROGRAM = '0,
    parameter logic [((ROWS > 0) ? ROWS : 1)*235-1:0] NUMBERS = '0,
    parameter logic [SEGMENTS*32-1:0] ENDS = '0,
    parameter int LOAD_STEPS = 1,
    parameter int LOAD_ROWS = 0,
    parameter logic [LOAD_STEPS*((LOAD_ROWS > 0) ? 17 : 73)-1:0] LOAD_PROGRAM = '0,
    parameter logic [((LOAD_ROWS > 0) ? LOAD_ROWS : 1)*73-1:0] LOAD_NUMBERS = '0,
    parameter logic [SEGMENTS*32-1:0] LOAD_ENDS = '0
) (
    input  logic                  clk,
    input  logic                  rst_n,
    input  logic                  start,
    input  logic [7:0]            segment,
    input  logic [15:0]           round,
    input  logic [31:0]           position,  // of the call; it stays while the node works
    output logic                  done,
    input  logic                  in_valid,
    output logic                  in_ready,
    input  logic [LANES*BITS-1:0] in_data,
    input  logic                  params_valid,
    output logic                  params_ready,
    input  logic [  LANES*32-1:0] params_data,
    input  logic                  tables_valid,
    output logic                  tables_ready,
    input  logic [  LANES*32-1:0] tables_data,
    output logic                  out_valid,
    input  logic                  out_ready,
    output logic [LANES*BITS-1:0] out_data
);
  localparam int SLICES = LANES / RATE;
  localparam int PLACE_BITS = (DEPTH * SLICES > 1) ? $clog2(DEPTH * SLICES) : 1;
  localparam int SLOT_BITS = $clog2(SLOTS);
  localparam int AT = PLACE_BITS + SLOT_BITS;
  localparam int MEMORY = 1 << AT;
  localparam int POWER = 25;   // bits of a power
  localparam int TOTAL = 41;   // of a sum of powers
  localparam int STEP_BITS = 358;
  localparam int KIND_AT = 99, CENTRED_AT = 101, LIFT_AT = 102, MULT_AT = 123, SHIFT_AT = 148, NUMERATOR_AT = 154,
                 OUT_SHIFT_AT = 215, LIMITS_AT = 221, TABLE_AT = 275;  // fields of a step

  // By slot: a row that is still to be read, one whose maximum is known; a row of powers that is still to be read, one whose
  // sum, one whose reciprocal is known.
  logic [SLOTS-1:0] row_held, row_ready, power_held, sum_ready, divided;

  // ---- collect
  logic fill_valid, fill_go, fill_slice_last, fill_first, fill_last;
  logic [STEP_BITS-1:0] fill_step;
  logic [SLOT_BITS-1:0] fill_slot;
  logic [AT-1:0] fill_at;
  logic [31:0] fill_slice;
  logic [RATE-1:0] fill_used;
  logic [RATE*BITS-1:0] slice_in;
  intar_rows_walk #(
      .LANES(LANES),
      .RATE(RATE),
      .PLACE_BITS(PLACE_BITS),
      .SLOT_BITS(SLOT_BITS),
      .STEPS(STEPS),
      .STEP_BITS(STEP_BITS),
      .ROWS(ROWS),
      .PROGRAM(PROGRAM),
      .NUMBERS(NUMBERS),
      .SEGMENTS(SEGMENTS),
      .ENDS(ENDS)
  ) fill (
      .clk(clk),
      .rst_n(rst_n),
      .start(start),
      .segment(segment),
      .round(round),
      .position(position),
      .advance(fill_go),
      .valid(fill_valid),
      .step(fill_step),
      .slot(fill_slot),
      .at(fill_at),
      .slice(fill_slice),
      .slice_last(fill_slice_last),
      .row_first(fill_first),
      .row_last(fill_last),
      .used(fill_used)
  );
  assign fill_go = fill_valid && !row_held[fill_slot] && in_valid;
  assign in_ready = fill_valid && !row_held[fill_slot] && fill_slice_last;
  generate
    if (SLICES > 1) begin : g_slice
      assign slice_in = in_data[fill_slice*32'(RATE*BITS)+:RATE*BITS];
    end else begin : g_beat
      assign slice_in = in_data;
    end
  endgenerate

  logic signed [BITS-1:0] top;
  logic signed [BITS-1:0] tops[0:SLOTS-1];
  logic fill1, fill_last1;
  logic [SLOT_BITS-1:0] fill_slot1;
  intar_rows_maximum #(
      .RATE(RATE),
      .BITS(BITS),
      .PEAK(PEAK)
  ) maximum (
      .clk(clk),
      .go(fill_go),
      .first(fill_first),
      .heights(fill_step[KIND_AT+1]),
      .used(fill_used),
      .slice(slice_in),
      .top(top)
  );
  always_ff @(posedge clk) begin
    fill1 <= rst_n && fill_go;
    fill_last1 <= fill_last;
    fill_slot1 <= fill_slot;
    if (fill1 && fill_last1) tops[fill_slot1] <= top;
  end

  // ---- powers: a row that has begun goes on without a stop
  logic power_valid, power_go, power_first, power_last, unused_power_slice_last;
  logic [STEP_BITS-1:0] power_step;
  logic [SLOT_BITS-1:0] power_slot;
  logic [AT-1:0] power_at;
  logic [31:0] unused_power_slice;
  logic [RATE-1:0] power_used;
  intar_rows_walk #(
      .LANES(LANES),
      .RATE(RATE),
      .PLACE_BITS(PLACE_BITS),
      .SLOT_BITS(SLOT_BITS),
      .PEAK(PEAK),
      .STEPS(STEPS),
      .STEP_BITS(STEP_BITS),
      .ROWS(ROWS),
      .PROGRAM(PROGRAM),
      .NUMBERS(NUMBERS),
      .SEGMENTS(SEGMENTS),
      .ENDS(ENDS)
  ) powers (
      .clk(clk),
      .rst_n(rst_n),
      .start(start),
      .segment(segment),
      .round(round),
      .position(position),
      .advance(power_go),
      .valid(power_valid),
      .step(power_step),
      .slot(power_slot),
      .at(power_at),
      .slice(unused_power_slice),
      .slice_last(unused_power_slice_last),
      .row_first(power_first),
      .row_last(power_last),
      .used(power_used)
  );
  assign power_go = power_valid && row_ready[power_slot] && (!power_first || !power_held[power_slot]);

  logic [RATE*BITS-1:0] rows[0:MEMORY-1];
  logic [RATE*BITS-1:0] values;
  logic signed [BITS-1:0] top1;
  always_ff @(posedge clk) begin
    if (fill_go) rows[fill_at] <= slice_in;
    values <= rows[power_at];
    top1 <= tops[power_slot];
  end

  logic terms_valid, sums_valid;
  logic [RATE*POWER-1:0] terms;
  logic [TOTAL-1:0] total;
  logic signed [31:0] sum;
  logic [45:0] square;
  intar_rows_terms #(
      .RATE(RATE),
      .BITS(BITS),
      .SOFTMAX(SOFTMAX),
      .NORM(NORM),
      .PEAK(PEAK)
  ) second (
      .clk(clk),
      .rst_n(rst_n),
      .go(power_go),
      .first(power_first),
      .last(power_last),
      .kind(power_step[KIND_AT+:2]),
      .centred(power_step[CENTRED_AT]),
      .lift(power_step[LIFT_AT+:4]),
      .mult(power_step[MULT_AT+:25]),
      .shift(power_step[SHIFT_AT+:6]),
      .used(power_used),
      .values(values),
      .top(top1),
      .terms_valid(terms_valid),
      .terms(terms),
      .sums_valid(sums_valid),
      .total(total),
      .sum(sum),
      .squares(square)
  );

  logic [AT-1:0] at10;
  logic [SLOT_BITS-1:0] slot11;
  logic [RATE*POWER-1:0] stored[0:MEMORY-1];
  logic [TOTAL-1:0] totals[0:SLOTS-1];
  logic signed [31:0] sums[0:SLOTS-1];
  logic [45:0] squares[0:SLOTS-1];
  intar_delay #(.WIDTH(AT), .MOVES(10)) places (.clk(clk), .move(1'b1), .in_data(power_at), .out_data(at10));
  always_ff @(posedge clk) begin
    slot11 <= at10[PLACE_BITS+:SLOT_BITS];
    if (terms_valid) stored[at10] <= terms;
  end
  generate
    if (SOFTMAX || PEAK) begin : g_totals
      always_ff @(posedge clk) if (sums_valid) totals[slot11] <= total;
    end else begin : g_no_totals
      logic unused_total;
      assign unused_total = &{1'b0, total};
      always_comb for (int i = 0; i < SLOTS; i = i + 1) totals[i] = '0;
    end
    if (NORM) begin : g_sums
      always_ff @(posedge clk) begin
        if (sums_valid) begin
          sums[slot11] <= sum;
          squares[slot11] <= square;
        end
      end
    end else begin : g_no_sums
      logic unused_sums;
      assign unused_sums = &{1'b0, sum, square};
      always_comb begin
        for (int i = 0; i < SLOTS; i = i + 1) begin
          sums[i] = '0;
          squares[i] = '0;
        end
      end
    end
  endgenerate

  // ---- divide
  logic divide_valid, divide_go, quotient_ready;
  logic [STEP_BITS-1:0] divide_step;
  logic [SLOT_BITS-1:0] divide_slot, quotient_slot;
  logic [31:0] divide_row;
  logic [18:0] quotient;
  logic [5:0] down;
  logic [18:0] quotients[0:SLOTS-1];
  logic [5:0] downs[0:SLOTS-1];
  logic [STEP_BITS-1:0] unused_divide_next;
  intar_round_steps #(
      .STEPS(STEPS),
      .STEP_BITS(STEP_BITS),
      .HEAD(MULT_AT),
      .ROWS(ROWS),
      .PROGRAM(PROGRAM),
      .NUMBERS(NUMBERS),
      .SEGMENTS(SEGMENTS),
      .ENDS(ENDS)
  ) divide_steps (
      .clk(clk),
      .rst_n(rst_n),
      .start(start),
      .segment(segment),
      .round(round),
      .advance(divide_go && divide_row == divide_step[0+:32]),
      .valid(divide_valid),
      .step(divide_step),
      .next_step(unused_divide_next)
  );
  intar_rows_divisions #(
      .DIVISIONS(DIVISIONS),
      .SLOT_BITS(SLOT_BITS),
      .DIVIDE(SOFTMAX || PEAK),
      .NORM(NORM),
      .PEAK(PEAK)
  ) divisions (
      .clk(clk),
      .rst_n(rst_n),
      .start(start),
      .valid(divide_valid && sum_ready[divide_slot]),
      .go(divide_go),
      .kind(divide_step[KIND_AT+:2]),
      .numerator(divide_step[NUMERATOR_AT+:61]),
      .shift(divide_step[SHIFT_AT+:6]),
      .out_shift(divide_step[OUT_SHIFT_AT+:6]),
      .total(totals[divide_slot]),
      .count(divide_step[64+:16]),
      .sum(sums[divide_slot]),
      .squares(squares[divide_slot]),
      .ready(quotient_ready),
      .ready_slot(quotient_slot),
      .quotient(quotient),
      .down(down)
  );
  always_ff @(posedge clk) begin
    if (start) begin
      divide_slot <= '0;
      divide_row <= '0;
    end else if (divide_go) begin
      divide_slot <= divide_slot + 1'b1;
      divide_row <= (divide_row == divide_step[0+:32]) ? '0 : divide_row + 1'b1;
    end
    if (quotient_ready) begin
      quotients[quotient_slot] <= quotient;
      downs[quotient_slot] <= down;
    end
  end

  // ---- multiply and clamp
  logic scale_valid, scale_go, scale_slice_last, scale_last, unused_scale_first, move, idle;
  logic [STEP_BITS-1:0] scale_step;
  logic [SLOT_BITS-1:0] scale_slot;
  logic [AT-1:0] scale_at;
  logic [31:0] scale_slice;
  logic [RATE-1:0] unused_scale_used;
  intar_rows_walk #(
      .LANES(LANES),
      .RATE(RATE),
      .PLACE_BITS(PLACE_BITS),
      .SLOT_BITS(SLOT_BITS),
      .PEAK(PEAK),
      .STEPS(STEPS),
      .STEP_BITS(STEP_BITS),
      .ROWS(ROWS),
      .PROGRAM(PROGRAM),
      .NUMBERS(NUMBERS),
      .SEGMENTS(SEGMENTS),
      .ENDS(ENDS)
  ) scale (
      .clk(clk),
      .rst_n(rst_n),
      .start(start),
      .segment(segment),
      .round(round),
      .position(position),
      .advance(scale_go),
      .valid(scale_valid),
      .step(scale_step),
      .slot(scale_slot),
      .at(scale_at),
      .slice(scale_slice),
      .slice_last(scale_slice_last),
      .row_first(unused_scale_first),
      .row_last(scale_last),
      .used(unused_scale_used)
  );
  logic [RATE*POWER-1:0] read;
  always_ff @(posedge clk) if (move) read <= stored[scale_at];
  intar_rows_results #(
      .LANES(LANES),
      .RATE(RATE),
      .BITS(BITS),
      .SOFTMAX(SOFTMAX),
      .NORM(NORM),
      .PEAK(PEAK),
      .TABLE(TABLE),
      .SLOPES(SLOPES),
      .CURVES(CURVES),
      .TABLE_ENTRIES(TABLE_ENTRIES),
      .GROUP_BITS(GROUP_BITS),
      .BASE_BITS(BASE_BITS),
      .SLOPE_BITS(SLOPE_BITS),
      .CURVE_BITS(CURVE_BITS),
      .WIDTH(WIDTH),
      .STYLE(STYLE),
      .SEGMENTS(SEGMENTS),
      .LOAD_STEPS(LOAD_STEPS),
      .LOAD_ROWS(LOAD_ROWS),
      .LOAD_PROGRAM(LOAD_PROGRAM),
      .LOAD_NUMBERS(LOAD_NUMBERS),
      .LOAD_ENDS(LOAD_ENDS)
  ) last (
      .clk(clk),
      .rst_n(rst_n),
      .start(start),
      .segment(segment),
      .round(round),
      .idle(idle),
      .valid(scale_valid && divided[scale_slot]),
      .go(scale_go),
      .move(move),
      .kind(scale_step[KIND_AT+:2]),
      .look_up(scale_step[TABLE_AT]),
      .slice(scale_slice[((SLICES > 1) ? $clog2(SLICES) : 1)-1:0]),
      .slice_last(scale_slice_last),
      .count(scale_step[64+:16]),
      .sum(sums[scale_slot]),
      .ratio(quotients[scale_slot]),
      .down(downs[scale_slot]),
      .q(scale_step[OUT_SHIFT_AT+:6]),
      .limits(scale_step[LIMITS_AT+:54]),
      .place(scale_step[TABLE_AT+1+:82]),
      .shares(read),
      .params_valid(params_valid),
      .params_ready(params_ready),
      .params_data(params_data),
      .tables_valid(tables_valid),
      .tables_ready(tables_ready),
      .tables_data(tables_data),
      .out_valid(out_valid),
      .out_ready(out_ready),
      .out_data(out_data)
  );

  // ---- slots
  always_ff @(posedge clk) begin
    if (!rst_n || start) begin
      row_held <= '0;
      row_ready <= '0;
      power_held <= '0;
      sum_ready <= '0;
      divided <= '0;
    end else begin
      if (fill_go && fill_last) row_held[fill_slot] <= 1'b1;
      if (fill1 && fill_last1) row_ready[fill_slot1] <= 1'b1;
      if (power_go && power_last) begin
        row_held[power_slot] <= 1'b0;
        row_ready[power_slot] <= 1'b0;
        power_held[power_slot] <= 1'b1;
      end
      if (sums_valid) sum_ready[slot11] <= 1'b1;
      if (divide_go) sum_ready[divide_slot] <= 1'b0;
      if (quotient_ready) divided[quotient_slot] <= 1'b1;
      if (scale_go && scale_last) begin
        power_held[scale_slot] <= 1'b0;
        divided[scale_slot] <= 1'b0;
      end
    end
  end

  logic unused;
  assign done = !fill_valid && !scale_valid && idle;
  assign unused = &{1'b0, fill_step, power_step, divide_step, scale_step, fill_slice, scale_slice, unused_divide_next, unused_power_slice,
                    unused_power_slice_last, unused_scale_first, unused_scale_used,
                    totals[0], totals[1], totals[2], totals[3], sums[0], sums[1], sums[2], sums[3], squares[0], squares[1],
                    squares[2], squares[3]};
endmodule
