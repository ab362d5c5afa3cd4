// intar_core.h: the ROWS x LANES multiply-accumulate array, output stationary; a cell adds up DEPTH products a cycle.
//
// Two tasks, so that a tile drains while the next one is computed, and a tile that waits for operands never holds
// back the one before it: core_mac() hands over finished accumulators, GROUP rows at a time, core_drain() sends them
// row by row.  One MAC beat a cycle; a tile costs one cycle more per group.
#ifndef INTAR_CORE_H
#define INTAR_CORE_H

#include "intar_types.h"

namespace intar {

// `tiles` x `m_tiles` x `contexts` results, each of `visits` visits of `k` beats (`k_last` in the last visit).
// `groups` groups of rows are handed over; `rows` (`rows_last` in the last m tile) of them are sent.
struct core_step {
  int32_t tiles, m_tiles, visits, contexts, k, k_last, rows, rows_last, groups;
};

// Registers start at 0; every tile starts over anyway.
template <int ROWS, int LANES, int ACC_BITS>
inline void clear(element<ACC_BITS> (&acc)[ROWS][LANES]) {
#pragma HLS INLINE
ROW:
  for (int r = 0; r < ROWS; ++r) {
#pragma HLS UNROLL
  LANE:
    for (int l = 0; l < LANES; ++l) {
#pragma HLS UNROLL
      acc[r][l] = 0;
    }
  }
}

// Products share multipliers in hardware; C simulation has no use for that and takes them one by one.
#ifndef __SYNTHESIS__
const bool SHARED_MULTIPLIERS = false;
#else
const bool SHARED_MULTIPLIERS = true;
#endif

// Bits `index * BITS` and on of a number, as a signed number of BITS bits.
template <int BITS>
inline int64_t digit(int64_t number, int index) {
#pragma HLS INLINE
  const int64_t half = static_cast<int64_t>(1) << (BITS - 1);
  return (((number >> (index * BITS)) & (2 * half - 1)) ^ half) - half;
}

// acc[r][l] = (first ? 0 : acc[r][l]) + sum over d of a[r * DEPTH + d] * w[l * DEPTH + d], PACK products of a row by one
// multiplier.
//
// The weights of lanes p, p + FACTORS, p + 2 * FACTORS, ... are the digits of one factor, FIELD bits apart, which hold
// any product; so the products are the digits of a[r] * factor.  A digit below 0 borrows 1 from the next one, which gets
// it back as its carry.  Exact for all operands of A_USED and W_USED bits.
template <int ROWS, int LANES, int DEPTH, int A_BITS, int W_BITS, int A_USED, int W_USED, int PACK, int ACC_BITS>
inline void packed_accumulate(element<ACC_BITS> (&acc)[ROWS][LANES], const beat<ROWS * DEPTH, A_BITS>& a,
                              const beat<LANES * DEPTH, W_BITS>& w, bool first) {
#pragma HLS INLINE
  const int FIELD = A_USED + W_USED;
  const int FACTORS = (LANES + PACK - 1) / PACK;
CHANNEL:
  for (int k = 0; k < DEPTH; ++k) {
#pragma HLS UNROLL
  FACTOR:
    for (int p = 0; p < FACTORS; ++p) {
#pragma HLS UNROLL
      int32_t factor = 0;
    WEIGHT:
      for (int d = 0; d < PACK; ++d) {
#pragma HLS UNROLL
        const int l = d * FACTORS + p;
        if (l < LANES) factor += static_cast<int32_t>(digit<W_USED>(w[l * DEPTH + k], 0)) * (1 << (d * FIELD));
      }
    ROW:
      for (int r = 0; r < ROWS; ++r) {
#pragma HLS UNROLL
        const int64_t product = static_cast<int64_t>(factor) * digit<A_USED>(a[r * DEPTH + k], 0);
      LANE:
        for (int d = 0; d < PACK; ++d) {
#pragma HLS UNROLL
          const int l = d * FACTORS + p;
          if (l < LANES) {
            const element<ACC_BITS> before = first && k == 0 ? 0 : acc[r][l];
            const int carry = d == 0 ? 0 : static_cast<int>((product >> (d * FIELD - 1)) & 1);
            acc[r][l] = before + digit<FIELD>(product, d) + carry;
          }
        }
      }
    }
  }
}

// acc[r][l] = (first ? 0 : acc[r][l]) + sum over d of a[r * DEPTH + d] * w[l * DEPTH + d]
template <int ROWS, int LANES, int DEPTH, int A_BITS, int W_BITS, int A_USED, int W_USED, int PACK, int ACC_BITS>
inline void multiply_accumulate(element<ACC_BITS> (&acc)[ROWS][LANES], const beat<ROWS * DEPTH, A_BITS>& a,
                                const beat<LANES * DEPTH, W_BITS>& w, bool first) {
#pragma HLS INLINE
  if (PACK > 1 && SHARED_MULTIPLIERS) {
    packed_accumulate<ROWS, LANES, DEPTH, A_BITS, W_BITS, A_USED, W_USED, PACK, ACC_BITS>(acc, a, w, first);
    return;
  }
ROW:
  for (int r = 0; r < ROWS; ++r) {
#pragma HLS UNROLL
  LANE:
    for (int l = 0; l < LANES; ++l) {
#pragma HLS UNROLL
      element<ACC_BITS> sum = first ? 0 : acc[r][l];
    CHANNEL:
      for (int d = 0; d < DEPTH; ++d) {
#pragma HLS UNROLL
        sum += static_cast<int32_t>(a[r * DEPTH + d]) * static_cast<int32_t>(w[l * DEPTH + d]);
      }
      acc[r][l] = sum;
    }
  }
}

// Rows `group * GROUP` and on of the accumulators, as one wide beat.
template <int ROWS, int GROUP, int LANES, int ACC_BITS>
inline beat<GROUP * LANES, ACC_BITS> accumulators(const element<ACC_BITS> (&acc)[ROWS][LANES], int group) {
#pragma HLS INLINE
  beat<GROUP * LANES, ACC_BITS> result;
ROW:
  for (int r = 0; r < GROUP; ++r) {
#pragma HLS UNROLL
  LANE:
    for (int l = 0; l < LANES; ++l) {
#pragma HLS UNROLL
      result[r * LANES + l] = acc[group * GROUP + r][l];
    }
  }
  return result;
}

// Without contexts all visits of a tile follow each other: one loop, without gaps from tile to tile.
template <int ROWS, int GROUP, int LANES, int DEPTH, int A_BITS, int W_BITS, int A_USED, int W_USED, int PACK, int ACC_BITS,
          int STEPS>
inline void core_mac(const core_step (&steps)[STEPS], const part& played, hls::stream<beat<ROWS * DEPTH, A_BITS> >& a,
                     hls::stream<beat<LANES * DEPTH, W_BITS> >& w, hls::stream<beat<GROUP * LANES, ACC_BITS> >& out) {
#pragma HLS INLINE
  static_assert(ROWS % GROUP == 0, "the array is a whole number of groups");
  element<ACC_BITS> acc[ROWS][LANES];
#pragma HLS ARRAY_PARTITION variable=acc type=complete dim=0
  clear<ROWS, LANES, ACC_BITS>(acc);
STEP:
  for (int s = played.first; s < played.end; ++s) {
#pragma HLS LOOP_TRIPCOUNT min=1 max=1024
#pragma HLS PIPELINE off
    const core_step step = steps[s];
    const int depth = (step.visits - 1) * step.k + step.k_last;
    const int length = depth + step.groups;
    int position = 0;
  MAC:
    for (int n = 0; n < step.tiles * step.m_tiles * length; ++n) {
#pragma HLS LOOP_TRIPCOUNT min=1 max=1048576
#pragma HLS PIPELINE II=1 style=flp
      if (position < depth) {
        multiply_accumulate<ROWS, LANES, DEPTH, A_BITS, W_BITS, A_USED, W_USED, PACK, ACC_BITS>(acc, a.read(), w.read(),
                                                                                         position == 0);
      } else {
        out.write(accumulators<ROWS, GROUP, LANES, ACC_BITS>(acc, position - depth));
      }
      position = (position == length - 1) ? 0 : position + 1;
    }
  }
}

// With contexts the accumulators of a tile wait in `saved` from one visit to the next.
template <int ROWS, int GROUP, int LANES, int DEPTH, int A_BITS, int W_BITS, int A_USED, int W_USED, int PACK, int ACC_BITS,
          int CONTEXTS, int STEPS>
inline void core_mac_contexts(const core_step (&steps)[STEPS], const part& played,
                              element<ACC_BITS> (&saved)[CONTEXTS][ROWS][LANES],
                              hls::stream<beat<ROWS * DEPTH, A_BITS> >& a, hls::stream<beat<LANES * DEPTH, W_BITS> >& w,
                              hls::stream<beat<GROUP * LANES, ACC_BITS> >& out) {
#pragma HLS INLINE
  static_assert(ROWS % GROUP == 0, "the array is a whole number of groups");
  element<ACC_BITS> acc[ROWS][LANES];
#pragma HLS ARRAY_PARTITION variable=acc type=complete dim=0
  clear<ROWS, LANES, ACC_BITS>(acc);
STEP:
  for (int s = played.first; s < played.end; ++s) {
#pragma HLS LOOP_TRIPCOUNT min=1 max=1024
#pragma HLS PIPELINE off
    const core_step step = steps[s];
  TILE:
    for (int t = 0; t < step.tiles * step.m_tiles; ++t) {
#pragma HLS LOOP_TRIPCOUNT min=1 max=4096
#pragma HLS PIPELINE off
    VISIT:
      for (int v = 0; v < step.visits; ++v) {
#pragma HLS LOOP_TRIPCOUNT min=1 max=1024
#pragma HLS PIPELINE off
        const bool last = v == step.visits - 1;
        const int depth = last ? step.k_last : step.k;
      CONTEXT:
        for (int x = 0; x < step.contexts; ++x) {
#pragma HLS LOOP_TRIPCOUNT min=1 max=64
#pragma HLS PIPELINE off
          if (v != 0) {
          RESTORE_ROW:
            for (int r = 0; r < ROWS; ++r) {
#pragma HLS UNROLL
            RESTORE_LANE:
              for (int l = 0; l < LANES; ++l) {
#pragma HLS UNROLL
                acc[r][l] = saved[x][r][l];
              }
            }
          }
        MAC:
          for (int n = 0; n < depth; ++n) {
#pragma HLS LOOP_TRIPCOUNT min=1 max=4096
#pragma HLS PIPELINE II=1 style=flp
            multiply_accumulate<ROWS, LANES, DEPTH, A_BITS, W_BITS, A_USED, W_USED, PACK, ACC_BITS>(acc, a.read(), w.read(),
                                                                                             v == 0 && n == 0);
          }
          if (last) {
          HAND_OVER:
            for (int g = 0; g < step.groups; ++g) {
#pragma HLS LOOP_TRIPCOUNT min=1 max=64
#pragma HLS PIPELINE II=1 style=flp
              out.write(accumulators<ROWS, GROUP, LANES, ACC_BITS>(acc, g));
            }
          } else {
          SAVE_ROW:
            for (int r = 0; r < ROWS; ++r) {
#pragma HLS UNROLL
            SAVE_LANE:
              for (int l = 0; l < LANES; ++l) {
#pragma HLS UNROLL
                saved[x][r][l] = acc[r][l];
              }
            }
          }
        }
      }
    }
  }
}

// Finished accumulators, one row a cycle.
template <int GROUP, int LANES, int ACC_BITS, int STEPS>
inline void core_drain(const core_step (&steps)[STEPS], const part& played,
                       hls::stream<beat<GROUP * LANES, ACC_BITS> >& in, hls::stream<beat<LANES, ACC_BITS> >& out) {
#pragma HLS INLINE
  beat<GROUP * LANES, ACC_BITS> held;
STEP:
  for (int s = played.first; s < played.end; ++s) {
#pragma HLS LOOP_TRIPCOUNT min=1 max=1024
#pragma HLS PIPELINE off
    const core_step step = steps[s];
  TILE:
    for (int t = 0; t < step.tiles; ++t) {
#pragma HLS LOOP_TRIPCOUNT min=1 max=4096
#pragma HLS PIPELINE off
    M_TILE:
      for (int m = 0; m < step.m_tiles; ++m) {
#pragma HLS LOOP_TRIPCOUNT min=1 max=4096
#pragma HLS PIPELINE off
        const int rows = (m == step.m_tiles - 1) ? step.rows_last : step.rows;
      CONTEXT:
        for (int x = 0; x < step.contexts; ++x) {
#pragma HLS LOOP_TRIPCOUNT min=1 max=64
#pragma HLS PIPELINE off
          int slot = 0;
          // Groups after the last row that is sent are taken too: every group handed over leaves the link.
        ROW:
          for (int r = 0; r < step.groups * GROUP; ++r) {
#pragma HLS LOOP_TRIPCOUNT min=1 max=64
#pragma HLS PIPELINE II=1 style=flp
            if (slot == 0) held = in.read();
            beat<LANES, ACC_BITS> front;
          FRONT:
            for (int l = 0; l < LANES; ++l) {
#pragma HLS UNROLL
              front[l] = held[l];
            }
            if (r < rows) out.write(front);
          SHIFT:
            for (int e = LANES; e < GROUP * LANES; ++e) {
#pragma HLS UNROLL
              held[e - LANES] = held[e];
            }
            slot = (slot == GROUP - 1) ? 0 : slot + 1;
          }
        }
      }
    }
  }
}

}  // namespace intar

#endif
