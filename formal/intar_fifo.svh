// Properties of intar_fifo, included at its end under FORMAL. Proved by k-induction for given WIDTH and DEPTH.
//
// The solver picks one beat freely and follows it through the queue: it must come out unchanged, after exactly the
// beats that were ahead of it. As the choice is free this holds for every beat: no loss, no duplicate, no reordering.
logic f_init = 1'b0;  // a reset has been seen
logic f_live = 1'b0;  // the last cycle was not a reset
(* anyseq *) logic f_pick;
logic f_tracked = 1'b0;
logic [LEVEL_BITS-1:0] f_ahead;
logic [WIDTH-1:0] f_value;

always_ff @(posedge clk) begin
  f_init <= 1'b1;
  f_live <= rst_n;
  if (!f_init) assume (!rst_n);
  if (!rst_n) begin
    f_tracked <= 1'b0;
  end else if (!f_tracked) begin
    if (push && f_pick) begin
      f_tracked <= 1'b1;
      f_ahead <= level - LEVEL_BITS'(pop);
      f_value <= in_data;
    end
  end else if (pop) begin
    if (f_ahead == '0) f_tracked <= 1'b0;
    else f_ahead <= f_ahead - 1'b1;
  end
end

always_ff @(posedge clk) begin
  if (f_init) begin
    assert (level <= LEVEL_BITS'(DEPTH));
    assert (out_valid == (level != '0));
    assert (in_ready == (f_live && level != LEVEL_BITS'(DEPTH)));
    if (!f_live) assert (level == '0 && !f_tracked);
    if (f_tracked) assert (f_ahead < level);
    if (f_tracked && f_ahead == '0) assert (out_data == f_value);
  end
end

generate
  if (DEPTH > 1) begin : g_formal
    // Where a beat lies that has `f_ahead` others before it.
    logic [POINTER_BITS:0] f_sum, f_level_sum;
    logic [POINTER_BITS-1:0] f_at, f_end;
    assign f_sum = {1'b0, g_memory.read_at} + (POINTER_BITS + 1)'(f_ahead);
    assign f_at = POINTER_BITS'(f_sum >= (POINTER_BITS + 1)'(DEPTH) ? f_sum - (POINTER_BITS + 1)'(DEPTH) : f_sum);
    assign f_level_sum = {1'b0, g_memory.read_at} + (POINTER_BITS + 1)'(level);
    assign f_end = POINTER_BITS'(
        f_level_sum >= (POINTER_BITS + 1)'(DEPTH) ? f_level_sum - (POINTER_BITS + 1)'(DEPTH) : f_level_sum);
    always_ff @(posedge clk) begin
      if (f_init) begin
        assert (g_memory.read_at <= g_memory.LAST);
        assert (g_memory.write_at <= g_memory.LAST);
        assert (g_memory.write_at == f_end);
        if (f_tracked) assert (g_memory.memory[f_at] == f_value);
        if (out_valid) assert (out_data == g_memory.memory[g_memory.read_at]);
      end
    end
  end
endgenerate
