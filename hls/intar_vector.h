// intar_vector.h: the vector unit: affine and binary operations and functions on beats of LANES elements, RATE per cycle.
//
// A beat takes LANES / RATE cycles; a group's parameters take four more (none where one beat holds them for all lanes), a
// maximum of beats one more for each beat but the last.  One loop per step, without gaps.
#ifndef INTAR_VECTOR_H
#define INTAR_VECTOR_H

#include "intar_lookup.h"
#include "intar_rational.h"
#include "intar_types.h"

namespace intar {

enum vector_source { FROM_ACC, FROM_X };
enum vector_params { NO_PARAMS, LANE_PARAMS, ROW_PARAMS };
enum vector_binary { NO_BINARY, BINARY_ADD, BINARY_MUL };

// Parameters of the affine operation: y = clamp(rq(x + bias, mult, shift) + zero, lo, hi).  LANE_PARAMS: each group has four
// beats with a value for each lane.  ROW_PARAMS: each group has a set of four elements for all lanes, LANES / 4 sets in a beat; a
// block of groups begins with set `first` of a beat of its own.  The upper
// 16 bits of a shift are the group of the table that its lane looks up.  late: the bias is added to the result of the binary
// operation instead, before its clamp.
struct affine_step {
  bool on;
  vector_params params;
  int32_t block, first;
  int32_t mult, shift;
  int64_t bias;
  bool late;
  int32_t zero, lo, hi;
};

// Parameters of the operation with the operand from y (docs/numerics.md: add, mul).  In a unit that only shifts mx is log2
// of the multiplier, my too, with 32 more, and 64 more if it is negative.  spread: the first element of y for all lanes.
struct binary_step {
  vector_binary op;
  int32_t zx, zy, mx, my, shift, zero, lo, hi;
  bool spread;
};

// `groups` x `beats` beats through source -> affine -> binary -> rational or table -> out; with load >= 0: fill that table, with
// load_rational >= 0 that rational function.  With reduce > 1 each of them is the elementwise maximum of `reduce` beats of x; with pool > 1 so many results go out as one, their
// maximum.
struct vector_step {
  int32_t groups, beats;
  vector_source source;
  int32_t reduce, pool;
  affine_step affine;
  binary_step binary;
  int32_t table, load, rational, load_rational;
  bool relu;
  int32_t tensor;  // for statistics
};

template <int VALUE_BITS, bool SHIFT_ONLY>
inline int32_t apply_affine(const affine_step& step, int64_t x, int64_t bias, int32_t mult, int32_t shift, bool relu,
                            int32_t& saturated) {
#pragma HLS INLINE
  const int64_t scaled = SHIFT_ONLY ? requantise_unit(x + bias, shift) : requantise_sized<VALUE_BITS>(x + bias, mult, shift);
  return clamp(scaled + step.zero, step.lo, step.hi, relu, saturated);
}

template <bool SHIFT_ONLY>
inline int32_t apply_binary(const binary_step& step, int32_t x, int32_t y, int32_t bias, bool relu, int32_t& saturated) {
#pragma HLS INLINE
  const int32_t dx = x - step.zx;
  const int32_t dy = y - step.zy;
  int64_t result;
  const int64_t half = static_cast<int64_t>(1) << (step.shift - 1);
  if (step.op == BINARY_ADD && SHIFT_ONLY) {
    const int64_t second = shifted((step.my & 64) ? -dy : dy, step.my & 31);
    result = (shifted(dx, step.mx) + second + half) >> step.shift;
  } else if (step.op == BINARY_ADD) {
    result = (static_cast<int64_t>(dx) * step.mx + static_cast<int64_t>(dy) * step.my + half) >> step.shift;
  } else {
    const int64_t product = static_cast<int64_t>(dx) * dy;
    result = SHIFT_ONLY ? requantise_unit(product, step.shift) : requantise(product, step.mx, step.shift);
  }
  return clamp(result + step.zero + bias, step.lo, step.hi, relu, saturated);
}

// One step's beats.  `bases`, `slopes` and `curves` hold one copy of all tables per lane of RATE; an entry has ENTRY_PARTS of
// them.
// VALUE_BITS hold source + bias.
template <int LANES, int RATE, int ACC_BITS, int BITS, int VALUE_BITS, bool SHIFT_ONLY, bool TABLES, int ENTRY_PARTS,
          bool RATIONALS, int BASES, int SLOPES, int CURVES, int GROUPS, int COUNT, int RATIONAL_COUNT, typename ACC, typename X,
          typename Y, typename PARAMS>
inline void run_step(const vector_step& step, const table_info (&tables)[COUNT],
                     const rational_info (&rationals)[RATIONAL_COUNT], int32_t (&bases)[RATE][BASES],
                     int32_t (&slopes)[RATE][SLOPES], int32_t (&curves)[RATE][CURVES],
                     int32_t (&coefficients)[RATE][GROUPS][RATIONAL_WORDS], ACC& acc, X& x, Y& y, PARAMS& params,
                     hls::stream<beat<LANES, BITS> >& out) {
#pragma HLS INLINE
  constexpr int PARTS = LANES / RATE;
  constexpr int ROW_BEATS = (LANES + 3) / LANES;
  constexpr int SETS = (LANES >= 4) ? LANES / 4 : 1;
  static_assert(PARTS * RATE == LANES, "a beat takes a whole number of cycles");
  element<(ACC_BITS > BITS ? ACC_BITS : BITS)> operand[LANES];
  element<BITS> other[LANES];
  beat<LANES, BITS> result(static_cast<element<BITS> >(0));
  int32_t mult[LANES];
  int32_t shift[LANES];
  int32_t group[LANES];
  int64_t bias[LANES];
  int32_t held[LANES];  // the beat of parameters
#pragma HLS ARRAY_PARTITION variable=operand type=complete
#pragma HLS ARRAY_PARTITION variable=other type=complete
#pragma HLS ARRAY_PARTITION variable=mult type=complete
#pragma HLS ARRAY_PARTITION variable=shift type=complete
#pragma HLS ARRAY_PARTITION variable=group type=complete
#pragma HLS ARRAY_PARTITION variable=bias type=complete
#pragma HLS ARRAY_PARTITION variable=held type=complete
UNIFORM:
  for (int l = 0; l < LANES; ++l) {
#pragma HLS UNROLL
    operand[l] = 0;
    other[l] = 0;
    held[l] = 0;
    mult[l] = step.affine.mult;
    shift[l] = step.affine.shift;
    group[l] = 0;
    bias[l] = step.affine.bias;
  }
  const bool with_table = TABLES && step.table >= 0;
  const bool with_binary = step.binary.op != NO_BINARY;
  const bool with_rational = RATIONALS && step.rational >= 0;
  const bool relu_affine = step.relu && !with_binary && !with_table && !with_rational;
  const bool relu_binary = step.relu && !with_table && !with_rational;
  const rational_info rational = rationals[with_rational ? step.rational : 0];
  const table_info table = tables[with_table ? step.table : 0];
  // The last beat of row parameters comes with the first beat of the group.
  const bool by_row = step.affine.params == ROW_PARAMS;
  const int head = (step.affine.params == LANE_PARAMS) ? 4 : by_row ? ROW_BEATS - 1 : 0;
  const int length = head + step.beats * (step.reduce - 1 + PARTS);
  int32_t row[4] = {0, 0, 0, 0};
#pragma HLS ARRAY_PARTITION variable=row type=complete
  int64_t saturations = 0;
  int position = 0;
  int part = 0;
  int folded = 0;
  int pooled = 0;
  int member = 0;
  int place = step.affine.first;
BEAT:
  for (int n = 0; n < step.groups * length; ++n) {
#pragma HLS LOOP_TRIPCOUNT min=1 max=1048576
#pragma HLS PIPELINE II=1 style=flp
    if (position < head || (by_row && position == head)) {
      if (!by_row || SETS == 1 || member == 0 || place == 0) {
        const beat<LANES, 32> taken = params.read();
      HOLD:
        for (int l = 0; l < LANES; ++l) {
#pragma HLS UNROLL
          held[l] = taken[l];
        }
      }
    KIND:
      for (int i = 0; i < 4; ++i) {
#pragma HLS UNROLL
        if (LANES >= 4) row[i] = held[(4 * place + i) % LANES];
        if (LANES < 4 && position == i / LANES) row[i] = held[i % LANES];
      }
      if (by_row && position == head) {
        const bool last = member == step.affine.block - 1;
        place = last ? step.affine.first : (place == SETS - 1) ? 0 : place + 1;
        member = last ? 0 : member + 1;
      }
    PARAMETER:
      for (int l = 0; l < LANES; ++l) {
#pragma HLS UNROLL
        const int64_t high = by_row ? row[3] : held[l];
        if (by_row || position == 0) mult[l] = by_row ? row[0] : held[l];
        const int32_t second = by_row ? row[1] : held[l];
        if (by_row || position == 1) shift[l] = second & 0xffff;
        if (by_row || position == 1) group[l] = (second >> 16) & 0xffff;
        if (by_row || position == 2) bias[l] = static_cast<uint32_t>(by_row ? row[2] : held[l]);
        if (by_row || position == 3) bias[l] |= high * (static_cast<int64_t>(1) << 32);
      }
    }
    if (position >= head) {
      if (part == 0) {
        if (step.source == FROM_ACC) {
          const beat<LANES, ACC_BITS> taken = acc.read();
        TAKE_ACC:
          for (int l = 0; l < LANES; ++l) {
#pragma HLS UNROLL
            operand[l] = taken[l];
          }
        } else {
          const beat<LANES, BITS> taken = x.read();
        TAKE_X:
          for (int l = 0; l < LANES; ++l) {
#pragma HLS UNROLL
            if (folded == 0 || operand[l] < taken[l]) operand[l] = taken[l];
          }
        }
      }
      if (folded < step.reduce - 1) {
        folded += 1;
      } else {
        if (part == 0 && with_binary) {
          const beat<LANES, BITS> taken = y.read();
        TAKE_Y:
          for (int l = 0; l < LANES; ++l) {
#pragma HLS UNROLL
            other[l] = taken[step.binary.spread ? 0 : l];
          }
        }
        int32_t saturated = 0;
      LANE:
        for (int i = 0; i < RATE; ++i) {
#pragma HLS UNROLL
          const int lane = part * RATE + i;
          int32_t value = static_cast<int32_t>(operand[lane]);
          const int64_t early = step.affine.late ? 0 : bias[lane];
          const int32_t late = step.affine.late ? static_cast<int32_t>(bias[lane]) : 0;
          if (step.affine.on) {
            value = apply_affine<VALUE_BITS, SHIFT_ONLY>(step.affine, operand[lane], early, mult[lane], shift[lane],
                                                         relu_affine, saturated);
          }
          if (with_binary) value = apply_binary<SHIFT_ONLY>(step.binary, value, other[lane], late, relu_binary, saturated);
          if (with_rational) {
            value = apply_rational(rational, coefficients[i][rational.first + group[lane]], value, step.relu, saturated);
          }
          if (with_table) {
            value = looked_up<ENTRY_PARTS>(table, bases[i], slopes[i], curves[i], group[lane], value, step.relu, saturated);
          }
          const element<BITS> narrow = static_cast<element<BITS> >(value);
          if (pooled == 0 || result[lane] < narrow) result[lane] = narrow;
        }
        saturations += saturated;
        if (part == PARTS - 1) {
          if (pooled == step.pool - 1) out.write(result);
          pooled = (pooled == step.pool - 1) ? 0 : pooled + 1;
          folded = 0;
        }
        part = (part == PARTS - 1) ? 0 : part + 1;
      }
    }
    position = (position == length - 1) ? 0 : position + 1;
  }
  count_saturations(step.tensor, saturations);
}

template <int LANES, int RATE, int ACC_BITS, int BITS, int VALUE_BITS, bool SHIFT_ONLY, bool TABLES, int ENTRY_PARTS,
          int ENTRY_BITS, bool RATIONALS, int BASES, int SLOPES, int CURVES, int GROUPS, int COUNT, int RATIONAL_COUNT, int STEPS,
          typename ACC, typename X, typename Y, typename PARAMS>
inline void vector_unit(const vector_step (&steps)[STEPS], const part& played, const table_info (&tables)[COUNT],
                        const rational_info (&rationals)[RATIONAL_COUNT], int32_t (&bases)[RATE][BASES], int32_t (&slopes)[RATE][SLOPES], int32_t (&curves)[RATE][CURVES],
                        int32_t (&coefficients)[RATE][GROUPS][RATIONAL_WORDS], ACC& acc, X& x, Y& y, PARAMS& params, hls::stream<beat<LANES, BITS> >& out) {
#pragma HLS INLINE
STEP:
  for (int s = played.first; s < played.end; ++s) {
#pragma HLS LOOP_TRIPCOUNT min=1 max=1024
#pragma HLS PIPELINE off
    const vector_step step = steps[s];
    if (TABLES && step.load >= 0) {
      const table_info table = tables[step.load];
      load_table<LANES, ENTRY_BITS>(bases, table, params);
      if (ENTRY_PARTS > 1) load_table<LANES, ENTRY_BITS>(slopes, table, params);
      if (ENTRY_PARTS > 2) load_table<LANES, ENTRY_BITS>(curves, table, params);
    } else if (RATIONALS && step.load_rational >= 0) {
      load_rational<LANES>(coefficients, rationals[step.load_rational], params);
    } else {
      run_step<LANES, RATE, ACC_BITS, BITS, VALUE_BITS, SHIFT_ONLY, TABLES, ENTRY_PARTS, RATIONALS>(
          step, tables, rationals, bases, slopes, curves, coefficients, acc, x, y, params, out);
    }
  }
}

}  // namespace intar

#endif
