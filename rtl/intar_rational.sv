// intar_rational: one physical lane of rational functions evaluated directly (docs/numerics.md): numerator and denominator by
// Horner's rule, the reciprocal of the denominator on straight pieces, one product.
//
// A pipeline that moves as a whole (`move`). Operand in t; settings of the step come in the move in which they are used:
//   where          zero (18 bits, lowest first), lift (4), first group (16)   at t
//   fine           34 bits after the point of the sum, otherwise 26           at t+17
//   used           the result is the function's, otherwise the operand        at t+18
//   bounds         zero, lo, hi (18 each)                                     at t+18
// Memory      GROUPS sets of coefficients; word i of a set has a memory of its own, because each is read in another move. Words:
//             numerator from the constant term on (6), denominator from the linear one on (4), shifts.
// Latency     19 moves. Throughput one operand a move.
module intar_rational #(
    parameter int GROUPS     = 8,  // sets of coefficients, 1 to 65536
    parameter int GROUP_BITS = 3,  // of an operand's group
    parameter int AT_BITS    = (GROUPS > 1) ? $clog2(GROUPS) : 1
) (
    input  logic                  clk,
    input  logic                  move,
    input  logic signed [17:0]    value,
    input  logic [GROUP_BITS-1:0] group,       // counts from the first group of the step
    input  logic [37:0]           where,
    input  logic                  fine,
    input  logic                  used,
    input  logic [53:0]           bounds,
    input  logic [10:0]           write,       // of each word, whatever `move` is
    input  logic [AT_BITS-1:0]    write_at,
    input  logic [11*32-1:0]      write_data,
    output logic signed [17:0]    result
);
  localparam int LATENCY = 19;

  // ---- what goes along: address and variable of each move, as far as they are read
  logic [AT_BITS-1:0] at[1:11];
  logic signed [17:0] difference, v[2:10], size[2:8];
  logic [3:0] lift;
  always_ff @(posedge clk) begin
    if (move) begin
      at[1] <= where[22+:AT_BITS] + AT_BITS'(group);
      for (int i = 2; i <= 11; i = i + 1) at[i] <= at[i-1];
      difference <= value - $signed(where[17:0]);
      lift <= where[21:18];
      v[2] <= difference <<< lift;
      size[2] <= (difference < 0 ? -difference : difference) <<< lift;
      for (int i = 3; i <= 10; i = i + 1) v[i] <= v[i-1];
      for (int i = 3; i <= 8; i = i + 1) size[i] <= size[i-1];
    end
  end

  // ---- coefficients: a memory for each, read one move before its use
  logic signed [24:0] c[1:9];
  logic signed [31:0] c0;
  logic [4:0] shift_p, shift_q;
  for (genvar i = 1; i <= 9; i = i + 1) begin : g_words
    // The innermost coefficient of a chain is its first operand; the others are added two moves apart.
    localparam int READ = (i == 5 || i == 9) ? 1 : (i < 5) ? 10 - 2 * i : 18 - 2 * i;
    (* ram_style = "distributed" *) logic signed [24:0] words[0:GROUPS-1];
    always_ff @(posedge clk) if (write[i]) words[write_at] <= write_data[32*i+:25];
    always_ff @(posedge clk) if (move) c[i] <= words[at[READ]];
  end
  (* ram_style = "distributed" *) logic signed [31:0] constants[0:GROUPS-1];
  (* ram_style = "distributed" *) logic [4:0] shifts_p[0:GROUPS-1];
  (* ram_style = "distributed" *) logic [4:0] shifts_q[0:GROUPS-1];
  always_ff @(posedge clk) begin
    if (write[0]) constants[write_at] <= write_data[31:0];
    if (write[10]) shifts_p[write_at] <= write_data[320+:5];
    if (write[10]) shifts_q[write_at] <= write_data[328+:5];
  end
  always_ff @(posedge clk) begin
    if (move) begin
      c0 <= constants[at[11]];
      shift_p <= shifts_p[at[10]];
      shift_q <= shifts_q[at[8]];
    end
  end

  // ---- two chains: a product, then the sum with the next coefficient and half a step; the last product keeps all its bits
  logic signed [42:0] product_p[1:4], product_q[6:8], last_p, last_q, sum_p[1:4], sum_q[6:8];
  logic signed [24:0] h[1:4], g[6:8];
  for (genvar i = 1; i <= 4; i = i + 1) begin : g_numerator
    logic signed [24:0] inner;
    assign inner = (i == 4) ? c[5] : h[(i < 4) ? i + 1 : 4];
    assign sum_p[i] = product_p[i] + 43'($signed({c[i], 16'h8000}));
    always_ff @(posedge clk) begin
      if (move) begin
        product_p[i] <= inner * v[10-2*i];
        h[i] <= sum_p[i][16+:25];
      end
    end
  end
  for (genvar i = 6; i <= 8; i = i + 1) begin : g_denominator
    logic signed [24:0] inner;
    assign inner = (i == 8) ? c[9] : g[(i < 8) ? i + 1 : 8];
    assign sum_q[i] = product_q[i] + 43'($signed({c[i], 16'h8000}));
    always_ff @(posedge clk) begin
      if (move) begin
        product_q[i] <= inner * size[18-2*i];
        g[i] <= sum_q[i][16+:25];
      end
    end
  end

  // ---- numerator, denominator, and how far both go down so that the denominator is below 2
  logic signed [43:0] aligned_p, numerator, lowered;
  logic [35:0] aligned_q, denominator, denominator_late;
  logic [3:0] leading, down, down_late;
  logic [19:0] mantissa;  // of the denominator, behind the leading 1
  always_comb begin
    leading = 4'd0;
    for (int i = 1; i < 16; i = i + 1) begin
      if (denominator[20+i]) leading = 4'(i);
    end
  end
  always_ff @(posedge clk) begin
    if (move) begin
      last_p <= h[1] * v[10];
      aligned_p <= 44'(last_p >>> shift_p);
      numerator <= aligned_p + 44'(c0);
      lowered <= numerator >>> down_late;

      last_q <= g[6] * size[8];
      aligned_q <= 36'(last_q >>> shift_q);
      denominator <= aligned_q + 36'd1048576;
      denominator_late <= denominator;
      down <= leading;
      mantissa <= 20'(denominator_late >> down);
      down_late <= down;
    end
  end

  // ---- reciprocal, less 3/4, so that it fits the narrow side of a multiplier; three quarters are added by themselves
  logic [29:0] entry, piece;
  logic [11:0] rest;
  logic [22:0] fallen;
  logic [18:0] start;
  logic signed [24:0] above, above_late;
  logic signed [17:0] reciprocal;
  logic signed [26:0] three, three_late;
  logic signed [42:0] product;
  logic signed [44:0] total;
  logic fine_late;
  intar_reciprocal pieces (
      .index(mantissa[19:12]),
      .entry(entry)
  );
  localparam logic signed [43:0] LIMIT = 44'sd1 <<< 24;
  always_ff @(posedge clk) begin
    if (move) begin
      piece <= entry;
      rest <= mantissa[11:0];

      fallen <= 23'(piece[10:0] * rest);
      start <= piece[29:11];
      above <= (lowered < -LIMIT) ? 25'sh1000000 : (lowered >= LIMIT) ? 25'sh0FFFFFF : lowered[24:0];

      reciprocal <= 18'(start - 19'(fallen[22:12]) - 19'd393216);
      above_late <= above;
      three <= 27'(above) + (27'(above) <<< 1);

      product <= above_late * reciprocal;
      three_late <= three;

      total <= 45'(product) + (45'(three_late) <<< 17) + (fine ? 45'sd1 <<< 33 : 45'sd1 <<< 25);
      fine_late <= fine;
    end
  end

  // ---- result, or the operand as it came
  logic signed [19:0] quotient;
  logic signed [17:0] passed, lo, hi;
  assign quotient = (fine_late ? 20'(total >>> 34) : 20'(total >>> 26)) + 20'($signed(bounds[0+:18]));
  assign lo = $signed(bounds[18+:18]);
  assign hi = $signed(bounds[36+:18]);
  intar_delay #(
      .WIDTH(18),
      .MOVES(LATENCY - 1)
  ) pass (
      .clk(clk),
      .move(move),
      .in_data(value),
      .out_data(passed)
  );
  always_ff @(posedge clk) begin
    if (move) begin
      if (!used) result <= passed;
      else if (quotient < 20'(lo)) result <= lo;
      else if (quotient > 20'(hi)) result <= hi;
      else result <= quotient[17:0];
    end
  end

  logic unused;
  assign unused = &{1'b0, where, write_data, last_p, last_q, fallen, total};
endmodule
