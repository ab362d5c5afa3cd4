// intar_constant: on-chip memory of constants with one read side, a list of affine walks.
//
// Contents    FILE: a line of hexadecimal digits for each beat, lowest address first ($readmemh). A name without a folder:
//             simulators and Yosys look for it in the folder where they run, Vivado among its sources.
// Step        424 bits: a walk, see intar_walk.
// Latency     an address issued in cycle t -> beat pushed in t+2. After `start` in t the first one is issued in t+1.
// Throughput  1 beat per cycle, across iterations and steps without a gap.
// done        level: the program has finished and every beat has been taken.
module intar_constant #(
    parameter int WIDTH        = 8,   // bits of a beat
    parameter int DEPTH        = 16,  // beats
    parameter     FILE         = "",
    parameter int ADDRESS_BITS = 32,  // of the walks, see intar_walk
    parameter int COUNT_BITS   = 32,
    /* verilator lint_off UNUSEDPARAM */
    parameter     STYLE        = "block",  // rom_style: distributed, block
    /* verilator lint_on UNUSEDPARAM */
    parameter int SEGMENTS     = 1,  // see intar_steps
    parameter int STEPS        = 1,
    parameter logic [STEPS*424-1:0] PROGRAM = '0,
    parameter logic [SEGMENTS*32-1:0] ENDS = '0
) (
    input  logic             clk,
    input  logic             rst_n,
    input  logic             start,
    input  logic [7:0]       segment,
    output logic             done,
    output logic             out_valid,
    input  logic             out_ready,
    output logic [WIDTH-1:0] out_data
);
  localparam int MEMORY_BITS = (DEPTH > 1) ? $clog2(DEPTH) : 1;
  logic unused;

  // ---- address, memory register, output register: each stage moves when the next one is free
  logic step_valid, go, walk_end, iteration_end;
  logic [423:0] step, next_step;
  logic [ADDRESS_BITS-1:0] address;
  logic fetched_valid, fetched_ready, send_ready;
  assign send_ready = !out_valid || out_ready;
  assign fetched_ready = !fetched_valid || send_ready;
  assign go = step_valid && fetched_ready;
  intar_steps #(
      .STEPS(STEPS),
      .STEP_BITS(424),
      .PROGRAM(PROGRAM),
      .SEGMENTS(SEGMENTS),
      .ENDS(ENDS)
  ) read_steps (
      .clk(clk),
      .rst_n(rst_n),
      .start(start),
      .segment(segment),
      .advance(go && walk_end),
      .valid(step_valid),
      .step(step),
      .next_step(next_step)
  );
  intar_walk #(
      .ADDRESS_BITS(ADDRESS_BITS),
      .COUNT_BITS(COUNT_BITS)
  ) read_walk (
      .clk(clk),
      .load(start || (go && walk_end)),
      .next_walk(next_step),
      .walk(step),
      .advance(go),
      .address(address),
      .iteration_last(iteration_end),
      .walk_last(walk_end)
  );

  // ---- memory
`ifdef YOSYS  // which makes a table of constants of logic, and of no distributed memory
  (* rom_style = (STYLE == "distributed") ? "logic" : "block" *)
`else
  (* rom_style = STYLE *)
`endif
  logic [WIDTH-1:0] memory[0:DEPTH-1];
  logic [WIDTH-1:0] fetched;
  initial if (FILE != "") $readmemh(FILE, memory);
  always_ff @(posedge clk) begin
    if (go) fetched <= memory[MEMORY_BITS'(address)];
  end
  always_ff @(posedge clk) begin
    if (!rst_n) begin
      fetched_valid <= 1'b0;
      out_valid <= 1'b0;
    end else begin
      if (fetched_ready) fetched_valid <= go;
      if (send_ready) out_valid <= fetched_valid;
    end
    if (send_ready) out_data <= fetched;
  end

  assign done = !step_valid && !fetched_valid && !out_valid;
  assign unused = &{1'b0, iteration_end, address};

`ifdef FORMAL
`include "intar_constant.svh"
`endif
endmodule
