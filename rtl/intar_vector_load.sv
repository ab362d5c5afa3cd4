// intar_vector_load: fills the memories of all lanes of a vector unit from beats of parameters: a slot of tables, or the
// coefficients of a rational function, as the step says (intar_vector has its fields).
//
// `go`: the unit is at a step that loads, nothing else moves, and a beat of parameters is there. `take`: the beat is over;
// `last`: the step is.
// Latency     numbers taken in t -> write in t+1 (`write_*` are wires to the lanes).
// Throughput  tables: see intar_table_load. Coefficients: a beat a cycle, ceil(11 / LANES) for a set; each set begins a beat.
module intar_vector_load #(
    parameter int LANES      = 4,
    parameter bit TABLE      = 1'b1,  // what some step loads; at least one of the two
    parameter bit RATIONAL   = 1'b0,
    parameter bit SLOPES     = 1'b0,  // see intar_table_load
    parameter bit CURVES     = 1'b0,
    parameter int WIDTH      = 32,
    parameter int ENTRY_BITS = 8,
    parameter int SET_BITS   = 1,     // of the place of a set of coefficients, 1 to 16
    parameter int WRITE      = ((LANES % 4 == 0) ? 4 : (LANES % 2 == 0) ? 2 : 1) * (32 / WIDTH)
) (
    input  logic                   clk,
    input  logic                   rst_n,
    input  logic                   start,
    input  logic                   go,
    input  logic [616:0]           step,
    input  logic [LANES*32-1:0]    data,
    output logic                   take,
    output logic                   last,
    output logic [10:0]            write_words,     // of a set of coefficients
    output logic [SET_BITS-1:0]    write_set,
    output logic [11*32-1:0]       write_set_data,
    output logic                   write_base,
    output logic                   write_slope,
    output logic                   write_curve,
    output logic [ENTRY_BITS-1:0]  write_at,
    output logic [WRITE*WIDTH-1:0] write_data
);
  logic rational, table_take, table_last, sets_go, sets_last, unused;
  assign rational = RATIONAL && step[545];
  assign sets_go = go && rational;
  assign take = table_take || sets_go;
  assign last = table_last || sets_last;
  assign unused = &{1'b0, step};

  generate
    if (TABLE) begin : g_tables
      intar_table_load #(
          .LANES(LANES),
          .WIDTH(WIDTH),
          .ENTRY_BITS(ENTRY_BITS),
          .SLOPES(SLOPES),
          .CURVES(CURVES)
      ) load (
          .clk(clk),
          .rst_n(rst_n),
          .start(start),
          .go(go && !rational),
          .data(data),
          .first(step[474+:ENTRY_BITS]),
          .entries_end(step[490+:16]),
          .bounds(step[433+:41]),
          .take(table_take),
          .last(table_last),
          .write_base(write_base),
          .write_slope(write_slope),
          .write_curve(write_curve),
          .write_at(write_at),
          .write_data(write_data)
      );
    end else begin : g_no_tables
      assign table_take = 1'b0;
      assign table_last = 1'b0;
      assign write_base = 1'b0;
      assign write_slope = 1'b0;
      assign write_curve = 1'b0;
      assign write_at = '0;
      assign write_data = '0;
    end
    if (RATIONAL) begin : g_sets
      localparam int BEATS = (10 + LANES) / LANES;  // of a set
      logic [3:0] part;
      logic [15:0] set;
      logic part_last;
      assign part_last = part == 4'(BEATS - 1);
      assign sets_last = sets_go && part_last && set == step[600+:16];
      always_ff @(posedge clk) begin
        if (start) begin
          part <= '0;
          set <= '0;
        end else if (sets_go) begin
          part <= part_last ? '0 : part + 1'b1;
          if (part_last) set <= sets_last ? '0 : set + 1'b1;
        end
        for (int i = 0; i < 11; i = i + 1) begin
          write_words[i] <= rst_n && sets_go && part == 4'(i / LANES);
          write_set_data[32*i+:32] <= data[(i%LANES)*32+:32];
        end
        write_set <= SET_BITS'(set + step[528+:16]);
      end
    end else begin : g_no_sets
      assign sets_last = 1'b0;
      assign write_words = '0;
      assign write_set = '0;
      assign write_set_data = '0;
    end
  endgenerate
endmodule
