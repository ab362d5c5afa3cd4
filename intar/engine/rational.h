// Rational functions that a vector unit evaluates directly (docs/numerics.md), and their coefficients.
#pragma once
#include <array>

#include "sim.h"

namespace intar {

struct Rationals {
  struct Slot {
    i64 first, groups, zero, lift, fraction, out_zero, lo, hi;
  };
  struct Piece {
    i64 value, fall;
  };
  static constexpr i64 WORDS = 11;  // of a group (intar/ir/rational.py)
  i64 lanes = 0;
  std::vector<Slot> slots;
  std::vector<Piece> reciprocals;
  std::vector<std::array<i64, WORDS>> sets;
  i64 taken = 0;  // beats of the load that is under way

  template <typename READER>
  void read(READER& in) {
    lanes = in.get();
    sets.resize(static_cast<size_t>(in.get()));
    slots = in.template records<Slot>();
    reciprocals = in.template records<Piece>();
  }

  /// A beat of a slot's coefficients: the numbers of a group from the first lane on. True after the last one.
  bool load(Sim& sim, Link* params, i64 index) {
    const Slot& slot = slots[static_cast<size_t>(index)];
    i64 beats = (WORDS + lanes - 1) / lanes, set = slot.first + taken / beats, number = taken % beats * lanes;
    for (i64 i = 0; sim.values && i < lanes && number + i < WORDS; i++) {
      i64 value = params->front()[i];
      bool chain = number + i > 0 && number + i < WORDS - 1;
      if (chain && !narrow(value)) throw Fault("coefficient " + std::to_string(value) + " exceeds its width");
      sets[static_cast<size_t>(set)][static_cast<size_t>(number + i)] = value;
    }
    params->pop(sim);
    if (++taken < beats * slot.groups) return false;
    taken = 0;
    return true;
  }

  i64 evaluate(i64 index, i64 group, i64 t) const {
    const Slot& slot = slots[static_cast<size_t>(index)];
    if (group >= slot.groups) throw Fault("the function has no group " + std::to_string(group));
    const auto& c = sets[static_cast<size_t>(slot.first + group)];
    i64 v = (t - slot.zero) * (i64{1} << slot.lift), size = v < 0 ? -v : v;
    if (size >= i64{1} << 17) throw Fault("input " + std::to_string(t) + " of a rational function out of range");
    i64 h = c[5], g = c[9];
    for (size_t n = 4; n >= 1; n--) h = chain(h, v, c[n]);
    for (size_t n = 8; n >= 6; n--) g = chain(g, size, c[n]);
    i64 p = (h * v >> (c[10] & 31)) + c[0], q = (g * size >> (c[10] >> 8 & 31)) + (i64{1} << 20);
    if (p < -(i64{1} << 43) || p >= i64{1} << 43) throw Fault("the numerator of a rational function exceeds its width");
    if (q < i64{1} << 20 || q >= i64{1} << 36) throw Fault("the denominator of a rational function exceeds its width");
    i64 down = 0;
    while (q >> down >> 21) down++;
    i64 above = std::clamp(p >> down, -(i64{1} << 24), (i64{1} << 24) - 1), m = q >> down;
    const Piece& piece = reciprocals[static_cast<size_t>(m >> 12 & 255)];
    i64 reciprocal = piece.value - (piece.fall * (m & 4095) >> 12), shift = slot.fraction + 19;
    i64 value = ((above * reciprocal + (i64{1} << (shift - 1))) >> shift) + slot.out_zero;
    return value < slot.lo ? slot.lo : value > slot.hi ? slot.hi : value;
  }

 private:
  static bool narrow(i64 value) { return value >= -(i64{1} << 24) && value < i64{1} << 24; }

  /// One more step of a Horner chain, which no input makes wider than 25 bits.
  static i64 chain(i64 h, i64 v, i64 coefficient) {
    i64 next = (h * v + coefficient * (i64{1} << 16) + (i64{1} << 15)) >> 16;
    if (!narrow(next)) throw Fault("a chain of a rational function exceeds its width");
    return next;
  }
};

}  // namespace intar
