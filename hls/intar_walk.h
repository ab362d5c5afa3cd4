// intar_walk.h: affine address walks, as affine counters (no multiplication, no division).
#ifndef INTAR_WALK_H
#define INTAR_WALK_H

#include <stdint.h>

namespace intar {

// Five nested loops, outermost first: address = base + (i0 * stride0) % wrap + i1 * stride1 + ... + i4 * stride4.
// In the last iteration of loop `ragged` (-1: never) the innermost loop runs `last` times instead of `count4`.
// `stride0` is reduced modulo `wrap`; `beats` and `beats_last` are the addresses of one iteration of the outermost
// loop, and of its last one.  Addresses of elements have two digits: the beat, and below it the element in it.
struct walk {
  int32_t base, wrap;
  int32_t count0, count1, count2, count3, count4;
  int32_t stride0, stride1, stride2, stride3, stride4;
  int32_t ragged, last;
  int32_t beats, beats_last;
};

// Position in a list of walks: which one, and how far its outermost loop is.
struct walk_cursor {
  int32_t step, iteration, offset;
};

// Sums of addresses that count elements of beats of LANES (1: they count beats).
template <int LANES>
struct digits {
  // Bits of the lower digit.
  static constexpr int bits(int lanes) { return lanes <= 1 ? 0 : 1 + bits((lanes + 1) / 2); }
  static constexpr int BITS = bits(LANES);
  static constexpr int32_t MASK = (1 << BITS) - 1;
  static constexpr int32_t SPARE = (1 << BITS) - LANES;  // codes that are no element; 0: a plain number

  static int32_t plus(int32_t a, int32_t b) {
#pragma HLS INLINE
    return a + b + ((SPARE != 0 && (a & MASK) + (b & MASK) >= LANES) ? SPARE : 0);
  }
  static int32_t minus(int32_t a, int32_t b) {
#pragma HLS INLINE
    return a - b - ((SPARE != 0 && (a & MASK) < (b & MASK)) ? SPARE : 0);
  }
};

// Addresses of one iteration of the outermost loop, one per call of next().
template <int LANES>
class digit_walker {
 public:
  // Start the iteration at `cursor` and move the cursor to the one after it.  Returns the number of addresses.
  int32_t start(const walk& steps, walk_cursor& cursor) {
#pragma HLS INLINE
    step_ = steps;
    last0_ = cursor.iteration == step_.count0 - 1;
    i1_ = i2_ = i3_ = i4_ = 0;
    address_ = start1_ = start2_ = start3_ = sum::plus(step_.base, cursor.offset);
    limit_ = limit();
    if (last0_) {
      cursor.step += 1;
      cursor.iteration = 0;
      cursor.offset = 0;
    } else {
      const int32_t offset = sum::plus(cursor.offset, step_.stride0);
      cursor.iteration += 1;
      cursor.offset = (step_.wrap != 0 && offset >= step_.wrap) ? sum::minus(offset, step_.wrap) : offset;
    }
    return last0_ ? step_.beats_last : step_.beats;
  }

  // The next address.
  int32_t next() {
#pragma HLS INLINE
    const int32_t address = address_;
    if (i4_ + 1 < limit_) {
      i4_ += 1;
      address_ = sum::plus(address_, step_.stride4);
    } else {
      i4_ = 0;
      if (i3_ + 1 < step_.count3) {
        i3_ += 1;
        start3_ = sum::plus(start3_, step_.stride3);
      } else {
        i3_ = 0;
        if (i2_ + 1 < step_.count2) {
          i2_ += 1;
          start2_ = sum::plus(start2_, step_.stride2);
        } else {
          i2_ = 0;
          i1_ += 1;
          start1_ = sum::plus(start1_, step_.stride1);
          start2_ = start1_;
        }
        start3_ = start2_;
      }
      address_ = start3_;
      limit_ = limit();
    }
    return address;
  }

 private:
  using sum = digits<LANES>;

  int32_t limit() const {
#pragma HLS INLINE
    const bool is_last = (step_.ragged == 0 && last0_) ||
                         (step_.ragged == 1 && i1_ == step_.count1 - 1) ||
                         (step_.ragged == 2 && i2_ == step_.count2 - 1) ||
                         (step_.ragged == 3 && i3_ == step_.count3 - 1);
    return is_last ? step_.last : step_.count4;
  }

  walk step_;
  bool last0_;
  int32_t i1_, i2_, i3_, i4_, limit_;
  int32_t start1_, start2_, start3_, address_;
};

// Addresses of beats.
using walker = digit_walker<1>;

}  // namespace intar

#endif
