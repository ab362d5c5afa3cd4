// intar_rows_divisions: third pass over a row: what its elements are multiplied with, and the places that the products are moved by.
//
//   kind 0, 2  floor(numerator 2^extra / total), total 2^24 to 2^40 (intar_rows_divide); down = out_shift + extra
//        1     the reciprocal root of count squares - sum^2 + numerator (intar_rows_root); down = shift + pair
//        3     twice the peak, total being 2^24 times the peak; down = 1
//
// Rows begin in order and end in order. Divisions take DIVISIONS dividers in turn; a root or a peak waits for all of them, and
// what comes behind a root waits for it.
//
// Latency     `valid` says that a row waits, `go` that it begins in t -> `ready` in t+19, of a root in t+24, of a peak in t, with
//             its slot. Another division begins in the next cycle if the divider whose turn it is doesn't work.
module intar_rows_divisions #(
    parameter int DIVISIONS = 1,
    parameter int SLOT_BITS = 2,    // of the number of a row; rows come in order of it
    parameter bit DIVIDE = 1'b1,    // kinds that there are: 0 or 2
    parameter bit NORM = 1'b0,      // 1
    parameter bit PEAK = 1'b0       // 3
) (
    input  logic                        clk,
    input  logic                        rst_n,
    input  logic                        start,      // rows begin at slot 0 again
    input  logic                        valid,
    output logic                        go,
    input  logic        [          1:0] kind,
    input  logic        [         60:0] numerator,  // 43 bits of a division
    input  logic        [          5:0] shift,
    input  logic        [          5:0] out_shift,
    input  logic        [         40:0] total,
    input  logic        [         15:0] count,
    input  logic signed [         31:0] sum,
    input  logic        [         45:0] squares,
    output logic                        ready,
    output logic        [SLOT_BITS-1:0] ready_slot,
    output logic        [         18:0] quotient,
    output logic        [          5:0] down
);
  localparam int SLOTS = 1 << SLOT_BITS;

  logic root, alone, peak_ready;
  logic [DIVISIONS-1:0] division_busy, division_ready;
  logic divider_busy, root_busy, root_ready;  // divider_busy: of the one whose turn it is
  logic [18:0] ratio, root_found;
  logic [4:0] extra, pair;
  logic [SLOT_BITS-1:0] slot;
  logic [5:0] moves[0:SLOTS-1];
  assign root = NORM && kind == 2'd1;
  assign alone = PEAK && kind == 2'd3;
  assign go = valid && !root_busy && !((root || alone) ? |division_busy : divider_busy);
  assign peak_ready = go && alone;
  generate
    if (DIVIDE) begin : g_division
      localparam int TURN_BITS = (DIVISIONS > 1) ? $clog2(DIVISIONS) : 1;
      logic [TURN_BITS-1:0] turn;
      logic [DIVISIONS*24-1:0] ratios;
      assign divider_busy = division_busy[turn];
      always_ff @(posedge clk) begin
        if (start) turn <= '0;
        else if (go && !root && !alone) turn <= (turn == TURN_BITS'(DIVISIONS - 1)) ? '0 : turn + 1'b1;
      end
      for (genvar d = 0; d < DIVISIONS; d = d + 1) begin : g_divider
        intar_rows_divide divider (
            .clk(clk),
            .rst_n(rst_n),
            .go(go && !root && !alone && turn == TURN_BITS'(d)),
            .total(total),
            .numerator(numerator[42:0]),
            .busy(division_busy[d]),
            .ready(division_ready[d]),
            .quotient(ratios[d*24+:19]),
            .extra(ratios[d*24+19+:5])
        );
      end
      always_comb begin
        {extra, ratio} = '0;
        for (int d = 0; d < DIVISIONS; d = d + 1) begin
          if (division_ready[d]) {extra, ratio} = ratios[d*24+:24];
        end
      end
    end else begin : g_no_division
      assign {division_busy, division_ready, divider_busy, ratio, extra} = '0;
    end
    if (NORM) begin : g_root
      intar_rows_root rooter (
          .clk(clk),
          .rst_n(rst_n),
          .go(go && root),
          .count(count),
          .sum(sum),
          .squares(squares),
          .epsilon(numerator),
          .busy(root_busy),
          .ready(root_ready),
          .root(root_found),
          .pair(pair)
      );
    end else begin : g_no_root
      assign {root_busy, root_ready, root_found, pair} = '0;
    end
  endgenerate

  assign ready = |division_ready || root_ready || peak_ready;
  assign quotient = peak_ready ? {1'b0, total[40:24], 1'b0} : root_ready ? root_found : ratio;
  assign down = peak_ready ? 6'd1 : moves[ready_slot] + 6'(root_ready ? pair : extra);
  always_ff @(posedge clk) begin
    if (start) begin
      slot <= '0;
      ready_slot <= '0;
    end else begin
      if (go) slot <= slot + 1'b1;
      if (ready) ready_slot <= ready_slot + 1'b1;
    end
    if (go) moves[slot] <= root ? shift : out_shift;
  end

  logic unused;
  assign unused = &{1'b0, kind, numerator, total, count, sum, squares};
endmodule
