// intar_rows.h: row reductions: the softmax of whole rows, in the integers of docs/numerics.md.
//
// One row at a time in four loops: collect it and find its maximum, powers of two of the distances and their sum, divide,
// multiply and clamp.  Three passes of LANES / RATE cycles a beat.
#ifndef INTAR_ROWS_H
#define INTAR_ROWS_H

#include "intar_rows_table.h"
#include "intar_types.h"

namespace intar {

// `rows` rows of `beats` beats with `cols` elements.
struct rows_step {
  int32_t rows, beats, cols, mult, shift;
  int64_t numerator;
  int32_t out_shift, zero, lo, hi;
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

// `row` and `powers` hold one row, RATE elements a place.
template <int LANES, int RATE, int BITS, int PLACES, int STEPS>
inline void rows_unit(const rows_step (&steps)[STEPS], const part& played, element<BITS> (&row)[RATE][PLACES],
                      int32_t (&powers)[RATE][PLACES], hls::stream<beat<LANES, BITS> >& in,
                      hls::stream<beat<LANES, BITS> >& out) {
#pragma HLS INLINE
  constexpr int PARTS = LANES / RATE;
  static_assert(PARTS * RATE == LANES, "a beat takes a whole number of cycles");
  element<BITS> operand[LANES];
  beat<LANES, BITS> result(static_cast<element<BITS> >(0));
#pragma HLS ARRAY_PARTITION variable=operand type=complete
CLEAR:
  for (int l = 0; l < LANES; ++l) {
#pragma HLS UNROLL
    operand[l] = 0;
  }
STEP:
  for (int s = played.first; s < played.end; ++s) {
#pragma HLS LOOP_TRIPCOUNT min=1 max=1024
#pragma HLS PIPELINE off
    const rows_step step = steps[s];
    const int places = step.beats * PARTS;
  ROW:
    for (int r = 0; r < step.rows; ++r) {
#pragma HLS LOOP_TRIPCOUNT min=1 max=4096
#pragma HLS PIPELINE off
      int32_t top = -(1 << (BITS - 1));
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
      HIGHEST:
        for (int i = 0; i < RATE; ++i) {
#pragma HLS UNROLL
          const int32_t value = operand[part * RATE + i];
          row[i][n] = static_cast<element<BITS> >(value);
          if (n * RATE + i < step.cols && value > top) top = value;
        }
        part = (part == PARTS - 1) ? 0 : part + 1;
      }
      int64_t total = 0;
    RAISE:
      for (int n = 0; n < places; ++n) {
#pragma HLS LOOP_TRIPCOUNT min=1 max=4096
#pragma HLS PIPELINE II=1
        int64_t sum = 0;
      LANE:
        for (int i = 0; i < RATE; ++i) {
#pragma HLS UNROLL
          const bool used = n * RATE + i < step.cols;
          const int32_t power = used ? power_of(top - row[i][n], step.mult, step.shift) : 0;
          powers[i][n] = power;
          sum += power;
        }
        total += sum;
      }
      int32_t extra = 0;
      const int32_t quotient = reciprocal(step.numerator, total, extra);
      const int32_t down = step.out_shift + extra;
      const int64_t half = static_cast<int64_t>(1) << (down - 1);
      int64_t saturations = 0;
      part = 0;
    MULTIPLY:
      for (int n = 0; n < places; ++n) {
#pragma HLS LOOP_TRIPCOUNT min=1 max=4096
#pragma HLS PIPELINE II=1 style=flp
        int32_t saturated = 0;
      PRODUCT:
        for (int i = 0; i < RATE; ++i) {
#pragma HLS UNROLL
          const int64_t scaled = (static_cast<int64_t>(powers[i][n]) * quotient + half) >> down;
          const int32_t value = clamp(scaled + step.zero, step.lo, step.hi, false, saturated);
          result[part * RATE + i] = static_cast<element<BITS> >(value);
        }
        saturations += saturated;
        if (part == PARTS - 1) out.write(result);
        part = (part == PARTS - 1) ? 0 : part + 1;
      }
      count_saturations(step.tensor, saturations);
    }
  }
}

}  // namespace intar

#endif
