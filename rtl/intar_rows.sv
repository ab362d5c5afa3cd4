// intar_rows: softmax, normalisation and peaks of whole rows, rows over their peaks: row beats in, row beats out, in integers
// (docs/numerics.md).
//
// Step        358 bits, lowest first: rows - 1 (32), beats of a row - 1 (32), elements of a row (17) | elements that count in
//             the first row (17), one more in each row after it (1) | softmax, normalisation, row over its peak or peak (2; 0 to
//             3), subtract the mean (1), lift (4; 0 but for a normalisation) | first element behind `position` that counts again (17; 0: none in between) |
//             distances: mult (25), shift (6); of a normalisation s in shift | numerator or epsilon (61), out_shift or q (6) |
//             zero, lo, hi (18 each) | table use (1), half (17), low bits (4), first entry (16), log2 of a group's entries (4),
//             q (5), lo, hi (18 each).
// Passes      four, each on a row of its own, a slice of RATE elements a cycle: collect a row and find its maximum;
//             powers of two of the distances to it, and their sum; divide (one bit a cycle); multiply and clamp.
//             Of a row that is normalised: collect it; sums of elements and squares; reciprocal root; scale, move and clamp.
//             Of a row over its peak: collect it and find the largest magnitude; its elements as they are; divide; multiply
//             and clamp. Of a peak: the first pass, and one beat in the others: 1 in all lanes, times twice the peak, halved.
//             Rows are handed on through SLOTS slots of the row memory and as many of the power memory.
// Tables      with TABLE results go through an intar_lookup a lane. LOAD_PROGRAM names the slots that a play fills from `tables`
//             (intar_table_load), from its first cycle on; 73 bits a slot, lowest first: first entry (16), entries - 1 (16), q (5), lo,
//             hi (18 each). No row that is looked up leaves before all of them are full.
// Parameters  a beat of gains and one of offsets for each beat of a normalised row (32-bit elements), in that order; bits 25 and
//             up of a gain are the group of its column's table. They are
//             taken up to three beats ahead whatever the program still needs: nobody may offer more than it needs in all.
// Latency     a row's last slice taken in t -> its powers from t+2 on; its last slice read for the powers in t ->
//             division in t+12; that takes 20 cycles, a root 25; last slice of a beat read for the product in t -> pushed in
//             t+7, with NORM in t+13; one that is looked up 2 later, with SLOPES 5, with CURVES 7.
// Throughput  a beat every LANES / RATE cycles (of a normalised row 2 at least), at least 20 / DIVISIONS cycles a row (25). The product's
//             pipeline stops as a whole while a finished beat is not taken; the other passes go on as far as slots are free.
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
  localparam int DIRECT = 6;   // latency of the product
  localparam int RESULT = NORM ? 12 : DIRECT;
  localparam int TABLES = !TABLE ? 0 : CURVES ? 7 : SLOPES ? 5 : 2;
  localparam int LATENCY = RESULT + TABLES;
  localparam int VALUE = TABLE ? 18 : BITS;  // bits of a result, perhaps of one that is looked up
  localparam int GROUP = (GROUP_BITS > 0) ? GROUP_BITS : 1;
  localparam int GAIN = NORM ? 25 + GROUP_BITS : 25;  // bits of a gain that are kept
  localparam int STEP_BITS = 358;
  localparam int KIND_AT = 99, CENTRED_AT = 101, LIFT_AT = 102, MULT_AT = 123, SHIFT_AT = 148, NUMERATOR_AT = 154,
                 OUT_SHIFT_AT = 215, LIMITS_AT = 221, TABLE_AT = 275;  // fields of a step
  localparam logic [1:0] NORMALISE = 2'd1, PEAK_ALONE = 2'd3;  // kinds; bit 1: the largest magnitude counts

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

  // Magnitudes of up to 2^(BITS-1) are compared like elements: with the highest bit inverted.
  logic fill_heights;
  logic [RATE*BITS-1:0] keys;
  assign fill_heights = PEAK && fill_step[KIND_AT+1];
  always_comb begin
    for (int p = 0; p < RATE; p = p + 1) begin
      keys[p*BITS+:BITS] = slice_in[p*BITS+:BITS];
      if (fill_heights && slice_in[p*BITS+BITS-1]) keys[p*BITS+:BITS] = -slice_in[p*BITS+:BITS];
      if (fill_heights) keys[p*BITS+BITS-1] = !keys[p*BITS+BITS-1];
    end
  end

  logic signed [BITS-1:0] slice_top, slice_top1, top, new_top;
  logic signed [BITS-1:0] tops[0:SLOTS-1];
  logic fill1, fill_first1, fill_last1;
  logic [SLOT_BITS-1:0] fill_slot1;
  always_comb begin
    slice_top = {1'b1, {(BITS - 1) {1'b0}}};
    for (int p = 0; p < RATE; p = p + 1) begin
      if (fill_used[p] && $signed(keys[p*BITS+:BITS]) > slice_top) slice_top = $signed(keys[p*BITS+:BITS]);
    end
  end
  assign new_top = (fill_first1 || slice_top1 > top) ? slice_top1 : top;
  always_ff @(posedge clk) begin
    fill1 <= rst_n && fill_go;
    fill_first1 <= fill_first;
    fill_last1 <= fill_last;
    fill_slot1 <= fill_slot;
    slice_top1 <= slice_top;
    if (fill1) top <= new_top;
    if (fill1 && fill_last1) tops[fill_slot1] <= new_top;
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
  logic [RATE-1:0] used1;
  always_ff @(posedge clk) begin
    if (fill_go) rows[fill_at] <= slice_in;
    values <= rows[power_at];
    top1 <= tops[power_slot];
    used1 <= power_used;
  end

  logic [RATE*POWER-1:0] power;
  generate
    if (SOFTMAX) begin : g_power
      logic [24:0] mult;
      logic [5:0] shift;
      intar_delay #(.WIDTH(25), .MOVES(2)) mults (.clk(clk), .move(1'b1), .in_data(power_step[MULT_AT+:25]), .out_data(mult));
      intar_delay #(.WIDTH(6), .MOVES(4)) shifts (.clk(clk), .move(1'b1), .in_data(power_step[SHIFT_AT+:6]), .out_data(shift));
      for (genvar p = 0; p < RATE; p = p + 1) begin : g_lane
        intar_rows_power #(
            .BITS(BITS)
        ) lane (
            .clk(clk),
            .value(values[p*BITS+:BITS]),
            .top(top1),
            .used(used1[p]),
            .mult(mult),
            .shift(shift),
            .power(power[p*POWER+:POWER])
        );
      end
    end else begin : g_no_power
      assign power = '0;
    end
  endgenerate

  // ---- their sum, ten cycles later
  logic power10, first10, last10, norm10, heights10, centred10, power11, first11, last11;
  logic [SLOT_BITS-1:0] slot10, slot11;
  logic [AT-1:0] at10;
  logic [9:0] going;
  logic [TOTAL-1:0] slice_sum, slice_sum11, total, new_total;
  logic [TOTAL-1:0] totals[0:SLOTS-1];
  logic [RATE*POWER-1:0] stored[0:MEMORY-1];
  intar_delay #(
      .WIDTH(AT + 4),
      .MOVES(10)
  ) places (
      .clk(clk),
      .move(1'b1),
      .in_data({power_step[CENTRED_AT], power_step[KIND_AT+:2] == NORMALISE, power_first, power_last, power_at}),
      .out_data({centred10, norm10, first10, last10, at10})
  );
  assign power10 = going[9];
  assign slot10 = at10[PLACE_BITS+:SLOT_BITS];
  always_comb begin
    slice_sum = '0;
    for (int p = 0; p < RATE; p = p + 1) slice_sum = slice_sum + TOTAL'(power[p*POWER+:POWER]);
  end
  assign new_total = first11 ? slice_sum11 : total + slice_sum11;
  always_ff @(posedge clk) begin
    going <= rst_n ? {going[8:0], power_go} : '0;
    power11 <= rst_n && power10;
    first11 <= first10;
    last11 <= last10;
    slot11 <= slot10;
    slice_sum11 <= slice_sum;
    if (power10) stored[at10] <= (norm10 || heights10) ? lifted10 : power;
    if (power11) total <= new_total;
    if (power11 && last11) totals[slot11] <= heights11 ? {1'b0, 40'(height11) << 24} : new_total;
  end

  // ---- of a row that is normalised, or taken over its peak: its elements, 16 bits wide; instead of the sum, the peak
  logic [RATE*POWER-1:0] lifted10;
  logic [RATE*16-1:0] lifted9;
  logic heights11;
  logic [BITS-1:0] height11;
  generate
    if (NORM || PEAK) begin : g_elements
      logic alone1;
      logic [3:0] lift1;
      logic [RATE*16-1:0] lifted2;
      intar_delay #(.WIDTH(RATE * 16), .MOVES(7)) later (.clk(clk), .move(1'b1), .in_data(lifted2), .out_data(lifted9));
      always_ff @(posedge clk) begin
        alone1 <= PEAK && power_step[KIND_AT+:2] == PEAK_ALONE;
        lift1 <= NORM ? power_step[LIFT_AT+:4] : 4'd0;
        for (int p = 0; p < RATE; p = p + 1) begin
          lifted2[p*16+:16] <= alone1 ? 16'd1 : used1[p] ? 16'($signed(values[p*BITS+:BITS])) << lift1 : 16'd0;
          lifted10[p*POWER+:POWER] <= POWER'($signed(lifted9[p*16+:16]));
        end
      end
    end else begin : g_no_elements
      assign {lifted9, lifted10} = '0;
    end
    if (PEAK) begin : g_peaks
      logic [BITS-1:0] height1;
      intar_delay #(.WIDTH(1), .MOVES(10)) kind (.clk(clk), .move(1'b1), .in_data(power_step[KIND_AT+1]), .out_data(heights10));
      intar_delay #(.WIDTH(BITS), .MOVES(10)) height (.clk(clk), .move(1'b1), .in_data(height1), .out_data(height11));
      always_comb begin
        height1 = {!top1[BITS-1], top1[BITS-2:0]};
        if (height1 == '0) height1 = BITS'(1);
      end
      always_ff @(posedge clk) heights11 <= heights10;
    end else begin : g_no_peaks
      assign {heights10, heights11, height11} = '0;
    end
  endgenerate

  // ---- of a normalised row: the sums of its elements and of their squares
  logic signed [31:0] sums[0:SLOTS-1];
  logic [45:0] squares[0:SLOTS-1];
  generate
    if (NORM) begin : g_moments
      logic signed [31:0] slice_sum10, elements11, sum, new_sum;
      logic [45:0] slice_square10, slice_square11, square, new_square;
      logic signed [31:0] element_squares[0:RATE-1];
      logic centred11;
      always_comb begin
        slice_sum10 = '0;
        slice_square10 = '0;
        for (int p = 0; p < RATE; p = p + 1) begin
          slice_sum10 = slice_sum10 + 32'($signed(lifted10[p*POWER+:16]));
          slice_square10 = slice_square10 + 46'(element_squares[p]);
        end
      end
      assign new_sum = first11 ? elements11 : sum + elements11;
      assign new_square = first11 ? slice_square11 : square + slice_square11;
      always_ff @(posedge clk) begin
        for (int p = 0; p < RATE; p = p + 1) begin
          element_squares[p] <= $signed(lifted9[p*16+:16]) * $signed(lifted9[p*16+:16]);
        end
        elements11 <= slice_sum10;
        slice_square11 <= slice_square10;
        centred11 <= centred10;
        if (power11) begin
          sum <= new_sum;
          square <= new_square;
        end
        if (power11 && last11) begin
          sums[slot11] <= centred11 ? new_sum : '0;
          squares[slot11] <= new_square;
        end
      end
    end else begin : g_no_moments
      logic unused_moments;
      assign unused_moments = &{1'b0, centred10, lifted9};
      always_comb begin
        for (int i = 0; i < SLOTS; i = i + 1) begin
          sums[i] = '0;
          squares[i] = '0;
        end
      end
    end
  endgenerate

  // ---- divide: rows begin in order and, since a root waits for all divisions and they for it, end in order
  // A peak is done at once, but waits like a root.
  logic divide_valid, divide_go, divide_norm, divide_alone, peak_ready, quotient_ready;
  logic [STEP_BITS-1:0] divide_step;
  logic [SLOT_BITS-1:0] divide_slot, quotient_slot;
  logic [31:0] divide_row;
  logic [18:0] quotient;
  logic [4:0] extra;
  logic [18:0] quotients[0:SLOTS-1];
  logic [5:0] shifts_out[0:SLOTS-1];
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
  logic [DIVISIONS-1:0] division_busy, division_ready;
  logic divider_busy, root_busy, root_ready;  // divider_busy: of the one whose turn it is
  assign divide_norm = NORM && divide_step[KIND_AT+:2] == NORMALISE;
  assign divide_alone = PEAK && divide_step[KIND_AT+:2] == PEAK_ALONE;
  assign divide_go = divide_valid && !root_busy && !((divide_norm || divide_alone) ? |division_busy : divider_busy) && sum_ready[divide_slot];
  logic [18:0] ratio, root;
  logic [4:0] ratio_extra, pair;
  generate
    if (SOFTMAX || PEAK) begin : g_division
      localparam int TURN_BITS = (DIVISIONS > 1) ? $clog2(DIVISIONS) : 1;
      logic [TURN_BITS-1:0] turn;
      logic [DIVISIONS*24-1:0] ratios;
      assign divider_busy = division_busy[turn];
      always_ff @(posedge clk) begin
        if (start) turn <= '0;
        else if (divide_go && !divide_norm && !divide_alone) turn <= (turn == TURN_BITS'(DIVISIONS - 1)) ? '0 : turn + 1'b1;
      end
      for (genvar d = 0; d < DIVISIONS; d = d + 1) begin : g_divider
        intar_rows_divide divider (
            .clk(clk),
            .rst_n(rst_n),
            .go(divide_go && !divide_norm && !divide_alone && turn == TURN_BITS'(d)),
            .total(totals[divide_slot]),
            .numerator(divide_step[NUMERATOR_AT+:43]),
            .busy(division_busy[d]),
            .ready(division_ready[d]),
            .quotient(ratios[d*24+:19]),
            .extra(ratios[d*24+19+:5])
        );
      end
      always_comb begin
        {ratio_extra, ratio} = '0;
        for (int d = 0; d < DIVISIONS; d = d + 1) begin
          if (division_ready[d]) {ratio_extra, ratio} = ratios[d*24+:24];
        end
      end
    end else begin : g_no_division
      assign {division_busy, division_ready, divider_busy, ratio, ratio_extra} = '0;
    end
    if (NORM) begin : g_root
      intar_rows_root rooter (
          .clk(clk),
          .rst_n(rst_n),
          .go(divide_go && divide_norm),
          .count(divide_step[64+:16]),
          .sum(sums[divide_slot]),
          .squares(squares[divide_slot]),
          .epsilon(divide_step[NUMERATOR_AT+:61]),
          .busy(root_busy),
          .ready(root_ready),
          .root(root),
          .pair(pair)
      );
    end else begin : g_no_root
      assign {root_busy, root_ready, root, pair} = '0;
    end
  endgenerate
  assign peak_ready = divide_go && divide_alone;
  assign quotient_ready = |division_ready || root_ready || peak_ready;
  assign quotient = peak_ready ? {1'b0, totals[divide_slot][40:24], 1'b0} : root_ready ? root : ratio;
  assign extra = root_ready ? pair : ratio_extra;
  always_ff @(posedge clk) begin
    if (start) begin
      divide_slot <= '0;
      divide_row <= '0;
      quotient_slot <= '0;
    end else begin
      if (divide_go) begin
        divide_slot <= divide_slot + 1'b1;
        divide_row <= (divide_row == divide_step[0+:32]) ? '0 : divide_row + 1'b1;
      end
      if (quotient_ready) quotient_slot <= quotient_slot + 1'b1;
    end
    if (divide_go) shifts_out[divide_slot] <= divide_norm ? divide_step[SHIFT_AT+:6] : divide_step[OUT_SHIFT_AT+:6];
    if (quotient_ready) begin
      quotients[quotient_slot] <= quotient;
      downs[quotient_slot] <= peak_ready ? 6'd1 : shifts_out[quotient_slot] + 6'(extra);
    end
  end

  // ---- multiply and clamp
  logic filled;  // all tables
  logic overtakes;  // a row that is not looked up would leave before one that is
  logic [RATE*GROUP-1:0] slice_groups;
  logic [RATE*BITS-1:0] leaving;
  logic scale_valid, scale_go, scale_norm, columns_valid, scale_slice_last, scale_last, unused_scale_first, move;
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
  assign move = !out_valid || out_ready;
  assign scale_norm = NORM && scale_step[KIND_AT+:2] == NORMALISE;
  assign scale_go = scale_valid && move && divided[scale_slot] && (!scale_norm || columns_valid) &&
      (!scale_step[TABLE_AT] || filled) && !overtakes;

  logic [RATE*POWER-1:0] read;
  logic [RATE*VALUE-1:0] products, results;
  always_ff @(posedge clk) if (move) read <= stored[scale_at];
  generate
    if (SOFTMAX || PEAK) begin : g_products
      logic [18:0] quotient1;
      logic [5:0] down3, down4;
      logic [53:0] bounds;
      logic signed [17:0] zero, lo, hi;
      intar_delay #(.WIDTH(6), .MOVES(3)) down (.clk(clk), .move(move), .in_data(downs[scale_slot]), .out_data(down3));
      intar_delay #(.WIDTH(54), .MOVES(5)) limits (.clk(clk), .move(move), .in_data(scale_step[LIMITS_AT+:54]), .out_data(bounds));
      assign {hi, lo, zero} = bounds;
      always_ff @(posedge clk) begin
        if (move) begin
          quotient1 <= quotients[scale_slot];
          down4 <= down3;
        end
      end
      for (genvar p = 0; p < RATE; p = p + 1) begin : g_lane
        intar_rows_product #(
            .BITS(VALUE),
            .SIGNED(PEAK)
        ) lane (
            .clk(clk),
            .move(move),
            .share(read[p*POWER+:POWER]),
            .ratio(quotient1),
            .down(down3),
            .down_later(down4),
            .zero(zero),
            .lo(lo),
            .hi(hi),
            .result(products[p*VALUE+:VALUE])
        );
      end
    end else begin : g_no_products
      assign products = '0;
    end
  endgenerate

  // ---- or scale, move and clamp. Gains and offsets of a beat are taken while the beat before is worked on.
  generate
    if (NORM) begin : g_columns
      logic gains_valid, take, release_columns;
      logic [LANES*GAIN-1:0] next_gains, gains;
      logic [LANES*32-1:0] offsets;
      assign release_columns = scale_go && scale_norm && scale_slice_last;
      assign params_ready = !gains_valid || !columns_valid || release_columns;
      assign take = params_valid && params_ready;
      always_ff @(posedge clk) begin
        if (!rst_n || start) begin
          gains_valid <= 1'b0;
          columns_valid <= 1'b0;
        end else begin
          if (take) gains_valid <= !gains_valid;
          columns_valid <= (take && gains_valid) || (columns_valid && !release_columns);
        end
        if (take && gains_valid) begin
          gains <= next_gains;
          offsets <= params_data;
        end else if (take) begin
          for (int l = 0; l < LANES; l = l + 1) next_gains[l*GAIN+:GAIN] <= params_data[l*32+:GAIN];
        end
      end

      logic [RATE*GAIN-1:0] slice_gains;
      logic [RATE*25-1:0] factors, gains7;
      for (genvar p = 0; p < RATE; p = p + 1) begin : g_gain
        assign factors[p*25+:25] = slice_gains[p*GAIN+:25];
        if (GROUP_BITS > 0) begin : g_group
          assign slice_groups[p*GROUP+:GROUP] = slice_gains[p*GAIN+25+:GROUP];
        end else begin : g_no_group
          assign slice_groups[p] = 1'b0;
        end
      end
      logic [RATE*32-1:0] slice_offsets, offsets8;
      if (SLICES > 1) begin : g_slice
        assign slice_gains = gains[scale_slice*32'(RATE*GAIN)+:RATE*GAIN];
        assign slice_offsets = offsets[scale_slice*32'(RATE*32)+:RATE*32];
      end else begin : g_beat
        assign {slice_gains, slice_offsets} = {gains, offsets};
      end
      intar_delay #(.WIDTH(RATE * 25), .MOVES(7)) gain (.clk(clk), .move(move), .in_data(factors), .out_data(gains7));
      intar_delay #(.WIDTH(RATE * 32), .MOVES(8)) offset (.clk(clk), .move(move), .in_data(slice_offsets), .out_data(offsets8));

      // What is the same for all lanes; the number is that of moves after scale_go.
      logic [15:0] count1;
      logic signed [31:0] sum2;
      logic [18:0] root3;
      logic [5:0] down5, down6, q8, q10;
      logic [53:0] bounds;
      logic signed [17:0] zero, lo, hi;
      logic norm12;
      intar_delay #(.WIDTH(16), .MOVES(1)) count (.clk(clk), .move(move), .in_data(scale_step[64+:16]), .out_data(count1));
      intar_delay #(.WIDTH(32), .MOVES(2)) sum (.clk(clk), .move(move), .in_data(sums[scale_slot]), .out_data(sum2));
      intar_delay #(.WIDTH(19), .MOVES(3)) root (.clk(clk), .move(move), .in_data(quotients[scale_slot]), .out_data(root3));
      intar_delay #(.WIDTH(6), .MOVES(5)) down (.clk(clk), .move(move), .in_data(downs[scale_slot]), .out_data(down5));
      intar_delay #(.WIDTH(6), .MOVES(1)) down_later (.clk(clk), .move(move), .in_data(down5), .out_data(down6));
      intar_delay #(.WIDTH(6), .MOVES(8)) q (.clk(clk), .move(move), .in_data(scale_step[OUT_SHIFT_AT+:6]), .out_data(q8));
      intar_delay #(.WIDTH(6), .MOVES(2)) q_later (.clk(clk), .move(move), .in_data(q8), .out_data(q10));
      intar_delay #(.WIDTH(54), .MOVES(11)) limits (.clk(clk), .move(move), .in_data(scale_step[LIMITS_AT+:54]), .out_data(bounds));
      intar_delay #(.WIDTH(1), .MOVES(12)) kind (.clk(clk), .move(move), .in_data(scale_norm), .out_data(norm12));
      assign {hi, lo, zero} = bounds;
      logic [RATE*VALUE-1:0] normalised, products_later;
      for (genvar p = 0; p < RATE; p = p + 1) begin : g_lane
        intar_rows_norm #(
            .BITS(VALUE)
        ) lane (
            .clk(clk),
            .move(move),
            .value(read[p*POWER+:16]),
            .count(count1),
            .sum(sum2),
            .root(root3),
            .down(down5),
            .down_later(down6),
            .gain(gains7[p*25+:25]),
            .offset(offsets8[p*32+:32]),
            .q(q8),
            .q_later(q10),
            .zero(zero),
            .lo(lo),
            .hi(hi),
            .result(normalised[p*VALUE+:VALUE])
        );
      end
      if (SOFTMAX || PEAK) begin : g_both
        intar_delay #(.WIDTH(RATE * VALUE), .MOVES(RESULT - DIRECT)) later (.clk(clk), .move(move), .in_data(products), .out_data(products_later));
      end else begin : g_one
        assign products_later = products;
      end
      assign results = norm12 ? normalised : products_later;
    end else begin : g_no_columns
      logic unused_columns;
      assign {columns_valid, params_ready, slice_groups} = '0;
      assign results = products;
      assign unused_columns = &{1'b0, params_valid, params_data};
    end
  endgenerate

  // ---- tables
  logic [LATENCY-1:0] present, completes, entry;  // slices in the pipeline of results, the last ones of beats; where one enters
  generate
    if (TABLE) begin : g_tables
      localparam int ENTRY_BITS = (TABLE_ENTRIES > 1) ? $clog2(TABLE_ENTRIES) : 1;
      localparam int WRITE = ((LANES % 4 == 0) ? 4 : (LANES % 2 == 0) ? 2 : 1) * (32 / WIDTH);
      logic load_valid, load_last, write_base, write_slope, write_curve;
      logic [72:0] load_step, unused_load_next;
      logic [ENTRY_BITS-1:0] write_at;
      logic [WRITE*WIDTH-1:0] write_data;
      logic [40:0] index, bounds;
      logic [4:0] rounding;
      logic [RATE*GROUP-1:0] groups, own_groups;
      logic unused_load;
      assign own_groups = scale_norm ? slice_groups : '0;  // the columns of a softmax have no parameters
      assign filled = !load_valid;
      assign unused_load = &{1'b0, load_step, unused_load_next};
      intar_round_steps #(
          .STEPS(LOAD_STEPS),
          .STEP_BITS(73),
          .ROWS(LOAD_ROWS),
          .PROGRAM(LOAD_PROGRAM),
          .NUMBERS(LOAD_NUMBERS),
          .SEGMENTS(SEGMENTS),
          .ENDS(LOAD_ENDS)
      ) load_steps (
          .clk(clk),
          .rst_n(rst_n),
          .start(start),
          .segment(segment),
          .round(round),
          .advance(load_last),
          .valid(load_valid),
          .step(load_step),
          .next_step(unused_load_next)
      );
      intar_table_load #(
          .LANES(LANES),
          .WIDTH(WIDTH),
          .ENTRY_BITS(ENTRY_BITS),
          .SLOPES(SLOPES),
          .CURVES(CURVES)
      ) load (
          .clk(clk),
          .rst_n(rst_n),
          .start(start),
          .go(load_valid && tables_valid),
          .data(tables_data),
          .first(load_step[0+:ENTRY_BITS]),
          .entries_end(load_step[16+:16]),
          .bounds(load_step[32+:41]),
          .take(tables_ready),
          .last(load_last),
          .write_base(write_base),
          .write_slope(write_slope),
          .write_curve(write_curve),
          .write_at(write_at),
          .write_data(write_data)
      );
      intar_delay #(.WIDTH(RATE * GROUP), .MOVES(RESULT)) group (.clk(clk), .move(move), .in_data(own_groups), .out_data(groups));
      intar_delay #(.WIDTH(41), .MOVES(RESULT)) place (.clk(clk), .move(move), .in_data(scale_step[TABLE_AT+1+:41]), .out_data(index));
      if (SLOPES) begin : g_slopes
        intar_delay #(.WIDTH(5), .MOVES(LATENCY - 2)) rounds (.clk(clk), .move(move), .in_data(scale_step[TABLE_AT+42+:5]), .out_data(rounding));
        intar_delay #(.WIDTH(41), .MOVES(LATENCY - 1)) limits (.clk(clk), .move(move), .in_data(scale_step[TABLE_AT+42+:41]), .out_data(bounds));
      end else begin : g_whole
        assign {rounding, bounds} = '0;
      end
      for (genvar p = 0; p < RATE; p = p + 1) begin : g_lane
        logic signed [17:0] result;
        logic unused_result;
        intar_lookup #(
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
        ) lookup (
            .clk(clk),
            .move(move),
            .value($signed(results[p*VALUE+:VALUE])),
            .group(groups[p*GROUP+:GROUP]),
            .table_index(index),
            .table_use(1'b1),
            .table_round(rounding),
            .table_bounds(bounds),
            .write_base(write_base),
            .write_slope(write_slope),
            .write_curve(write_curve),
            .write_at(write_at),
            .write_data(write_data),
            .result(result)
        );
        assign leaving[p*BITS+:BITS] = direct[RESULT-1] ? results[p*VALUE+:BITS] : result[BITS-1:0];
        assign unused_result = &{1'b0, result};
      end

      // What is not looked up takes a place behind the tables in the pipeline of results, if there is none before it.
      logic [RESULT-1:0] direct;
      assign overtakes = !scale_step[TABLE_AT] && present[TABLES-1:0] != '0;
      assign entry = scale_step[TABLE_AT] ? LATENCY'(1) : LATENCY'(1) << TABLES;
      always_ff @(posedge clk) begin
        if (!rst_n) direct <= '0;
        else if (move) direct <= RESULT'({direct, scale_go && !scale_step[TABLE_AT]});
      end
    end else begin : g_no_tables
      logic unused_tables;
      assign filled = 1'b1;
      assign tables_ready = 1'b0;
      assign leaving = results;
      assign overtakes = 1'b0;
      assign entry = LATENCY'(1);
      assign unused_tables = &{1'b0, tables_valid, tables_data, slice_groups};
    end
  endgenerate

  always_ff @(posedge clk) begin
    if (!rst_n) begin
      present <= '0;
      completes <= '0;
      out_valid <= 1'b0;
    end else if (move) begin
      present <= present << 1 | (scale_go ? entry : '0);
      completes <= completes << 1 | (scale_slice_last ? entry : '0);
      out_valid <= present[LATENCY-1] && completes[LATENCY-1];
    end
  end
  generate
    if (SLICES > 1) begin : g_collect
      // Slices enter at the top: after the last one the first has arrived at the bottom.
      always_ff @(posedge clk) begin
        if (move && present[LATENCY-1]) out_data <= {leaving, out_data[LANES*BITS-1:RATE*BITS]};
      end
    end else begin : g_whole
      always_ff @(posedge clk) begin
        if (move && present[LATENCY-1]) out_data <= leaving;
      end
    end
  endgenerate

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
      if (power11 && last11) sum_ready[slot11] <= 1'b1;
      if (divide_go) sum_ready[divide_slot] <= 1'b0;
      if (quotient_ready) divided[quotient_slot] <= 1'b1;
      if (scale_go && scale_last) begin
        power_held[scale_slot] <= 1'b0;
        divided[scale_slot] <= 1'b0;
      end
    end
  end

  logic unused;
  assign done = !fill_valid && !scale_valid && filled && present == '0 && !out_valid;
  assign unused = &{1'b0, fill_step, power_step, divide_step, scale_step, fill_slice, scale_slice, unused_divide_next, unused_power_slice,
                    unused_power_slice_last, unused_scale_first, unused_scale_used, values, top1, used1, norm10, read,
                    totals[0], totals[1], totals[2], totals[3], sums[0], sums[1], sums[2], sums[3], squares[0], squares[1],
                    squares[2], squares[3]};
endmodule
