// intar_lookup: one lane's tables: a value in, the function's value out (docs/numerics.md, Tables); vector lanes and rows nodes end with it.
//
// A pipeline that moves as a whole (`move`). Settings are the same for all lanes of a unit; each comes in the move in which it is
// used (value in t, result in t+T):
//   group          of the table                                                            t
//   table_index    half (17), low bits (4), first entry (16), log2 of a group's entries (4)   t
//   table_use      0: the value goes through as it is                                         t+T-1
//   table_round    q (5)                                                                      t+T-2
//   table_bounds   q (5), lo, hi (18 each)                                                    t+T-1
// Latency     T = 2, with SLOPES 5, with CURVES 7 moves; an element a move.
module intar_lookup #(
    parameter bit SLOPES        = 1'b1,
    parameter bit CURVES        = 1'b0,  // only with SLOPES
    parameter int TABLE_ENTRIES = 256,  // of all slots, 1 to 65536
    parameter int GROUP_BITS    = 0,    // of a table's group, 0 to 12; 0: tables without groups
    parameter int BASE_BITS     = 32,   // of a base, 1 to WIDTH; without SLOPES of a result, 1 to 18
    parameter int SLOPE_BITS    = 32,   // of a slope, also at the end of a curve, 1 to WIDTH
    parameter int CURVE_BITS    = 18,   // of a curve, 1 to 18 and to WIDTH
    parameter int WRITE         = 4,    // table entries written at a time, a power of two that divides TABLE_ENTRIES
    parameter int WIDTH         = 32,   // bits of an entry that is written
    parameter int ENTRY_BITS    = (TABLE_ENTRIES > 1) ? $clog2(TABLE_ENTRIES) : 1,
    parameter int GROUP         = (GROUP_BITS > 0) ? GROUP_BITS : 1,
    /* verilator lint_off UNUSEDPARAM */
    parameter     STYLE         = "auto"  // ram_style of the tables: distributed, block, auto
    /* verilator lint_on UNUSEDPARAM */
) (
    input  logic                   clk,
    input  logic                   move,
    input  logic signed [17:0]     value,
    input  logic [GROUP-1:0]       group,
    input  logic [40:0]            table_index,
    input  logic                   table_use,
    input  logic [4:0]             table_round,
    input  logic [40:0]            table_bounds,
    input  logic                   write_base,     // table memory: WRITE entries per cycle, whatever `move` is
    input  logic                   write_slope,
    input  logic                   write_curve,
    input  logic [ENTRY_BITS-1:0]  write_at,
    input  logic [WRITE*WIDTH-1:0] write_data,
    output logic signed [17:0]     result
);
  logic unused;  // an instance without some part of the entries does not look at its settings
  assign unused = &{1'b0, group, table_index, table_round, table_bounds, write_base, write_slope, write_curve, write_at, write_data};

  logic [16:0] shifted, index;
  logic [3:0] low_bits;
  logic signed [17:0] value1;
  localparam int WORDS = TABLE_ENTRIES / WRITE;  // of the memory: WRITE entries each
  localparam int WORD_BITS = (WORDS > 1) ? $clog2(WORDS) : 1;
  logic [ENTRY_BITS-1:0] at;
  logic [WORD_BITS-1:0] word, write_word;
  logic [4:0] pick;  // the entry of the word that was read
  assign word = WORD_BITS'(at >> $clog2(WRITE));
  assign write_word = WORD_BITS'(write_at >> $clog2(WRITE));
  always_ff @(posedge clk) if (move) pick <= 5'(32'(at) % 32'(WRITE));
  assign low_bits = table_index[17+:4];
  assign shifted = value[16:0] + table_index[0+:17];
  assign index = shifted >> low_bits;
  logic unused_index;
  assign unused_index = &{1'b0, index};
  logic [ENTRY_BITS-1:0] first;  // of the group
  generate
    if (GROUP_BITS > 0) begin : g_groups
      assign first = table_index[21+:ENTRY_BITS] + (ENTRY_BITS'(group) << table_index[37+:4]);
    end else begin : g_no_groups
      assign first = table_index[21+:ENTRY_BITS];
    end
  endgenerate
  always_ff @(posedge clk) begin
    if (move) begin
      value1 <= value;
      at <= ENTRY_BITS'(index) + first;
    end
  end
  generate
    if (SLOPES) begin : g_slopes
      (* ram_style = STYLE *) logic [WRITE*BASE_BITS-1:0] bases[0:WORDS-1];
      (* ram_style = STYLE *) logic [WRITE*SLOPE_BITS-1:0] slopes[0:WORDS-1];
      logic [WRITE*BASE_BITS-1:0] write_bases, base_word;
      logic [WRITE*SLOPE_BITS-1:0] write_slopes, slope_word;
      logic [15:0] fraction1, fraction2, fraction;
      logic signed [BASE_BITS-1:0] base2, base, base_late;
      logic signed [SLOPE_BITS-1:0] slope2;
      logic signed [SLOPE_BITS-1:0] steep;  // the slope where the argument lies
      logic signed [SLOPE_BITS+16:0] product;
      logic signed [33:0] rounding, sum, scaled;
      logic signed [17:0] value2, passed, passed_late, passed_last, lo, hi;
      logic unused_product;
      assign rounding = (table_round == 5'd0) ? 34'sd0 : 34'sd1 <<< (table_round - 5'd1);
      assign scaled = sum >>> table_bounds[4:0];
      assign lo = $signed(table_bounds[5+:18]);
      assign hi = $signed(table_bounds[23+:18]);
      assign unused_product = &{1'b0, product};
      assign base2 = $signed(base_word[BASE_BITS*32'(pick)+:BASE_BITS]);
      assign slope2 = $signed(slope_word[SLOPE_BITS*32'(pick)+:SLOPE_BITS]);
      for (genvar e = 0; e < WRITE; e++) begin : g_entry
        assign write_bases[BASE_BITS*e+:BASE_BITS] = write_data[WIDTH*e+:BASE_BITS];
        assign write_slopes[SLOPE_BITS*e+:SLOPE_BITS] = write_data[WIDTH*e+:SLOPE_BITS];
      end
      always_ff @(posedge clk) begin
        if (write_base) bases[write_word] <= write_bases;
        if (write_slope) slopes[write_word] <= write_slopes;
      end
      always_ff @(posedge clk) begin
        if (move) begin
          fraction1 <= 16'(shifted & ~(17'h1FFFF << low_bits));

          base_word <= bases[word];
          slope_word <= slopes[word];
          fraction2 <= fraction1;
          value2 <= value1;
        end
      end
      if (CURVES) begin : g_curves
        (* ram_style = STYLE *) logic [WRITE*CURVE_BITS-1:0] curves[0:WORDS-1];
        logic [WRITE*CURVE_BITS-1:0] write_curves, curve_word;
        logic signed [CURVE_BITS-1:0] curve2;
        logic signed [CURVE_BITS+16:0] bend3;
        logic signed [SLOPE_BITS-1:0] slope3;
        logic signed [BASE_BITS-1:0] base3;
        logic [15:0] fraction3;
        logic signed [17:0] value3;
        assign curve2 = $signed(curve_word[CURVE_BITS*32'(pick)+:CURVE_BITS]);
        for (genvar e = 0; e < WRITE; e++) begin : g_entry
          assign write_curves[CURVE_BITS*e+:CURVE_BITS] = write_data[WIDTH*e+:CURVE_BITS];
        end
        always_ff @(posedge clk) if (write_curve) curves[write_word] <= write_curves;
        always_ff @(posedge clk) begin
          if (move) begin
            curve_word <= curves[word];

            bend3 <= curve2 * $signed({1'b0, fraction2});
            slope3 <= slope2;
            base3 <= base2;
            fraction3 <= fraction2;
            value3 <= value2;

            steep <= slope3 + SLOPE_BITS'(bend3 >>> 8);
            base <= base3;
            fraction <= fraction3;
            passed <= value3;
          end
        end
      end else begin : g_straight
        assign steep = slope2;
        assign base = base2;
        assign fraction = fraction2;
        assign passed = value2;
      end
      always_ff @(posedge clk) begin
        if (move) begin
          product <= steep * $signed({1'b0, fraction});
          base_late <= base;
          passed_late <= passed;

          sum <= 34'(base_late) + 34'(product) + rounding;
          passed_last <= passed_late;

          if (!table_use) result <= passed_last;
          else if (scaled < 34'(lo)) result <= lo;
          else if (scaled > 34'(hi)) result <= hi;
          else result <= scaled[17:0];
        end
      end
    end else begin : g_values
      // Without slopes the entries were rounded and clamped when they were written.
      (* ram_style = STYLE *) logic [WRITE*BASE_BITS-1:0] values[0:WORDS-1];
      logic [WRITE*BASE_BITS-1:0] write_values, value_word;
      logic signed [17:0] value2;
      logic use2;
      always_ff @(posedge clk) begin
        if (write_base) values[write_word] <= write_values;
      end
      always_ff @(posedge clk) begin
        if (move) begin
          value_word <= values[word];
          value2 <= value1;
          use2 <= table_use;
        end
      end
      assign result = use2 ? 18'($signed(value_word[BASE_BITS*32'(pick)+:BASE_BITS])) : value2;
      for (genvar e = 0; e < WRITE; e++) begin : g_entry
        assign write_values[BASE_BITS*e+:BASE_BITS] = write_data[WIDTH*e+:BASE_BITS];
      end
    end
  endgenerate
endmodule
