// intar_sequencer: one call of a kernel: plays the segments of an entry in order, each in so many rounds. A play starts all
// nodes and waits until all of them are done.
//
// entry       which segments: FIRST to LAST of the entry; taken with ap_start. Not more than ENTRIES - 1.
// Latency     ap_start in cycle t -> `start` and ap_ready in t (pulses), nodes act from t+1 on; the last node done in
//             t -> the next play starts in t+1, or after the last one ap_done in t+1, held until the cycle with
//             ap_continue. The next inference is taken after that.
// segment, round  of the play, from its start on until all nodes are done.
module intar_sequencer #(
    parameter int NODES    = 1,
    parameter int SEGMENTS = 1,  // 1 to 256
    parameter logic [SEGMENTS*16-1:0] ROUNDS = {SEGMENTS{16'd1}},  // of each segment, >= 1
    parameter int ENTRIES  = 1,  // 1 to 256
    parameter logic [ENTRIES*8-1:0] FIRST = '0,
    parameter logic [ENTRIES*8-1:0] LAST = {ENTRIES{8'(SEGMENTS - 1)}}
) (
    input  logic             clk,
    input  logic             rst_n,
    input  logic             ap_start,
    output logic             ap_ready,
    output logic             ap_done,
    input  logic             ap_continue,
    output logic             ap_idle,
    input  logic [7:0]       entry,
    output logic             start,
    output logic [7:0]       segment,
    output logic [15:0]      round,
    input  logic [NODES-1:0] node_done
);
  logic running, over, last, again;
  assign ap_ready = ap_start && ap_idle && rst_n;
  assign start = ap_ready || again;
  assign ap_idle = !running && !ap_done && !again;
  assign over = running && (&node_done);
  generate
    if (SEGMENTS == 1 && ROUNDS == {SEGMENTS{16'd1}}) begin : g_once
      logic unused;
      assign last = 1'b1;
      assign again = 1'b0;
      assign segment = '0;
      assign round = '0;
      assign unused = &{1'b0, entry, FIRST, LAST};
    end else begin : g_plays
      logic [15:0] rounds;
      logic [7:0] at, final_segment;     // the segment that is played, the last one of the call
      logic [7:0] first_now, final_now;  // of the entry that is asked for
      logic round_last;
      always_comb begin
        rounds = '0;
        for (int s = 0; s < SEGMENTS; s = s + 1) begin
          if (segment == 8'(s)) rounds = ROUNDS[s*16+:16];
        end
        first_now = '0;
        final_now = '0;
        for (int e = 0; e < ENTRIES; e = e + 1) begin
          if (entry == 8'(e)) begin
            first_now = FIRST[e*8+:8];
            final_now = LAST[e*8+:8];
          end
        end
      end
      assign segment = ap_ready ? first_now : at;
      assign round_last = round == rounds - 1'b1;
      assign last = round_last && segment == final_segment;
      always_ff @(posedge clk) begin
        again <= rst_n && over && !last;
        if (!rst_n) begin
          at <= '0;
          final_segment <= '0;
          round <= '0;
        end else if (ap_ready) begin
          at <= first_now;
          final_segment <= final_now;
        end else if (over) begin
          round <= round_last ? '0 : round + 1'b1;
          if (round_last && !last) at <= at + 1'b1;
        end
      end
    end
  endgenerate
  always_ff @(posedge clk) begin
    if (!rst_n) begin
      running <= 1'b0;
      ap_done <= 1'b0;
    end else begin
      if (start) running <= 1'b1;
      else if (over) running <= 1'b0;
      if (over && last) ap_done <= 1'b1;
      else if (ap_continue) ap_done <= 1'b0;
    end
  end
endmodule
