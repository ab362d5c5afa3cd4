// intar_rows.h: row reductions: softmax, normalisation and peaks of whole rows, rows over their peaks, in the integers of
// docs/numerics.md.
//
// One row at a time in four loops: collect it and find its maximum, powers of two of the distances and their sum, divide,
// multiply and clamp; or collect it and sum elements and squares, reciprocal root, scale, move and clamp; or collect it and
// find its peak, divide, multiply and clamp.  A peak alone leaves as one beat.  Passes of LANES / RATE cycles a beat.
#ifndef INTAR_ROWS_H
#define INTAR_ROWS_H

#include "intar_lookup.h"
#include "intar_rows_table.h"
#include "intar_types.h"

namespace intar {

// What happens to each row.  ROW_UNIT: over its peak; ROW_PEAK: the peak, in all lanes of a beat.
enum rows_op { ROW_SOFTMAX, ROW_NORM, ROW_UNIT, ROW_PEAK };

// `rows` rows of `beats` beats with `cols` elements.  Softmax: `first` of them count in the first row, `grow` more in each row
// after it; none from the call's position up to `cached` does.  Normalisation: `numerator` is epsilon.  With table >= 0
// results are looked up there.
struct rows_step {
  rows_op op;
  int32_t rows, beats, cols, first, grow, cached, mult, shift;
  int64_t numerator;
  int32_t out_shift;
  bool centred;
  int32_t lift, zero, lo, hi, table;
  bool relu;
  int32_t tensor;  // for statistics
};

// 2^-(distance * mult / 2^shift / 2^16), 24 bits after the point.
inline int32_t power_of(int32_t distance, int32_t mult, int32_t shift) {
#pragma HLS INLINE
  const int64_t half_step = static_cast<int64_t>(1) << (shift - 1);
  const int64_t exponent = (static_cast<int64_t>(distance) * mult + half_step) >> shift;
  const int64_t deep = exponent >> 16;
  const int32_t whole = (deep > 26) ? 26 : static_cast<int32_t>(deep);
  const int32_t fine = static_cast<int32_t>(exponent & 255);
  const power_entry entry = POWERS[(exponent >> 8) & 255];
  const int32_t value = entry.value - ((entry.fall * fine + 128) >> 8);
  return (value + ((1 << whole) >> 1)) >> whole;
}

// floor(numerator * 2^extra / total), one bit a cycle; 2^24 <= total, extra = floor(log2(total)) - 24.
inline int32_t reciprocal(int64_t numerator, int64_t total, int32_t& extra) {
#pragma HLS INLINE
  extra = 0;
LEADING:
  for (int i = 1; i <= 16; ++i) {
#pragma HLS UNROLL
    if ((total >> (24 + i)) & 1) extra = i;
  }
  const int64_t divisor = total << (16 - extra);
  int64_t rest = numerator >> 3;
  int32_t bits = static_cast<int32_t>(numerator & 7) << 16;
  int32_t quotient = 0;
DIVIDE:
  for (int b = 0; b < 19; ++b) {
#pragma HLS PIPELINE II=1
    rest = 2 * rest + ((bits >> 18) & 1);
    bits <<= 1;
    const bool fits = rest >= divisor;
    if (fits) rest -= divisor;
    quotient = 2 * quotient + (fits ? 1 : 0);
  }
  return quotient;
}

// The greatest root below 2^19 with root^2 w <= 2^60, bit by bit; w = spread 2^22 / 4^pair, pair = floor(log2(spread) / 2).
inline int32_t reciprocal_root(int64_t spread, int32_t& pair) {
#pragma HLS INLINE
  pair = 0;
HIGHEST_PAIR:
  for (int i = 1; i <= 30; ++i) {
#pragma HLS UNROLL
    if ((spread >> (2 * i)) & 3) pair = i;
  }
  const int64_t narrow = (pair > 11) ? spread >> (2 * pair - 22) : spread << (22 - 2 * pair);
  int64_t rest = static_cast<int64_t>(1) << 60;
  int64_t part = 0;
  int64_t term = narrow << 36;
  int32_t root = 0;
ROOT:
  for (int b = 0; b < 19; ++b) {
#pragma HLS PIPELINE II=1
    const int64_t both = part + term;
    const bool fits = rest >= both;
    if (fits) rest -= both;
    part = (fits ? both + term : part) >> 1;
    term >>= 2;
    root = 2 * root + (fits ? 1 : 0);
  }
  return root;
}

// An element of a row, normalised, scaled and moved, before zero point and clamp.
inline int64_t normalised(int64_t apart, int32_t root, int32_t down, int32_t gain, int32_t offset, int32_t out_shift) {
#pragma HLS INLINE
  const int64_t odd = 2 * static_cast<int64_t>(root) + 1;
  const int64_t z = (apart * odd + (static_cast<int64_t>(1) << (down - 1))) >> down;
  const int64_t moved = static_cast<int64_t>(offset) << (out_shift - 14);
  return (z * gain + moved + (static_cast<int64_t>(1) << (out_shift - 1))) >> out_shift;
}

// Element `column` of a row is among the first `counted`, and none from `position` up to `cached`.
inline bool counts(int column, int32_t counted, int32_t position, int32_t cached) {
#pragma HLS INLINE
  return column < counted && (column < position || column >= cached);
}

// `row` and `powers` hold one row, RATE elements a place.  SOFTMAX, NORM: some step is one.  PEAKS: some step is a peak, or rows
// over theirs.  `bases`, `slopes` and `curves`
// hold one copy of all tables per lane of RATE; the slots that `loads` names are filled first.
template <int LANES, int RATE, int BITS, bool SOFTMAX, bool NORM, bool PEAKS, bool TABLES, int ENTRY_PARTS, int ENTRY_BITS, int PLACES,
          int STEPS, int LOADS, int COUNT, int BASES, int SLOPES, int CURVES, typename PARAMS, typename TABLE_BEATS>
inline void rows_unit(const rows_step (&steps)[STEPS], const part& played, const int32_t (&loads)[LOADS], const part& loaded,
                      int32_t position, const table_info (&tables)[COUNT], int32_t (&bases)[RATE][BASES], int32_t (&slopes)[RATE][SLOPES],
                      int32_t (&curves)[RATE][CURVES], element<BITS> (&row)[RATE][PLACES], int32_t (&powers)[RATE][PLACES],
                      hls::stream<beat<LANES, BITS> >& in, PARAMS& params, TABLE_BEATS& table_beats,
                      hls::stream<beat<LANES, BITS> >& out) {
#pragma HLS INLINE
  constexpr int PARTS = LANES / RATE;
  static_assert(PARTS * RATE == LANES, "a beat takes a whole number of cycles");
  element<BITS> operand[LANES];
  int32_t gains[LANES];
  int32_t groups[LANES];
  int32_t offsets[LANES];
  beat<LANES, BITS> result(static_cast<element<BITS> >(0));
#pragma HLS ARRAY_PARTITION variable=operand type=complete
#pragma HLS ARRAY_PARTITION variable=gains type=complete
#pragma HLS ARRAY_PARTITION variable=groups type=complete
#pragma HLS ARRAY_PARTITION variable=offsets type=complete
CLEAR:
  for (int l = 0; l < LANES; ++l) {
#pragma HLS UNROLL
    operand[l] = 0;
    gains[l] = 0;
    groups[l] = 0;
    offsets[l] = 0;
  }
  if (TABLES) {
  SLOT:
    for (int s = loaded.first; s < loaded.end; ++s) {
#pragma HLS LOOP_TRIPCOUNT min=0 max=64
#pragma HLS PIPELINE off
      const table_info table = tables[loads[s]];
      load_table<LANES, ENTRY_BITS>(bases, table, table_beats);
      if (ENTRY_PARTS > 1) load_table<LANES, ENTRY_BITS>(slopes, table, table_beats);
      if (ENTRY_PARTS > 2) load_table<LANES, ENTRY_BITS>(curves, table, table_beats);
    }
  }
STEP:
  for (int s = played.first; s < played.end; ++s) {
#pragma HLS LOOP_TRIPCOUNT min=1 max=1024
#pragma HLS PIPELINE off
    const rows_step step = steps[s];
    const int places = step.beats * PARTS;
    const bool norm = NORM && ((!SOFTMAX && !PEAKS) || step.op == ROW_NORM);
    const bool peak = PEAKS && step.op == ROW_PEAK;
    const bool unit = PEAKS && step.op == ROW_UNIT;
    const bool with_table = TABLES && step.table >= 0;
    const table_info table = tables[with_table ? step.table : 0];
    int32_t counted = step.first;
  ROW:
    for (int r = 0; r < step.rows; ++r) {
#pragma HLS LOOP_TRIPCOUNT min=1 max=4096
#pragma HLS PIPELINE off
      int32_t top = -(1 << (BITS - 1));
      int32_t elements = 0;
      int64_t squares = 0;
      int part = 0;
    COLLECT:
      for (int n = 0; n < places; ++n) {
#pragma HLS LOOP_TRIPCOUNT min=1 max=4096
#pragma HLS PIPELINE II=1 style=flp
        if (part == 0) {
          const beat<LANES, BITS> taken = in.read();
        TAKE:
          for (int l = 0; l < LANES; ++l) {
#pragma HLS UNROLL
            operand[l] = taken[l];
          }
        }
        int32_t slice_elements = 0;
        int64_t slice_squares = 0;
      HIGHEST:
        for (int i = 0; i < RATE; ++i) {
#pragma HLS UNROLL
          const int32_t value = operand[part * RATE + i];
          const bool used = counts(n * RATE + i, counted, position, step.cached);
          row[i][n] = static_cast<element<BITS> >(value);
          const int32_t height = ((peak || unit) && value < 0) ? -value : value;
          if (used && height > top) top = height;
          const int32_t lifted = (NORM && used) ? value * (1 << step.lift) : 0;
          slice_elements += lifted;
          slice_squares += static_cast<int64_t>(lifted) * lifted;
        }
        elements += slice_elements;
        squares += slice_squares;
        part = (part == PARTS - 1) ? 0 : part + 1;
      }
      int32_t quotient = 0;
      int32_t extra = 0;
      const int32_t sum = step.centred ? elements : 0;
      int64_t total = 0;
      if (SOFTMAX && !norm && !peak && !unit) {
      RAISE:
        for (int n = 0; n < places; ++n) {
#pragma HLS LOOP_TRIPCOUNT min=1 max=4096
#pragma HLS PIPELINE II=1
          int64_t slice_total = 0;
        LANE:
          for (int i = 0; i < RATE; ++i) {
#pragma HLS UNROLL
            const bool used = counts(n * RATE + i, counted, position, step.cached);
            const int32_t power = used ? power_of(top - row[i][n], step.mult, step.shift) : 0;
            powers[i][n] = power;
            slice_total += power;
          }
          total += slice_total;
        }
      }
      if (peak || unit) {
        if (top < 1) top = 1;
        total = static_cast<int64_t>(top) << 24;
      }
      if ((SOFTMAX || PEAKS) && !norm && !peak) quotient = reciprocal(step.numerator, total, extra);
      if (norm) {
        const int64_t square = static_cast<int64_t>(sum) * sum;
        quotient = reciprocal_root(static_cast<int64_t>(step.cols) * squares - square + step.numerator, extra);
      }
      const int32_t down = (norm ? step.shift : peak ? 1 : step.out_shift) + extra;
      const int64_t half = static_cast<int64_t>(1) << (down - 1);
      int64_t saturations = 0;
      const int left = peak ? PARTS : places;
      part = 0;
    MULTIPLY:
      for (int n = 0; n < left; ++n) {
#pragma HLS LOOP_TRIPCOUNT min=1 max=4096
#pragma HLS PIPELINE II=1 style=flp
        if (norm && part == 0) {
          const beat<LANES, 32> gain = params.read();
          const beat<LANES, 32> offset = params.read();
        COLUMN:
          for (int l = 0; l < LANES; ++l) {
#pragma HLS UNROLL
            gains[l] = static_cast<int32_t>(static_cast<uint32_t>(gain[l]) << 7) >> 7;
            groups[l] = static_cast<int32_t>(static_cast<uint32_t>(gain[l]) >> 25);
            offsets[l] = offset[l];
          }
        }
        int32_t saturated = 0;
      PRODUCT:
        for (int i = 0; i < RATE; ++i) {
#pragma HLS UNROLL
          const int lane = part * RATE + i;
          int64_t scaled = 0;
          if (norm) {
            const int64_t apart = static_cast<int64_t>(step.cols) * (row[i][n] * (1 << step.lift)) - sum;
            scaled = normalised(apart, quotient, down, gains[lane], offsets[lane], step.out_shift);
          } else if (peak) {
            scaled = top;
          } else if (SOFTMAX || PEAKS) {
            const bool used = unit && counts(n * RATE + i, counted, position, step.cached);
            const int32_t share = unit ? (used ? static_cast<int32_t>(row[i][n]) : 0) : powers[i][n];
            scaled = (static_cast<int64_t>(share) * quotient + half) >> down;
          }
          int32_t value = clamp(scaled + step.zero, step.lo, step.hi, false, saturated);
          if (with_table) value = looked_up<ENTRY_PARTS>(table, bases[i], slopes[i], curves[i], norm ? groups[lane] : 0, value, step.relu, saturated);
          result[lane] = static_cast<element<BITS> >(value);
        }
        saturations += saturated;
        if (part == PARTS - 1) out.write(result);
        part = (part == PARTS - 1) ? 0 : part + 1;
      }
      count_saturations(step.tensor, (peak && saturations > 0) ? 1 : saturations);
      if (counted < step.cols) counted += step.grow;
    }
  }
}

}  // namespace intar

#endif
