// copy_kernel: the smallest kernel with the Vitis interface; it copies WORDS words from argument 0 to argument 1.
module copy_kernel #(
    parameter int WORDS = 300  // words of 512 bits; more than one burst, and 4 KiB boundaries are crossed
) (
    input  logic         ap_clk,
    input  logic         ap_rst_n,
    /* verilator lint_off SYMRSVDWORD */
    output logic         interrupt,
    /* verilator lint_on SYMRSVDWORD */
    input  logic         s_axi_control_AWVALID,
    output logic         s_axi_control_AWREADY,
    input  logic [5:0]   s_axi_control_AWADDR,
    input  logic         s_axi_control_WVALID,
    output logic         s_axi_control_WREADY,
    input  logic [31:0]  s_axi_control_WDATA,
    input  logic [3:0]   s_axi_control_WSTRB,
    output logic         s_axi_control_BVALID,
    input  logic         s_axi_control_BREADY,
    output logic [1:0]   s_axi_control_BRESP,
    input  logic         s_axi_control_ARVALID,
    output logic         s_axi_control_ARREADY,
    input  logic [5:0]   s_axi_control_ARADDR,
    output logic         s_axi_control_RVALID,
    input  logic         s_axi_control_RREADY,
    output logic [31:0]  s_axi_control_RDATA,
    output logic [1:0]   s_axi_control_RRESP,
    output logic         m_axi_gmem0_ARVALID,
    input  logic         m_axi_gmem0_ARREADY,
    output logic [63:0]  m_axi_gmem0_ARADDR,
    output logic [7:0]   m_axi_gmem0_ARLEN,
    input  logic         m_axi_gmem0_RVALID,
    output logic         m_axi_gmem0_RREADY,
    input  logic [511:0] m_axi_gmem0_RDATA,
    input  logic         m_axi_gmem0_RLAST,
    output logic         m_axi_gmem1_AWVALID,
    input  logic         m_axi_gmem1_AWREADY,
    output logic [63:0]  m_axi_gmem1_AWADDR,
    output logic [7:0]   m_axi_gmem1_AWLEN,
    output logic         m_axi_gmem1_WVALID,
    input  logic         m_axi_gmem1_WREADY,
    output logic [511:0] m_axi_gmem1_WDATA,
    output logic [63:0]  m_axi_gmem1_WSTRB,
    output logic         m_axi_gmem1_WLAST,
    input  logic         m_axi_gmem1_BVALID,
    output logic         m_axi_gmem1_BREADY
);
  logic ap_start, ap_ready, ap_done, ap_continue, busy, begin_run;
  logic [127:0] args;
  logic [31:0] done_count;

  intar_control #(.ADDR_WIDTH(6), .NUM_ARGS(2)) control (
      .clk(ap_clk), .rst_n(ap_rst_n),
      .s_axi_awvalid(s_axi_control_AWVALID), .s_axi_awready(s_axi_control_AWREADY), .s_axi_awaddr(s_axi_control_AWADDR),
      .s_axi_wvalid(s_axi_control_WVALID), .s_axi_wready(s_axi_control_WREADY), .s_axi_wdata(s_axi_control_WDATA),
      .s_axi_wstrb(s_axi_control_WSTRB),
      .s_axi_bvalid(s_axi_control_BVALID), .s_axi_bready(s_axi_control_BREADY), .s_axi_bresp(s_axi_control_BRESP),
      .s_axi_arvalid(s_axi_control_ARVALID), .s_axi_arready(s_axi_control_ARREADY), .s_axi_araddr(s_axi_control_ARADDR),
      .s_axi_rvalid(s_axi_control_RVALID), .s_axi_rready(s_axi_control_RREADY), .s_axi_rdata(s_axi_control_RDATA),
      .s_axi_rresp(s_axi_control_RRESP), .irq(interrupt),
      .ap_start(ap_start), .ap_ready(ap_ready), .ap_done(ap_done), .ap_continue(ap_continue), .ap_idle(!busy && !ap_done),
      .args(args));

  // One inference at a time: ready and done come together; done stays until the continue.
  logic read_sent, write_sent;
  assign begin_run = ap_start && !busy && !ap_done;
  assign ap_ready = busy && done_count == 32'd1;
  always_ff @(posedge ap_clk) begin
    if (!ap_rst_n) begin
      busy <= 1'b0;
      ap_done <= 1'b0;
      read_sent <= 1'b1;
      write_sent <= 1'b1;
    end else begin
      if (begin_run) {busy, read_sent, write_sent} <= 3'b100;
      if (busy && read_ready) read_sent <= 1'b1;
      if (busy && write_ready) write_sent <= 1'b1;
      if (ap_ready) begin
        busy <= 1'b0;
        ap_done <= 1'b1;
      end else if (ap_continue) ap_done <= 1'b0;
    end
  end

  logic read_ready, write_ready, word_valid, word_ready;
  logic [511:0] word;

  intar_axi_read #(.FIFO_DEPTH(128)) reader (
      .clk(ap_clk), .rst_n(ap_rst_n),
      .cmd_valid(busy && !read_sent), .cmd_ready(read_ready), .cmd_address(args[63:0]), .cmd_words(32'(WORDS)),
      .out_valid(word_valid), .out_ready(word_ready), .out_data(word),
      .m_axi_arvalid(m_axi_gmem0_ARVALID), .m_axi_arready(m_axi_gmem0_ARREADY), .m_axi_araddr(m_axi_gmem0_ARADDR),
      .m_axi_arlen(m_axi_gmem0_ARLEN), .m_axi_rvalid(m_axi_gmem0_RVALID), .m_axi_rready(m_axi_gmem0_RREADY),
      .m_axi_rdata(m_axi_gmem0_RDATA), .m_axi_rlast(m_axi_gmem0_RLAST));

  intar_axi_write writer (
      .clk(ap_clk), .rst_n(ap_rst_n), .start(begin_run), .done_count(done_count),
      .cmd_valid(busy && !write_sent), .cmd_ready(write_ready), .cmd_address(args[127:64]), .cmd_words(32'(WORDS)),
      .in_valid(word_valid), .in_ready(word_ready), .in_data(word),
      .m_axi_awvalid(m_axi_gmem1_AWVALID), .m_axi_awready(m_axi_gmem1_AWREADY), .m_axi_awaddr(m_axi_gmem1_AWADDR),
      .m_axi_awlen(m_axi_gmem1_AWLEN), .m_axi_wvalid(m_axi_gmem1_WVALID), .m_axi_wready(m_axi_gmem1_WREADY),
      .m_axi_wdata(m_axi_gmem1_WDATA), .m_axi_wstrb(m_axi_gmem1_WSTRB), .m_axi_wlast(m_axi_gmem1_WLAST),
      .m_axi_bvalid(m_axi_gmem1_BVALID), .m_axi_bready(m_axi_gmem1_BREADY));
endmodule
