// intar_buffer.h: on-chip memory with a write side and a read side.
//
// One task performs the iterations of both sides in the static order that the compiler proved free of deadlock; the
// bits are those of two independent sides, because every link is a FIFO.  One beat a cycle within an iteration.
#ifndef INTAR_BUFFER_H
#define INTAR_BUFFER_H

#include "intar_types.h"
#include "intar_walk.h"

namespace intar {

// `turns` times over: `writes` iterations of the write side, then `reads` iterations of the read side.
struct turn {
  int32_t turns, writes, reads;
};

// ADDRESS_LANES is LANES when a walk counts elements (then all do), else 1.
template <int LANES, int BITS, int ADDRESS_LANES, int DEPTH, int WRITES, int READS, int TURNS>
inline void buffer(const walk (&writes)[WRITES], const part& written, const walk (&reads)[READS], const part& read,
                   const turn (&order)[TURNS], const part& ordered, beat<LANES, BITS> (&memory)[DEPTH],
                   hls::stream<beat<LANES, BITS> >& in, hls::stream<beat<LANES, BITS> >& out) {
#pragma HLS INLINE
  walk_cursor writing = {written.first, 0, 0};
  walk_cursor reading = {read.first, 0, 0};
ORDER:
  for (int o = ordered.first; o < ordered.end; ++o) {
#pragma HLS LOOP_TRIPCOUNT min=1 max=1024
#pragma HLS PIPELINE off
    const turn now = order[o];
  TURN:
    for (int t = 0; t < now.turns; ++t) {
#pragma HLS LOOP_TRIPCOUNT min=1 max=1024
#pragma HLS PIPELINE off
    WRITE:
      for (int i = 0; i < now.writes; ++i) {
#pragma HLS LOOP_TRIPCOUNT min=0 max=1024
#pragma HLS PIPELINE off
        const walk step = writes[writing.step];
        digit_walker<ADDRESS_LANES> address;
        const int32_t beats = address.start(step, writing);
      WRITE_BEAT:
        for (int n = 0; n < beats; ++n) {
#pragma HLS LOOP_TRIPCOUNT min=1 max=4096
#pragma HLS PIPELINE II=1 style=flp
          memory[address.next() >> digits<ADDRESS_LANES>::BITS] = in.read();
        }
      }
    READ:
      for (int i = 0; i < now.reads; ++i) {
#pragma HLS LOOP_TRIPCOUNT min=0 max=1024
#pragma HLS PIPELINE off
        const walk step = reads[reading.step];
        digit_walker<ADDRESS_LANES> address;
        const int32_t beats = address.start(step, reading);
      READ_BEAT:
        for (int n = 0; n < beats; ++n) {
#pragma HLS LOOP_TRIPCOUNT min=1 max=4096
#pragma HLS PIPELINE II=1 style=flp
          out.write(memory[address.next() >> digits<ADDRESS_LANES>::BITS]);
        }
      }
    }
  }
}

}  // namespace intar

#endif
