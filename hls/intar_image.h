// intar_image.h: on-chip memory of flat images, written like a buffer, read in windows.
//
// Tile t is the pixels t * LANES and so on of a channel that lies flat, row by row.  A window beat is LANES neighbouring
// elements from any element on; lanes that leave the image get `pad`.  Even and odd beats have a memory each, so that a
// beat that lies across two of them is read in one cycle.  One task performs both sides in a static order, as in
// intar_buffer.h.
#ifndef INTAR_IMAGE_H
#define INTAR_IMAGE_H

#include "intar_buffer.h"
#include "intar_types.h"
#include "intar_walk.h"

namespace intar {

// Offset from the tile in beats and elements; the lanes whose pixel is in low..high-1 read a row of the image; `column` is
// which mask of columns holds.
struct tap {
  int32_t beat, element, low, high, column;
};

// Which lanes stay in a row of the image, lane 0 lowest.
template <int LANES>
struct lane_mask {
  uint64_t bits[(LANES + 63) / 64];
};

// `passes` times over all tiles: taps first..first+count-1.  Phases number the masks of a tile.
struct image_step {
  int32_t tap, taps, tiles, passes, tile, tile_step, pixel, pixel_step, phase, phase_step, pad;
};

// Position in a list of image steps.
struct image_cursor {
  int32_t step, pass, index, tile, pixel, phase;
};

// Go on to the next tile.
inline void next_tile(const image_step& step, image_cursor& at, int32_t phase_wrap) {
#pragma HLS INLINE
  at.index += 1;
  at.tile += step.tile_step;
  at.pixel += step.pixel_step;
  const int32_t phase = at.phase + step.phase_step;
  at.phase = phase >= phase_wrap ? phase - phase_wrap : phase;
  if (at.index == step.tiles) {
    at.index = 0;
    at.pass += 1;
    if (at.pass == step.passes) {
      at.pass = 0;
      at.step += 1;
    }
  }
}

// Element `shift` of two beats and the LANES - 1 elements after it; LANES <= 2^DIGITS.
template <int LANES, int BITS, int DIGITS>
inline beat<LANES, BITS> window_of(const beat<LANES, BITS>& first, const beat<LANES, BITS>& second, int32_t shift) {
#pragma HLS INLINE
  element<BITS> line[2 * LANES];
#pragma HLS ARRAY_PARTITION variable=line type=complete
LINE:
  for (int i = 0; i < LANES; ++i) {
#pragma HLS UNROLL
    line[i] = first[i];
    line[LANES + i] = second[i];
  }
SHIFT:
  for (int digit = 0; digit < DIGITS; ++digit) {
#pragma HLS UNROLL
    const int distance = 1 << digit;
    const bool moves = (shift & distance) != 0;
  MOVE:
    for (int i = 0; i < 2 * LANES - 1; ++i) {
#pragma HLS UNROLL
      if (moves && i + distance < 2 * LANES) line[i] = line[i + distance];
    }
  }
  beat<LANES, BITS> window;
WINDOW:
  for (int i = 0; i < LANES; ++i) {
#pragma HLS UNROLL
    window[i] = line[i];
  }
  return window;
}

template <int LANES, int BITS, int DIGITS, int BANK, int PHASE_WRAP, int WRITES, int READS, int TAPS, int MASKS,
          int TURNS>
inline void image(const walk (&writes)[WRITES], const part& written, const image_step (&reads)[READS],
                  const part& read, const tap (&taps)[TAPS], const lane_mask<LANES> (&masks)[MASKS],
                  const turn (&order)[TURNS], const part& ordered, beat<LANES, BITS> (&even)[BANK],
                  beat<LANES, BITS> (&odd)[BANK], hls::stream<beat<LANES, BITS> >& in,
                  hls::stream<beat<LANES, BITS> >& out) {
#pragma HLS INLINE
  walk_cursor writing = {written.first, 0, 0};
  image_cursor reading = {read.first, 0, 0, 0, 0, 0};
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
        walker address;
        const int32_t beats = address.start(step, writing);
      WRITE_BEAT:
        for (int n = 0; n < beats; ++n) {
#pragma HLS LOOP_TRIPCOUNT min=1 max=4096
#pragma HLS PIPELINE II=1 style=flp
          const int32_t at = address.next();
          if (at % 2 == 0) {
            even[at / 2] = in.read();
          } else {
            odd[at / 2] = in.read();
          }
        }
      }
    READ:
      for (int i = 0; i < now.reads; ++i) {
#pragma HLS LOOP_TRIPCOUNT min=0 max=1024
#pragma HLS PIPELINE off
        const image_step step = reads[reading.step];
        if (reading.index == 0) {
          reading.tile = step.tile;
          reading.pixel = step.pixel;
          reading.phase = step.phase;
        }
      READ_BEAT:
        for (int n = 0; n < step.taps; ++n) {
#pragma HLS LOOP_TRIPCOUNT min=1 max=1024
#pragma HLS PIPELINE II=1 style=flp
          const tap where = taps[step.tap + n];
          const int32_t at = reading.tile + where.beat;
          const uint32_t even_at = static_cast<uint32_t>(at + 1) / 2;
          const uint32_t odd_at = static_cast<uint32_t>(at) / 2;
          // Beats outside of the memory are masked: any address does.
          const beat<LANES, BITS> even_beat = even[even_at < BANK ? even_at : 0];
          const beat<LANES, BITS> odd_beat = odd[odd_at < BANK ? odd_at : 0];
          const bool starts_odd = (at & 1) != 0;
          beat<LANES, BITS> window = window_of<LANES, BITS, DIGITS>(
              starts_odd ? odd_beat : even_beat, starts_odd ? even_beat : odd_beat, where.element);
          const lane_mask<LANES> columns = masks[reading.phase + where.column];
          const int32_t low = where.low - reading.pixel;
          const int32_t high = where.high - reading.pixel;
        LANE:
          for (int lane = 0; lane < LANES; ++lane) {
#pragma HLS UNROLL
            const bool inside = ((columns.bits[lane / 64] >> (lane % 64)) & 1) != 0 && low <= lane && lane < high;
            if (!inside) window[lane] = static_cast<element<BITS> >(step.pad);
          }
          out.write(window);
        }
        next_tile(step, reading, PHASE_WRAP);
      }
    }
  }
}

}  // namespace intar

#endif
