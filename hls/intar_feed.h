// intar_feed.h: the transposer before a core.  Rows of a block come in one after the other, channels go out.
//
// Two tasks, so that the next block is collected while one is sent, and neither waits for the other's peers:
// feed_collect() joins GROUP rows at a time into one wide beat, feed_send() holds a whole block.  One operand beat a
// cycle; a block of ROWS / GROUP wide beats costs as many cycles to take over.
#ifndef INTAR_FEED_H
#define INTAR_FEED_H

#include "intar_types.h"

namespace intar {

// `DEPTH` neighbouring elements of a row are a channel; in a beat they stand together, or with `BY_CHANNEL` those of all rows
// behind each other.  Blocks of `rows` rows (`rows_last` in the last of `m_tiles`), `blocks` per m tile; each is sent `replay` times over
// its channels (from `k_first` on in the first block, up to `k_last` in the last one).
struct feed_step {
  int32_t tiles, m_tiles, rows, rows_last, blocks, k_first, k_last, replay;
};

template <int ROWS, int GROUP, int LANES, int BITS, int STEPS>
inline void feed_collect(const feed_step (&steps)[STEPS], const part& played, hls::stream<beat<LANES, BITS> >& in,
                         hls::stream<beat<GROUP * LANES, BITS> >& out) {
#pragma HLS INLINE
  static_assert(ROWS % GROUP == 0, "a block is a whole number of groups");
  beat<GROUP * LANES, BITS> group;
STEP:
  for (int s = played.first; s < played.end; ++s) {
#pragma HLS LOOP_TRIPCOUNT min=1 max=1024
#pragma HLS PIPELINE off
    const feed_step step = steps[s];
  TILE:
    for (int t = 0; t < step.tiles; ++t) {
#pragma HLS LOOP_TRIPCOUNT min=1 max=1024
#pragma HLS PIPELINE off
    M_TILE:
      for (int m = 0; m < step.m_tiles; ++m) {
#pragma HLS LOOP_TRIPCOUNT min=1 max=1024
#pragma HLS PIPELINE off
        const int rows = (m == step.m_tiles - 1) ? step.rows_last : step.rows;
        int row = 0;
        int slot = 0;
      COLLECT:
        for (int n = 0; n < step.blocks * rows; ++n) {
#pragma HLS LOOP_TRIPCOUNT min=1 max=4096
#pragma HLS PIPELINE II=1 style=flp
          const beat<LANES, BITS> taken = in.read();
        GROUP_ROW:
          for (int g = 0; g < GROUP; ++g) {
#pragma HLS UNROLL
          LANE:
            for (int l = 0; l < LANES; ++l) {
#pragma HLS UNROLL
              if (g == slot) {
                group[g * LANES + l] = taken[l];
              } else if (slot == 0) {
                group[g * LANES + l] = 0;
              }
            }
          }
          const bool block_end = row == rows - 1;
          const bool group_end = block_end || slot == GROUP - 1;
          if (group_end) out.write(group);
          slot = group_end ? 0 : slot + 1;
          row = block_end ? 0 : row + 1;
        }
      }
    }
  }
}

template <int ROWS, int GROUP, int LANES, int BITS, int DEPTH, bool BY_CHANNEL, int STEPS>
inline void feed_send(const feed_step (&steps)[STEPS], const part& played,
                      hls::stream<beat<GROUP * LANES, BITS> >& in, hls::stream<beat<ROWS * DEPTH, BITS> >& out) {
#pragma HLS INLINE
  static_assert(LANES % DEPTH == 0, "a row is a whole number of channels");
  constexpr int GROUPS = ROWS / GROUP;
  element<BITS> block[ROWS][LANES];
#pragma HLS ARRAY_PARTITION variable=block type=complete dim=0
STEP:
  for (int s = played.first; s < played.end; ++s) {
#pragma HLS LOOP_TRIPCOUNT min=1 max=1024
#pragma HLS PIPELINE off
    const feed_step step = steps[s];
  TILE:
    for (int t = 0; t < step.tiles; ++t) {
#pragma HLS LOOP_TRIPCOUNT min=1 max=1024
#pragma HLS PIPELINE off
    M_TILE:
      for (int m = 0; m < step.m_tiles; ++m) {
#pragma HLS LOOP_TRIPCOUNT min=1 max=1024
#pragma HLS PIPELINE off
        const int rows = (m == step.m_tiles - 1) ? step.rows_last : step.rows;
        const int groups = (rows + GROUP - 1) / GROUP;
      BLOCK:
        for (int b = 0; b < step.blocks; ++b) {
#pragma HLS LOOP_TRIPCOUNT min=1 max=1024
#pragma HLS PIPELINE off
          const int first = (b == 0) ? step.k_first : 0;
          const int end = (b == step.blocks - 1) ? step.k_last : LANES / DEPTH;
          // With one group the block is taken over in the cycle that sends its first channel.
          const int lead = groups - 1;
          int channel = first;
        SEND:
          for (int n = 0; n < lead + step.replay * (end - first); ++n) {
#pragma HLS LOOP_TRIPCOUNT min=1 max=4096
#pragma HLS PIPELINE II=1 style=flp
            if (n < groups) {
              const beat<GROUP * LANES, BITS> group = in.read();
            ROW_IN:
              for (int r = 0; r < ROWS; ++r) {
#pragma HLS UNROLL
              LANE:
                for (int l = 0; l < LANES; ++l) {
#pragma HLS UNROLL
                  if (GROUPS == 1 || r / GROUP == n) {
                    block[r][l] = group[(r % GROUP) * LANES + l];
                  } else if (n == 0) {
                    block[r][l] = 0;
                  }
                }
              }
            }
            if (n >= lead) {
              beat<ROWS * DEPTH, BITS> sent;
            ROW_OUT:
              for (int r = 0; r < ROWS; ++r) {
#pragma HLS UNROLL
              ELEMENT:
                for (int d = 0; d < DEPTH; ++d) {
#pragma HLS UNROLL
                  sent[BY_CHANNEL ? d * ROWS + r : r * DEPTH + d] = block[r][channel * DEPTH + d];
                }
              }
              out.write(sent);
              channel = (channel == end - 1) ? first : channel + 1;
            }
          }
        }
      }
    }
  }
}

}  // namespace intar

#endif
