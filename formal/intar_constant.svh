// Order of intar_constant, included at its end under FORMAL. Proved by k-induction for given programs of two steps, each a
// run of beats, over a memory in which every address holds another number.
//
// The beat that is sent as the n-th is the one at the n-th address of the program: none is lost, duplicated or taken from
// elsewhere; whatever the pace of the receiver, across the change of step, and in every run after a start.
localparam int F_FIRST = PROGRAM[192+:32] + 1;
localparam int F_SECOND = PROGRAM[424+192+:32] + 1;
localparam int F_TOTAL = F_FIRST + F_SECOND;
initial for (int f_i = 0; f_i < DEPTH; f_i = f_i + 1) memory[f_i] = WIDTH'(f_i) ^ WIDTH'(5);

// ---- state of the program and its walk (made visible by `flatten`)
(* hierconn *) logic \read_steps.is_last ;
(* hierconn *) logic [0:0] \read_steps.next ;
(* hierconn *) logic [COUNT_BITS-1:0] \read_walk.index0 , \read_walk.index1 , \read_walk.index2 , \read_walk.index3 ;
(* hierconn *) logic [COUNT_BITS-1:0] \read_walk.index4 , \read_walk.limit ;
(* hierconn *) logic [ADDRESS_BITS-1:0] \read_walk.outer ;

logic f_init = 1'b0;
logic f_begun = 1'b0;          // a run has started since the last reset
logic [31:0] f_read, f_sent;  // beats of this run that have been fetched, and have come out
always_ff @(posedge clk) begin
  f_init <= 1'b1;
  if (!f_init) assume (!rst_n);
  assume (!start || (rst_n && done));
  if (!rst_n) f_begun <= 1'b0;
  else if (start) f_begun <= 1'b1;
  if (start) begin
    f_read <= '0;
    f_sent <= '0;
  end else begin
    f_read <= f_read + 32'(go);
    f_sent <= f_sent + 32'(out_valid && out_ready);
  end
end

// The address of a beat of the program, and what lies there.
function automatic logic [31:0] f_address(input logic [31:0] beat);
  f_address = (beat < F_FIRST) ? PROGRAM[0+:32] + beat : PROGRAM[424+:32] + beat - F_FIRST;
endfunction
function automatic logic [WIDTH-1:0] f_contents(input logic [31:0] beat);
  f_contents = WIDTH'(f_address(beat)) ^ WIDTH'(5);
endfunction

// ---- the property
always_ff @(posedge clk) begin
  if (f_init && f_begun && out_valid) begin
    assert (f_sent < F_TOTAL);
    assert (out_data == f_contents(f_sent));
  end
  if (f_init && f_begun && done) assert (f_sent == F_TOTAL);
end

// ---- what makes it inductive
always_ff @(posedge clk) begin
  if (f_init) begin
    assert (\read_steps.next == (step_valid && !\read_steps.is_last ));
    if (!f_begun) assert (!step_valid && !fetched_valid && !out_valid);
  end
  if (f_init && f_begun) begin
    if (step_valid) begin
      assert (step == PROGRAM[(\read_steps.is_last ? 424 : 0)+:424]);
      assert (\read_walk.index0 == '0 && \read_walk.index1 == '0 && \read_walk.index2 == '0 && \read_walk.index3 == '0);
      assert (\read_walk.limit == (\read_steps.is_last ? F_SECOND : F_FIRST) - 1);
      assert (\read_walk.index4 <= \read_walk.limit );
      assert (\read_walk.outer == '0);
      assert (address == f_address(f_read));
      assert (f_read == 32'(\read_walk.index4 ) + (\read_steps.is_last ? F_FIRST : 0));
    end else begin
      assert (f_read == F_TOTAL);
    end
    assert (f_read == f_sent + 32'(fetched_valid) + 32'(out_valid));
    if (fetched_valid) assert (fetched == f_contents(f_read - 1));
  end
end
