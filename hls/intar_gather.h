// intar_gather.h: moves single elements: transpose, reshape, concat and slice that are not whole beats.
//
// Takes one beat per address of the walk and keeps the element of it that the address names.  One element a cycle.
#ifndef INTAR_GATHER_H
#define INTAR_GATHER_H

#include "intar_types.h"
#include "intar_walk.h"

namespace intar {

// The elements of `steps`, packed into beats; after every `row` elements a beat ends, padded with zeros.
template <int LANES, int BITS, int STEPS>
inline void gather(const walk (&steps)[STEPS], const part& played, const int32_t (&rows)[STEPS],
                   hls::stream<beat<LANES, BITS> >& in, hls::stream<beat<LANES, BITS> >& out) {
#pragma HLS INLINE
  walk_cursor cursor = {played.first, 0, 0};
  beat<LANES, BITS> packed(static_cast<element<BITS> >(0));
  int32_t column = 0;  // place and row count go on across steps
  int slot = 0;
STEP:
  for (int s = played.first; s < played.end; ++s) {
#pragma HLS LOOP_TRIPCOUNT min=1 max=1024
#pragma HLS PIPELINE off
    const walk step = steps[s];
    const int32_t row = rows[s];
  OUTER:
    for (int i = 0; i < step.count0; ++i) {
#pragma HLS LOOP_TRIPCOUNT min=1 max=1024
#pragma HLS PIPELINE off
      digit_walker<LANES> address;
      const int32_t elements = address.start(step, cursor);
    ELEMENT:
      for (int n = 0; n < elements; ++n) {
#pragma HLS LOOP_TRIPCOUNT min=1 max=65536
#pragma HLS PIPELINE II=1 style=flp
        const beat<LANES, BITS> taken = in.read();
        const element<BITS> picked = taken[address.next() & digits<LANES>::MASK];
      SLOT:
        for (int l = 0; l < LANES; ++l) {
#pragma HLS UNROLL
          if (l == slot) {
            packed[l] = picked;
          } else if (slot == 0) {
            packed[l] = 0;
          }
        }
        const bool row_end = column == row - 1;
        const bool beat_end = row_end || slot == LANES - 1;
        if (beat_end) out.write(packed);
        slot = beat_end ? 0 : slot + 1;
        column = row_end ? 0 : column + 1;
      }
    }
  }
}

}  // namespace intar

#endif
