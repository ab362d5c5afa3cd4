// intar_argmax.h: the index of the first largest element of every row.
//
// Every lane keeps its largest element and the beat that brought it; at the end of a row the lanes are compared one after
// the other.  One beat a cycle, then one lane a cycle.
#ifndef INTAR_ARGMAX_H
#define INTAR_ARGMAX_H

#include "intar_types.h"

namespace intar {

// `rows` rows of `beats` beats, of the last one the first `last` lanes.
struct argmax_step {
  int32_t rows;
  int32_t beats;
  int32_t last;
};

template <int LANES, int BITS, int STEPS>
inline void argmax(const argmax_step (&steps)[STEPS], const part& played, hls::stream<beat<LANES, BITS> >& in,
                   hls::stream<beat<1, 32> >& out) {
#pragma HLS INLINE
  element<BITS> best[LANES];
#pragma HLS ARRAY_PARTITION variable=best type=complete
  int32_t place[LANES];
#pragma HLS ARRAY_PARTITION variable=place type=complete
CLEAR:
  for (int l = 0; l < LANES; ++l) {
#pragma HLS UNROLL
    best[l] = 0;
    place[l] = 0;
  }
STEP:
  for (int s = played.first; s < played.end; ++s) {
#pragma HLS LOOP_TRIPCOUNT min=1 max=1024
#pragma HLS PIPELINE off
    const argmax_step step = steps[s];
  ROW:
    for (int r = 0; r < step.rows; ++r) {
#pragma HLS LOOP_TRIPCOUNT min=1 max=1024
#pragma HLS PIPELINE off
    BEAT:
      for (int b = 0; b < step.beats; ++b) {
#pragma HLS LOOP_TRIPCOUNT min=1 max=65536
#pragma HLS PIPELINE II=1 style=flp
        const beat<LANES, BITS> taken = in.read();
        const int32_t lanes = (b == step.beats - 1) ? step.last : LANES;
      LANE:
        for (int l = 0; l < LANES; ++l) {
#pragma HLS UNROLL
          if (l < lanes && (b == 0 || taken[l] > best[l])) {
            best[l] = taken[l];
            place[l] = b;
          }
        }
      }
      element<BITS> top = best[0];
      int32_t top_place = place[0];
      int32_t index = place[0] * LANES;
      const int32_t lanes = (step.beats == 1) ? step.last : LANES;
    COMPARE:
      for (int l = 1; l < lanes; ++l) {
#pragma HLS LOOP_TRIPCOUNT min=1 max=64
#pragma HLS PIPELINE II=1
        if (best[l] > top || (best[l] == top && place[l] < top_place)) {
          top = best[l];
          top_place = place[l];
          index = place[l] * LANES + l;
        }
      }
      out.write(beat<1, 32>(index));
    }
  }
}

}  // namespace intar

#endif
