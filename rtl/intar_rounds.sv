// intar_rounds: how far a round of a segment moves the words that a memory port reads or writes.
//
// moved    in round r of segment s: r STRIDES[s], and in odd rounds `swap` more (two's complement, words). 0 when no
//          segment has a second round.
// Latency  `segment` and `round` are taken with `start`; `moved` follows from the next cycle on, `swap` at once.
module intar_rounds #(
    parameter bit LOOPED   = 1'b0,  // some segment has several rounds
    parameter int SEGMENTS = 1,     // 1 to 256
    parameter logic [SEGMENTS*32-1:0] STRIDES = '0
) (
    input  logic        clk,
    input  logic        start,
    input  logic [7:0]  segment,
    input  logic [15:0] round,
    input  logic [31:0] swap,
    output logic [31:0] moved
);
  generate
    if (!LOOPED) begin : g_still
      logic unused;
      assign moved = '0;
      assign unused = &{1'b0, clk, start, segment, round, swap, STRIDES};
    end else begin : g_moving
      logic [31:0] stride, offset;
      logic odd;
      always_comb begin
        stride = '0;
        for (int s = 0; s < SEGMENTS; s = s + 1) begin
          if (segment == 8'(s)) stride = STRIDES[s*32+:32];
        end
      end
      always_ff @(posedge clk) begin
        if (start) begin
          offset <= (round == 16'd0) ? '0 : offset + stride;
          odd <= round[0];
        end
      end
      assign moved = offset + (odd ? swap : 32'd0);
    end
  endgenerate
endmodule
