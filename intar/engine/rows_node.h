// Rows node: softmax, normalisation, peaks of whole rows and rows over them, in four passes that work on four rows or more at once.
#pragma once
#include "lookup.h"
#include "sim.h"

namespace intar {

enum RowsOp : i64 { SOFTMAX, NORM, UNIT, PEAK };

struct RowsStep {
  i64 op, rows, beats, cols, first, grow, filled, cached, mult, shift, numerator, out_shift, centred, lift, epsilon, zero, lo, hi, lookup;
};

struct Rows : Unit {
  i64 lanes, rate, lookup_stages;  // of the pipeline of results, those of the tables
  std::vector<i64> table;  // value and fall of every entry (docs/numerics.md)
  std::vector<RowsStep> steps;
  Tables tables;
  std::vector<i64> loads;  // slots of `tables` that are filled first
  size_t loaded = 0;       // of `loads`
  Link *in = nullptr, *params = nullptr, *table_beats = nullptr;
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
  std::vector<Slot> slots;
  Pass fill, power, divide, scale;
  // A root or a peak waits for all divisions, a division for a root; divisions take the dividers in turn.
  std::vector<i64> dividers_free;
  size_t divider = 0;
  i64 root_free = 0;
  // Gains and offsets of the beat that the last pass is at, and the gains of the next one.
  bool has_columns = false, has_gains = false;
  std::vector<i64> next_gains, gains, offsets, groups;

  Rows(Sim& s, int i) : Unit(s, i) {}

  void tick() override {
    out.drain(*this);
    if (sim.strict && loaded < loads.size()) return filled_tables() ? busy() : wait(WAIT_IN, table_beats);
    bool acted = divided();
    acted = multiplied() || acted;
    acted = filled_tables() || acted;
    acted = columns_taken() || acted;
    bool powers = raised();
    State filled = collected();
    step = static_cast<i64>(scale.step);
    if (acted || powers || filled == BUSY) return busy();
    if (scale.step == steps.size()) {
      finished = out.empty() && loaded == loads.size();
      if (loaded < loads.size()) return wait(WAIT_IN, table_beats);
      return wait(IDLE, nullptr);
    }
    bool due_now = slots[scale.slot].quotient_ready <= sim.now;
    if (due_now && steps[scale.step].lookup >= 0 && loaded < loads.size()) return wait(WAIT_IN, table_beats);
    if (due_now && steps[scale.step].op == NORM && !has_columns) return wait(WAIT_IN, params);
    if (due_now && !out.ahead(stages(steps[scale.step]))) return wait(WAIT_OUT, out.link);
    if (filled == WAIT_IN && fill.slot == scale.slot && fill.slice == 0) return wait(WAIT_IN, in);
    wait(BUSY, nullptr);  // a row is on its way inside
  }

 private:
  /// What is not looked up does not pass the tables.
  i64 stages(const RowsStep& s) const { return s.lookup >= 0 ? out.latency : out.latency - lookup_stages; }
  bool overtakes(const RowsStep& s) {
    i64 ahead = out.ahead(stages(s));
    if (ahead) at(sim.now + ahead);
    return ahead > 0;
  }
  /// Slices of a row as it comes, and in the passes behind: a peak is one beat.
  i64 slices(const RowsStep& s) const { return s.beats * (lanes / rate); }
  i64 slices_left(const RowsStep& s) const { return s.op == PEAK ? lanes / rate : slices(s); }

  /// Goes on by one slice of `count`; true at the end of a row.
  bool next(Pass& pass, i64 count) {
    const RowsStep& s = steps[pass.step];
    if (++pass.slice < count) return false;
    pass.slice = 0;
    pass.slot = (pass.slot + 1) % slots.size();
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
    if (next(fill, slices(steps[fill.step]))) {
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
    i64 row = power.row;
    if (next(power, slices_left(s))) {
      if (sim.values) reduce(s, row, slot);
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
    const RowsStep& s = steps[divide.step];
    bool root = s.op == NORM, divides = s.op == SOFTMAX || s.op == UNIT;
    i64 divisions_end = !divides ? *std::max_element(dividers_free.begin(), dividers_free.end()) : dividers_free[divider];
    if (!due(slot.sum_ready) || !due(std::max(root_free, divisions_end))) return false;
    slot.sum_ready = NEVER;
    slot.quotient_ready = sim.now + (root ? sim.timing.rows_root : divides ? sim.timing.rows_divide : sim.timing.rows_peak);
    if (root) {
      root_free = slot.quotient_ready;
    } else if (divides) {
      dividers_free[divider] = slot.quotient_ready;
      divider = (divider + 1) % dividers_free.size();
    }
    at(slot.quotient_ready);
    moved = true;
    next(divide, 1);
    return true;
  }

  bool multiplied() {
    if (scale.step == steps.size()) return false;
    Slot& slot = slots[scale.slot];
    if (!due(slot.quotient_ready) || !out.can(sim.now)) return false;
    const RowsStep& s = steps[scale.step];
    if ((s.op == NORM && !has_columns) || (s.lookup >= 0 && loaded < loads.size()) || overtakes(s)) return false;
    touch(static_cast<i64>(scale.step));
    moved = true;
    i64 beat = scale.slice / (lanes / rate);
    bool beat_ends = scale.slice % (lanes / rate) == lanes / rate - 1;
    if (beat_ends) {
      if (sim.values) send(s, &slot.result[static_cast<size_t>(beat * lanes)], out.link->reserve());
      out.send(sim, stages(s));
      if (s.op == NORM) has_columns = false;
    }
    if (next(scale, slices_left(s))) {
      slot.power_free = sim.now + 1;
      slot.quotient_ready = NEVER;
    }
    return true;
  }

  /// One cycle of the loads, which nothing else holds up.
  bool filled_tables() {
    if (loaded == loads.size() || !table_beats->ready(sim.now)) return false;
    if (tables.load(sim, table_beats, loads[loaded])) loaded++;
    moved = true;
    return true;
  }

  /// Takes gains, then offsets, for each beat of a normalised row; those of the next beat as soon as these are done.
  bool columns_taken() {
    if (!params || scale.step == steps.size()) return false;
    bool free = has_gains ? !has_columns : true;
    if (sim.strict && (has_columns || slots[scale.slot].quotient_ready > sim.now)) free = false;
    if (!free || !params->ready(sim.now)) return false;
    if (sim.values) {
      const i64* beat = params->front();
      std::vector<i64>& target = has_gains ? offsets : next_gains;
      target.assign(beat, beat + lanes);
      if (has_gains) split_gains();
    }
    params->pop(sim);
    has_columns = has_columns || has_gains;
    has_gains = !has_gains;
    moved = true;
    return true;
  }

  /// Words of gains: 25 bits, above them the group of the table.
  void split_gains() {
    gains.resize(next_gains.size());
    groups.resize(next_gains.size());
    for (size_t c = 0; c < gains.size(); c++) {
      const uint64_t word = static_cast<uint64_t>(next_gains[c]);
      gains[c] = static_cast<i64>(word << 39) >> 39;
      groups[c] = static_cast<i64>(word >> 25 & 127);
    }
  }

  void reduce(const RowsStep& s, i64 row, Slot& slot) const {
    if (s.op == NORM) return normalise(s, slot);
    if (s.op == SOFTMAX) return compute(s, row, slot);
    magnitudes(s, slot);
  }

  /// A beat of results: powers are done, normalised elements meet their columns' gains and offsets.
  void send(const RowsStep& s, const i64* beat, i64* target) const {
    for (size_t c = 0; c < static_cast<size_t>(lanes); c++) {
      i64 value = beat[c];
      if (s.op == NORM) {
        i64 sum = value * gains[c] + (offsets[c] << (s.out_shift - 14)) + (i64{1} << (s.out_shift - 1));
        value = clamp((sum >> s.out_shift) + s.zero, s.lo, s.hi);
      }
      if (s.lookup >= 0) value = tables.look_up(s.lookup, s.op == NORM ? groups[c] : 0, value);
      target[c] = value;
    }
  }

  /// docs/numerics.md, LayerNorm and RMSNorm, up to z.
  void normalise(const RowsStep& s, Slot& slot) const {
    i64 sum = 0, squares = 0;
    for (i64 c = 0; c < s.cols; c++) {
      i64 x = slot.taken[static_cast<size_t>(c)] << s.lift;
      sum += x;
      squares += x * x;
    }
    if (!s.centred) sum = 0;
    i64 width = s.cols * squares - sum * sum + s.epsilon, pair = 0;
    while (width >> (2 * pair + 2)) pair++;
    i64 narrow = pair > 11 ? width >> (2 * pair - 22) : width << (22 - 2 * pair);
    i64 root = 0;
    for (int bit = 18; bit >= 0; bit--) {
      i64 more = root + (i64{1} << bit);
      if (more * more * narrow <= i64{1} << 60) root = more;
    }
    i64 down = s.shift + pair;
    slot.result.assign(slot.taken.size(), 0);
    for (size_t c = 0; c < static_cast<size_t>(s.cols); c++) {
      i64 apart = s.cols * (slot.taken[c] << s.lift) - sum;
      slot.result[c] = (apart * (2 * root + 1) + (i64{1} << (down - 1))) >> down;
    }
  }

  /// docs/numerics.md, rows over their peaks.
  void magnitudes(const RowsStep& s, Slot& slot) const {
    i64 peak = 1;
    for (i64 c = 0; c < s.cols; c++) peak = std::max(peak, std::abs(slot.taken[static_cast<size_t>(c)]));
    if (s.op == PEAK) {
      slot.result.assign(static_cast<size_t>(lanes), clamp(peak + s.zero, s.lo, s.hi));
      return;
    }
    i64 extra = 0;
    while (peak >> (1 + extra)) extra++;
    i64 quotient = (s.numerator << extra) / (peak << 24), down = s.out_shift + extra;
    slot.result.resize(slot.taken.size());
    for (i64 c = 0; c < static_cast<i64>(slot.taken.size()); c++) {
      i64 value = c < s.cols ? slot.taken[static_cast<size_t>(c)] : 0;
      slot.result[static_cast<size_t>(c)] = clamp(((value * quotient + (i64{1} << (down - 1))) >> down) + s.zero, s.lo, s.hi);
    }
  }

  /// docs/numerics.md, softmax.
  void compute(const RowsStep& s, i64 row, Slot& slot) const {
    i64 counted = std::min(s.cols, s.first + row * s.grow);  // but for those from `filled` up to `cached`
    i64 top = *std::max_element(slot.taken.begin() + s.cached, slot.taken.begin() + counted);
    if (s.filled > 0) top = std::max(top, *std::max_element(slot.taken.begin(), slot.taken.begin() + s.filled));
    std::vector<i64> powers(slot.taken.size(), 0);
    i64 total = 0;
    for (i64 c = 0; c < counted; c++) {
      if (c >= s.filled && c < s.cached) continue;
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
