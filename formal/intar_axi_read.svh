// Properties of intar_axi_read, included at its end under FORMAL. Proved by k-induction for given parameters.
//
// The slave is any slave that answers no more words and ends no more bursts than were requested.
localparam int F_PAGE_WORD_BITS = 12 - WORD_SHIFT;
logic f_init = 1'b0;
logic f_live = 1'b0;
logic [31:0] f_due;      // words requested and not yet received
logic [31:0] f_asked;    // words of the current command that issued bursts cover
logic [31:0] f_words;    // words of the current command
logic [ADDR_WIDTH-1:0] f_base;
logic f_held = 1'b0;     // arvalid was not answered in the last cycle
logic [ADDR_WIDTH-1:0] f_araddr;
logic [7:0] f_arlen;

always_ff @(posedge clk) begin
  f_init <= 1'b1;
  f_live <= rst_n;
  f_held <= rst_n && m_axi_arvalid && !m_axi_arready;
  f_araddr <= m_axi_araddr;
  f_arlen <= m_axi_arlen;
  if (!f_init) assume (!rst_n);
  assume (!m_axi_rvalid || f_due != 32'd0);
  assume (!(m_axi_rvalid && m_axi_rlast) || flight != '0);
  if (!rst_n) f_due <= 32'd0;
  else f_due <= f_due + (issue ? 32'(run_beats) : 32'd0) - 32'(m_axi_rvalid);
  if (take) begin
    f_words <= cmd_words;
    f_base <= cmd_address;
    f_asked <= 32'd0;
  end else if (issue) begin
    f_asked <= f_asked + 32'(run_beats);
  end
  assume (cmd_address[WORD_SHIFT-1:0] == '0);
end

// Where the next burst must start; a wire of its own, so that the sum wraps as addresses do.
logic [ADDR_WIDTH-1:0] f_reached;
assign f_reached = f_base + {f_asked[ADDR_WIDTH-1-WORD_SHIFT:0], {WORD_SHIFT{1'b0}}};

// The end of a burst inside its 4 KiB page, in words.
logic [F_PAGE_WORD_BITS:0] f_end;
assign f_end = {1'b0, m_axi_araddr[11:WORD_SHIFT]} + (F_PAGE_WORD_BITS + 1)'(m_axi_arlen) + 1'b1;
logic [BEAT_BITS-1:0] f_room;
generate
  if (BURST_BITS == 0) begin : g_formal_one
    assign f_room = BEAT_BITS'(1);
  end else begin : g_formal
    assign f_room = BEAT_BITS'(BURST) - {1'b0, run_address[WORD_SHIFT+:BURST_BITS]};
  end
endgenerate

always_ff @(posedge clk) begin
  if (f_init) begin
    // Data are never refused, and never lost: the FIFO has a place for each word that may still come.
    assert (m_axi_rready);
    assert (32'(free_words) + 32'(unused_level) + f_due == 32'(FIFO_DEPTH));
    assert (free_words <= FREE_BITS'(FIFO_DEPTH));
    assert (f_due <= 32'(FIFO_DEPTH));
    if (m_axi_rvalid && f_live) assert (unused_ready);
    assert (flight <= FLIGHT_BITS'(OUTSTANDING));
    // Address channel: 4 KiB, alignment, length, and stability until it is taken.
    if (m_axi_arvalid) begin
      assert (f_end <= (F_PAGE_WORD_BITS + 1)'(PAGE_WORDS));
      assert (m_axi_araddr[WORD_SHIFT-1:0] == '0);
      assert (32'(m_axi_arlen) < 32'(BURST));
    end
    if (f_held) assert (m_axi_arvalid && m_axi_araddr == f_araddr && m_axi_arlen == f_arlen);
    // Bursts cover the command exactly and without a gap.
    if (run_valid) begin
      assert (run_beats != '0 && run_beats <= f_room && 32'(run_beats) <= run_words);
      assert (run_address[WORD_SHIFT-1:0] == '0);
      assert (f_asked + run_words == f_words);
      assert (run_address == f_reached);
      if (32'(run_beats) < run_words) assert (run_beats == f_room);
    end
    if (!f_live) assert (!run_valid && !m_axi_arvalid && !f_held);
  end
end
