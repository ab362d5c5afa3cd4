// intar_fifo: first-in first-out queue with ready/valid on both sides, first word falls through.
//
// Latency     a beat taken in cycle t stands at the output in t+1, for every DEPTH.
// Throughput  1 beat per cycle for DEPTH >= 2; 1 beat in 2 cycles for DEPTH = 1.
// Handshake   in_ready = "not full" and out_valid = "not empty": both are functions of registers only, so
//             the FIFO cuts every combinational path between its two sides. A full FIFO takes no beat in
//             the cycle in which one leaves.
// Storage     DEPTH = 1: a register. DEPTH <= LUT_DEPTH: memory with asynchronous read (LUTRAM).
//             Deeper: memory with synchronous read (block RAM). It always fetches the word that will be at the
//             head after this clock edge; a word that is being written in this very cycle is bypassed around
//             the memory, which keeps the latency at 1.
module intar_fifo #(
    parameter int WIDTH     = 8,   // bits of a beat, >= 1
    parameter int DEPTH     = 2,   // beats, >= 1, any number
    parameter int LUT_DEPTH = 64   // deepest FIFO that is kept in LUTRAM
) (
    input  logic                       clk,
    input  logic                       rst_n,
    input  logic                       in_valid,
    output logic                       in_ready,
    input  logic [WIDTH-1:0]           in_data,
    output logic                       out_valid,
    input  logic                       out_ready,
    output logic [WIDTH-1:0]           out_data,
    output logic [$clog2(DEPTH+1)-1:0] level       // beats stored now, 0 to DEPTH
);
  localparam int LEVEL_BITS = $clog2(DEPTH + 1);
  localparam int POINTER_BITS = (DEPTH > 1) ? $clog2(DEPTH) : 1;

  logic push, pop;
  assign push = in_valid && in_ready;
  assign pop = out_valid && out_ready;

  // Level and flags are separate registers: the flags drive handshakes and must not wait for a comparison.
  always_ff @(posedge clk) begin
    if (!rst_n) begin
      level <= '0;
      in_ready <= 1'b0;
      out_valid <= 1'b0;
    end else begin
      if (push && !pop) level <= level + 1'b1;
      else if (pop && !push) level <= level - 1'b1;
      in_ready <= (level != LEVEL_BITS'(DEPTH) || pop) && !(push && !pop && level == LEVEL_BITS'(DEPTH - 1));
      out_valid <= push || (out_valid && !(pop && level == LEVEL_BITS'(1)));
    end
  end

  generate
    if (DEPTH == 1) begin : g_register
      always_ff @(posedge clk) if (push) out_data <= in_data;
    end else begin : g_memory
      localparam logic [POINTER_BITS-1:0] LAST = POINTER_BITS'(DEPTH - 1);
      logic [WIDTH-1:0] memory [0:DEPTH-1];
      logic [POINTER_BITS-1:0] write_at, read_at, read_next;

      assign read_next = !pop ? read_at : (read_at == LAST) ? '0 : read_at + 1'b1;

      always_ff @(posedge clk) begin
        if (!rst_n) begin
          write_at <= '0;
          read_at <= '0;
        end else begin
          if (push) write_at <= (write_at == LAST) ? '0 : write_at + 1'b1;
          read_at <= read_next;
        end
      end

      always_ff @(posedge clk) if (push) memory[write_at] <= in_data;

      if (DEPTH <= LUT_DEPTH) begin : g_lut
        assign out_data = memory[read_at];
      end else begin : g_block
        logic [WIDTH-1:0] fetched, bypass;
        logic use_bypass;
        always_ff @(posedge clk) begin
          fetched <= memory[read_next];
          bypass <= in_data;
          use_bypass <= push && write_at == read_next;
        end
        assign out_data = use_bypass ? bypass : fetched;
      end
    end
  endgenerate

`ifdef FORMAL
`include "intar_fifo.svh"
`endif
endmodule
