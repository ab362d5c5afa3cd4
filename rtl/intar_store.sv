// intar_store: writes the beats of its input to runs of words of one kernel argument.
//
// Step        128 bits, 32-bit fields, lowest first: base (port word), words, beats - 1, swap. The next `beats` beats are
//             written from word `base` on, in round r of a segment r STRIDE words further on and in odd ones `swap` more,
//             and in a call at `position` p p ROW words further on; the rest of the last word is zero.
// done_count  commands (= steps) whose last write response has arrived since `start`.
// Latency     a beat that completes a word, taken in cycle t, is a word in t+1 (t when a beat is a word); then
//             see intar_axi_write.
// Throughput  1 beat and 1 word per cycle, across steps without a gap.
// done        level: every command of the segment has its response. 0 before the first start.
module intar_store #(
    parameter int PORT_BITS   = 512,  // 32, 64, ... 1024
    parameter int BEAT_BITS   = 64,   // a multiple of PORT_BITS, or PORT_BITS a multiple of it
    parameter int MAX_BURST   = 16,   // see intar_axi_write
    parameter int FIFO_DEPTH  = 64,
    parameter int OUTSTANDING = 16,
    parameter int SEGMENTS    = 1,  // see intar_steps
    parameter bit LOOPED      = 1'b0,  // see intar_rounds
    parameter int ROW         = 0,     // words from position to position
    parameter int STEPS       = 1,
    parameter logic [STEPS*128-1:0] PROGRAM = '0,
    parameter logic [SEGMENTS*32-1:0] ENDS = '0,
    parameter logic [SEGMENTS*32-1:0] STRIDES = '0  // words, of each segment
) (
    input  logic                   clk,
    input  logic                   rst_n,
    input  logic                   start,
    input  logic [7:0]             segment,
    input  logic [15:0]            round,
    input  logic [31:0]            position,  // stable from `start` to `done`
    output logic                   done,
    output logic [31:0]            done_count,
    input  logic [63:0]            argument,
    input  logic                   in_valid,
    output logic                   in_ready,
    input  logic [BEAT_BITS-1:0]   in_data,
    output logic                   m_axi_awvalid,
    input  logic                   m_axi_awready,
    output logic [63:0]            m_axi_awaddr,
    output logic [7:0]             m_axi_awlen,
    output logic                   m_axi_wvalid,
    input  logic                   m_axi_wready,
    output logic [PORT_BITS-1:0]   m_axi_wdata,
    output logic [PORT_BITS/8-1:0] m_axi_wstrb,
    output logic                   m_axi_wlast,
    input  logic                   m_axi_bvalid,
    output logic                   m_axi_bready
);
  localparam int WORD_SHIFT = $clog2(PORT_BITS / 8);

  // ---- commands
  logic request_valid, request_ready;
  logic [127:0] request_step, unused_request_next;
  intar_steps #(
      .STEPS(STEPS),
      .STEP_BITS(128),
      .PROGRAM(PROGRAM),
      .SEGMENTS(SEGMENTS),
      .ENDS(ENDS)
  ) request_steps (
      .clk(clk),
      .rst_n(rst_n),
      .start(start),
      .segment(segment),
      .advance(request_ready),
      .valid(request_valid),
      .step(request_step),
      .next_step(unused_request_next)
  );

  // ---- data: the same program once more, to know where a transfer ends
  logic data_valid, data_go, beat_last, pack_ready;
  logic [127:0] data_step, unused_data_next;
  logic [31:0] beat;
  assign in_ready = data_valid && pack_ready;
  assign data_go = in_valid && in_ready;
  assign beat_last = beat == data_step[64+:32];
  intar_steps #(
      .STEPS(STEPS),
      .STEP_BITS(128),
      .PROGRAM(PROGRAM),
      .SEGMENTS(SEGMENTS),
      .ENDS(ENDS)
  ) data_steps (
      .clk(clk),
      .rst_n(rst_n),
      .start(start),
      .segment(segment),
      .advance(data_go && beat_last),
      .valid(data_valid),
      .step(data_step),
      .next_step(unused_data_next)
  );
  always_ff @(posedge clk) begin
    if (start || (data_go && beat_last)) beat <= '0;
    else if (data_go) beat <= beat + 1'b1;
  end

  logic [31:0] moved, appended, request_base;  // what round and position add to the base; the sum
  assign request_base = request_step[0+:32] + moved + appended;
  always_ff @(posedge clk) begin
    if (start) appended <= position * 32'(ROW);
  end
  intar_rounds #(
      .LOOPED(LOOPED),
      .SEGMENTS(SEGMENTS),
      .STRIDES(STRIDES)
  ) rounds (
      .clk(clk),
      .start(start),
      .segment(segment),
      .round(round),
      .swap(request_step[96+:32]),
      .moved(moved)
  );

  // ---- commands of this segment
  logic [31:0] commands;
  generate
    if (SEGMENTS == 1) begin : g_whole
      assign commands = 32'(STEPS);
    end else begin : g_segments
      localparam logic [SEGMENTS*32-1:0] BEGINS = ENDS << 32;
      always_comb begin
        commands = '0;
        for (int s = 0; s < SEGMENTS; s = s + 1) begin
          if (segment == 8'(s)) commands = ENDS[s*32+:32] - BEGINS[s*32+:32];
        end
      end
    end
  endgenerate

  logic word_valid, word_ready;
  logic [PORT_BITS-1:0] word;
  intar_pack #(
      .WORD_BITS(PORT_BITS),
      .BEAT_BITS(BEAT_BITS)
  ) pack (
      .clk(clk),
      .rst_n(rst_n),
      .in_valid(in_valid && data_valid),
      .in_ready(pack_ready),
      .in_data(in_data),
      .last(beat_last),
      .out_valid(word_valid),
      .out_ready(word_ready),
      .out_data(word)
  );
  intar_axi_write #(
      .ADDR_WIDTH(64),
      .DATA_WIDTH(PORT_BITS),
      .MAX_BURST(MAX_BURST),
      .FIFO_DEPTH(FIFO_DEPTH),
      .OUTSTANDING(OUTSTANDING)
  ) writer (
      .clk(clk),
      .rst_n(rst_n),
      .start(start),
      .done_count(done_count),
      .cmd_valid(request_valid),
      .cmd_ready(request_ready),
      .cmd_address(argument + (64'(request_base) << WORD_SHIFT)),
      .cmd_words(request_step[32+:32]),
      .in_valid(word_valid),
      .in_ready(word_ready),
      .in_data(word),
      .m_axi_awvalid(m_axi_awvalid),
      .m_axi_awready(m_axi_awready),
      .m_axi_awaddr(m_axi_awaddr),
      .m_axi_awlen(m_axi_awlen),
      .m_axi_wvalid(m_axi_wvalid),
      .m_axi_wready(m_axi_wready),
      .m_axi_wdata(m_axi_wdata),
      .m_axi_wstrb(m_axi_wstrb),
      .m_axi_wlast(m_axi_wlast),
      .m_axi_bvalid(m_axi_bvalid),
      .m_axi_bready(m_axi_bready)
  );

  logic unused;
  assign done = done_count == commands;
  assign unused = &{1'b0, request_step[95:64], data_step[127:96], data_step[63:0], unused_request_next, unused_data_next};
endmodule
