// Properties of intar_axi_write, included at its end under FORMAL. Those of the address channel, of the commands and of
// the data credit are proved by k-induction, given one lemma about the queue of lengths: it is empty exactly when no word
// in the FIFO is claimed. The lemma and the properties that speak about the order inside the two queues are
// checked for every trace of bounded length with commands of up to 6 words (FORMAL_BOUNDED).
//
// The slave is any slave that answers a burst only after its last word.
localparam int F_PAGE_WORD_BITS = 12 - WORD_SHIFT;
logic f_init = 1'b0;
logic f_live = 1'b0;
logic [31:0] f_claimed;  // words of issued bursts that are still in the FIFO
logic [31:0] f_asked;    // words of the current command that issued bursts cover
logic [31:0] f_words;    // words of the current command
logic [ADDR_WIDTH-1:0] f_base;
logic [FLIGHT_BITS-1:0] f_answers;  // bursts whose last word has left and whose response has not come
logic f_held = 1'b0;     // awvalid was not answered in the last cycle
logic [ADDR_WIDTH-1:0] f_awaddr;
logic [7:0] f_awlen;
logic f_leave;
assign f_leave = m_axi_wvalid && m_axi_wready;

always_ff @(posedge clk) begin
  f_init <= 1'b1;
  f_live <= rst_n;
  f_held <= rst_n && m_axi_awvalid && !m_axi_awready;
  f_awaddr <= m_axi_awaddr;
  f_awlen <= m_axi_awlen;
  if (!f_init) assume (!rst_n);
  assume (cmd_address[WORD_SHIFT-1:0] == '0);
`ifdef FORMAL_BOUNDED
  assume (cmd_words <= 32'd6 && cmd_address < ADDR_WIDTH'(64));  // long commands add nothing but solver time
`endif
  assume (!m_axi_bvalid || f_answers != '0);
  if (!rst_n) f_answers <= '0;
  else f_answers <= f_answers + FLIGHT_BITS'(f_leave && m_axi_wlast) - FLIGHT_BITS'(m_axi_bvalid);
  if (!rst_n) f_claimed <= 32'd0;
  else f_claimed <= f_claimed + (issue ? 32'(run_beats) : 32'd0) - 32'(f_leave);
  if (take) begin
    f_words <= cmd_words;
    f_base <= cmd_address;
    f_asked <= 32'd0;
  end else if (issue) begin
    f_asked <= f_asked + 32'(run_beats);
  end
end

// Where the next burst must start; a wire of its own, so that the sum wraps as addresses do.
logic [ADDR_WIDTH-1:0] f_reached;
assign f_reached = f_base + {f_asked[ADDR_WIDTH-1-WORD_SHIFT:0], {WORD_SHIFT{1'b0}}};

// The end of a burst inside its 4 KiB page, in words.
logic [F_PAGE_WORD_BITS:0] f_end;
assign f_end = {1'b0, m_axi_awaddr[11:WORD_SHIFT]} + (F_PAGE_WORD_BITS + 1)'(m_axi_awlen) + 1'b1;
logic [BEAT_BITS-1:0] f_room;
generate
  if (BURST_BITS == 0) begin : g_formal_one
    assign f_room = BEAT_BITS'(1);
  end else begin : g_formal
    assign f_room = BEAT_BITS'(BURST) - {1'b0, run_address[WORD_SHIFT+:BURST_BITS]};
  end
endgenerate

logic f_lemma;
assign f_lemma = length_valid == (f_claimed != 32'd0);

always_ff @(posedge clk) begin
  if (f_init) begin
`ifndef FORMAL_BOUNDED
    assume (f_lemma);
`endif
    assert (f_claimed <= 32'(unused_level));
    assert (m_axi_bready);
    assert (&m_axi_wstrb);
    // Every word in the FIFO is claimed by an issued burst or not: none is lost, none is counted twice.
    assert (32'(unclaimed) + f_claimed == 32'(unused_level));
    // Address channel: 4 KiB, alignment, length, and stability until it is taken.
    if (m_axi_awvalid) begin
      assert (f_end <= (F_PAGE_WORD_BITS + 1)'(PAGE_WORDS));
      assert (m_axi_awaddr[WORD_SHIFT-1:0] == '0);
      assert (32'(m_axi_awlen) < 32'(BURST));
    end
    if (f_held) assert (m_axi_awvalid && m_axi_awaddr == f_awaddr && m_axi_awlen == f_awlen);
    // Bursts cover the command exactly and without a gap.
    if (run_valid) begin
      assert (run_beats != '0 && run_beats <= f_room && 32'(run_beats) <= run_words);
      assert (run_address[WORD_SHIFT-1:0] == '0);
      assert (f_asked + run_words == f_words);
      assert (run_address == f_reached);
      if (32'(run_beats) < run_words) assert (run_beats == f_room);
    end
    if (!f_live) assert (!run_valid && !m_axi_awvalid && !f_held);
`ifdef FORMAL_BOUNDED
    // No starvation: as long as a burst is open its next word is there. The lengths queue never overflows.
    if (length_valid) assert (m_axi_wvalid);
    assert (f_lemma);
    if (issue) assert (unused_length_ready);
    // Each response finds its burst, and only bursts that are complete are answered.
    if (m_axi_bvalid) assert (last_valid);
    if (!length_valid) assert (sent == '0);
    assert (32'(unused_last_level) == 32'(unused_length_level) + 32'(f_answers));
`endif
  end
end
