// intar_slice: one of SLICES equal parts of a beat, combinational: a tree of two-way choices.
//
// A part-select with a computed place would cost a multiplier, a chain of comparisons more look-up tables than the tree.
module intar_slice #(
    parameter int SLICES     = 4,  // >= 1
    parameter int WIDTH      = 8,  // bits of a slice
    parameter int INDEX_BITS = (SLICES > 1) ? $clog2(SLICES) : 1
) (
    input  logic [SLICES*WIDTH-1:0] data,
    input  logic [INDEX_BITS-1:0]   index,
    output logic [WIDTH-1:0]        slice
);
  generate
    if (SLICES > 1) begin : g_tree
      logic [WIDTH*(1<<INDEX_BITS)-1:0] rest;  // the slices that are left, the chosen one among them
      always_comb begin
        rest = (WIDTH * (1 << INDEX_BITS))'(data);
        for (int level = INDEX_BITS - 1; level >= 0; level = level - 1) begin
          if (index[level]) rest = rest >> (WIDTH << level);
        end
      end
      logic unused;
      assign slice = rest[WIDTH-1:0];
      assign unused = &{1'b0, rest};
    end else begin : g_whole
      logic unused;
      assign slice = data;
      assign unused = &{1'b0, index};
    end
  endgenerate
endmodule
