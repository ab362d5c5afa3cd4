// intar_rows_maximum: the largest element of a row that counts, or the largest magnitude, slice by slice.
//
// With `heights` magnitudes are looked for: up to 2^(BITS-1), and compared like elements, with the highest bit inverted. So is `top`
// then; it is the lowest number where nothing counts.
// Latency     a slice in t, which `go` says -> `top` of the row up to this slice in t+1, for this cycle. Never stops.
module intar_rows_maximum #(
    parameter int RATE = 4,      // elements of a slice
    parameter int BITS = 8,
    parameter bit PEAK = 1'b0    // `heights` may be 1
) (
    input  logic                   clk,
    input  logic                   go,
    input  logic                   first,    // slice of its row
    input  logic                   heights,
    input  logic        [RATE-1:0] used,     // elements that count
    input  logic [  RATE*BITS-1:0] slice,
    output logic signed [BITS-1:0] top
);
  logic [RATE*BITS-1:0] keys;
  logic signed [BITS-1:0] slice_top, slice_top1, earlier;
  logic go1, first1;
  always_comb begin
    for (int p = 0; p < RATE; p = p + 1) begin
      keys[p*BITS+:BITS] = slice[p*BITS+:BITS];
      if (PEAK && heights) begin
        if (slice[p*BITS+BITS-1]) keys[p*BITS+:BITS] = -slice[p*BITS+:BITS];
        keys[p*BITS+BITS-1] = !keys[p*BITS+BITS-1];
      end
    end
    slice_top = {1'b1, {(BITS - 1) {1'b0}}};
    for (int p = 0; p < RATE; p = p + 1) begin
      if (used[p] && $signed(keys[p*BITS+:BITS]) > slice_top) slice_top = $signed(keys[p*BITS+:BITS]);
    end
  end
  assign top = (first1 || slice_top1 > earlier) ? slice_top1 : earlier;
  always_ff @(posedge clk) begin
    go1 <= go;
    first1 <= first;
    slice_top1 <= slice_top;
    if (go1) earlier <= top;
  end

  logic unused;
  assign unused = &{1'b0, heights};
endmodule
