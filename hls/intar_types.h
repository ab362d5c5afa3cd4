// intar_types.h: element, beat and word types, and the arithmetic of docs/numerics.md.
//
// C++14, native integers only.  Products are taken between 32-bit operands, so that the multipliers keep their width.
#ifndef INTAR_TYPES_H
#define INTAR_TYPES_H

#include <stddef.h>
#include <stdint.h>

#include <type_traits>

#include "hls_stream.h"
#include "hls_vector.h"
#include "intar_counters.h"

namespace intar {

// The native type that holds a signed element of BITS bits (4-bit elements are int8_t on streams).
template <int BITS>
using element = typename std::conditional<
    BITS <= 8, int8_t,
    typename std::conditional<BITS <= 16, int16_t,
                              typename std::conditional<BITS <= 32, int32_t, int64_t>::type>::type>::type;

// The entries `first` to `end` - 1 of a list: what one segment of the program plays of it.
struct part {
  int32_t first, end;
};

// The number of the entry that a call performs: of those beyond the last one, the last one.
inline int32_t entry_number(int64_t entry, int32_t entries) {
#pragma HLS INLINE
  const uint32_t asked = static_cast<uint32_t>(entry);
  return asked >= static_cast<uint32_t>(entries) ? entries - 1 : static_cast<int32_t>(asked);
}

// Where in its text a call stands: none is behind the last position.
inline int32_t call_position(int64_t position, int32_t last) {
#pragma HLS INLINE
  const uint32_t asked = static_cast<uint32_t>(position);
  return asked > static_cast<uint32_t>(last) ? last : static_cast<int32_t>(asked);
}

// What a link carries: LANES signed elements.
template <int LANES, int BITS>
using beat = hls::vector<element<BITS>, LANES>;

// A word of a memory port, BITS wide, as bytes in address order.
template <int BITS>
using word = hls::vector<uint8_t, BITS / 8>;

// Element `index` of a word that holds elements of BITS bits densely, least significant first.
template <int BITS, size_t BYTES>
inline element<BITS> extract(const hls::vector<uint8_t, BYTES>& bytes, int index) {
#pragma HLS INLINE
  static_assert(BITS == 4 || BITS % 8 == 0, "memory holds elements of 4 bits or of whole bytes");
  if (BITS == 4) {
    const int nibble = (bytes[index / 2] >> (4 * (index % 2))) & 15;
    return static_cast<element<BITS>>((nibble ^ 8) - 8);
  }
  uint64_t bits = 0;
BYTE:
  for (int b = 0; b < BITS / 8; ++b) {
#pragma HLS UNROLL
    bits |= static_cast<uint64_t>(bytes[index * (BITS / 8) + b]) << (8 * b);
  }
  return static_cast<element<BITS>>(bits);
}

// The counterpart of extract(); the word's other elements stay as they are.
template <int BITS, size_t BYTES>
inline void deposit(hls::vector<uint8_t, BYTES>& bytes, int index, element<BITS> value) {
#pragma HLS INLINE
  static_assert(BITS == 4 || BITS % 8 == 0, "memory holds elements of 4 bits or of whole bytes");
  if (BITS == 4) {
    const int shift = 4 * (index % 2);
    const int others = bytes[index / 2] & (15 << (4 - shift));
    bytes[index / 2] = static_cast<uint8_t>(others | ((value & 15) << shift));
    return;
  }
  const uint64_t bits = static_cast<uint64_t>(static_cast<int64_t>(value));
BYTE:
  for (int b = 0; b < BITS / 8; ++b) {
#pragma HLS UNROLL
    bytes[index * (BITS / 8) + b] = static_cast<uint8_t>(bits >> (8 * b));
  }
}

// rq(v, m, s) = (v * m + 2^(s-1)) >> s, exactly, for |v| < 2^47, |m| < 2^31 and 24 <= s <= 62:
// v is split at bit 24, both products fit 55 bits, and floor division nests.
inline int64_t requantise(int64_t value, int32_t mult, int shift) {
#pragma HLS INLINE
  const int32_t high = static_cast<int32_t>(value >> 24);
  const int32_t low = static_cast<int32_t>(value & 0xffffff);
  const int64_t half = static_cast<int64_t>(1) << (shift - 1);
  const int64_t carry = (static_cast<int64_t>(low) * mult + half) >> 24;
  return (static_cast<int64_t>(high) * mult + carry) >> (shift - 24);
}

// rq(v, m, s) for values of BITS bits: one product where it fits 64 bits.
template <int BITS>
inline int64_t requantise_sized(int64_t value, int32_t mult, int shift) {
#pragma HLS INLINE
  if (BITS > 32) return requantise(value, mult, shift);
  const int64_t half = static_cast<int64_t>(1) << (shift - 1);
  return (static_cast<int64_t>(static_cast<int32_t>(value)) * mult + half) >> shift;
}

// rq(v, 2^30, s): no product.
inline int64_t requantise_unit(int64_t value, int shift) {
#pragma HLS INLINE
  const int right = shift - 24;
  const int64_t half = (right == 0) ? 0 : (static_cast<int64_t>(1) << right) >> 1;
  return (value * 64 + half) >> right;
}

// value * 2^shift.
inline int64_t shifted(int64_t value, int shift) {
#pragma HLS INLINE
  return static_cast<int64_t>(static_cast<uint64_t>(value) << shift);
}

// clamp(v, lo, hi); `saturated` grows by one when the value changes, unless it met a ReLU's lower bound.
inline int32_t clamp(int64_t value, int32_t lo, int32_t hi, bool relu, int32_t& saturated) {
#pragma HLS INLINE
  if (value < lo) {
    saturated += relu ? 0 : 1;
    return lo;
  }
  if (value > hi) {
    saturated += 1;
    return hi;
  }
  return static_cast<int32_t>(value);
}

// Statistics of C simulation; nothing of it is left in hardware.
inline void count_saturations(int tensor, int64_t count) {
#pragma HLS INLINE
#ifndef __SYNTHESIS__
  for (int64_t i = 0; i < count; ++i) saturated(tensor);
#else
  (void)tensor;
  (void)count;
#endif
}

// Stands for a port that no step uses.
template <typename BEAT>
struct absent {
  BEAT read() {
#pragma HLS INLINE
    return BEAT(typename BEAT::value_type(0));
  }
};

}  // namespace intar

#endif
