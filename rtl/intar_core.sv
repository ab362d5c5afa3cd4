// intar_core: ROWS x LANES multiply-accumulate array, one operand pair a cycle, double accumulators; a cell adds up DEPTH
// products of a pair.
//
// Step        256 bits, 32-bit fields, lowest first: tiles - 1, m_tiles - 1, visits - 1, contexts - 1, k - 1,
//             k_last - 1, rows - 1, rows_last - 1.
//             for tile: for m: for visit: for context x: `k` pairs (`k_last` in the last visit) of beats are
//             taken from a and w; acc[r][c] += a[r] w[c], from 0 (first visit) or from context x; then the
//             accumulators go to context x or, in the last visit, to the output: `rows` beats
//             (`rows_last` for the last m), one per row.
// Latency     last pair of a tile taken in cycle t -> the shadow accumulators hold the result from t+3 on -> row r is
//             pushed in t+4+r.
// Throughput  1 pair per cycle without a gap, across tiles and steps. The whole pipeline stops only in the cycle in
//             which a result is due (t+2) and the result before it still has rows to read after that cycle.
// Contexts    kept in a memory of MAX_CONTEXTS words with registered read; with one context the accumulators
//             themselves go on.
module intar_core #(
    parameter int ROWS         = 4,
    parameter int LANES        = 4,
    parameter int DEPTH        = 1,  // see intar_array
    parameter int A_BITS       = 8,
    parameter int W_BITS       = 8,
    parameter int A_USED       = A_BITS,  // see intar_array
    parameter int W_USED       = W_BITS,
    parameter int PACK         = 1,
    parameter int ACC_BITS     = 32,
    parameter int MAX_CONTEXTS = 1,  // most contexts of any step
    parameter int SEGMENTS     = 1,  // see intar_steps
    parameter int STEPS        = 1,
    parameter logic [STEPS*256-1:0] PROGRAM = '0,
    parameter logic [SEGMENTS*32-1:0] ENDS = '0
) (
    input  logic                      clk,
    input  logic                      rst_n,
    input  logic                      start,
    input  logic [7:0]                segment,
    output logic                      done,
    input  logic                      a_valid,
    output logic                      a_ready,
    input  logic [ROWS*DEPTH*A_BITS-1:0]  a_data,
    input  logic                      w_valid,
    output logic                      w_ready,
    input  logic [LANES*DEPTH*W_BITS-1:0] w_data,
    output logic                      out_valid,
    input  logic                      out_ready,
    output logic [LANES*ACC_BITS-1:0] out_data
);
  localparam int ROW_BITS = (ROWS > 1) ? $clog2(ROWS) : 1;
  localparam int CONTEXT_BITS = (MAX_CONTEXTS > 1) ? $clog2(MAX_CONTEXTS) : 1;
  localparam int SUM_BITS = ROWS * LANES * ACC_BITS;

  // ---- loops
  logic valid, take, move;
  logic [255:0] step, unused_next;
  logic [31:0] k, x, visit, m, tile;
  logic k_last, x_last, visit_last, m_last, tile_last, step_end;
  assign tile_last = tile == step[0+:32];
  assign m_last = m == step[32+:32];
  assign visit_last = visit == step[64+:32];
  assign x_last = x == step[96+:32];
  assign k_last = k == (visit_last ? step[160+:32] : step[128+:32]);
  assign step_end = k_last && x_last && visit_last && m_last && tile_last;
  assign take = valid && a_valid && w_valid && move;
  assign a_ready = valid && w_valid && move;
  assign w_ready = valid && a_valid && move;
  intar_steps #(
      .STEPS(STEPS),
      .STEP_BITS(256),
      .PROGRAM(PROGRAM),
      .SEGMENTS(SEGMENTS),
      .ENDS(ENDS)
  ) steps (
      .clk(clk),
      .rst_n(rst_n),
      .start(start),
      .segment(segment),
      .advance(take && step_end),
      .valid(valid),
      .step(step),
      .next_step(unused_next)
  );
  always_ff @(posedge clk) begin
    if (start) begin
      k <= '0;
      x <= '0;
      visit <= '0;
      m <= '0;
      tile <= '0;
    end else if (take) begin
      k <= k_last ? '0 : k + 1'b1;
      if (k_last) begin
        x <= x_last ? '0 : x + 1'b1;
        if (x_last) begin
          visit <= visit_last ? '0 : visit + 1'b1;
          if (visit_last) begin
            m <= m_last ? '0 : m + 1'b1;
            if (m_last) tile <= tile_last ? '0 : tile + 1'b1;
          end
        end
      end
    end
  end

  // ---- flags that go with the pair: operand registers (a), then product registers (p)
  logic a_full, a_first, a_resume, a_flush, a_spill;
  logic p_full, p_first, p_resume, p_flush, p_spill;
  logic [CONTEXT_BITS-1:0] a_context, p_context;
  logic [ROW_BITS-1:0] a_rows, p_rows;
  always_ff @(posedge clk) begin
    if (!rst_n) begin
      a_full <= 1'b0;
      p_full <= 1'b0;
    end else if (move) begin
      a_full <= take;
      p_full <= a_full;
    end
    if (move) begin
      // With a single context the accumulators still hold what the visit before has left.
      a_first <= k == 32'd0 && (visit == 32'd0 || step[96+:32] != 32'd0);
      a_resume <= visit != 32'd0;
      a_flush <= k_last && visit_last;
      a_spill <= k_last && !visit_last;
      a_context <= x[CONTEXT_BITS-1:0];
      a_rows <= m_last ? step[224+:ROW_BITS] : step[192+:ROW_BITS];
      p_first <= a_first;
      p_resume <= a_resume;
      p_flush <= a_flush;
      p_spill <= a_spill;
      p_context <= a_context;
      p_rows <= a_rows;
    end
  end

  // ---- drain: one row a cycle from the shadow accumulators
  logic draining, drain_go, drain_end;
  logic [ROW_BITS-1:0] drain_row, drain_last;
  assign drain_go = draining && (!out_valid || out_ready);
  assign drain_end = drain_go && drain_row == drain_last;
  assign move = !(p_full && p_flush && draining && !drain_end);
  always_ff @(posedge clk) begin
    if (!rst_n) begin
      draining <= 1'b0;
      out_valid <= 1'b0;
    end else begin
      if (p_full && p_flush && move) draining <= 1'b1;
      else if (drain_end) draining <= 1'b0;
      if (!out_valid || out_ready) out_valid <= drain_go;
    end
    if (p_full && p_flush && move) begin
      drain_row <= '0;
      drain_last <= p_rows;
    end else if (drain_go) begin
      drain_row <= drain_row + 1'b1;
    end
  end

  // ---- contexts
  logic [SUM_BITS-1:0] context_data, spill_data;
  generate
    if (MAX_CONTEXTS > 1) begin : g_contexts
      logic spilled;
      logic [CONTEXT_BITS-1:0] spill_at;
      logic [SUM_BITS-1:0] memory[0:MAX_CONTEXTS-1];
      always_ff @(posedge clk) begin
        if (!rst_n) spilled <= 1'b0;
        else spilled <= move && p_full && p_spill;
        spill_at <= p_context;
        if (spilled) memory[spill_at] <= spill_data;
      end
      // Fetched one move before it is added; a word that is being written in this very cycle is bypassed.
      always_ff @(posedge clk) begin
        if (move && a_full && a_first)
          context_data <= (spilled && spill_at == a_context) ? spill_data : memory[a_context];
      end
    end else begin : g_no_contexts
      logic unused;
      assign context_data = '0;
      assign unused = &{1'b0, spill_data, p_context};
    end
  endgenerate

  intar_array #(
      .ROWS(ROWS),
      .LANES(LANES),
      .DEPTH(DEPTH),
      .A_BITS(A_BITS),
      .W_BITS(W_BITS),
      .A_USED(A_USED),
      .W_USED(W_USED),
      .PACK(PACK),
      .ACC_BITS(ACC_BITS),
      .CONTEXTS(MAX_CONTEXTS > 1)
  ) array (
      .clk(clk),
      .move(move),
      .take(take),
      .a_data(a_data),
      .w_data(w_data),
      .multiply(a_full),
      .add_valid(p_full),
      .add_first(p_first),
      .add_resume(p_resume),
      .add_flush(p_flush),
      .add_spill(p_spill),
      .context_data(context_data),
      .spill_data(spill_data),
      .shadow_read(drain_go),
      .shadow_row(drain_row),
      .out_data(out_data)
  );

  logic unused_bits;
  assign done = !valid && !a_full && !p_full && !draining && !out_valid;
  assign unused_bits = &{1'b0, step, unused_next, x};
endmodule
