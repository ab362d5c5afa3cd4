// intar_pack: gearbox from the beats of a stream to the words of a port, lowest bits first.
//
// One of WORD_BITS and BEAT_BITS is a multiple of the other.
// Transfers   `last` goes with the handshake of a beat (sampled when in_valid && in_ready) and says that it is
//             the last of a transfer: its word leaves at once, padded with zeros, and the next beat starts a new
//             word. Where a beat is a whole number of words `last` has no effect.
// Latency     equal widths: 0 (wires). Otherwise the beat that completes a word, taken in t -> word in t+1.
// Throughput  1 beat per cycle (beat <= word) or 1 word per cycle (beat > word), across transfers.
// Handshake   in_ready depends on out_ready in the same cycle; put a FIFO behind to cut the path.
module intar_pack #(
    parameter int WORD_BITS = 512,  // bits of a port word, >= 1
    parameter int BEAT_BITS = 64    // bits of a beat, >= 1
) (
    input  logic                 clk,
    input  logic                 rst_n,
    input  logic                 in_valid,
    output logic                 in_ready,
    input  logic [BEAT_BITS-1:0] in_data,
    input  logic                 last,
    output logic                 out_valid,
    input  logic                 out_ready,
    output logic [WORD_BITS-1:0] out_data
);
  generate
    if (WORD_BITS == BEAT_BITS) begin : g_wire
      logic unused;
      assign unused = &{1'b0, clk, rst_n, last};
      assign out_valid = in_valid;
      assign in_ready = out_ready;
      assign out_data = in_data;
    end else if (WORD_BITS > BEAT_BITS) begin : g_join
      localparam int RATIO = WORD_BITS / BEAT_BITS;
      localparam int INDEX_BITS = $clog2(RATIO);
      logic [INDEX_BITS-1:0] index;
      logic complete;
      assign complete = last || index == INDEX_BITS'(RATIO - 1);
      assign in_ready = !out_valid || out_ready;
      always_ff @(posedge clk) begin
        if (!rst_n) begin
          out_valid <= 1'b0;
          index <= '0;
        end else if (in_ready) begin
          out_valid <= in_valid && complete;
          if (in_valid) index <= complete ? '0 : index + 1'b1;
        end
        if (in_valid && in_ready) begin
          // The first beat clears the whole word: that is the zero padding.
          if (index == '0) out_data <= WORD_BITS'(in_data);
          else out_data[32'(index)*BEAT_BITS+:BEAT_BITS] <= in_data;
        end
      end
    end else begin : g_split
      localparam int RATIO = BEAT_BITS / WORD_BITS;
      localparam int INDEX_BITS = $clog2(RATIO);
      logic [BEAT_BITS-1:0] beat;
      logic [INDEX_BITS-1:0] index;
      logic unused;
      assign unused = &{1'b0, last};
      assign in_ready = !out_valid || (out_ready && index == INDEX_BITS'(RATIO - 1));
      assign out_data = beat[WORD_BITS-1:0];
      always_ff @(posedge clk) begin
        if (!rst_n) begin
          out_valid <= 1'b0;
          index <= '0;
        end else if (in_ready) begin
          out_valid <= in_valid;
          index <= '0;
        end else if (out_ready) begin
          index <= index + 1'b1;
        end
        if (in_ready) beat <= in_data;
        else if (out_ready) beat <= beat >> WORD_BITS;
      end
    end
  endgenerate
endmodule
