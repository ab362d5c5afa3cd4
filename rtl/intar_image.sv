// intar_image: on-chip memory of flat images, written like intar_buffer, read in windows.
//
// Tile t is the pixels t LANES ... t LANES + LANES - 1 of a flat image. A beat of a window has for each lane the pixel some
// rows and columns away from its own; lanes that leave the image get `pad`. Elements of neighbouring lanes are `right` apart.
// Where rows of tiles are not as long as those of the memory (APART), a lane's element lies `skip` elements further on with
// each row end between it and lane 0: lanes choose from WINDOW neighbouring elements, each from two at most, by the column
// in which the tile begins.
// BANKS neighbouring beats have memories of their own, and so have parts of PART elements of each, so that a window
// that begins with any element is read in one cycle: WINDOW + PART - 1 <= BANKS LANES.
//
// Tap         tap_bits = 128, lowest first: beat (32, signed) and element (16) of the offset from the tile, low and high (32,
//             signed): lanes whose flat pixel is in low..high-1 read a row of the image; column (16): which mask of columns.
// Track       128 bits: columns, skip (signed), rows, right: of tiles, see above; a window begins max(0, -skip - right)
//             elements early.
// Masks       COLUMN_MASKS has a word of LANES bits for each phase of a tile in the rows and each distance in columns; words of
//             the same phase are neighbours. A tile's phase starts at `phase` and goes on by phase_step, from phase_end on
//             back by phase_wrap.
// Read step   768 bits, 32-bit fields, lowest first: tap, taps - 1, tiles - 1, passes - 1, tile, element, tile_step,
//             element_step, tile_wrap, element_wrap, column, column_step, track, pixel, pixel_step, phase, phase_step,
//             phase_end, phase_wrap, need, need_step, need_limit, pad, pass_step. For each pass, tile and tap one beat. A tile
//             begins with element `element` of beat `tile`, in column `column`; the next one tile_step and element_step
//             further on, or past the end of a row tile_wrap and element_wrap; those of each pass pass_step beats further on
//             than those of the pass before. A tile starts when the write side has finished `need` iterations, the next when
//             need_step more, at most need_limit.
// Write step  as in intar_buffer; finished tiles of the read side count as its iterations.
// Latency     write: in memory in t+1, counted in t+1. Read: issued in t -> pushed in t+3; counted in t+1. After `start` in t
//             both sides issue from t+1 on.
// Throughput  1 beat per cycle on each side, across taps, tiles, passes and steps without a gap.
// done        level: both programs have finished and every beat has been taken.
module intar_image #(
    parameter int LANES        = 4,   // elements of a beat
    parameter int BITS         = 8,   // bits of an element
    parameter int DEPTH        = 16,  // beats
    parameter int PIXEL_BITS   = 24,  // holds every flat pixel and every bound of rows, signed; at most 32
    parameter int ADDRESS_BITS = 32,  // of the write walks, see intar_walk
    parameter int COUNT_BITS   = 32,
    /* verilator lint_off UNUSEDPARAM */
    parameter     STYLE        = "auto",  // ram_style: distributed, block, ultra, auto
    /* verilator lint_on UNUSEDPARAM */
    parameter int TAPS         = 1,
    parameter logic [TAPS*128-1:0] TAP_PROGRAM = '0,
    parameter int MASKS        = 1,
    parameter logic [MASKS*LANES-1:0] COLUMN_MASKS = '0,
    parameter int BANKS        = 2,      // a power of two, at least 2
    parameter int PART         = LANES,  // divides LANES; a power of two, or LANES
    parameter int WINDOW       = LANES,
    parameter bit APART        = 1'b0,
    parameter int TRACKS       = 1,
    parameter logic [TRACKS*128-1:0] TRACK_PROGRAM = {TRACKS{32'd1, 32'd1, 32'd0, 32'd1}},
    parameter int SEGMENTS     = 1,  // see intar_steps
    parameter int WRITE_STEPS  = 1,
    parameter logic [WRITE_STEPS*488-1:0] WRITE_PROGRAM = '0,
    parameter logic [SEGMENTS*32-1:0] WRITE_ENDS = '0,
    parameter int READ_STEPS   = 1,
    parameter logic [READ_STEPS*768-1:0] READ_PROGRAM = '0,
    parameter logic [SEGMENTS*32-1:0] READ_ENDS = '0
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
  localparam int BANK_DEPTH = (DEPTH + BANKS - 1) / BANKS;
  localparam int BANK_BITS = (BANK_DEPTH > 1) ? $clog2(BANK_DEPTH) : 1;
  localparam int SELECT_BITS = $clog2(BANKS);
  localparam int BEAT_PARTS = LANES / PART;
  localparam int PARTS = BANKS * BEAT_PARTS;
  localparam int PART_BITS = $clog2(PARTS);
  localparam int SHIFT_BITS = (LANES > 1) ? $clog2(LANES) : 1;
  localparam int REST_BITS = (PART > 1) ? $clog2(PART) : 1;  // of the place in a part
  localparam int FINE_BITS = SHIFT_BITS / 2;
  localparam int TURNED = WINDOW + PART - 1;            // elements that the coarse shift chooses from
  localparam int KEPT = WINDOW + (1 << FINE_BITS) - 1;  // elements that the fine shift chooses from
  localparam int TAP_INDEX_BITS = (TAPS > 1) ? $clog2(TAPS) : 1;
  localparam int MASK_INDEX_BITS = (MASKS > 1) ? $clog2(MASKS) : 1;
  localparam int PHASE_BITS = $clog2(2 * MASKS) + 1;
  localparam int TRACK_BITS = (TRACKS > 1) ? $clog2(TRACKS) : 1;
  logic unused;

  // ---- write side
  logic write_valid, write_go, write_end, write_iteration_end, write_allowed;
  logic [487:0] write_step, write_next;
  logic [ADDRESS_BITS-1:0] write_address;
  logic [31:0] write_need, written, finished_reads;
  assign write_allowed = $signed(finished_reads) >= $signed(write_need);
  assign in_ready = write_valid && write_allowed;
  assign write_go = in_valid && in_ready;
  intar_steps #(
      .STEPS(WRITE_STEPS),
      .STEP_BITS(488),
      .PROGRAM(WRITE_PROGRAM),
      .SEGMENTS(SEGMENTS),
      .ENDS(WRITE_ENDS)
  ) write_steps (
      .clk(clk),
      .rst_n(rst_n),
      .start(start),
      .segment(segment),
      .advance(write_go && write_end),
      .valid(write_valid),
      .step(write_step),
      .next_step(write_next)
  );
  intar_walk #(
      .ADDRESS_BITS(ADDRESS_BITS),
      .COUNT_BITS(COUNT_BITS),
      .LANES(1)
  ) write_walk (
      .clk(clk),
      .load(start || (write_go && write_end)),
      .next_walk(write_next[423:0]),
      .walk(write_step[423:0]),
      .advance(write_go),
      .address(write_address),
      .iteration_last(write_iteration_end),
      .walk_last(write_end)
  );
  always_ff @(posedge clk) begin
    if (start || (write_go && write_end)) write_need <= write_next[424+:32];
    else if (write_go && write_iteration_end) write_need <= write_need + write_step[456+:32];
    if (start) written <= '0;
    else if (write_go && write_iteration_end) written <= written + 1'b1;
  end

  // ---- read side: passes, tiles, taps
  logic read_valid, read_go, read_allowed, fetched_ready;
  logic tap_last, tile_last, pass_last, read_end;
  logic [767:0] step, next_step;
  logic [31:0] tap_left, tile_left, pass_left, tile, pass_tile, next_pass_tile, read_need, need_sum;
  logic [PIXEL_BITS-1:0] pixel;
  logic [PHASE_BITS-1:0] phase, phase_sum;
  assign read_allowed = $signed(written) >= $signed(read_need);
  assign read_go = read_valid && read_allowed && fetched_ready;
  assign tap_last = tap_left == 32'd0;
  assign tile_last = tap_last && tile_left == 32'd0;
  assign pass_last = tile_last && pass_left == 32'd0;
  assign read_end = read_go && pass_last;
  assign need_sum = read_need + step[640+:32];
  assign next_pass_tile = pass_tile + step[736+:32];
  assign phase_sum = phase + step[512+:PHASE_BITS];
  intar_steps #(
      .STEPS(READ_STEPS),
      .STEP_BITS(768),
      .PROGRAM(READ_PROGRAM),
      .SEGMENTS(SEGMENTS),
      .ENDS(READ_ENDS)
  ) read_steps (
      .clk(clk),
      .rst_n(rst_n),
      .start(start),
      .segment(segment),
      .advance(read_end),
      .valid(read_valid),
      .step(step),
      .next_step(next_step)
  );
  always_ff @(posedge clk) begin
    if (start || read_end) begin
      tap_left <= next_step[32+:32];
      tile_left <= next_step[64+:32];
      pass_left <= next_step[96+:32];
      pass_tile <= next_step[128+:32];
      pixel <= next_step[416+:PIXEL_BITS];
      phase <= next_step[480+:PHASE_BITS];
      read_need <= next_step[608+:32];
    end else if (read_go) begin
      tap_left <= tap_last ? step[32+:32] : tap_left - 1'b1;
      if (tile_last) begin
        tile_left <= step[64+:32];
        pass_left <= pass_left - 1'b1;
        pass_tile <= next_pass_tile;
        pixel <= step[416+:PIXEL_BITS];
        phase <= step[480+:PHASE_BITS];
        read_need <= step[608+:32];
      end else if (tap_last) begin
        tile_left <= tile_left - 1'b1;
        pixel <= pixel + step[448+:PIXEL_BITS];
        phase <= (phase_sum >= step[544+:PHASE_BITS]) ? phase_sum - step[576+:PHASE_BITS] : phase_sum;
        read_need <= ($signed(need_sum) > $signed(step[672+:32])) ? step[672+:32] : need_sum;
      end
    end
    if (start) finished_reads <= '0;
    else if (read_go && tap_last) finished_reads <= finished_reads + 1'b1;
  end

  // ---- the tap of the beat that is issued
  logic [127:0] taps[0:TAPS-1];
  logic [LANES-1:0] masks[0:MASKS-1];
  initial begin
    for (int i = 0; i < TAPS; i = i + 1) taps[i] = TAP_PROGRAM[i*128+:128];
    for (int i = 0; i < MASKS; i = i + 1) masks[i] = COLUMN_MASKS[i*LANES+:LANES];
  end
  logic [127:0] tap;
  logic [TAP_INDEX_BITS-1:0] tap_index, tap_next;
  always_comb begin
    if (start || read_end) tap_next = next_step[0+:TAP_INDEX_BITS];
    else if (tap_last) tap_next = step[0+:TAP_INDEX_BITS];
    else tap_next = tap_index + 1'b1;
  end
  always_ff @(posedge clk) begin
    if (start || read_go) begin
      tap_index <= tap_next;
      tap <= taps[tap_next];
    end
  end

  // ---- where the tile begins; the window begins in beat `at` with element `element`
  logic [31:0] at;
  logic [SHIFT_BITS-1:0] element;
  logic [PIXEL_BITS-1:0] column;
  generate
    if (APART) begin : g_apart
      logic [PIXEL_BITS-1:0] columns, column_sum;
      logic [SHIFT_BITS-1:0] tile_element;
      logic [SHIFT_BITS:0] next_sum, sum;
      logic wraps, next_over, over;
      assign columns = TRACK_PROGRAM[32'(step[384+:TRACK_BITS])*128+:PIXEL_BITS];
      assign column_sum = column + step[352+:PIXEL_BITS];
      assign wraps = column_sum >= columns;
      assign next_sum = {1'b0, tile_element} + (wraps ? step[288+:SHIFT_BITS+1] : step[224+:SHIFT_BITS+1]);
      assign next_over = next_sum >= (SHIFT_BITS + 1)'(LANES);
      always_ff @(posedge clk) begin
        if (start || read_end) begin
          tile <= next_step[128+:32];
          tile_element <= next_step[160+:SHIFT_BITS];
          column <= next_step[320+:PIXEL_BITS];
        end else if (read_go && tile_last) begin
          tile <= next_pass_tile;
          tile_element <= step[160+:SHIFT_BITS];
          column <= step[320+:PIXEL_BITS];
        end else if (read_go && tap_last) begin
          tile <= tile + (wraps ? step[256+:32] : step[192+:32]) + 32'(next_over);
          tile_element <= SHIFT_BITS'(next_over ? next_sum - (SHIFT_BITS + 1)'(LANES) : next_sum);
          column <= wraps ? column_sum - columns : column_sum;
        end
      end
      assign sum = {1'b0, tile_element} + {1'b0, tap[32+:SHIFT_BITS]};
      assign over = sum >= (SHIFT_BITS + 1)'(LANES);
      assign element = SHIFT_BITS'(over ? sum - (SHIFT_BITS + 1)'(LANES) : sum);
      assign at = tile + tap[0+:32] + 32'(over);
    end else begin : g_together
      always_ff @(posedge clk) begin
        if (start || read_end) tile <= next_step[128+:32];
        else if (read_go && tile_last) tile <= next_pass_tile;
        else if (read_go && tap_last) tile <= tile + step[192+:32];
      end
      assign element = tap[32+:SHIFT_BITS];
      assign at = tile + tap[0+:32];
      assign column = '0;
    end
  endgenerate

  // ---- memories: a window takes its parts from part `first` on, after the last one from the next address
  logic [PART_BITS-1:0] first, beat_first;
  logic [PARTS-1:0] behind;
  logic [BANK_BITS-1:0] address, address_after;
  logic [PARTS*PART*BITS-1:0] ring;
  always_comb begin
    beat_first = '0;
    for (int b = 1; b < BANKS; b = b + 1) begin
      if (at[0+:SELECT_BITS] == SELECT_BITS'(b)) beat_first = PART_BITS'(b * BEAT_PARTS);
    end
  end
  assign first = beat_first + ((PART == LANES) ? '0 : PART_BITS'(element >> $clog2(PART)));
  assign behind = ~({PARTS{1'b1}} << first);
  assign address = at[SELECT_BITS+:BANK_BITS];
  assign address_after = address + 1'b1;
  generate
    for (genvar p = 0; p < PARTS; p = p + 1) begin : g_parts
      localparam int BANK = p / BEAT_PARTS;
      localparam int PLACE = p % BEAT_PARTS;
      (* ram_style = STYLE *) logic [PART*BITS-1:0] memory[0:BANK_DEPTH-1];
      always_ff @(posedge clk) begin
        if (write_go && write_address[0+:SELECT_BITS] == SELECT_BITS'(BANK)) begin
          memory[BANK_BITS'(write_address>>SELECT_BITS)] <= in_data[PLACE*PART*BITS+:PART*BITS];
        end
      end
      always_ff @(posedge clk) begin
        if (read_go) ring[p*PART*BITS+:PART*BITS] <= memory[behind[p]?address_after : address];
      end
    end
  endgenerate

  // ---- fetched: the parts and what to do with them; shifted: almost in place; out
  logic fetched_valid, shifted_valid, shifted_ready, send_ready;
  logic [PART_BITS-1:0] fetched_first;
  logic [REST_BITS-1:0] fetched_rest, coarse;
  logic [FINE_BITS:0] shifted_fine;
  logic [PIXEL_BITS-1:0] fetched_column;
  logic [TRACK_BITS-1:0] fetched_track, shifted_track;
  logic signed [PIXEL_BITS-1:0] fetched_low, fetched_high;
  logic [LANES-1:0] fetched_columns, rows, far, shifted_mask, shifted_far;
  logic [BITS-1:0] fetched_pad, shifted_pad;
  logic [2*PARTS*PART*BITS-1:0] turned;
  logic [KEPT*BITS-1:0] shifted;
  logic [WINDOW*BITS-1:0] window;
  logic [LANES*BITS-1:0] sent;
  assign send_ready = !out_valid || out_ready;
  assign shifted_ready = !shifted_valid || send_ready;
  assign fetched_ready = !fetched_valid || shifted_ready;
  always_comb begin
    turned = {ring, ring};
    for (int b = PART_BITS - 1; b >= 0; b = b - 1) begin
      if (fetched_first[b]) turned = turned >> ((1 << b) * PART * BITS);
    end
  end
  assign coarse = (fetched_rest >> FINE_BITS) << FINE_BITS;
  assign window = (WINDOW * BITS)'(shifted >> (32'(shifted_fine) * BITS));
  generate
    for (genvar lane = 0; lane < LANES; lane = lane + 1) begin : g_lanes
      logic [TRACKS-1:0] ends;
      logic [TRACKS*BITS-1:0] chosen;
      for (genvar t = 0; t < TRACKS; t = t + 1) begin : g_tracks
        localparam int COLUMNS = TRACK_PROGRAM[t*128+:32];
        localparam int SKIP = TRACK_PROGRAM[t*128+32+:32];
        localparam int LAST = TRACK_PROGRAM[t*128+64+:32] - 1;
        localparam int NEAR_ENDS = (lane / COLUMNS < LAST) ? lane / COLUMNS : LAST;
        localparam int FAR_ENDS = (lane % COLUMNS != 0 && NEAR_ENDS < LAST) ? NEAR_ENDS + 1 : NEAR_ENDS;
        localparam int RIGHT = TRACK_PROGRAM[t*128+96+:32];
        localparam int LEAD = (SKIP + RIGHT < 0) ? -SKIP - RIGHT : 0;
        localparam int PLACE = LEAD + lane * RIGHT;
        assign ends[t] = fetched_column >= PIXEL_BITS'(COLUMNS - lane % COLUMNS);
        assign chosen[t*BITS+:BITS] = shifted_far[lane] ? window[(PLACE+FAR_ENDS*SKIP)*BITS+:BITS] :
                                                          window[(PLACE+NEAR_ENDS*SKIP)*BITS+:BITS];
      end
      assign far[lane] = APART && ends[fetched_track];
      assign rows[lane] = fetched_low <= $signed(PIXEL_BITS'(lane)) && $signed(PIXEL_BITS'(lane)) < fetched_high;
      assign sent[lane*BITS+:BITS] = shifted_mask[lane] ? chosen[32'(shifted_track)*BITS+:BITS] : shifted_pad;
    end
  endgenerate
  always_ff @(posedge clk) begin
    if (!rst_n) begin
      fetched_valid <= 1'b0;
      shifted_valid <= 1'b0;
      out_valid <= 1'b0;
    end else begin
      if (fetched_ready) fetched_valid <= read_go;
      if (shifted_ready) shifted_valid <= fetched_valid;
      if (send_ready) out_valid <= shifted_valid;
    end
    if (read_go) begin
      fetched_first <= first;
      fetched_rest <= (PART > 1) ? REST_BITS'(element) : '0;
      fetched_column <= column;
      fetched_track <= step[384+:TRACK_BITS];
      fetched_low <= tap[48+:PIXEL_BITS] - pixel;
      fetched_high <= tap[80+:PIXEL_BITS] - pixel;
      fetched_columns <= masks[MASK_INDEX_BITS'(32'(phase)+32'(tap[112+:16]))];
      fetched_pad <= step[704+:BITS];
    end
    if (shifted_ready) begin
      shifted <= (KEPT * BITS)'(turned[0+:TURNED*BITS] >> (32'(coarse) * BITS));
      shifted_mask <= fetched_columns & rows;
      shifted_far <= far;
      shifted_fine <= (FINE_BITS + 1)'(fetched_rest & REST_BITS'((1 << FINE_BITS) - 1));
      shifted_track <= fetched_track;
      shifted_pad <= fetched_pad;
    end
    if (send_ready) out_data <= sent;
  end

  assign done = !write_valid && !read_valid && !fetched_valid && !shifted_valid && !out_valid;
  assign unused = &{1'b0, write_address, write_step, write_next[487:456], step, next_step, tap, at, turned, element,
                    fetched_column, window};
endmodule
