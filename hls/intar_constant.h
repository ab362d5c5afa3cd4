// intar_constant.h: on-chip memory of constants.
//
// A process walks over them, once in each call.  A row of the memory is a beat, lowest bits first, in words that hold whole elements.  One beat a
// cycle within an iteration of a walk.
#ifndef INTAR_CONSTANT_H
#define INTAR_CONSTANT_H

#include "intar_types.h"
#include "intar_walk.h"

namespace intar {

// Element `index` of a row.
template <int BITS, typename WORD, int WORDS>
inline element<BITS> constant_element(const WORD (&row)[WORDS], int index) {
#pragma HLS INLINE
  static_assert(8 * sizeof(WORD) % BITS == 0, "no element lies in two words");
  const int bit = index * BITS;
  const uint64_t bits = static_cast<uint64_t>(row[bit / (8 * sizeof(WORD))]) >> (bit % (8 * sizeof(WORD)));
  if (BITS == 4) return static_cast<element<BITS> >(static_cast<int>((bits & 15) ^ 8) - 8);
  return static_cast<element<BITS> >(bits);
}

template <int LANES, int BITS, typename WORD, int DEPTH, int WORDS, int READS>
inline void constant(const walk (&reads)[READS], const part& read, const WORD (&memory)[DEPTH][WORDS],
                     hls::stream<beat<LANES, BITS> >& out) {
#pragma HLS INLINE
  walk_cursor reading = {read.first, 0, 0};
STEP:
  for (int s = read.first; s < read.end; ++s) {
#pragma HLS LOOP_TRIPCOUNT min=1 max=1024
#pragma HLS PIPELINE off
    const walk step = reads[s];
  ITERATION:
    for (int i = 0; i < step.count0; ++i) {
#pragma HLS LOOP_TRIPCOUNT min=1 max=1024
#pragma HLS PIPELINE off
      walker address;
      const int32_t beats = address.start(step, reading);
    BEAT:
      for (int n = 0; n < beats; ++n) {
#pragma HLS LOOP_TRIPCOUNT min=1 max=4096
#pragma HLS PIPELINE II=1 style=flp
        const int32_t at = address.next();
        beat<LANES, BITS> made;
      LANE:
        for (int l = 0; l < LANES; ++l) {
#pragma HLS UNROLL
          made[l] = constant_element<BITS>(memory[at], l);
        }
        out.write(made);
      }
    }
  }
}

}  // namespace intar

#endif
