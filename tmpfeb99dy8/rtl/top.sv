module top (
    input  logic clk, move, take, multiply, add_valid, add_first, add_flush, shadow_read,
    input  logic [1:0] shadow_row,
    input  logic [4*4-1:0] a_data,
    input  logic [12*4-1:0] w_data,
    output logic [12*26-1:0] out_data
);
  intar_array #(
      .ROWS(4), .LANES(12), .A_BITS(4), .W_BITS(4), .PACK(3), .ACC_BITS(26)
  ) array (
      .clk(clk), .move(move), .take(take), .a_data(a_data), .w_data(w_data), .multiply(multiply),
      .add_valid(add_valid), .add_first(add_first), .add_resume(1'b0), .add_flush(add_flush), .add_spill(1'b0),
      .context_data('0), .spill_data(), .shadow_read(shadow_read), .shadow_row(shadow_row), .out_data(out_data)
  );
endmodule
