// Vector node: functions, scales, sums and pools of elements.
#pragma once
#include "lookup.h"
#include "rational.h"
#include "sim.h"

namespace intar {

struct VectorStep {
  i64 groups, beats, source, affine, per_channel, row, block, first, reduce, pool, mult, shift, bias, late, zero, lo, hi, binary, b_zx, b_zy, b_mx, b_my,
      b_shift, b_zero, b_lo, b_hi, spread, table, load, rational, load_rational;

  bool loads() const { return load >= 0 || load_rational >= 0; }
};

/// rq(v, m, s) of docs/numerics.md; other shifts appear only in lanes that nobody uses.
inline i64 requantise(i64 v, i64 m, i64 s) {
  if (s < 24 || s > 62) return 0;
  i64 high = v >> 24, low = v - (high << 24);
  return (high * m + ((low * m + (i64{1} << (s - 1))) >> 24)) >> (s - 24);
}

struct Vector : Unit {
  i64 lanes, rate, value_limit = 0, shift_only = 0;
  Link *acc = nullptr, *x = nullptr, *y = nullptr, *params = nullptr;
  Pipe out;
  Tables tables;
  Rationals rationals;
  std::vector<VectorStep> steps;

  struct Slot {
    std::vector<i64> mult, shift, bias, group;
  };
  Slot slots[2];
  i64 filled = 0, used = 0;  // groups whose parameters are complete; groups done
  size_t fetch_step = 0;
  i64 fetch_group = 0, fetch_beat = 0;
  i64 member = 0, place = 0;  // by row: group of its block, set of the beat that comes next
  i64 group = 0, beat = 0, slice = 0;

  /// Maxima of consecutive beats of x, in front of a unit with a step that has them.
  struct Run {
    i64 maxima, reduce;
  };
  bool in_front_of_x = false, behind = false;
  std::vector<Run> runs;  // of all steps that read x, where maxima stand in front
  size_t run = 0;
  i64 run_maximum = 0, folded = 0;  // maxima of the run so far, beats in `fold`
  bool full = false;                // `maximum` waits for the unit
  std::vector<i64> fold, maximum;

  /// Maxima of consecutive results, behind a unit with a step that has them.
  struct Pool {
    Vector& unit;
    std::vector<Run> runs;  // of all steps, where maxima stand behind
    size_t run = 0;
    i64 run_maximum = 0, folded = 0;
    bool full = false;  // a maximum stands at the output

    bool room(i64) const { return folded + 1 < runs[run].reduce || !full; }
    void push(Sim&) {
      if (++folded < runs[run].reduce) return;
      folded = 0;
      full = true;
      if (++run_maximum < runs[run].maxima) return;
      run_maximum = 0;
      run++;
    }
  };
  Pool pool{*this, {}};
  i64 pooled = 0;             // results in `largest`
  std::vector<i64> largest;

  Vector(Sim& s, int i) : Unit(s, i) {}

  /// `reduces`, `pools`: the unit is built for maxima of x, of results (whether or not one of these steps takes them).
  void make_runs(bool reduces, bool pools) {
    in_front_of_x = reduces;
    behind = pools;
    for (const VectorStep& s : steps) {
      if (reduces && !s.loads() && s.source) runs.push_back({s.groups * s.beats, s.reduce});
    }
    for (const VectorStep& s : steps) {
      if (pools && !s.loads()) pool.runs.push_back({s.groups * s.beats / s.pool, s.pool});
    }
    largest.resize(static_cast<size_t>(lanes));
    fold.resize(static_cast<size_t>(lanes));
    maximum.resize(static_cast<size_t>(lanes));
  }

  void tick() override {
    if (pool.full && out.link->room(sim.now)) {
      out.link->push(sim);
      pool.full = false;
      moved = true;
    }
    !behind || sim.strict ? out.drain(*this) : out.drain(*this, pool);
    wait(IDLE, nullptr);
    bool had_steps = step < static_cast<i64>(steps.size());
    i64 used_before = used;
    if (had_steps) work();
    if (!sim.strict) take_maximum();
    fetch(used_before);
    if (!had_steps) finished = out.empty() && !pool.full;
  }

 private:
  /// Computes a result, into the output or into the maximum that it is part of; true when a beat is complete.
  bool emit(const VectorStep& s, const i64* values) {
    const bool first = pooled == 0;
    pooled = pooled + 1 == s.pool ? 0 : pooled + 1;
    if (!sim.values) return pooled == 0;
    const i64* other = s.binary ? y->front() : nullptr;
    if (s.pool == 1) {
      compute(s, values, other, out.link->reserve());
      return true;
    }
    std::vector<i64> result(static_cast<size_t>(lanes));
    compute(s, values, other, result.data());
    for (size_t n = 0; n < result.size(); n++) largest[n] = first ? result[n] : std::max(largest[n], result[n]);
    if (pooled == 0) std::copy(largest.begin(), largest.end(), out.link->reserve());
    return pooled == 0;
  }

  /// One slice of `rate` elements; the beat is taken with its last slice.
  void work() {
    i64 now = sim.now;
    const VectorStep& s = steps[static_cast<size_t>(step)];
    if (s.loads()) return load(s);
    if (!out.can(now)) return wait(WAIT_OUT, out.link);
    if (s.per_channel && filled == used) return wait(WAIT_IN, params);
    Link* source = s.source ? x : acc;
    bool in_front = s.source && in_front_of_x && !sim.strict;
    if (in_front ? !full : !source->ready(now)) return wait(WAIT_IN, source);
    if (s.source && sim.strict && folded + 1 < s.reduce) {
      touch(step);
      busy();
      return fold_one(s.reduce);
    }
    if (s.binary && !y->ready(now)) return wait(WAIT_IN, y);
    touch(step);
    busy();
    if (++slice < lanes / rate) return;
    slice = 0;
    bool complete;
    if (s.source && sim.strict && s.reduce > 1) {
      fold_one(s.reduce);
      complete = emit(s, maximum.data());
    } else if (in_front) {
      complete = emit(s, maximum.data());
      full = false;
    } else {
      complete = emit(s, source->front());
      source->pop(sim);
    }
    if (s.binary) y->pop(sim);
    if (complete || !sim.strict) out.send(sim);
    if (++beat < s.beats) return;
    beat = 0;
    if (s.per_channel) used++;
    if (++group < s.groups) return;
    group = 0;
    step++;
  }

  /// Takes a beat of x into the maximum of `reduce` beats; the last one goes on to `maximum`.
  void fold_one(i64 reduce) {
    if (sim.values) {
      const i64* value = x->front();
      for (size_t n = 0; n < fold.size(); n++) fold[n] = folded ? std::max(fold[n], value[n]) : value[n];
      if (folded + 1 == reduce) maximum = fold;
    }
    x->pop(sim);
    moved = true;
    folded = folded + 1 == reduce ? 0 : folded + 1;
  }

  /// The stage in front: a beat of x a cycle, as long as there is room for the maximum that it completes.
  void take_maximum() {
    if (run == runs.size()) return;
    i64 reduce = runs[run].reduce;
    bool completes = folded + 1 == reduce;
    if ((completes && full) || !x->ready(sim.now)) return;
    fold_one(reduce);
    if (!completes) return;
    full = true;
    if (++run_maximum < runs[run].maxima) return;
    run_maximum = 0;
    run++;
  }

  /// Begins once the pipeline is empty.
  void load(const VectorStep& s) {
    if (!out.settled()) return wait(WAIT_OUT, out.link);
    if (static_cast<i64>(fetch_step) != step) {
      moved = true;
      return;
    }
    if (!params->ready(sim.now)) return wait(WAIT_IN, params);
    touch(step);
    busy();
    if (s.load_rational >= 0 ? rationals.load(sim, params, s.load_rational) : tables.load(sim, params, s.load)) step++;
  }

  /// Parameters of the next group, while the group before is processed (in strict mode: not before its turn).
  void fetch(i64 used_before) {
    i64 now = sim.now;
    if (fetch_step == steps.size()) return;
    const VectorStep& s = steps[fetch_step];
    if (s.loads() ? static_cast<i64>(fetch_step) < step : !s.per_channel) {
      fetch_step++;
      moved = true;
      return;
    }
    if (s.loads()) return;
    if (filled - used_before >= (sim.strict ? 1 : 2)) return;
    if (sim.strict && static_cast<i64>(fetch_step) != step) return;
    if (!params->ready(now)) return;
    if (s.row && member == 0 && fetch_beat == 0) place = s.first;
    if (sim.values) store_parameter(s);
    if (++place == std::max(lanes / 4, i64{1})) place = 0;
    if (!s.row || place == 0 || member + 1 == s.block) params->pop(sim);
    moved = true;
    if (++fetch_beat < (s.row ? (3 + lanes) / lanes : 4)) return;
    if (++member == s.block) member = 0;
    fetch_beat = 0;
    filled++;
    if (++fetch_group < s.groups) return;
    fetch_group = 0;
    fetch_step++;
  }

  /// Lane mode: one kind of parameter for every lane. Row mode: four elements are the four kinds, for all lanes.
  void store_parameter(const VectorStep& s) {
    const i64* value = params->front();
    for (i64 i = 0; i < lanes; i++) {
      if (!s.row) set_parameter(fetch_beat, static_cast<size_t>(i), value[i]);
      i64 kind = fetch_beat * lanes + i - 4 * place;
      if (s.row && kind >= 0 && kind < 4) {
        for (size_t n = 0; n < static_cast<size_t>(lanes); n++) set_parameter(kind, n, value[i]);
      }
    }
  }

  void set_parameter(i64 kind, size_t lane, i64 value) {
    Slot& slot = slots[filled & 1];
    if (kind == 0) slot.mult[lane] = value;
    if (kind == 1) slot.shift[lane] = value & 0xffff;
    if (kind == 1) slot.group[lane] = value >> 16 & 0xffff;
    if (kind == 2) slot.bias[lane] = value & 0xffffffff;
    if (kind == 3) slot.bias[lane] |= static_cast<i64>(static_cast<uint64_t>(value) << 32);
  }

  /// requantise() within what the unit is built for.
  i64 rescale(i64 v, i64 m, i64 shift) const {
    if (v < -value_limit || v >= value_limit) throw Fault("value " + std::to_string(v) + " exceeds the width of the unit");
    if (shift_only && m != i64{1} << 30) throw Fault("multiplier " + std::to_string(m) + " in a unit that only shifts");
    return requantise(v, m, shift);
  }

  void compute(const VectorStep& s, const i64* source, const i64* second, i64* target) {
    const Slot& slot = slots[used & 1];
    for (i64 i = 0; i < lanes; i++) {
      size_t n = static_cast<size_t>(i);
      i64 v = source[i];
      if (s.affine) {
        i64 bias = s.late ? 0 : s.per_channel ? slot.bias[n] : s.bias;
        v = s.per_channel ? rescale(v + bias, slot.mult[n], slot.shift[n]) : rescale(v + bias, s.mult, s.shift);
        v = clamp(v + s.zero, s.lo, s.hi);
      }
      if (s.binary == 1) {
        i64 sum = (v - s.b_zx) * s.b_mx + (second[i] - s.b_zy) * s.b_my;
        v = clamp(((sum + (i64{1} << (s.b_shift - 1))) >> s.b_shift) + s.b_zero, s.b_lo, s.b_hi);
      } else if (s.binary == 2) {
        i64 product = (v - s.b_zx) * (second[s.spread ? 0 : i] - s.b_zy);
        v = clamp(requantise(product, s.b_mx, s.b_shift) + (s.late ? slot.bias[n] : 0) + s.b_zero, s.b_lo, s.b_hi);
      }
      i64 member = s.per_channel ? slot.group[n] : 0;
      if (s.rational >= 0) v = rationals.evaluate(s.rational, member, v);
      target[i] = s.table < 0 ? v : tables.look_up(s.table, member, v);
    }
  }
};

}  // namespace intar
