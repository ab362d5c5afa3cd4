// intar_lookup.h: tables of a unit's lanes: functions of one variable, one for each group of columns (docs/numerics.md, Tables).
#ifndef INTAR_LOOKUP_H
#define INTAR_LOOKUP_H

#include "intar_types.h"

namespace intar {

// Geometry of a table: where it starts in the table memory, bits of the input, log2 of a group's entries, entries of all
// groups, shift, clamp.
struct table_info {
  int32_t base, in_bits, log_entries, entries, q, lo, hi;
};

// Place of the entry in the table memory, and the distance from the entry's own input.
inline int32_t table_place(const table_info& table, int32_t group, int32_t t) {
#pragma HLS INLINE
  const int32_t index = (t + (1 << (table.in_bits - 1))) >> (table.in_bits - table.log_entries);
  return table.base + (group << table.log_entries) + index;
}

inline int32_t table_fraction(const table_info& table, int32_t t) {
#pragma HLS INLINE
  return (t + (1 << (table.in_bits - 1))) & ((1 << (table.in_bits - table.log_entries)) - 1);
}

inline int32_t apply_table(const table_info& table, int32_t base, int32_t slope, int32_t curve, int32_t fraction, bool relu,
                           int32_t& saturated) {
#pragma HLS INLINE
  const int64_t half = (table.q == 0) ? 0 : (static_cast<int64_t>(1) << table.q) >> 1;
  const int64_t steep = slope + ((static_cast<int64_t>(curve) * fraction) >> 8);
  const int64_t value = (base + steep * fraction + half) >> table.q;
  return clamp(value, table.lo, table.hi, relu, saturated);
}

// The result for `t` from one lane's copy of all tables; an entry has ENTRY_PARTS of base, slope and curve.
template <int ENTRY_PARTS, int BASES, int SLOPES, int CURVES>
inline int32_t looked_up(const table_info& table, const int32_t (&bases)[BASES], const int32_t (&slopes)[SLOPES],
                         const int32_t (&curves)[CURVES], int32_t group, int32_t t, bool relu, int32_t& saturated) {
#pragma HLS INLINE
  const int32_t at = table_place(table, group, t);
  const int32_t slope = (ENTRY_PARTS > 1) ? slopes[at] : 0;
  const int32_t curve = (ENTRY_PARTS > 2) ? curves[at] : 0;
  return apply_table(table, bases[at], slope, curve, table_fraction(table, t), relu, saturated);
}

// Fill one part of a table of every copy from beats of `params`, WIDTH bits an entry, one entry a cycle; what pads the last beat is
// dropped.
template <int LANES, int WIDTH, int RATE, int ENTRIES, typename PARAMS>
inline void load_table(int32_t (&memory)[RATE][ENTRIES], const table_info& table, PARAMS& params) {
#pragma HLS INLINE
  constexpr int PER_NUMBER = 32 / WIDTH;
  beat<LANES, 32> held;
  int lane = 0;
  int shift = 0;
LOAD:
  for (int e = 0; e < table.entries; ++e) {
#pragma HLS LOOP_TRIPCOUNT min=16 max=65536
#pragma HLS PIPELINE II=1 style=flp
    if (lane == 0 && shift == 0) held = params.read();
    const element<WIDTH> entry = static_cast<element<WIDTH> >(held[0] >> shift);
  COPY:
    for (int c = 0; c < RATE; ++c) {
#pragma HLS UNROLL
      memory[c][table.base + e] = entry;
    }
    if (shift == (PER_NUMBER - 1) * WIDTH) {
    SHIFT:
      for (int l = 1; l < LANES; ++l) {
#pragma HLS UNROLL
        held[l - 1] = held[l];
      }
      lane = (lane == LANES - 1) ? 0 : lane + 1;
    }
    shift = (shift == (PER_NUMBER - 1) * WIDTH) ? 0 : shift + WIDTH;
  }
}

}  // namespace intar

#endif
