// intar_sequencer: one inference of a kernel: starts all nodes, waits until all of them are done.
//
// Latency     ap_start in cycle t -> `start` and ap_ready in t (a pulse), nodes act from t+1 on; the last node done in
//             t -> ap_done in t+1, held until the cycle with ap_continue. The next start is taken after that.
module intar_sequencer #(
    parameter int NODES = 1
) (
    input  logic             clk,
    input  logic             rst_n,
    input  logic             ap_start,
    output logic             ap_ready,
    output logic             ap_done,
    input  logic             ap_continue,
    output logic             ap_idle,
    output logic             start,
    input  logic [NODES-1:0] node_done
);
  logic running;
  assign start = ap_start && ap_idle && rst_n;
  assign ap_ready = start;
  assign ap_idle = !running && !ap_done;
  always_ff @(posedge clk) begin
    if (!rst_n) begin
      running <= 1'b0;
      ap_done <= 1'b0;
    end else begin
      if (start) running <= 1'b1;
      else if (running && (&node_done)) running <= 1'b0;
      if (running && (&node_done)) ap_done <= 1'b1;
      else if (ap_continue) ap_done <= 1'b0;
    end
  end
endmodule
