// intar_argmax: the index of the first largest element of every row.
//
// Step        96 bits, 32-bit fields, lowest first: rows - 1, beats - 1, last. For each row `beats` beats are taken, of the last
//             one the first `last` lanes (1 to LANES); one index (32 bits) is sent.
// How         every lane keeps its largest element and the beat that brought it, the first of equals; at the end of a row the
//             lanes shift through one comparison, so that a lower index wins among equals of different lanes.
// Latency     last beat of a row taken in t -> index pushed in t + n + 1, n = LANES (`last` where a row is one beat).
// Throughput  1 beat per cycle; the last beat of a row waits until the index of the row before has gone.
module intar_argmax #(
    parameter int LANES    = 4,
    parameter int BITS     = 8,
    parameter int SEGMENTS = 1,  // see intar_steps
    parameter int STEPS    = 1,
    parameter logic [STEPS*96-1:0] PROGRAM = '0,
    parameter logic [SEGMENTS*32-1:0] ENDS = '0
) (
    input  logic                  clk,
    input  logic                  rst_n,
    input  logic                  start,
    input  logic [7:0]            segment,
    output logic                  done,
    input  logic                  in_valid,
    output logic                  in_ready,
    input  logic [LANES*BITS-1:0] in_data,
    output logic                  out_valid,
    input  logic                  out_ready,
    output logic [31:0]           out_data
);
  logic valid, go, beat_last, row_last;
  logic [95:0] step, unused_next;
  logic [31:0] row, beat, lanes;
  intar_steps #(
      .STEPS(STEPS),
      .STEP_BITS(96),
      .PROGRAM(PROGRAM),
      .SEGMENTS(SEGMENTS),
      .ENDS(ENDS)
  ) steps (
      .clk(clk),
      .rst_n(rst_n),
      .start(start),
      .segment(segment),
      .advance(go && beat_last && row_last),
      .valid(valid),
      .step(step),
      .next_step(unused_next)
  );
  logic scanning;  // the lanes of a row that has ended are compared, or its index waits
  assign beat_last = beat == step[32+:32];
  assign row_last = row == step[0+:32];
  assign lanes = beat_last ? step[64+:32] : 32'(LANES);
  assign in_ready = valid && !(beat_last && scanning);
  assign go = in_valid && in_ready;
  always_ff @(posedge clk) begin
    if (start) begin
      beat <= '0;
      row <= '0;
    end else if (go) begin
      beat <= beat_last ? '0 : beat + 1'b1;
      if (beat_last) row <= row_last ? '0 : row + 1'b1;
    end
  end

  // ---- each lane's largest element so far, and its beat
  logic [LANES*BITS-1:0] best, best_next, lane_best;
  logic [LANES*32-1:0] place, place_next, lane_place;
  always_comb begin
    best_next = best;
    place_next = place;
    for (int l = 0; l < LANES; l = l + 1) begin
      if (32'(l) < lanes && (beat == 32'd0 || $signed(in_data[l*BITS+:BITS]) > $signed(best[l*BITS+:BITS]))) begin
        best_next[l*BITS+:BITS] = in_data[l*BITS+:BITS];
        place_next[l*32+:32] = beat;
      end
    end
  end
  always_ff @(posedge clk) begin
    if (go) begin
      best <= best_next;
      place <= place_next;
    end
  end

  // ---- the lanes of a row that has ended, one a cycle
  logic better;
  logic [31:0] lane, lane_end, index;
  logic [31:0] top_place;
  logic [BITS-1:0] top;
  assign better = lane == 32'd0 || $signed(lane_best[BITS-1:0]) > $signed(top) ||
                  (lane_best[BITS-1:0] == top && lane_place[31:0] < top_place);
  always_ff @(posedge clk) begin
    if (!rst_n) begin
      scanning <= 1'b0;
      out_valid <= 1'b0;
    end else if (go && beat_last) begin
      scanning <= 1'b1;
    end else if (out_valid) begin
      scanning <= !out_ready;
      out_valid <= !out_ready;
    end else begin
      out_valid <= scanning && lane == lane_end;
    end
    if (go && beat_last) begin
      lane_best <= best_next;
      lane_place <= place_next;
      lane_end <= (beat == 32'd0) ? step[64+:32] - 1'b1 : 32'(LANES - 1);
      lane <= '0;
    end else if (scanning) begin
      lane_best <= lane_best >> BITS;
      lane_place <= lane_place >> 32;
      lane <= lane + 1'b1;
      if (!out_valid && better) begin
        top <= lane_best[BITS-1:0];
        top_place <= lane_place[31:0];
        index <= lane_place[31:0] * 32'(LANES) + lane;
      end
    end
  end
  assign out_data = index;

  logic unused;
  assign done = !valid && !scanning;
  assign unused = &{1'b0, unused_next};
endmodule
