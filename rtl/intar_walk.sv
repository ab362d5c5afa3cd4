// intar_walk: affine address generator, five nested loops (loop 0 outermost), one address per cycle.
//
//   address = base + (i0 stride0) mod wrap + i1 stride1 + ... + i4 stride4        (no modulo when wrap = 0)
//
// In the last iteration of loop `ragged` (0 to 3; 4: never) the innermost loop makes `last` iterations.
//
// Layout of a walk (424 bits, 32-bit fields, lowest bits first): base, wrap, count0 - 1 ... count4 - 1,
// stride0 ... stride4, last - 1, ragged (8 bits). 0 <= stride0 < wrap when wrap is not 0.
//
// Elements   addresses of elements in beats of LANES have two digits: the beat, and in the lowest clog2(LANES) bits the element in
//            it. base, wrap and strides are written so (a negative stride: floor of the beat, element from 0 on). For
//            a power of two that is the plain number; otherwise sums carry at LANES.
//
// Load       `load`: the walk in `next_walk` starts; its first address stands at `address` in the next cycle. From
//            then on `walk` holds the same walk. `advance`: the next address stands there in the next cycle.
// Flags      `iteration_last`: the address is the last one of an iteration of loop 0; `walk_last`: of the walk.
module intar_walk #(
    parameter int ADDRESS_BITS = 32,  // holds 2 wrap - 1 and every address, 1 to 32
    parameter int COUNT_BITS   = 32,  // holds every count, 1 to 32
    parameter int LANES        = 1    // elements of a beat when addresses count elements, else 1
) (
    input  logic                    clk,
    input  logic                    load,
    input  logic [423:0]            next_walk,
    input  logic [423:0]            walk,
    input  logic                    advance,
    output logic [ADDRESS_BITS-1:0] address,
    output logic                    iteration_last,
    output logic                    walk_last
);
  logic unused;
  assign unused = &{1'b0, walk, next_walk};  // fields are wider than this instance needs

  localparam int LANE_BITS = $clog2(LANES);
  localparam bit DIGITS = (1 << LANE_BITS) != LANES;
  localparam logic [ADDRESS_BITS-1:0] SPARE = ADDRESS_BITS'((1 << LANE_BITS) - LANES);  // codes that are no element

  function automatic logic [ADDRESS_BITS-1:0] plus(input logic [ADDRESS_BITS-1:0] a, input logic [ADDRESS_BITS-1:0] b);
    logic [31:0] elements;
    elements = (32'(a) & 32'((1 << LANE_BITS) - 1)) + (32'(b) & 32'((1 << LANE_BITS) - 1));
    plus = a + b + ((DIGITS && elements >= 32'(LANES)) ? SPARE : '0);
  endfunction
  function automatic logic [ADDRESS_BITS-1:0] minus(input logic [ADDRESS_BITS-1:0] a, input logic [ADDRESS_BITS-1:0] b);
    logic borrow;
    borrow = (32'(a) & 32'((1 << LANE_BITS) - 1)) < (32'(b) & 32'((1 << LANE_BITS) - 1));
    minus = a - b - ((DIGITS && borrow) ? SPARE : '0);
  endfunction

  logic [ADDRESS_BITS-1:0] base, wrap, stride0, stride1, stride2, stride3, stride4;
  logic [COUNT_BITS-1:0] end0, end1, end2, end3, end4, end_ragged;
  assign base = walk[0+:ADDRESS_BITS];
  assign wrap = walk[32+:ADDRESS_BITS];
  assign end0 = walk[64+:COUNT_BITS];
  assign end1 = walk[96+:COUNT_BITS];
  assign end2 = walk[128+:COUNT_BITS];
  assign end3 = walk[160+:COUNT_BITS];
  assign end4 = walk[192+:COUNT_BITS];
  assign stride0 = walk[224+:ADDRESS_BITS];
  assign stride1 = walk[256+:ADDRESS_BITS];
  assign stride2 = walk[288+:ADDRESS_BITS];
  assign stride3 = walk[320+:ADDRESS_BITS];
  assign stride4 = walk[352+:ADDRESS_BITS];
  assign end_ragged = walk[384+:COUNT_BITS];

  // ---- loop indices
  logic [COUNT_BITS-1:0] index0, index1, index2, index3, index4, limit;
  logic last0, last1, last2, last3, last4;
  assign last0 = index0 == end0;
  assign last1 = index1 == end1;
  assign last2 = index2 == end2;
  assign last3 = index3 == end3;
  assign last4 = index4 == limit;
  assign iteration_last = last1 && last2 && last3 && last4;
  assign walk_last = iteration_last && last0;

  logic carry3, carry2, carry1;  // loop 2, 1, 0 goes on because everything inside it ends
  assign carry3 = last4 && last3;
  assign carry2 = carry3 && last2;
  assign carry1 = carry2 && last1;

  logic [COUNT_BITS-1:0] next0, next1, next2, next3;
  assign next0 = carry1 ? index0 + 1'b1 : index0;
  assign next1 = carry1 ? '0 : carry2 ? index1 + 1'b1 : index1;
  assign next2 = carry2 ? '0 : carry3 ? index2 + 1'b1 : index2;
  assign next3 = carry3 ? '0 : last4 ? index3 + 1'b1 : index3;

  // ---- length of the innermost loop that comes next
  logic short_first, short_next;
  always_comb begin
    case (next_walk[418:416])
      3'd0: short_first = next_walk[64+:32] == 32'd0;
      3'd1: short_first = next_walk[96+:32] == 32'd0;
      3'd2: short_first = next_walk[128+:32] == 32'd0;
      3'd3: short_first = next_walk[160+:32] == 32'd0;
      default: short_first = 1'b0;
    endcase
    case (walk[418:416])
      3'd0: short_next = next0 == end0;
      3'd1: short_next = next1 == end1;
      3'd2: short_next = next2 == end2;
      3'd3: short_next = next3 == end3;
      default: short_next = 1'b0;
    endcase
  end

  always_ff @(posedge clk) begin
    if (load) begin
      index0 <= '0;
      index1 <= '0;
      index2 <= '0;
      index3 <= '0;
      index4 <= '0;
      limit <= short_first ? next_walk[384+:COUNT_BITS] : next_walk[192+:COUNT_BITS];
    end else if (advance) begin
      index0 <= next0;
      index1 <= next1;
      index2 <= next2;
      index3 <= next3;
      index4 <= last4 ? '0 : index4 + 1'b1;
      if (last4) limit <= short_next ? end_ragged : end4;
    end
  end

  // ---- addresses: startN is the address with the indices of loops 0 to N as they are and those inside at 0
  logic [ADDRESS_BITS-1:0] outer, outer_sum, outer_next, start1, start2, start3, next_address;
  assign outer_sum = plus(outer, stride0);
  assign outer_next = (wrap != '0 && outer_sum >= wrap) ? minus(outer_sum, wrap) : outer_sum;
  always_comb begin
    if (carry1) next_address = plus(base, outer_next);
    else if (carry2) next_address = plus(start1, stride1);
    else if (carry3) next_address = plus(start2, stride2);
    else if (last4) next_address = plus(start3, stride3);
    else next_address = plus(address, stride4);
  end
  always_ff @(posedge clk) begin
    if (load) begin
      outer <= '0;
      start1 <= next_walk[0+:ADDRESS_BITS];
      start2 <= next_walk[0+:ADDRESS_BITS];
      start3 <= next_walk[0+:ADDRESS_BITS];
      address <= next_walk[0+:ADDRESS_BITS];
    end else if (advance) begin
      address <= next_address;
      if (carry1) outer <= outer_next;
      if (carry2) start1 <= next_address;
      if (carry3) start2 <= next_address;
      if (last4) start3 <= next_address;
    end
  end
endmodule
