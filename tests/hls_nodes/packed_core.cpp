// packed_accumulate() of hls/intar_core.h against plain multiply-accumulates. Argument: the kind of multiplier, as
// "8x8". Prints how many accumulators were compared, how many differ.
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "intar_core.h"

namespace {

using intar::beat;
using intar::element;

int64_t compared = 0, wrong = 0;

template <int ROWS, int LANES, int ACC_BITS>
void compare(const element<ACC_BITS> (&one)[ROWS][LANES], const element<ACC_BITS> (&other)[ROWS][LANES]) {
  for (int r = 0; r < ROWS; ++r) {
    for (int l = 0; l < LANES; ++l) {
      ++compared;
      wrong += one[r][l] != other[r][l];
    }
  }
}

// All combinations of operands of one multiplier, each as a first product and on top of the sums before.
template <int A, int W, int PACK>
void exhaust() {
  element<32> packed[1][PACK] = {}, plain[1][PACK] = {};
  beat<1, A> a;
  beat<PACK, W> w;
  const int64_t combinations = static_cast<int64_t>(1) << (A + PACK * W);
  for (int64_t n = 0; n < combinations; ++n) {
    a[0] = static_cast<element<A> >(intar::digit<A>(n, 0));
    for (int l = 0; l < PACK; ++l) w[l] = static_cast<element<W> >(intar::digit<W>(n >> A, l));
    const bool first = n % 64 == 0;
    intar::packed_accumulate<1, PACK, 1, A, W, A, W, PACK, 32>(packed, a, w, first);
    intar::multiply_accumulate<1, PACK, 1, A, W, A, W, 1, 32>(plain, a, w, first);
    compare<1, PACK, 32>(packed, plain);
  }
}

// Long sums of products at the ends of the range, in an array whose lanes are no multiple of PACK and whose cells add up
// three products at a time; the operands are kept in wider elements.
template <int A, int W, int PACK>
void chains() {
  const int LANES = 2 * PACK + 1, ROWS = 3, DEPTH = 3;
  const int64_t low_a = -(1 << (A - 1)), low_w = -(1 << (W - 1));
  for (int ends = 0; ends < 32; ++ends) {
    element<48> packed[ROWS][LANES] = {}, plain[ROWS][LANES] = {};
    beat<ROWS * DEPTH, 16> a;
    beat<LANES * DEPTH, 16> w;
    for (int r = 0; r < ROWS * DEPTH; ++r) a[r] = static_cast<int16_t>((ends >> r % 3) & 1 ? low_a : -low_a - 1);
    for (int l = 0; l < LANES * DEPTH; ++l) {
      w[l] = static_cast<int16_t>((ends >> (2 + l % 3)) & 1 ? low_w : -low_w - 1);
    }
    for (int n = 0; n < 5000; ++n) {
      intar::packed_accumulate<ROWS, LANES, DEPTH, 16, 16, A, W, PACK, 48>(packed, a, w, n == 0);
      intar::multiply_accumulate<ROWS, LANES, DEPTH, 16, 16, A, W, 1, 48>(plain, a, w, n == 0);
    }
    compare<ROWS, LANES, 48>(packed, plain);
  }
}

template <int A, int W, int PACK>
void check() {
  exhaust<A, W, PACK>();
  chains<A, W, PACK>();
}

}  // namespace

int main(int argc, char** argv) {
  const struct {
    const char* name;
    void (*run)();
  } kinds[] = {{"8x8", check<8, 8, 2>}, {"16x4", check<16, 4, 2>}, {"8x4", check<8, 4, 2>},
               {"4x8", check<4, 8, 2>}, {"4x4", check<4, 4, 3>}};
  for (const auto& kind : kinds) {
    if (argc > 1 && strcmp(argv[1], kind.name) == 0) kind.run();
  }
  printf("%lld %lld\n", static_cast<long long>(compared), static_cast<long long>(wrong));
  return 0;
}
