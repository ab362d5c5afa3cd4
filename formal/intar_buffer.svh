// Order of intar_buffer, included at its end under FORMAL. Proved by k-induction for given programs: a ring of F_SLOTS
// iterations of F_BEATS beats, written and read in two steps of F_FIRST and F_SECOND iterations (F_FIRST a multiple of
// F_SLOTS), where iteration i is read when it has been written and overwritten when it has been read.
//
// The solver picks one beat freely and follows it from the input through the memory to the output: it must come out
// unchanged, at its own place in the sequence. As the choice is free this holds for every beat: none is lost, read before
// it is written, overwritten before it is read, duplicated or reordered; whatever the pace of the two sides, across the
// change of step, and in every run after a start.
localparam int F_BEATS = WRITE_PROGRAM[192+:32] + 1;
localparam int F_RING = WRITE_PROGRAM[32+:32];
localparam int F_SLOTS = F_RING / F_BEATS;
localparam int F_FIRST = WRITE_PROGRAM[64+:32] + 1;
localparam int F_SECOND = WRITE_PROGRAM[488+64+:32] + 1;
localparam int F_TOTAL = (F_FIRST + F_SECOND) * F_BEATS;

// ---- state of the two sides' programs and walks (made visible by `flatten`)
(* hierconn *) logic \write_steps.is_last , \read_steps.is_last ;
(* hierconn *) logic [0:0] \write_steps.next , \read_steps.next ;
(* hierconn *) logic [COUNT_BITS-1:0] \write_walk.index0 , \write_walk.index1 , \write_walk.index2 , \write_walk.index3 ;
(* hierconn *) logic [COUNT_BITS-1:0] \read_walk.index0 , \read_walk.index1 , \read_walk.index2 , \read_walk.index3 ;
(* hierconn *) logic [COUNT_BITS-1:0] \write_walk.index4 , \write_walk.limit , \read_walk.index4 , \read_walk.limit ;
(* hierconn *) logic [ADDRESS_BITS-1:0] \write_walk.outer , \read_walk.outer ;

logic f_init = 1'b0;
logic f_begun = 1'b0;  // a run has started since the last reset
(* anyseq *) logic f_pick;
logic f_tracked = 1'b0;
logic [31:0] f_written, f_read, f_sent;  // beats of this run that have gone in, been fetched, and come out
logic [31:0] f_place;                    // of the tracked beat
logic [WIDTH-1:0] f_value;
always_ff @(posedge clk) begin
  f_init <= 1'b1;
  if (!f_init) assume (!rst_n);
  assume (!start || (rst_n && done));
  if (!rst_n) f_begun <= 1'b0;
  else if (start) f_begun <= 1'b1;
  if (start) begin
    f_written <= '0;
    f_read <= '0;
    f_sent <= '0;
  end else begin
    f_written <= f_written + 32'(write_go);
    f_read <= f_read + 32'(read_go);
    f_sent <= f_sent + 32'(out_valid && out_ready);
  end
  if (!rst_n || start) begin
    f_tracked <= 1'b0;
  end else if (!f_tracked && write_go && f_pick) begin
    f_tracked <= 1'b1;
    f_place <= f_written;
    f_value <= in_data;
  end
end

// ---- the property
always_ff @(posedge clk) begin
  if (f_init && f_begun && out_valid) begin
    assert (f_sent < f_written);
    if (f_tracked && f_sent == f_place) assert (out_data == f_value);
  end
  if (f_init && f_begun && done) assert (f_sent == F_TOTAL);
end

// ---- what makes it inductive
logic [31:0] f_write_iteration, f_read_iteration;
assign f_write_iteration = 32'(\write_walk.index0 ) + (\write_steps.is_last ? F_FIRST : 0);
assign f_read_iteration = 32'(\read_walk.index0 ) + (\read_steps.is_last ? F_FIRST : 0);
always_ff @(posedge clk) begin
  if (f_init) begin
    assert (\write_steps.next == (write_valid && !\write_steps.is_last ));
    assert (\read_steps.next == (read_valid && !\read_steps.is_last ));
    if (!f_begun) assert (!write_valid && !read_valid && !fetched_valid && !out_valid);
  end
  if (f_init && f_begun) begin
    // Places in the programs are the numbers of beats that have passed.
    if (write_valid) begin
      assert (write_step == WRITE_PROGRAM[(\write_steps.is_last ? 488 : 0)+:488]);
      assert (\write_walk.index0 < (\write_steps.is_last ? F_SECOND : F_FIRST) && \write_walk.index4 < F_BEATS);
      assert (\write_walk.index1 == '0 && \write_walk.index2 == '0 && \write_walk.index3 == '0);
      assert (\write_walk.limit == F_BEATS - 1);
      assert (\write_walk.outer == (f_write_iteration * F_BEATS) % F_RING);
      assert (write_address == f_written % F_RING);
      assert (f_written == f_write_iteration * F_BEATS + 32'(\write_walk.index4 ));
      assert ($signed(write_need) == $signed(f_write_iteration) + 1 - F_SLOTS);
    end else begin
      assert (f_written == F_TOTAL);
    end
    if (read_valid) begin
      assert (read_step == READ_PROGRAM[(\read_steps.is_last ? 488 : 0)+:488]);
      assert (\read_walk.index0 < (\read_steps.is_last ? F_SECOND : F_FIRST) && \read_walk.index4 < F_BEATS);
      assert (\read_walk.index1 == '0 && \read_walk.index2 == '0 && \read_walk.index3 == '0);
      assert (\read_walk.limit == F_BEATS - 1);
      assert (\read_walk.outer == (f_read_iteration * F_BEATS) % F_RING);
      assert (read_address == f_read % F_RING);
      assert (f_read == f_read_iteration * F_BEATS + 32'(\read_walk.index4 ));
      assert ($signed(read_need) == $signed(f_read_iteration) + 1);
    end else begin
      assert (f_read == F_TOTAL);
    end
    assert (written == f_written / F_BEATS);
    assert (finished_reads == f_read / F_BEATS);
    assert (f_written <= F_TOTAL && f_read <= written * F_BEATS);
    assert (f_written <= finished_reads * F_BEATS + F_RING);
    // The tracked beat: in memory until it is fetched, then in one of the two registers.
    assert (f_read == f_sent + 32'(fetched_valid) + 32'(out_valid));
    if (f_tracked) begin
      assert (f_place < f_written);
      if (f_place >= f_read) assert (memory[MEMORY_BITS'(f_place % F_RING)] == f_value);
      if (fetched_valid && f_place + 1 == f_read) assert (fetched == f_value);
    end
  end
end
