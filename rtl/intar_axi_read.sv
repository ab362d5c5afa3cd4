// intar_axi_read: turns commands (byte address, number of words) into AXI4 read bursts and one stream of words.
//
// Command     {cmd_address, cmd_words}; the address is a multiple of the word size, cmd_words >= 1 (a command
//             of 0 words is taken and does nothing). Words of successive commands leave in command order.
// Bursts      INCR, full width, one ID. A burst never crosses a multiple of BURST words (BURST is the largest
//             power of two within MAX_BURST, FIFO_DEPTH, 256 and 4 KiB), hence never a 4 KiB boundary.
// Credit      a burst is issued only when the output FIFO has room for all of it beside what is already on
//             its way; so rready is constant 1 and this master never blocks the interconnect.
// Latency     command taken in cycle t -> arvalid in t+2; read data taken in t -> out_valid in t+1.
// Throughput  1 word per cycle across bursts and commands (1 burst address per cycle), as long as
//             FIFO_DEPTH >= memory latency + BURST. The next command is split while earlier data drain.
// Left out    ARSIZE, ARBURST, ARCACHE and the like are constants; RRESP is not looked at (the Vitis register map
//             has no place for it).
module intar_axi_read #(
    parameter int ADDR_WIDTH  = 64,   // bits of a byte address, > 12
    parameter int DATA_WIDTH  = 512,  // bits of a word: 32, 64, ... 1024
    parameter int MAX_BURST   = 64,   // most words in a burst, >= 1
    parameter int FIFO_DEPTH  = 512,  // words that are buffered or on their way, >= 1
    parameter int OUTSTANDING = 16    // most bursts on their way, >= 1
) (
    input  logic                  clk,
    input  logic                  rst_n,
    input  logic                  cmd_valid,
    output logic                  cmd_ready,
    input  logic [ADDR_WIDTH-1:0] cmd_address,
    input  logic [31:0]           cmd_words,
    output logic                  out_valid,
    input  logic                  out_ready,
    output logic [DATA_WIDTH-1:0] out_data,
    output logic                  m_axi_arvalid,
    input  logic                  m_axi_arready,
    output logic [ADDR_WIDTH-1:0] m_axi_araddr,
    output logic [7:0]            m_axi_arlen,
    input  logic                  m_axi_rvalid,
    output logic                  m_axi_rready,
    input  logic [DATA_WIDTH-1:0] m_axi_rdata,
    input  logic                  m_axi_rlast
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
  localparam int FREE_BITS = $clog2(FIFO_DEPTH + 1);
  localparam int FLIGHT_BITS = $clog2(OUTSTANDING + 1);

  // ---- splitting: `run_*` is what is left of the current command, `run_beats` its next burst.
  logic                  run_valid, run_last, take;
  logic [ADDR_WIDTH-1:0] run_address;
  logic [31:0]           run_words, run_words_next;
  logic [BEAT_BITS-1:0]  run_beats, cmd_room, cmd_beats;
  logic [FREE_BITS-1:0]  free_words;
  logic [FLIGHT_BITS-1:0] flight;
  logic issue, pop, burst_end;

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
  assign issue = run_valid && (!m_axi_arvalid || m_axi_arready) &&
                 32'(free_words) >= 32'(run_beats) && flight != FLIGHT_BITS'(OUTSTANDING);
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
  logic [BEAT_BITS-1:0] run_length;
  assign run_length = run_beats - 1'b1;
  always_ff @(posedge clk) begin
    if (!rst_n) m_axi_arvalid <= 1'b0;
    else if (issue) m_axi_arvalid <= 1'b1;
    else if (m_axi_arready) m_axi_arvalid <= 1'b0;
    if (issue) begin
      m_axi_araddr <= run_address;
      m_axi_arlen <= 8'(run_length);
    end
  end

  // ---- credit: words of the FIFO that no issued burst has claimed, and bursts on their way
  assign pop = out_valid && out_ready;
  assign burst_end = m_axi_rvalid && m_axi_rlast;
  always_ff @(posedge clk) begin
    if (!rst_n) begin
      free_words <= FREE_BITS'(FIFO_DEPTH);
      flight <= '0;
    end else begin
      free_words <= free_words - (issue ? FREE_BITS'(run_beats) : '0) + FREE_BITS'(pop);
      if (issue && !burst_end) flight <= flight + 1'b1;
      else if (burst_end && !issue) flight <= flight - 1'b1;
    end
  end

  // ---- data
  logic unused_ready;
  logic [FREE_BITS-1:0] unused_level;
  assign m_axi_rready = 1'b1;
  intar_fifo #(
      .WIDTH(DATA_WIDTH),
      .DEPTH(FIFO_DEPTH)
  ) data_fifo (
      .clk(clk),
      .rst_n(rst_n),
      .in_valid(m_axi_rvalid),
      .in_ready(unused_ready),
      .in_data(m_axi_rdata),
      .out_valid(out_valid),
      .out_ready(out_ready),
      .out_data(out_data),
      .level(unused_level)
  );

`ifdef FORMAL
`include "intar_axi_read.svh"
`endif
endmodule
