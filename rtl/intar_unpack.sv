// intar_unpack: gearbox from the words of a port to the beats of a stream, lowest bits first.
//
// One of WORD_BITS and BEAT_BITS is a multiple of the other.
// Transfers   `last` goes with the handshake of a beat (sampled when out_valid && out_ready) and says that it
//             is the last of a transfer: what is left of its word is dropped, the next beat comes from a new word. Where a
//             beat is a whole number of words every beat ends at a word boundary and `last` has no effect.
// Latency     equal widths: 0 (wires). Otherwise word taken in t -> beat in t+1.
// Throughput  1 beat per cycle (beat <= word) or 1 word per cycle (beat > word), across transfers.
// Handshake   in_ready depends on out_ready (and `last`) in the same cycle; put a FIFO in front to cut the path.
module intar_unpack #(
    parameter int WORD_BITS = 512,  // bits of a port word, >= 1
    parameter int BEAT_BITS = 64    // bits of a beat, >= 1
) (
    input  logic                 clk,
    input  logic                 rst_n,
    input  logic                 in_valid,
    output logic                 in_ready,
    input  logic [WORD_BITS-1:0] in_data,
    output logic                 out_valid,
    input  logic                 out_ready,
    output logic [BEAT_BITS-1:0] out_data,
    input  logic                 last
);
  generate
    if (WORD_BITS == BEAT_BITS) begin : g_wire
      logic unused;
      assign unused = &{1'b0, clk, rst_n, last};
      assign out_valid = in_valid;
      assign in_ready = out_ready;
      assign out_data = in_data;
    end else if (WORD_BITS > BEAT_BITS) begin : g_split
      localparam int RATIO = WORD_BITS / BEAT_BITS;
      localparam int INDEX_BITS = $clog2(RATIO);
      logic [WORD_BITS-1:0] word;
      logic [INDEX_BITS-1:0] index;
      logic leave;  // the word in the register goes with this beat
      assign leave = out_ready && (last || index == INDEX_BITS'(RATIO - 1));
      assign in_ready = !out_valid || leave;
      assign out_data = word[BEAT_BITS-1:0];
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
        if (in_ready) word <= in_data;
        else if (out_ready) word <= word >> BEAT_BITS;
      end
    end else begin : g_join
      localparam int RATIO = BEAT_BITS / WORD_BITS;
      localparam int INDEX_BITS = $clog2(RATIO);
      logic [INDEX_BITS-1:0] index;
      logic unused;
      assign unused = &{1'b0, last};
      assign in_ready = !out_valid || out_ready;
      always_ff @(posedge clk) begin
        if (!rst_n) begin
          out_valid <= 1'b0;
          index <= '0;
        end else if (in_ready) begin
          out_valid <= in_valid && index == INDEX_BITS'(RATIO - 1);
          if (in_valid) index <= (index == INDEX_BITS'(RATIO - 1)) ? '0 : index + 1'b1;
        end
        // Words enter at the top: after RATIO of them the first has arrived at the bottom.
        if (in_valid && in_ready) out_data <= {in_data, out_data[BEAT_BITS-1:WORD_BITS]};
      end
    end
  endgenerate
endmodule
