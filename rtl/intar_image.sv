// intar_image: on-chip memory of flat images, written like intar_buffer, read in windows.
//
// Tile t is the pixels t LANES ... t LANES + LANES - 1 of a channel that lies flat (row by row, rows PITCH apart). A window
// beat is LANES neighbouring elements from any element on, so that each lane reads the pixel some rows and columns away
// from its own; lanes that leave the image get `pad`. Even and odd beats have a memory each, so that a beat that lies across
// two of them is read in one cycle.
//
// Tap         tap_bits = 128, lowest first: beat (32, signed) and element (16) of the offset from the tile, low and high (32,
//             signed): lanes whose flat pixel is in low..high-1 read a row of the image; column (16): which mask of columns.
// Masks       COLUMN_MASKS has a word of LANES bits for each phase of a tile in the rows and each distance in columns; words of
//             the same phase are neighbours. A tile's phase starts at `phase` and goes on by phase_step modulo PHASE_WRAP.
// Read step   448 bits, 32-bit fields, lowest first: tap, taps - 1, tiles - 1, passes - 1, tile, tile_step, pixel, pixel_step,
//             phase, phase_step, need, need_step, need_limit, pad. For each pass, tile and tap one beat. A tile starts when
//             the write side has finished `need` iterations, the next when need_step more, at most need_limit.
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
    parameter int PHASE_WRAP   = 1,
    parameter int SEGMENTS     = 1,  // see intar_steps
    parameter int WRITE_STEPS  = 1,
    parameter logic [WRITE_STEPS*488-1:0] WRITE_PROGRAM = '0,
    parameter logic [SEGMENTS*32-1:0] WRITE_ENDS = '0,
    parameter int READ_STEPS   = 1,
    parameter logic [READ_STEPS*448-1:0] READ_PROGRAM = '0,
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
  localparam int WIDTH = LANES * BITS;
  localparam int BANK_DEPTH = (DEPTH + 1) / 2;
  localparam int BANK_BITS = (BANK_DEPTH > 1) ? $clog2(BANK_DEPTH) : 1;
  localparam int SHIFT_BITS = (LANES > 1) ? $clog2(LANES) : 1;
  localparam int FINE_BITS = SHIFT_BITS / 2;
  localparam int KEPT = LANES + (1 << FINE_BITS) - 1;  // elements that the fine shift chooses from
  localparam int TAP_INDEX_BITS = (TAPS > 1) ? $clog2(TAPS) : 1;
  localparam int MASK_INDEX_BITS = (MASKS > 1) ? $clog2(MASKS) : 1;
  localparam int PHASE_BITS = $clog2(2 * PHASE_WRAP) + 1;
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
  logic [447:0] step, next_step;
  logic [31:0] tap_left, tile_left, pass_left, tile, read_need, need_sum;
  logic [PIXEL_BITS-1:0] pixel;
  logic [PHASE_BITS-1:0] phase, phase_sum;
  assign read_allowed = $signed(written) >= $signed(read_need);
  assign read_go = read_valid && read_allowed && fetched_ready;
  assign tap_last = tap_left == 32'd0;
  assign tile_last = tap_last && tile_left == 32'd0;
  assign pass_last = tile_last && pass_left == 32'd0;
  assign read_end = read_go && pass_last;
  assign need_sum = read_need + step[352+:32];
  assign phase_sum = phase + step[288+:PHASE_BITS];
  intar_steps #(
      .STEPS(READ_STEPS),
      .STEP_BITS(448),
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
      tile <= next_step[128+:32];
      pixel <= next_step[192+:PIXEL_BITS];
      phase <= next_step[256+:PHASE_BITS];
      read_need <= next_step[320+:32];
    end else if (read_go) begin
      tap_left <= tap_last ? step[32+:32] : tap_left - 1'b1;
      if (tile_last) begin
        tile_left <= step[64+:32];
        pass_left <= pass_left - 1'b1;
        tile <= step[128+:32];
        pixel <= step[192+:PIXEL_BITS];
        phase <= step[256+:PHASE_BITS];
        read_need <= step[320+:32];
      end else if (tap_last) begin
        tile_left <= tile_left - 1'b1;
        tile <= tile + step[160+:32];
        pixel <= pixel + step[224+:PIXEL_BITS];
        phase <= (phase_sum >= PHASE_BITS'(PHASE_WRAP)) ? phase_sum - PHASE_BITS'(PHASE_WRAP) : phase_sum;
        read_need <= ($signed(need_sum) > $signed(step[384+:32])) ? step[384+:32] : need_sum;
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

  // ---- memory: beat `at` and the one after it
  logic [31:0] at, at_after;
  assign at = tile + tap[0+:32];
  assign at_after = at + 1'b1;
  (* ram_style = STYLE *) logic [WIDTH-1:0] even[0:BANK_DEPTH-1];
  (* ram_style = STYLE *) logic [WIDTH-1:0] odd[0:BANK_DEPTH-1];
  logic [WIDTH-1:0] even_data, odd_data;
  always_ff @(posedge clk) begin
    if (write_go && !write_address[0]) even[BANK_BITS'(write_address>>1)] <= in_data;
  end
  always_ff @(posedge clk) begin
    if (write_go && write_address[0]) odd[BANK_BITS'(write_address>>1)] <= in_data;
  end
  always_ff @(posedge clk) begin
    if (read_go) even_data <= even[at_after[1+:BANK_BITS]];
  end
  always_ff @(posedge clk) begin
    if (read_go) odd_data <= odd[at[1+:BANK_BITS]];
  end

  // ---- fetched: both beats and what to do with them; shifted: almost in place; out
  logic fetched_valid, fetched_odd, shifted_valid, shifted_ready, send_ready;
  logic [SHIFT_BITS-1:0] fetched_shift, shifted_shift, coarse, fine;
  logic signed [PIXEL_BITS-1:0] fetched_low, fetched_high;
  logic [LANES-1:0] fetched_columns, rows, shifted_mask;
  logic [BITS-1:0] fetched_pad, shifted_pad;
  logic [2*WIDTH-1:0] pair;
  logic [KEPT*BITS-1:0] shifted;
  logic [WIDTH-1:0] window, sent;
  assign send_ready = !out_valid || out_ready;
  assign shifted_ready = !shifted_valid || send_ready;
  assign fetched_ready = !fetched_valid || shifted_ready;
  assign pair = fetched_odd ? {even_data, odd_data} : {odd_data, even_data};
  assign coarse = (fetched_shift >> FINE_BITS) << FINE_BITS;
  assign fine = shifted_shift & SHIFT_BITS'((1 << FINE_BITS) - 1);
  assign window = WIDTH'(shifted >> (32'(fine) * BITS));
  always_comb begin
    for (int lane = 0; lane < LANES; lane = lane + 1) begin
      rows[lane] = fetched_low <= $signed(PIXEL_BITS'(lane)) && $signed(PIXEL_BITS'(lane)) < fetched_high;
      sent[lane*BITS+:BITS] = shifted_mask[lane] ? window[lane*BITS+:BITS] : shifted_pad;
    end
  end
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
      fetched_odd <= at[0];
      fetched_shift <= tap[32+:SHIFT_BITS];
      fetched_low <= tap[48+:PIXEL_BITS] - pixel;
      fetched_high <= tap[80+:PIXEL_BITS] - pixel;
      fetched_columns <= masks[MASK_INDEX_BITS'(32'(phase)+32'(tap[112+:16]))];
      fetched_pad <= step[416+:BITS];
    end
    if (shifted_ready) begin
      shifted <= (KEPT * BITS)'(pair >> (32'(coarse) * BITS));
      shifted_mask <= fetched_columns & rows;
      shifted_shift <= fetched_shift;
      shifted_pad <= fetched_pad;
    end
    if (send_ready) out_data <= sent;
  end

  assign done = !write_valid && !read_valid && !fetched_valid && !shifted_valid && !out_valid;
  assign unused = &{1'b0, write_address, write_step, write_next[487:456], step, next_step, tap, at, at_after};
endmodule
