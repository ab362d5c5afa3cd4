// intar_axi_mem: an AXI4 memory port for simulation; behaviour (latency, bandwidth, stalls, checks) is in axi_mem.cpp.
//
// One call into C++ per clock and direction; outputs are registers. All ports share one memory. RATE of the calls and
// not their number of bits decides the speed, so a word crosses the border only when a beat moves.
module intar_axi_mem #(
    parameter int PORT       = 0,    // number of the bundle: index of its statistics and of its random stream
    parameter int DATA_WIDTH = 512,  // bits of a word: 8, 16, ... 1024
    parameter bit READ       = 1,    // the kernel reads through this port
    parameter bit WRITE      = 1     // the kernel writes through this port
) (
    input  logic                    clk,
    input  logic                    rst_n,
    input  logic                    awvalid,
    output logic                    awready,
    input  logic [63:0]             awaddr,
    input  logic [7:0]              awlen,
    input  logic                    wvalid,
    output logic                    wready,
    input  logic [DATA_WIDTH-1:0]   wdata,
    input  logic [DATA_WIDTH/8-1:0] wstrb,
    input  logic                    wlast,
    output logic                    bvalid,
    input  logic                    bready,
    input  logic                    arvalid,
    output logic                    arready,
    input  logic [63:0]             araddr,
    input  logic [7:0]              arlen,
    output logic                    rvalid,
    input  logic                    rready,
    output logic [DATA_WIDTH-1:0]   rdata,
    output logic                    rlast
);
  localparam int WORD_BYTES = DATA_WIDTH / 8;

  import "DPI-C" function int intar_sim_read_step(
      input int port, input int word_bytes, input bit rst_n, input bit arvalid, input bit arready,
      input longint araddr, input int arlen, input bit rvalid, input bit rready);
  import "DPI-C" function void intar_sim_read_data(input int port, output bit [1023:0] data);
  import "DPI-C" function int intar_sim_write_step(
      input int port, input int word_bytes, input bit rst_n, input bit awvalid, input bit awready,
      input longint awaddr, input int awlen, input bit wvalid, input bit wready, input bit bvalid, input bit bready);
  import "DPI-C" function void intar_sim_write_data(
      input int port, input bit [1023:0] data, input bit [127:0] strobes, input bit last);

  // Bits of the answer of a step: what the slave shows in the next cycle.
  generate
    if (READ) begin : g_read
      int shown;
      bit [1023:0] word;
      always_ff @(posedge clk) begin
        shown = intar_sim_read_step(PORT, WORD_BYTES, rst_n, arvalid, arready, araddr, 32'(arlen), rvalid, rready);
        if (shown[3]) begin  // a new word
          intar_sim_read_data(PORT, word);
          rdata <= word[DATA_WIDTH-1:0];
        end
        arready <= shown[0];
        rvalid <= shown[1];
        rlast <= shown[2];
      end
    end else begin : g_no_read
      assign {arready, rvalid, rlast} = '0;
      assign rdata = '0;
    end
    if (WRITE) begin : g_write
      int shown;
      always_ff @(posedge clk) begin
        if (rst_n && wvalid && wready) intar_sim_write_data(PORT, 1024'(wdata), 128'(wstrb), wlast);
        shown = intar_sim_write_step(
            PORT, WORD_BYTES, rst_n, awvalid, awready, awaddr, 32'(awlen), wvalid, wready, bvalid, bready);
        awready <= shown[0];
        wready <= shown[1];
        bvalid <= shown[2];
      end
    end else begin : g_no_write
      assign {awready, wready, bvalid} = '0;
    end
  endgenerate
endmodule
