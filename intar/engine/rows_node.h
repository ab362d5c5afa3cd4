// Rows node: softmax of whole rows in four passes that work on four rows at once.
#pragma once
#include <array>

#include "compute_nodes.h"

namespace intar {

struct RowsStep {
  i64 rows, beats, cols, mult, shift, numerator, out_shift, zero, lo, hi;
};

struct Rows : Unit {
  i64 lanes, rate;
  std::vector<i64> table;  // value and fall of every entry (docs/numerics.md)
  std::vector<RowsStep> steps;
  Link* in = nullptr;
  Pipe out;

  /// Where a pass is; rows take the slots in turn.
  struct Pass {
    size_t step = 0;
    i64 row = 0, slice = 0;
    size_t slot = 0;
  };
  struct Slot {
    i64 row_free = 0, row_ready = NEVER;                          // row memory: may be written, may be read, from this cycle on
    i64 power_free = 0, sum_ready = NEVER, quotient_ready = NEVER;  // power memory, sum and reciprocal
    std::vector<i64> taken, result;
  };
  static constexpr size_t SLOTS = 4;
  std::array<Slot, SLOTS> slots;
  Pass fill, power, divide, scale;
  i64 divider_free = 0;

  Rows(Sim& s, int i) : Unit(s, i) {}

  void tick() override {
    out.drain(*this);
    bool acted = divided();
    acted = multiplied() || acted;
    bool powers = raised();
    State filled = collected();
    step = static_cast<i64>(scale.step);
    if (acted || powers || filled == BUSY) return busy();
    if (scale.step == steps.size()) {
      finished = out.empty();
      return wait(IDLE, nullptr);
    }
    bool blocked = slots[scale.slot].quotient_ready <= sim.now;
    if (blocked) return wait(WAIT_OUT, out.link);
    if (filled == WAIT_IN && fill.slot == scale.slot && fill.slice == 0) return wait(WAIT_IN, in);
    wait(BUSY, nullptr);  // a row is on its way inside
  }

 private:
  i64 slices(const RowsStep& s) const { return s.beats * (lanes / rate); }

  /// Goes on by one slice; true at the end of a row.
  bool next(Pass& pass) {
    const RowsStep& s = steps[pass.step];
    if (++pass.slice < slices(s)) return false;
    pass.slice = 0;
    pass.slot = (pass.slot + 1) % SLOTS;
    if (++pass.row == s.rows) {
      pass.row = 0;
      pass.step++;
    }
    return true;
  }
  bool due(i64 time) {
    if (time > sim.now && time < NEVER) at(time);
    return time <= sim.now;
  }

  State collected() {
    if (fill.step == steps.size()) return IDLE;
    Slot& slot = slots[fill.slot];
    if (!due(slot.row_free)) return IDLE;
    if (sim.strict && (fill.step != scale.step || fill.row != scale.row)) return IDLE;
    if (!in->ready(sim.now)) return WAIT_IN;
    touch(static_cast<i64>(fill.step));
    moved = true;
    i64 slice = fill.slice % (lanes / rate);
    if (slice == lanes / rate - 1) {
      if (sim.values) {
        if (fill.slice < lanes / rate) slot.taken.clear();
        slot.taken.insert(slot.taken.end(), in->front(), in->front() + lanes);
      }
      in->pop(sim);
    }
    if (next(fill)) {
      slot.row_free = NEVER;
      slot.row_ready = sim.now + sim.timing.rows_max;
      at(slot.row_ready);
    }
    return BUSY;
  }

  bool raised() {
    if (power.step == steps.size()) return false;
    Slot& slot = slots[power.slot];
    if (!due(slot.row_ready) || (power.slice == 0 && !due(slot.power_free))) return false;
    moved = true;
    const RowsStep& s = steps[power.step];
    if (next(power)) {
      if (sim.values) compute(s, slot);
      slot.row_free = sim.now + 1;
      slot.row_ready = NEVER;
      slot.power_free = NEVER;
      slot.sum_ready = sim.now + sim.timing.rows_sum;
      at(slot.sum_ready);
    }
    return true;
  }

  bool divided() {
    if (divide.step == steps.size()) return false;
    Slot& slot = slots[divide.slot];
    if (!due(slot.sum_ready) || !due(divider_free)) return false;
    slot.sum_ready = NEVER;
    slot.quotient_ready = divider_free = sim.now + sim.timing.rows_divide;
    at(divider_free);
    moved = true;
    divide.slice = slices(steps[divide.step]) - 1;
    next(divide);
    return true;
  }

  bool multiplied() {
    if (scale.step == steps.size()) return false;
    Slot& slot = slots[scale.slot];
    if (!due(slot.quotient_ready) || !out.can(sim.now)) return false;
    touch(static_cast<i64>(scale.step));
    moved = true;
    i64 beat = scale.slice / (lanes / rate);
    bool beat_ends = scale.slice % (lanes / rate) == lanes / rate - 1;
    if (beat_ends) {
      if (sim.values) std::copy_n(&slot.result[static_cast<size_t>(beat * lanes)], lanes, out.link->reserve());
      out.send(sim);
    }
    if (next(scale)) {
      slot.power_free = sim.now + 1;
      slot.quotient_ready = NEVER;
    }
    return true;
  }

  /// docs/numerics.md, softmax.
  void compute(const RowsStep& s, Slot& slot) const {
    i64 top = *std::max_element(slot.taken.begin(), slot.taken.begin() + s.cols);
    std::vector<i64> powers(slot.taken.size(), 0);
    i64 total = 0;
    for (i64 c = 0; c < s.cols; c++) {
      i64 exponent = ((top - slot.taken[static_cast<size_t>(c)]) * s.mult + (i64{1} << (s.shift - 1))) >> s.shift;
      i64 whole = std::min<i64>(exponent >> 16, 26), fine = exponent & 255;
      const i64* entry = &table[static_cast<size_t>(2 * ((exponent >> 8) & 255))];
      i64 value = entry[0] - ((entry[1] * fine + 128) >> 8);
      powers[static_cast<size_t>(c)] = (value + ((i64{1} << whole) >> 1)) >> whole;
      total += powers[static_cast<size_t>(c)];
    }
    i64 extra = 0;
    while (total >> (25 + extra)) extra++;
    i64 quotient = (s.numerator << extra) / total, down = s.out_shift + extra;
    slot.result.resize(powers.size());
    for (size_t c = 0; c < powers.size(); c++) {
      i64 scaled = (powers[c] * quotient + (i64{1} << (down - 1))) >> down;
      slot.result[c] = clamp(scaled + s.zero, s.lo, s.hi);
    }
  }
};

}  // namespace intar
