// intar_axi_write: turns commands (byte address, number of words) and one stream of words into AXI4 write bursts.
//
// Command     {cmd_address, cmd_words}; the address is a multiple of the word size, cmd_words >= 1 (a command
//             of 0 words is taken, does nothing and is not counted). Data words belong to commands in order.
// Bursts      INCR, full width, all strobes, one ID. A burst never crosses a multiple of BURST words (BURST is
//             the largest power of two within MAX_BURST, FIFO_DEPTH, 256 and 4 KiB), hence never 4 KiB.
// Starvation  a burst is issued when all of its words are in the FIFO: its data leave without a gap that is
//             ours, and a stalled producer never holds the interconnect in the middle of a burst. The price
//             is that the last burst leaves up to BURST cycles after its last word: keep MAX_BURST moderate.
// Latency     last word of a burst taken in cycle t -> awvalid in t+2, its first word on W in t+3.
// Throughput  1 word per cycle across bursts and commands when FIFO_DEPTH >= 2 BURST + 2 and
//             OUTSTANDING >= (response latency + BURST) / BURST.
// done_count  commands whose last write response has arrived since the last `start` pulse.
//             bready is constant 1.
module intar_axi_write #(
    parameter int ADDR_WIDTH  = 64,   // bits of a byte address, > 12
    parameter int DATA_WIDTH  = 512,  // bits of a word: 32, 64, ... 1024
    parameter int MAX_BURST   = 16,   // most words in a burst, >= 1
    parameter int FIFO_DEPTH  = 64,   // words that are buffered, >= 1
    parameter int OUTSTANDING = 16    // most bursts without a response, >= 1
) (
    input  logic                    clk,
    input  logic                    rst_n,
    input  logic                    start,
    output logic [31:0]             done_count,
    input  logic                    cmd_valid,
    output logic                    cmd_ready,
    input  logic [ADDR_WIDTH-1:0]   cmd_address,
    input  logic [31:0]             cmd_words,
    input  logic                    in_valid,
    output logic                    in_ready,
    input  logic [DATA_WIDTH-1:0]   in_data,
    output logic                    m_axi_awvalid,
    input  logic                    m_axi_awready,
    output logic [ADDR_WIDTH-1:0]   m_axi_awaddr,
    output logic [7:0]              m_axi_awlen,
    output logic                    m_axi_wvalid,
    input  logic                    m_axi_wready,
    output logic [DATA_WIDTH-1:0]   m_axi_wdata,
    output logic [DATA_WIDTH/8-1:0] m_axi_wstrb,
    output logic                    m_axi_wlast,
    input  logic                    m_axi_bvalid,
    output logic                    m_axi_bready
);
  localparam int WORD_BYTES = DATA_WIDTH / 8;
  localparam int WORD_SHIFT = $clog2(WORD_BYTES);
  localparam int PAGE_WORDS = 4096 / WORD_BYTES;
  localparam int LIMIT_A = (MAX_BURST < FIFO_DEPTH) ? MAX_BURST : FIFO_DEPTH;
  localparam int LIMIT_B = (PAGE_WORDS < 256) ? PAGE_WORDS : 256;
  localparam int LIMIT = (LIMIT_A < LIMIT_B) ? LIMIT_A : LIMIT_B;
  localparam int BURST_BITS = $clog2(LIMIT + 1) - 1;  // floor(log2(LIMIT))
  localparam int BURST = 1 << BURST_BITS;
  localparam int BLOCK_SHIFT = WORD_SHIFT + BURST_BITS;  // an aligned block of BURST words is never crossed
  localparam int BEAT_BITS = BURST_BITS + 1;  // holds 1 to BURST
  localparam int LEVEL_BITS = $clog2(FIFO_DEPTH + 1);
  localparam int FLIGHT_BITS = $clog2(OUTSTANDING + 1);

  // ---- splitting: `run_*` is what is left of the current command, `run_beats` its next burst.
  logic                  run_valid, run_last, take;
  logic [ADDR_WIDTH-1:0] run_address;
  logic [31:0]           run_words, run_words_next;
  logic [BEAT_BITS-1:0]  run_beats, cmd_room, cmd_beats, run_length;
  logic [LEVEL_BITS-1:0] unclaimed;  // words in the FIFO that no issued burst has claimed
  logic issue, push, response;
  logic queue_ready;

  generate
    if (BURST_BITS == 0) begin : g_room_one
      assign cmd_room = BEAT_BITS'(1);
    end else begin : g_room
      assign cmd_room = BEAT_BITS'(BURST) - {1'b0, cmd_address[WORD_SHIFT+:BURST_BITS]};
    end
  endgenerate
  assign cmd_beats = (cmd_words < 32'(cmd_room)) ? cmd_words[BEAT_BITS-1:0] : cmd_room;

  assign run_last = run_words == 32'(run_beats);
  assign run_words_next = run_words - 32'(run_beats);
  assign run_length = run_beats - 1'b1;
  assign issue = run_valid && (!m_axi_awvalid || m_axi_awready) && queue_ready &&
                 32'(unclaimed) >= 32'(run_beats);
  assign cmd_ready = !run_valid || (issue && run_last);
  assign take = cmd_valid && cmd_ready;

  always_ff @(posedge clk) begin
    if (!rst_n) begin
      run_valid <= 1'b0;
    end else if (take) begin
      run_valid <= cmd_words != 32'd0;
    end else if (issue && run_last) begin
      run_valid <= 1'b0;
    end
    if (take) begin
      run_address <= cmd_address;
      run_words <= cmd_words;
      run_beats <= cmd_beats;
    end else if (issue) begin
      // Every burst after the first starts at a block boundary.
      run_address <= {run_address[ADDR_WIDTH-1:BLOCK_SHIFT] + 1'b1, {BLOCK_SHIFT{1'b0}}};
      run_words <= run_words_next;
      run_beats <= (run_words_next < 32'(BURST)) ? run_words_next[BEAT_BITS-1:0] : BEAT_BITS'(BURST);
    end
  end

  // ---- address channel
  always_ff @(posedge clk) begin
    if (!rst_n) m_axi_awvalid <= 1'b0;
    else if (issue) m_axi_awvalid <= 1'b1;
    else if (m_axi_awready) m_axi_awvalid <= 1'b0;
    if (issue) begin
      m_axi_awaddr <= run_address;
      m_axi_awlen <= 8'(run_length);
    end
  end

  // ---- data: a FIFO of words and a queue with the length of each burst whose data have not left yet
  logic word_valid, word_ready, length_valid, length_pop;
  logic [BEAT_BITS-1:0] length, sent;
  logic unused_length_ready;
  logic [LEVEL_BITS-1:0] unused_level;
  logic [FLIGHT_BITS-1:0] unused_length_level, unused_last_level;

  assign push = in_valid && in_ready;
  always_ff @(posedge clk) begin
    if (!rst_n) unclaimed <= '0;
    else unclaimed <= unclaimed - (issue ? LEVEL_BITS'(run_beats) : '0) + LEVEL_BITS'(push);
  end

  intar_fifo #(
      .WIDTH(DATA_WIDTH),
      .DEPTH(FIFO_DEPTH)
  ) data_fifo (
      .clk(clk),
      .rst_n(rst_n),
      .in_valid(in_valid),
      .in_ready(in_ready),
      .in_data(in_data),
      .out_valid(word_valid),
      .out_ready(word_ready),
      .out_data(m_axi_wdata),
      .level(unused_level)
  );

  // It has as many places as the queue of responses below, which holds a burst for longer: never full.
  intar_fifo #(
      .WIDTH(BEAT_BITS),
      .DEPTH(OUTSTANDING)
  ) length_fifo (
      .clk(clk),
      .rst_n(rst_n),
      .in_valid(issue),
      .in_ready(unused_length_ready),
      .in_data(run_length),
      .out_valid(length_valid),
      .out_ready(length_pop),
      .out_data(length),
      .level(unused_length_level)
  );

  assign m_axi_wvalid = length_valid && word_valid;
  assign m_axi_wlast = sent == length;
  assign m_axi_wstrb = '1;
  assign word_ready = length_valid && m_axi_wready;
  assign length_pop = word_valid && m_axi_wready && m_axi_wlast;
  always_ff @(posedge clk) begin
    if (!rst_n) sent <= '0;
    else if (m_axi_wvalid && m_axi_wready) sent <= m_axi_wlast ? '0 : sent + 1'b1;
  end

  // ---- responses come in order (one ID); the queue knows which of them ends a command
  logic last_valid, last_flag;
  assign m_axi_bready = 1'b1;
  assign response = m_axi_bvalid;
  intar_fifo #(
      .WIDTH(1),
      .DEPTH(OUTSTANDING)
  ) last_fifo (
      .clk(clk),
      .rst_n(rst_n),
      .in_valid(issue),
      .in_ready(queue_ready),
      .in_data(run_last),
      .out_valid(last_valid),
      .out_ready(response),
      .out_data(last_flag),
      .level(unused_last_level)
  );
  always_ff @(posedge clk) begin
    if (!rst_n || start) done_count <= '0;
    else if (response && last_valid && last_flag) done_count <= done_count + 1'b1;
  end

`ifdef FORMAL
`include "intar_axi_write.svh"
`endif
endmodule
