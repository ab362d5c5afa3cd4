// intar_feed: block transposer before a core: row beats in, one operand beat per channel out.
//
// Step        256 bits, 32-bit fields, lowest first: tiles - 1, m_tiles - 1, blocks - 1, rows - 1, rows_last - 1,
//             k_last - 1, replay - 1, k_first.
//             for tile: for m: for block: take `rows` beats (`rows_last` for the last m), then `replay` times for
//             each channel l of the block (from `k_first` in the first block, 0 in others, on; all, or `k_last` in the last
//             block) send element l of each row; rows that were not taken are 0. A channel is DEPTH neighbouring elements,
//             which stand together in the beat, or with BY_CHANNEL those of all rows behind each other.
// Storage     two banks: one block is sent while the next one is collected.
// Latency     last row of a block taken in cycle t -> its first operand beat is pushed in t+2. A bank whose last
//             channel leaves the bank in t takes rows from t+1 on.
// Throughput  1 operand beat per cycle without a gap, across blocks and steps, while rows arrive in time
//             (rows <= channels x replay).
module intar_feed #(
    parameter int ROWS  = 4,  // channels of an operand beat
    parameter int LANES = 4,  // elements of a row beat
    parameter int DEPTH = 1,  // elements of a channel; divides LANES
    parameter int BITS  = 8,
    parameter bit BY_CHANNEL = 1'b0,
    parameter int SEGMENTS = 1,  // see intar_steps
    parameter int STEPS = 1,
    parameter logic [STEPS*256-1:0] PROGRAM = '0,
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
    output logic [ROWS*DEPTH*BITS-1:0] out_data
);
  localparam int CHANNELS = LANES / DEPTH;
  localparam int CHANNEL_BITS = (CHANNELS > 1) ? $clog2(CHANNELS) : 1;
  logic [1:0] full;  // by bank; set by the filling side, cleared by the sending side

  // ---- filling
  logic fill_valid, fill_bank, fill_go, row_last, fill_block_last, fill_m_last, fill_tile_last, fill_end;
  logic [255:0] fill_step, unused_fill_next;
  logic [31:0] fill_row, fill_block, fill_m, fill_tile;
  assign in_ready = fill_valid && !full[fill_bank];
  assign fill_go = in_valid && in_ready;
  assign fill_tile_last = fill_tile == fill_step[0+:32];
  assign fill_m_last = fill_m == fill_step[32+:32];
  assign fill_block_last = fill_block == fill_step[64+:32];
  assign row_last = fill_row == (fill_m_last ? fill_step[128+:32] : fill_step[96+:32]);
  assign fill_end = row_last && fill_block_last && fill_m_last && fill_tile_last;
  intar_steps #(
      .STEPS(STEPS),
      .STEP_BITS(256),
      .PROGRAM(PROGRAM),
      .SEGMENTS(SEGMENTS),
      .ENDS(ENDS)
  ) fill_steps (
      .clk(clk),
      .rst_n(rst_n),
      .start(start),
      .segment(segment),
      .advance(fill_go && fill_end),
      .valid(fill_valid),
      .step(fill_step),
      .next_step(unused_fill_next)
  );
  always_ff @(posedge clk) begin
    if (start) begin
      fill_row <= '0;
      fill_block <= '0;
      fill_m <= '0;
      fill_tile <= '0;
      fill_bank <= 1'b0;
    end else if (fill_go) begin
      fill_row <= row_last ? '0 : fill_row + 1'b1;
      if (row_last) begin
        fill_bank <= !fill_bank;
        fill_block <= fill_block_last ? '0 : fill_block + 1'b1;
        if (fill_block_last) begin
          fill_m <= fill_m_last ? '0 : fill_m + 1'b1;
          if (fill_m_last) fill_tile <= fill_tile_last ? '0 : fill_tile + 1'b1;
        end
      end
    end
  end

  // ---- sending
  logic send_valid, send_bank, send_go, channel_last, send_last, send_block_last, send_m_last, send_tile_last, send_end;
  logic [255:0] send_step, send_next;
  logic [31:0] channel, channel_first, send_replay, send_block, send_m, send_tile;
  assign send_go = send_valid && full[send_bank] && (!out_valid || out_ready);
  assign send_tile_last = send_tile == send_step[0+:32];
  assign send_m_last = send_m == send_step[32+:32];
  assign send_block_last = send_block == send_step[64+:32];
  assign channel_last = channel == (send_block_last ? send_step[160+:32] : 32'(CHANNELS - 1));
  assign send_last = channel_last && send_replay == send_step[192+:32];
  assign send_end = send_last && send_block_last && send_m_last && send_tile_last;
  intar_steps #(
      .STEPS(STEPS),
      .STEP_BITS(256),
      .PROGRAM(PROGRAM),
      .SEGMENTS(SEGMENTS),
      .ENDS(ENDS)
  ) send_steps (
      .clk(clk),
      .rst_n(rst_n),
      .start(start),
      .segment(segment),
      .advance(send_go && send_end),
      .valid(send_valid),
      .step(send_step),
      .next_step(send_next)
  );
  // The first channel of what is sent next: the block again, the next one, or the first one of a tile.
  always_comb begin
    channel_first = '0;
    if (send_end) channel_first = send_next[224+:32];
    else if (send_last ? send_block_last : send_block == 32'd0) channel_first = send_step[224+:32];
  end
  always_ff @(posedge clk) begin
    if (start) begin
      channel <= send_next[224+:32];
      send_replay <= '0;
      send_block <= '0;
      send_m <= '0;
      send_tile <= '0;
      send_bank <= 1'b0;
    end else if (send_go) begin
      channel <= channel_last ? channel_first : channel + 1'b1;
      if (channel_last) send_replay <= send_last ? '0 : send_replay + 1'b1;
      if (send_last) begin
        send_bank <= !send_bank;
        send_block <= send_block_last ? '0 : send_block + 1'b1;
        if (send_block_last) begin
          send_m <= send_m_last ? '0 : send_m + 1'b1;
          if (send_m_last) send_tile <= send_tile_last ? '0 : send_tile + 1'b1;
        end
      end
    end
  end

  always_ff @(posedge clk) begin
    if (!rst_n || start) begin
      full <= 2'b00;
    end else begin
      if (fill_go && row_last) full[fill_bank] <= 1'b1;
      if (send_go && send_last) full[send_bank] <= 1'b0;
    end
    if (!rst_n) out_valid <= 1'b0;
    else if (!out_valid || out_ready) out_valid <= send_go;
  end

  // ---- one row of both banks: the first row of a block clears the others
  generate
    for (genvar r = 0; r < ROWS; r = r + 1) begin : g_rows
      logic [LANES*BITS-1:0] bank0, bank1, chosen;
      logic mine, clear;
      assign mine = fill_row == 32'(r);
      assign clear = fill_row == 32'd0;
      assign chosen = send_bank ? bank1 : bank0;
      always_ff @(posedge clk) begin
        if (fill_go && !fill_bank && (mine || clear)) bank0 <= mine ? in_data : '0;
        if (fill_go && fill_bank && (mine || clear)) bank1 <= mine ? in_data : '0;
      end
      for (genvar d = 0; d < DEPTH; d = d + 1) begin : g_elements
        localparam int PLACE = BY_CHANNEL ? d * ROWS + r : r * DEPTH + d;
        always_ff @(posedge clk) begin
          if (send_go)
            out_data[PLACE*BITS+:BITS] <= chosen[(32'(channel[CHANNEL_BITS-1:0])*DEPTH+d)*BITS+:BITS];
        end
      end
    end
  endgenerate

  logic unused;
  assign done = !fill_valid && !send_valid && !out_valid;
  assign unused = &{1'b0, fill_step, send_step, unused_fill_next, send_next};
endmodule
