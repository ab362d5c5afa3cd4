// intar_control: AXI4-Lite slave with the register map of a Vitis kernel under ap_ctrl_chain.
//
//   0x00 CTRL   bit 0 ap_start (set by writing 1, cleared by ap_ready unless auto_restart) | bit 1 ap_done (level,
//               until ap_continue) | bit 2 ap_idle | bit 3 ap_ready (cleared by reading) | bit 4 ap_continue
//               (writing 1 gives a pulse of one cycle) | bit 7 auto_restart | bit 9 interrupt
//   0x04 GIER   bit 0 global interrupt enable
//   0x08 IER    bit 0 on ap_done, bit 1 on ap_ready
//   0x0C ISR    the same bits, set by an enabled event, toggled by writing 1
//   0x10 + 12 i pointer argument i: low word, high word, one reserved word
//
// Kernel side ap_start is held until the cycle in which ap_ready is 1. ap_done is held by the kernel until the
//             cycle in which ap_continue is 1. Each inference gives one done event, also when ap_done stays high
//             because the next inference ends in the cycle of the continue.
// Latency     a register write (WVALID meets WREADY) in cycle t is effective in t+1, ap_start included.
// Handshake   one access at a time on each side: address, then data, then response, as Vitis HLS does. RESP is
//             always OKAY; addresses without a register read 0 and ignore writes; the two lowest address bits
//             are ignored.
module intar_control #(
    parameter int ADDR_WIDTH = 12,  // bits of a register address; 2**ADDR_WIDTH >= 0x10 + 12 NUM_ARGS
    parameter int NUM_ARGS   = 1    // 64-bit pointer arguments, >= 1
) (
    input  logic                     clk,
    input  logic                     rst_n,
    input  logic                     s_axi_awvalid,
    output logic                     s_axi_awready,
    input  logic [ADDR_WIDTH-1:0]    s_axi_awaddr,
    input  logic                     s_axi_wvalid,
    output logic                     s_axi_wready,
    input  logic [31:0]              s_axi_wdata,
    input  logic [3:0]               s_axi_wstrb,
    output logic                     s_axi_bvalid,
    input  logic                     s_axi_bready,
    output logic [1:0]               s_axi_bresp,
    input  logic                     s_axi_arvalid,
    output logic                     s_axi_arready,
    input  logic [ADDR_WIDTH-1:0]    s_axi_araddr,
    output logic                     s_axi_rvalid,
    input  logic                     s_axi_rready,
    output logic [31:0]              s_axi_rdata,
    output logic [1:0]               s_axi_rresp,
    output logic                     irq,          // the kernel's `interrupt` pin, a level
    output logic                     ap_start,
    input  logic                     ap_ready,
    input  logic                     ap_done,
    output logic                     ap_continue,
    input  logic                     ap_idle,
    output logic [64*NUM_ARGS-1:0]   args        // argument i in bits 64 i to 64 i + 63
);
  localparam int INDEX_BITS = ADDR_WIDTH - 2;
  localparam logic [INDEX_BITS-1:0] AT_CTRL = INDEX_BITS'(0);
  localparam logic [INDEX_BITS-1:0] AT_GIER = INDEX_BITS'(1);
  localparam logic [INDEX_BITS-1:0] AT_IER = INDEX_BITS'(2);
  localparam logic [INDEX_BITS-1:0] AT_ISR = INDEX_BITS'(3);

  logic unused_byte_address;
  assign unused_byte_address = &{1'b0, s_axi_awaddr[1:0], s_axi_araddr[1:0]};

  // ---- write side: address, then data, then response
  logic [INDEX_BITS-1:0] write_at;
  logic have_address, write_now;
  assign s_axi_awready = rst_n && !have_address && !s_axi_bvalid;
  assign s_axi_wready = have_address && !s_axi_bvalid;
  assign s_axi_bresp = 2'b00;
  assign write_now = s_axi_wvalid && s_axi_wready;
  always_ff @(posedge clk) begin
    if (!rst_n) begin
      have_address <= 1'b0;
      s_axi_bvalid <= 1'b0;
    end else begin
      if (s_axi_awvalid && s_axi_awready) have_address <= 1'b1;
      else if (write_now) have_address <= 1'b0;
      if (write_now) s_axi_bvalid <= 1'b1;
      else if (s_axi_bready) s_axi_bvalid <= 1'b0;
    end
    if (s_axi_awvalid && s_axi_awready) write_at <= s_axi_awaddr[ADDR_WIDTH-1:2];
  end

  // ---- control bits
  logic auto_restart, ready_seen, done_seen, done_event, global_enable, write_ctrl, read_now;
  logic [1:0] enable, status, event_now, toggle;
  logic [INDEX_BITS-1:0] read_at;
  assign write_ctrl = write_now && write_at == AT_CTRL && s_axi_wstrb[0];
  assign done_event = ap_done && !done_seen;
  assign event_now = {ap_ready, done_event} & enable;
  assign toggle = (write_now && write_at == AT_ISR && s_axi_wstrb[0]) ? s_axi_wdata[1:0] : 2'b00;
  assign irq = global_enable && status != 2'b00;
  always_ff @(posedge clk) begin
    if (!rst_n) begin
      ap_start <= 1'b0;
      ap_continue <= 1'b0;
      auto_restart <= 1'b0;
      ready_seen <= 1'b0;
      done_seen <= 1'b0;
      global_enable <= 1'b0;
      enable <= 2'b00;
      status <= 2'b00;
    end else begin
      if (write_ctrl && s_axi_wdata[0]) ap_start <= 1'b1;
      else if (ap_ready) ap_start <= auto_restart;
      ap_continue <= write_ctrl && s_axi_wdata[4];
      if (write_ctrl) auto_restart <= s_axi_wdata[7];
      if (ap_ready) ready_seen <= 1'b1;
      else if (read_now && read_at == AT_CTRL) ready_seen <= 1'b0;
      // After the continue a done that is still high belongs to the next inference.
      done_seen <= ap_done && !ap_continue;
      if (write_now && write_at == AT_GIER && s_axi_wstrb[0]) global_enable <= s_axi_wdata[0];
      if (write_now && write_at == AT_IER && s_axi_wstrb[0]) enable <= s_axi_wdata[1:0];
      status <= event_now | (status ^ toggle);
    end
  end

  // ---- arguments, byte strobes honoured
  generate
    for (genvar i = 0; i < NUM_ARGS; i = i + 1) begin : g_args
      localparam logic [INDEX_BITS-1:0] AT_LOW = INDEX_BITS'(4 + 3 * i);
      localparam logic [INDEX_BITS-1:0] AT_HIGH = INDEX_BITS'(5 + 3 * i);
      for (genvar b = 0; b < 4; b = b + 1) begin : g_bytes
        always_ff @(posedge clk) begin
          if (!rst_n) args[64*i+8*b+:8] <= '0;
          else if (write_now && write_at == AT_LOW && s_axi_wstrb[b]) args[64*i+8*b+:8] <= s_axi_wdata[8*b+:8];
        end
        always_ff @(posedge clk) begin
          if (!rst_n) args[64*i+32+8*b+:8] <= '0;
          else if (write_now && write_at == AT_HIGH && s_axi_wstrb[b]) args[64*i+32+8*b+:8] <= s_axi_wdata[8*b+:8];
        end
      end
    end
  endgenerate

  // ---- read side: address, then data
  logic [31:0] register_value;
  assign s_axi_arready = rst_n && !s_axi_rvalid;
  assign s_axi_rresp = 2'b00;
  assign read_at = s_axi_araddr[ADDR_WIDTH-1:2];
  assign read_now = s_axi_arvalid && s_axi_arready;
  always_comb begin
    register_value = '0;
    if (read_at == AT_CTRL)
      register_value = {22'd0, irq, 1'b0, auto_restart, 2'b00, ap_continue, ready_seen, ap_idle, ap_done, ap_start};
    if (read_at == AT_GIER) register_value = {31'd0, global_enable};
    if (read_at == AT_IER) register_value = {30'd0, enable};
    if (read_at == AT_ISR) register_value = {30'd0, status};
    for (int i = 0; i < NUM_ARGS; i = i + 1) begin
      if (read_at == INDEX_BITS'(4 + 3 * i)) register_value = args[64*i+:32];
      if (read_at == INDEX_BITS'(5 + 3 * i)) register_value = args[64*i+32+:32];
    end
  end
  always_ff @(posedge clk) begin
    if (!rst_n) s_axi_rvalid <= 1'b0;
    else if (read_now) s_axi_rvalid <= 1'b1;
    else if (s_axi_rready) s_axi_rvalid <= 1'b0;
    if (read_now) s_axi_rdata <= register_value;
  end
endmodule
