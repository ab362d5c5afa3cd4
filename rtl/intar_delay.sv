// intar_delay: WIDTH bits, MOVES moves later. No reset, so that tools make shift registers of it.
module intar_delay #(
    parameter int WIDTH = 1,
    parameter int MOVES = 1  // >= 1
) (
    input  logic             clk,
    input  logic             move,
    input  logic [WIDTH-1:0] in_data,
    output logic [WIDTH-1:0] out_data
);
  logic [WIDTH-1:0] stage[0:MOVES-1];
  assign out_data = stage[MOVES-1];
  always_ff @(posedge clk) begin
    if (move) begin
      for (int i = MOVES - 1; i > 0; i = i - 1) stage[i] <= stage[i-1];
      stage[0] <= in_data;
    end
  end
endmodule
