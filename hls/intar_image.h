// intar_image.h: on-chip memory of flat images, written like a buffer, read in windows.
//
// Tile t is the pixels t * LANES and so on of a flat image.  A beat of a window has for each lane the pixel some rows and
// columns away from its own; lanes that leave the image get `pad`.  Where rows of tiles are not as long as those of the
// memory, lanes choose from a window of elements that may be longer than a beat.  Even and odd beats have a memory each, so
// that PAIRS pairs of neighbouring beats are read in one cycle.  One task performs both sides in a static order, as in
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

// Where a lane's element is in a window: at `near`, or at `far` if the tile begins in a column from `turn` on.
struct place {
  int32_t near, far, turn;
};

// How the pixels of tiles lie in the memory: pixels from row to row of a tile, and where each lane reads.
template <int LANES>
struct track {
  int32_t columns;
  place lanes[LANES];
};

// `passes` times over all tiles: taps tap..tap+taps-1.  A tile begins with an element of a beat, in a column; the next one
// lies a step further on, or a wrap where that column is past the end of a row.  Phases number the masks of a tile.  Each pass
// reads pass_step beats further on than the one before.
struct image_step {
  int32_t tap, taps, tiles, passes, tile, element, tile_step, element_step, tile_wrap, element_wrap, column, column_step,
      track, pixel, pixel_step, phase, phase_step, phase_end, phase_wrap, pass_step,
      pad;
};

// Position in a list of image steps; `moved` is how much further on the pass reads than the step's first one.
struct image_cursor {
  int32_t step, pass, moved, index, tile, element, column, pixel, phase;
};

// Go to the first tile of a pass.
inline void first_tile(const image_step& step, image_cursor& at) {
#pragma HLS INLINE
  at.tile = step.tile + at.moved;
  at.element = step.element;
  at.column = step.column;
  at.pixel = step.pixel;
  at.phase = step.phase;
}

// Go on to the next tile.
template <int LANES>
inline void next_tile(const image_step& step, image_cursor& at, int32_t columns) {
#pragma HLS INLINE
  at.index += 1;
  at.column += step.column_step;
  const bool wraps = at.column >= columns;
  at.column = wraps ? at.column - columns : at.column;
  const int32_t element = at.element + (wraps ? step.element_wrap : step.element_step);
  at.tile += (wraps ? step.tile_wrap : step.tile_step) + (element >= LANES ? 1 : 0);
  at.element = element >= LANES ? element - LANES : element;
  at.pixel += step.pixel_step;
  const int32_t phase = at.phase + step.phase_step;
  at.phase = phase >= step.phase_end ? phase - step.phase_wrap : phase;
  if (at.index == step.tiles) {
    at.index = 0;
    at.pass += 1;
    at.moved += step.pass_step;
    if (at.pass == step.passes) {
      at.pass = 0;
      at.moved = 0;
      at.step += 1;
    }
  }
}

// A line of elements moved down by `shift`, less than LANES <= 2^DIGITS.
template <int COUNT, int BITS, int DIGITS>
inline void shift_line(element<BITS> (&line)[COUNT], int32_t shift) {
#pragma HLS INLINE
SHIFT:
  for (int digit = 0; digit < DIGITS; ++digit) {
#pragma HLS UNROLL
    const int distance = 1 << digit;
    const bool moves = (shift & distance) != 0;
  MOVE:
    for (int i = 0; i < COUNT - 1; ++i) {
#pragma HLS UNROLL
      if (moves && i + distance < COUNT) line[i] = line[i + distance];
    }
  }
}

template <int LANES, int BITS, int DIGITS, int BANK, int PAIRS, int WRITES, int READS, int TAPS, int MASKS, int TRACKS,
          int TURNS>
inline void image(const walk (&writes)[WRITES], const part& written, const image_step (&reads)[READS],
                  const part& read, const tap (&taps)[TAPS], const lane_mask<LANES> (&masks)[MASKS],
                  const track<LANES> (&tracks)[TRACKS], const turn (&order)[TURNS], const part& ordered,
                  beat<LANES, BITS> (&even)[BANK], beat<LANES, BITS> (&odd)[BANK],
                  hls::stream<beat<LANES, BITS> >& in, hls::stream<beat<LANES, BITS> >& out) {
#pragma HLS INLINE
  constexpr int LINE = 2 * PAIRS * LANES;
  walk_cursor writing = {written.first, 0, 0};
  image_cursor reading = {read.first, 0, 0, 0, 0, 0, 0, 0, 0};
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
        if (reading.index == 0) first_tile(step, reading);
      READ_BEAT:
        for (int n = 0; n < step.taps; ++n) {
#pragma HLS LOOP_TRIPCOUNT min=1 max=1024
#pragma HLS PIPELINE II=1 style=flp
          const tap where = taps[step.tap + n];
          const int32_t sum = reading.element + where.element;
          const int32_t shift = sum >= LANES ? sum - LANES : sum;
          const int32_t at = reading.tile + where.beat + (sum >= LANES ? 1 : 0);
          const bool starts_odd = (at & 1) != 0;
          element<BITS> line[LINE];
#pragma HLS ARRAY_PARTITION variable=line type=complete
        PAIR:
          for (int pair = 0; pair < PAIRS; ++pair) {
#pragma HLS UNROLL
            // A window may begin before the memory: rounded down there, too.
            const int32_t even_at = (at + 1 + 2 * PAIRS) / 2 + pair - PAIRS;
            const int32_t odd_at = (at + 2 * PAIRS) / 2 + pair - PAIRS;
            // Beats outside of the memory are masked: any address does.
            const beat<LANES, BITS> even_beat = even[0 <= even_at && even_at < BANK ? even_at : 0];
            const beat<LANES, BITS> odd_beat = odd[0 <= odd_at && odd_at < BANK ? odd_at : 0];
          FETCH:
            for (int lane = 0; lane < LANES; ++lane) {
#pragma HLS UNROLL
              line[2 * pair * LANES + lane] = starts_odd ? odd_beat[lane] : even_beat[lane];
              line[(2 * pair + 1) * LANES + lane] = starts_odd ? even_beat[lane] : odd_beat[lane];
            }
          }
          shift_line<LINE, BITS, DIGITS>(line, shift);
          const lane_mask<LANES> columns = masks[reading.phase + where.column];
          const int32_t low = where.low - reading.pixel;
          const int32_t high = where.high - reading.pixel;
          beat<LANES, BITS> window;
        LANE:
          for (int lane = 0; lane < LANES; ++lane) {
#pragma HLS UNROLL
            const bool inside = ((columns.bits[lane / 64] >> (lane % 64)) & 1) != 0 && low <= lane && lane < high;
            window[lane] = static_cast<element<BITS> >(step.pad);
          TRACK:
            for (int t = 0; t < TRACKS; ++t) {
#pragma HLS UNROLL
              const place at_lane = tracks[t].lanes[lane];
              if (inside && step.track == t) window[lane] = line[reading.column >= at_lane.turn ? at_lane.far : at_lane.near];
            }
          }
          out.write(window);
        }
        next_tile<LANES>(step, reading, tracks[step.track].columns);
      }
    }
  }
}

}  // namespace intar

#endif
