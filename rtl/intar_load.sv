// intar_load: reads runs of words of one kernel argument and sends them as beats.
//
// Step        192 bits, 32-bit fields, lowest first: base (port word), words, beats - 1, repeat - 1, need (signed),
//             swap. `repeat` times: words `base` to base + words - 1 are read and give `beats` beats (the rest of the
//             last word is dropped). The step starts when `done_count`, the finished commands of a store,
//             has reached `need`.
// Lookup      with LOOKUP a step has 64 bits more: row_last, pitch. Each of its repetitions takes an id (signed) and reads
//             its words from `pitch` max(0, min(id, row_last)) words further on. An id taken in t -> command in t+2, the
//             next id in t+3 or later.
// Rounds      in round r of a segment all words are r STRIDE further on, and in odd rounds `swap` further on.
// Latency     start in cycle t -> first command in t+1 -> address on AXI in t+3; a word taken from AXI in t is
//             pushed as beat(s) from t+2 on (t+1 when a beat is a word).
// Throughput  1 word per cycle, at most 1 beat per cycle; requests run ahead of the data across steps and
//             repetitions, limited by FIFO_DEPTH words and OUTSTANDING bursts only.
// done        level: every beat of the program has been pushed.
module intar_load #(
    parameter int PORT_BITS   = 512,  // 32, 64, ... 1024
    parameter int BEAT_BITS   = 64,   // a multiple of PORT_BITS, or PORT_BITS a multiple of it
    parameter int MAX_BURST   = 64,   // see intar_axi_read
    parameter int FIFO_DEPTH  = 512,
    parameter int OUTSTANDING = 16,
    parameter int SEGMENTS    = 1,  // see intar_steps
    parameter bit LOOPED      = 1'b0,  // see intar_rounds
    parameter bit LOOKUP      = 1'b0,  // ids choose rows of tables
    parameter int STEPS       = 1,
    parameter logic [STEPS*(LOOKUP ? 256 : 192)-1:0] PROGRAM = '0,
    parameter logic [SEGMENTS*32-1:0] ENDS = '0,
    parameter logic [SEGMENTS*32-1:0] STRIDES = '0  // words, of each segment
) (
    input  logic                 clk,
    input  logic                 rst_n,
    input  logic                 start,
    input  logic [7:0]           segment,
    input  logic [15:0]          round,
    output logic                 done,
    input  logic [63:0]          argument,
    input  logic [31:0]          done_count,
    input  logic                 ids_valid,
    output logic                 ids_ready,
    input  logic [31:0]          ids_data,
    output logic                 out_valid,
    input  logic                 out_ready,
    output logic [BEAT_BITS-1:0] out_data,
    output logic                 m_axi_arvalid,
    input  logic                 m_axi_arready,
    output logic [63:0]          m_axi_araddr,
    output logic [7:0]           m_axi_arlen,
    input  logic                 m_axi_rvalid,
    output logic                 m_axi_rready,
    input  logic [PORT_BITS-1:0] m_axi_rdata,
    input  logic                 m_axi_rlast
);
  localparam int WORD_SHIFT = $clog2(PORT_BITS / 8);
  localparam int STEP_BITS = LOOKUP ? 256 : 192;

  // ---- commands
  logic request_valid, request_ready, request_end, request_go, allowed;
  logic [STEP_BITS-1:0] request_step, unused_request_next;
  logic [31:0] request_repeat;
  logic row_valid;           // the row that an id has chosen is known
  logic [31:0] row_offset;   // words from the first row to this one
  assign allowed = $signed(done_count) >= $signed(request_step[128+:32]) && row_valid;
  assign request_go = request_valid && allowed && request_ready;
  assign request_end = request_repeat == request_step[96+:32];
  intar_steps #(
      .STEPS(STEPS),
      .STEP_BITS(STEP_BITS),
      .PROGRAM(PROGRAM),
      .SEGMENTS(SEGMENTS),
      .ENDS(ENDS)
  ) request_steps (
      .clk(clk),
      .rst_n(rst_n),
      .start(start),
      .segment(segment),
      .advance(request_go && request_end),
      .valid(request_valid),
      .step(request_step),
      .next_step(unused_request_next)
  );
  always_ff @(posedge clk) begin
    if (start || (request_go && request_end)) request_repeat <= '0;
    else if (request_go) request_repeat <= request_repeat + 1'b1;
  end

  logic [31:0] moved, request_base;  // what a round adds to the base; the sum
  assign request_base = request_step[0+:32] + moved + row_offset;
  intar_rounds #(
      .LOOPED(LOOPED),
      .SEGMENTS(SEGMENTS),
      .STRIDES(STRIDES)
  ) rounds (
      .clk(clk),
      .start(start),
      .segment(segment),
      .round(round),
      .swap(request_step[160+:32]),
      .moved(moved)
  );

  generate
    if (LOOKUP) begin : g_lookup
      logic chosen_valid;
      logic [31:0] chosen, row_last;
      assign row_last = request_step[192+:32];
      assign ids_ready = request_valid && !chosen_valid && !row_valid;
      always_ff @(posedge clk) begin
        if (!rst_n) begin
          chosen_valid <= 1'b0;
          row_valid <= 1'b0;
        end else begin
          chosen_valid <= ids_valid && ids_ready;
          if (chosen_valid) row_valid <= 1'b1;
          else if (request_go) row_valid <= 1'b0;
        end
        if (ids_data[31]) chosen <= '0;
        else if (ids_data > row_last) chosen <= row_last;
        else chosen <= ids_data;
        if (chosen_valid) row_offset <= chosen * request_step[224+:32];
      end
    end else begin : g_plain
      logic unused_ids;
      assign row_valid = 1'b1;
      assign row_offset = '0;
      assign ids_ready = 1'b0;
      assign unused_ids = &{1'b0, ids_valid, ids_data};
    end
  endgenerate

  logic word_valid, word_ready;
  logic [PORT_BITS-1:0] word;
  intar_axi_read #(
      .ADDR_WIDTH(64),
      .DATA_WIDTH(PORT_BITS),
      .MAX_BURST(MAX_BURST),
      .FIFO_DEPTH(FIFO_DEPTH),
      .OUTSTANDING(OUTSTANDING)
  ) reader (
      .clk(clk),
      .rst_n(rst_n),
      .cmd_valid(request_valid && allowed),
      .cmd_ready(request_ready),
      .cmd_address(argument + (64'(request_base) << WORD_SHIFT)),
      .cmd_words(request_step[32+:32]),
      .out_valid(word_valid),
      .out_ready(word_ready),
      .out_data(word),
      .m_axi_arvalid(m_axi_arvalid),
      .m_axi_arready(m_axi_arready),
      .m_axi_araddr(m_axi_araddr),
      .m_axi_arlen(m_axi_arlen),
      .m_axi_rvalid(m_axi_rvalid),
      .m_axi_rready(m_axi_rready),
      .m_axi_rdata(m_axi_rdata),
      .m_axi_rlast(m_axi_rlast)
  );

  // ---- data: the same program once more, to know where a transfer ends
  logic data_valid, data_go, beat_last, data_end;
  logic [STEP_BITS-1:0] data_step, unused_data_next;
  logic [31:0] beat, data_repeat;
  assign data_go = out_valid && out_ready;
  assign beat_last = beat == data_step[64+:32];
  assign data_end = beat_last && data_repeat == data_step[96+:32];
  intar_steps #(
      .STEPS(STEPS),
      .STEP_BITS(STEP_BITS),
      .PROGRAM(PROGRAM),
      .SEGMENTS(SEGMENTS),
      .ENDS(ENDS)
  ) data_steps (
      .clk(clk),
      .rst_n(rst_n),
      .start(start),
      .segment(segment),
      .advance(data_go && data_end),
      .valid(data_valid),
      .step(data_step),
      .next_step(unused_data_next)
  );
  always_ff @(posedge clk) begin
    if (start || (data_go && beat_last)) beat <= '0;
    else if (data_go) beat <= beat + 1'b1;
    if (start || (data_go && data_end)) data_repeat <= '0;
    else if (data_go && beat_last) data_repeat <= data_repeat + 1'b1;
  end
  intar_unpack #(
      .WORD_BITS(PORT_BITS),
      .BEAT_BITS(BEAT_BITS)
  ) unpack (
      .clk(clk),
      .rst_n(rst_n),
      .in_valid(word_valid),
      .in_ready(word_ready),
      .in_data(word),
      .out_valid(out_valid),
      .out_ready(out_ready),
      .out_data(out_data),
      .last(beat_last)
  );

  logic unused;
  assign done = !request_valid && !data_valid;
  assign unused = &{1'b0, request_step[64+:32], data_step[63:0], data_step[STEP_BITS-1:128], unused_request_next, unused_data_next};
endmodule
