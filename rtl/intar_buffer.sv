// intar_buffer: on-chip memory with one write side and one read side, each a list of affine walks.
//
// Step        488 bits, lowest first: walk (424, see intar_walk), need (32, signed), need_step (32, signed).
// Order       iteration i of a walk's outermost loop starts when the other side has finished at least
//             need + i need_step iterations since `start`; nothing else orders the two sides.
// Elements    with LANES > 1 all walks count elements, in two digits (intar_walk): the beat address is the upper one.
// Latency     write: a beat taken in cycle t is in memory in t+1, and the iteration that it ends is counted in
//             t+1. Read: an address issued in t -> beat pushed in t+2; the iteration is counted in t+1. After
//             `start` in t both sides issue from t+1 on.
// Throughput  1 beat per cycle on each side, across iterations and steps without a gap.
// done        level: both programs have finished and every beat has been taken.
module intar_buffer #(
    parameter int WIDTH        = 8,   // bits of a beat
    parameter int DEPTH        = 16,  // beats
    parameter int LANES        = 1,   // elements of a beat, when some walk counts elements
    parameter int ADDRESS_BITS = 32,  // of the walks, see intar_walk
    parameter int COUNT_BITS   = 32,
    /* verilator lint_off UNUSEDPARAM */
    parameter     STYLE        = "auto",  // ram_style: distributed, block, ultra, auto
    /* verilator lint_on UNUSEDPARAM */
    parameter int SEGMENTS     = 1,  // see intar_steps
    parameter int WRITE_STEPS  = 1,
    parameter logic [WRITE_STEPS*488-1:0] WRITE_PROGRAM = '0,
    parameter logic [SEGMENTS*32-1:0] WRITE_ENDS = '0,
    parameter int READ_STEPS   = 1,
    parameter logic [READ_STEPS*488-1:0] READ_PROGRAM = '0,
    parameter logic [SEGMENTS*32-1:0] READ_ENDS = '0
) (
    input  logic             clk,
    input  logic             rst_n,
    input  logic             start,
    input  logic [7:0]       segment,
    output logic             done,
    input  logic             in_valid,
    output logic             in_ready,
    input  logic [WIDTH-1:0] in_data,
    output logic             out_valid,
    input  logic             out_ready,
    output logic [WIDTH-1:0] out_data
);
  localparam int MEMORY_BITS = (DEPTH > 1) ? $clog2(DEPTH) : 1;
  logic unused;

  // ---- write side
  logic write_valid, write_go, write_end, write_iteration_end, write_allowed;
  logic [487:0] write_step, write_next;
  logic [ADDRESS_BITS-1:0] write_address;
  logic [MEMORY_BITS-1:0] write_at;
  logic [31:0] write_need, written, finished_reads;
  assign write_allowed = $signed(finished_reads) >= $signed(write_need);
  assign in_ready = write_valid && write_allowed;
  assign write_go = in_valid && in_ready;
  assign write_at = MEMORY_BITS'(write_address >> $clog2(LANES));
  intar_steps #(
      .STEPS(WRITE_STEPS),
      .STEP_BITS(488),
      .PROGRAM(WRITE_PROGRAM),
      .SEGMENTS(SEGMENTS),
      .ENDS(WRITE_ENDS)
  ) write_steps (
      .clk(clk),
      .rst_n(rst_n),
      .start(start),
      .segment(segment),
      .advance(write_go && write_end),
      .valid(write_valid),
      .step(write_step),
      .next_step(write_next)
  );
  intar_walk #(
      .ADDRESS_BITS(ADDRESS_BITS),
      .COUNT_BITS(COUNT_BITS),
      .LANES(LANES)
  ) write_walk (
      .clk(clk),
      .load(start || (write_go && write_end)),
      .next_walk(write_next[423:0]),
      .walk(write_step[423:0]),
      .advance(write_go),
      .address(write_address),
      .iteration_last(write_iteration_end),
      .walk_last(write_end)
  );
  always_ff @(posedge clk) begin
    if (start || (write_go && write_end)) write_need <= write_next[424+:32];
    else if (write_go && write_iteration_end) write_need <= write_need + write_step[456+:32];
    if (start) written <= '0;
    else if (write_go && write_iteration_end) written <= written + 1'b1;
  end

  // ---- read side: address, memory register, output register; each stage moves when the next one is free
  logic read_valid, read_go, read_end, read_iteration_end, read_allowed;
  logic [487:0] read_step, read_next;
  logic [ADDRESS_BITS-1:0] read_address;
  logic [MEMORY_BITS-1:0] read_at;
  logic [31:0] read_need;
  logic fetched_valid, fetched_ready, send_ready;
  assign send_ready = !out_valid || out_ready;
  assign fetched_ready = !fetched_valid || send_ready;
  assign read_allowed = $signed(written) >= $signed(read_need);
  assign read_go = read_valid && read_allowed && fetched_ready;
  assign read_at = MEMORY_BITS'(read_address >> $clog2(LANES));
  intar_steps #(
      .STEPS(READ_STEPS),
      .STEP_BITS(488),
      .PROGRAM(READ_PROGRAM),
      .SEGMENTS(SEGMENTS),
      .ENDS(READ_ENDS)
  ) read_steps (
      .clk(clk),
      .rst_n(rst_n),
      .start(start),
      .segment(segment),
      .advance(read_go && read_end),
      .valid(read_valid),
      .step(read_step),
      .next_step(read_next)
  );
  intar_walk #(
      .ADDRESS_BITS(ADDRESS_BITS),
      .COUNT_BITS(COUNT_BITS),
      .LANES(LANES)
  ) read_walk (
      .clk(clk),
      .load(start || (read_go && read_end)),
      .next_walk(read_next[423:0]),
      .walk(read_step[423:0]),
      .advance(read_go),
      .address(read_address),
      .iteration_last(read_iteration_end),
      .walk_last(read_end)
  );
  always_ff @(posedge clk) begin
    if (start || (read_go && read_end)) read_need <= read_next[424+:32];
    else if (read_go && read_iteration_end) read_need <= read_need + read_step[456+:32];
    if (start) finished_reads <= '0;
    else if (read_go && read_iteration_end) finished_reads <= finished_reads + 1'b1;
  end

  // ---- memory
  (* ram_style = STYLE *) logic [WIDTH-1:0] memory[0:DEPTH-1];
  logic [WIDTH-1:0] fetched;
  always_ff @(posedge clk) begin
    if (write_go) memory[write_at] <= in_data;
  end
  always_ff @(posedge clk) begin
    if (read_go) fetched <= memory[read_at];
  end
  always_ff @(posedge clk) begin
    if (!rst_n) begin
      fetched_valid <= 1'b0;
      out_valid <= 1'b0;
    end else begin
      if (fetched_ready) fetched_valid <= read_go;
      if (send_ready) out_valid <= fetched_valid;
    end
    if (send_ready) out_data <= fetched;
  end

  assign done = !write_valid && !read_valid && !fetched_valid && !out_valid;
  assign unused = &{1'b0, write_address, read_address, write_step, read_step, write_next[487:456], read_next[487:456]};

`ifdef FORMAL
`include "intar_buffer.svh"
`endif
endmodule
