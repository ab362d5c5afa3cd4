// intar_rows_results: last pass over a row: its terms meet what the row is divided by, or its columns' parameters, perhaps pass
// tables, and leave as beats.
//
// Results of a softmax, of a row over its peak and of a peak come from intar_rows_products, of a normalised row (kind 1) from
// intar_rows_columns; those that are looked up pass intar_rows_lookups.
//
// Handshake   `valid` says that a slice's operands are there, `go` that it is taken, in t; its `shares` come one move later, a
//             move being a cycle with `move`: all stages stand still while a finished beat is not taken. `idle`: nothing is inside
//             and all tables are full.
// Latency     last slice of a beat taken in t -> beat offered in t+7, with NORM in t+13; one that is looked up 2 later, with
//             SLOPES 5, with CURVES 7. What isn't looked up waits until it can't leave before what is: no beat leaves later for that.
// Throughput  a slice a cycle; of a normalised row a beat every two cycles, since its parameters are two beats.
module intar_rows_results #(
    parameter int LANES = 4,
    parameter int RATE  = 4,       // divides LANES
    parameter int BITS  = 8,
    parameter bit SOFTMAX = 1'b1,  // see intar_rows, as the others
    parameter bit NORM = 1'b0,
    parameter bit PEAK = 1'b0,
    parameter bit TABLE = 1'b0,
    parameter bit SLOPES = 1'b0,
    parameter bit CURVES = 1'b0,
    parameter int TABLE_ENTRIES = 16,
    parameter int GROUP_BITS = 0,
    parameter int BASE_BITS = 8,
    parameter int SLOPE_BITS = 8,
    parameter int CURVE_BITS = 8,
    parameter int WIDTH = 8,
    parameter STYLE = "auto",
    parameter int SEGMENTS = 1,
    parameter int LOAD_STEPS = 1,
    parameter int LOAD_ROWS = 0,
    parameter logic [LOAD_STEPS*((LOAD_ROWS > 0) ? 17 : 73)-1:0] LOAD_PROGRAM = '0,
    parameter logic [((LOAD_ROWS > 0) ? LOAD_ROWS : 1)*73-1:0] LOAD_NUMBERS = '0,
    parameter logic [SEGMENTS*32-1:0] LOAD_ENDS = '0,
    parameter int SLICE = (LANES > RATE) ? $clog2(LANES / RATE) : 1  // leave
) (
    input  logic                         clk,
    input  logic                         rst_n,
    input  logic                         start,
    input  logic        [           7:0] segment,
    input  logic        [          15:0] round,
    output logic                         idle,
    input  logic                         valid,
    output logic                         go,
    output logic                         move,
    input  logic        [           1:0] kind,        // 1: normalise
    input  logic                         look_up,
    input  logic        [     SLICE-1:0] slice,       // of the beat
    input  logic                         slice_last,
    input  logic        [          15:0] count,       // elements of the row
    input  logic signed [          31:0] sum,
    input  logic        [          18:0] ratio,       // or root
    input  logic        [           5:0] down,
    input  logic        [           5:0] q,
    input  logic        [          53:0] limits,      // zero, lo, hi, lowest first
    input  logic        [          81:0] place,       // in the tables, see intar_rows_lookups
    input  logic        [   RATE*25-1:0] shares,
    input  logic                         params_valid,
    output logic                         params_ready,
    input  logic        [  LANES*32-1:0] params_data,
    input  logic                         tables_valid,
    output logic                         tables_ready,
    input  logic        [  LANES*32-1:0] tables_data,
    output logic                         out_valid,
    input  logic                         out_ready,
    output logic        [LANES*BITS-1:0] out_data
);
  localparam int SLICES = LANES / RATE;
  localparam int DIRECT = 6;   // latency of the product
  localparam int RESULT = NORM ? 12 : DIRECT;
  localparam int TABLES = !TABLE ? 0 : CURVES ? 7 : SLOPES ? 5 : 2;
  localparam int LATENCY = RESULT + TABLES;
  localparam int VALUE = TABLE ? 18 : BITS;  // bits of a result, perhaps of one that is looked up
  localparam int GROUP = (GROUP_BITS > 0) ? GROUP_BITS : 1;

  logic filled;     // all tables
  logic overtakes;  // a slice that is not looked up would leave before one that is
  logic normalise, columns_valid;
  logic [RATE*GROUP-1:0] slice_groups;
  logic [RATE*BITS-1:0] leaving;
  assign move = !out_valid || out_ready;
  assign normalise = NORM && kind == 2'd1;
  assign go = valid && move && (!normalise || columns_valid) && (!look_up || filled) && !overtakes;

  logic [RATE*VALUE-1:0] products, results;
  generate
    if (SOFTMAX || PEAK) begin : g_products
      intar_rows_products #(
          .RATE(RATE),
          .BITS(VALUE),
          .SIGNED(PEAK)
      ) product (
          .clk(clk),
          .move(move),
          .ratio(ratio),
          .down(down),
          .limits(limits),
          .shares(shares),
          .products(products)
      );
    end else begin : g_no_products
      assign products = '0;
    end
  endgenerate

  // ---- or scale, move and clamp
  generate
    if (NORM) begin : g_columns
      logic norm12;
      logic [RATE*16-1:0] elements;
      logic [RATE*VALUE-1:0] normalised, products_later;
      for (genvar p = 0; p < RATE; p = p + 1) begin : g_element
        assign elements[p*16+:16] = shares[p*25+:16];
      end
      intar_rows_columns #(
          .LANES(LANES),
          .RATE(RATE),
          .BITS(VALUE),
          .GROUP_BITS(GROUP_BITS)
      ) columns (
          .clk(clk),
          .rst_n(rst_n),
          .start(start),
          .params_valid(params_valid),
          .params_ready(params_ready),
          .params_data(params_data),
          .valid(columns_valid),
          .next(go && normalise && slice_last),
          .groups(slice_groups),
          .move(move),
          .slice(slice),
          .count(count),
          .sum(sum),
          .root(ratio),
          .down(down),
          .q(q),
          .limits(limits),
          .values(elements),
          .results(normalised)
      );
      intar_delay #(.WIDTH(1), .MOVES(12)) kind (.clk(clk), .move(move), .in_data(normalise), .out_data(norm12));
      if (SOFTMAX || PEAK) begin : g_both
        intar_delay #(.WIDTH(RATE * VALUE), .MOVES(RESULT - DIRECT)) later (.clk(clk), .move(move), .in_data(products), .out_data(products_later));
      end else begin : g_one
        assign products_later = products;
      end
      assign results = norm12 ? normalised : products_later;
    end else begin : g_no_columns
      logic unused_columns;
      assign {columns_valid, params_ready, slice_groups} = '0;
      assign results = products;
      assign unused_columns = &{1'b0, params_valid, params_data};
    end
  endgenerate

  // ---- tables
  logic [LATENCY-1:0] present, completes, entry;  // slices in the pipeline of results, the last ones of beats; where one enters
  generate
    if (TABLE) begin : g_tables
      logic [RATE*BITS-1:0] looked_up;
      intar_rows_lookups #(
          .LANES(LANES),
          .RATE(RATE),
          .BITS(BITS),
          .RESULT(RESULT),
          .SLOPES(SLOPES),
          .CURVES(CURVES),
          .TABLE_ENTRIES(TABLE_ENTRIES),
          .GROUP_BITS(GROUP_BITS),
          .BASE_BITS(BASE_BITS),
          .SLOPE_BITS(SLOPE_BITS),
          .CURVE_BITS(CURVE_BITS),
          .WIDTH(WIDTH),
          .STYLE(STYLE),
          .SEGMENTS(SEGMENTS),
          .LOAD_STEPS(LOAD_STEPS),
          .LOAD_ROWS(LOAD_ROWS),
          .LOAD_PROGRAM(LOAD_PROGRAM),
          .LOAD_NUMBERS(LOAD_NUMBERS),
          .LOAD_ENDS(LOAD_ENDS)
      ) lookups (
          .clk(clk),
          .rst_n(rst_n),
          .start(start),
          .segment(segment),
          .round(round),
          .tables_valid(tables_valid),
          .tables_ready(tables_ready),
          .tables_data(tables_data),
          .filled(filled),
          .move(move),
          .place(place),
          .groups(normalise ? slice_groups : '0),  // the columns of a softmax have no parameters
          .values(results),
          .results(looked_up)
      );
      for (genvar p = 0; p < RATE; p = p + 1) begin : g_lane
        assign leaving[p*BITS+:BITS] = direct[RESULT-1] ? results[p*VALUE+:BITS] : looked_up[p*BITS+:BITS];
      end

      // What is not looked up takes a place behind the tables in the pipeline of results, if there is none before it.
      logic [RESULT-1:0] direct;
      assign overtakes = !look_up && present[TABLES-1:0] != '0;
      assign entry = look_up ? LATENCY'(1) : LATENCY'(1) << TABLES;
      always_ff @(posedge clk) begin
        if (!rst_n) direct <= '0;
        else if (move) direct <= RESULT'({direct, go && !look_up});
      end
    end else begin : g_no_tables
      logic unused_tables;
      assign filled = 1'b1;
      assign tables_ready = 1'b0;
      assign leaving = results;
      assign overtakes = 1'b0;
      assign entry = LATENCY'(1);
      assign unused_tables = &{1'b0, tables_valid, tables_data, slice_groups};
    end
  endgenerate

  always_ff @(posedge clk) begin
    if (!rst_n) begin
      present <= '0;
      completes <= '0;
      out_valid <= 1'b0;
    end else if (move) begin
      present <= present << 1 | (go ? entry : '0);
      completes <= completes << 1 | (go && slice_last ? entry : '0);
      out_valid <= present[LATENCY-1] && completes[LATENCY-1];
    end
  end
  generate
    if (SLICES > 1) begin : g_collect
      // Slices enter at the top: after the last one the first has arrived at the bottom.
      always_ff @(posedge clk) begin
        if (move && present[LATENCY-1]) out_data <= {leaving, out_data[LANES*BITS-1:RATE*BITS]};
      end
    end else begin : g_whole
      always_ff @(posedge clk) begin
        if (move && present[LATENCY-1]) out_data <= leaving;
      end
    end
  endgenerate

  logic unused;
  assign idle = filled && present == '0 && !out_valid;
  assign unused = &{1'b0, start, segment, round, kind, look_up, slice, count, sum, ratio, down, q, limits, place, shares};
endmodule
