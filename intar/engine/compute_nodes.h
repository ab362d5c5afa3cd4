// Feed, core, vector, gather and router nodes.
#pragma once
#include <deque>

#include "lookup.h"
#include "rational.h"
#include "sim.h"

namespace intar {

// ---------------------------------------------------------------- feed

struct FeedStep {
  i64 tiles, m_tiles, rows, rows_last, blocks, k_first, k_last, replay;
};

struct Feed : Unit {
  i64 rows, lanes, depth, by_channel;  // depth: elements of a row that go out together
  Link* in = nullptr;
  Out out;
  std::vector<FeedStep> steps;

  struct Bank {
    std::vector<i64> cells;  // rows x lanes
    i64 rows = 0, first = 0, channels = 0, replay = 0, step = 0;
    bool full = false;
    i64 since = 0;  // first cycle in which the other side may use it
  };
  Bank banks[2];
  int filling = 0, sending = 0;
  size_t fill_step = 0;
  i64 tile = 0, m = 0, block = 0, taken = 0, sent = 0, replayed = 0;

  Feed(Sim& s, int i) : Unit(s, i) {}

  void tick() override {
    out.drain(*this);
    State sent = send(), filled = fill();
    // The side that the rest of the machine waits for is the sender.
    if (sent == BUSY || filled == BUSY) {
      state = BUSY;
      waits = nullptr;
    } else if (sent == WAIT_OUT) {
      wait(WAIT_OUT, out.link);
    } else if (fill_step < steps.size()) {
      wait(WAIT_IN, filled == WAIT_IN ? in : nullptr);
    } else {
      wait(IDLE, nullptr);
      finished = !banks[0].full && !banks[1].full && out.empty();
    }
    step = static_cast<i64>(banks[sending].full ? banks[sending].step : static_cast<i64>(fill_step));
  }

 private:
  State send() {
    i64 now = sim.now;
    Bank& bank = banks[sending];
    if (!bank.full) return IDLE;
    if (bank.since > now) {
      at(bank.since);
      return IDLE;
    }
    if (!out.can(now)) return WAIT_OUT;
    if (sim.values) {
      i64* beat = out.link->reserve();
      const i64 channel = bank.first + sent;
      for (i64 r = 0; r < rows; r++) {
        for (i64 d = 0; d < depth; d++) {
          const i64 place = by_channel ? d * rows + r : r * depth + d;
          beat[place] = r < bank.rows ? bank.cells[static_cast<size_t>(r * lanes + channel * depth + d)] : 0;
        }
      }
    }
    out.send(sim);
    touch(bank.step);
    moved = true;
    if (bank.first + ++sent == bank.channels) {
      sent = 0;
      if (++replayed == bank.replay) {
        replayed = 0;
        bank.full = false;
        bank.since = now + 1;
        if (!sim.strict) sending ^= 1;
      }
    }
    return BUSY;
  }

  State fill() {
    i64 now = sim.now;
    if (fill_step == steps.size()) return IDLE;
    Bank& bank = banks[filling];
    if (bank.full) return IDLE;
    if (bank.since > now) {
      at(bank.since);
      return IDLE;
    }
    if (!in->ready(now)) return WAIT_IN;
    const FeedStep& s = steps[fill_step];
    if (sim.values) {
      std::memcpy(&bank.cells[static_cast<size_t>(taken * lanes)], in->front(), static_cast<size_t>(lanes) * sizeof(i64));
    }
    in->pop(sim);
    touch(static_cast<i64>(fill_step));
    moved = true;
    i64 wanted = m == s.m_tiles - 1 ? s.rows_last : s.rows;
    if (++taken < wanted) return BUSY;
    taken = 0;
    bank.rows = wanted;
    bank.first = block == 0 ? s.k_first : 0;
    bank.channels = block == s.blocks - 1 ? s.k_last : lanes / depth;
    bank.replay = s.replay;
    bank.step = static_cast<i64>(fill_step);
    bank.full = true;
    bank.since = now + sim.timing.feed;
    at(bank.since);
    if (!sim.strict) filling ^= 1;
    if (++block == s.blocks) {
      block = 0;
      if (++m == s.m_tiles) {
        m = 0;
        if (++tile == s.tiles) {
          tile = 0;
          fill_step++;
        }
      }
    }
    return BUSY;
  }
};

// ---------------------------------------------------------------- core

struct CoreStep {
  i64 tiles, m_tiles, visits, contexts, k, k_last, rows, rows_last;
};

struct Core : Unit {
  i64 rows, lanes, depth, acc_bits;
  i64 a_limit, w_limit;  // operands are within -limit ... limit - 1 (0: they are as wide as the elements that bring them)
  Link *a = nullptr, *w = nullptr;
  Out out;
  std::vector<CoreStep> steps;
  std::vector<std::vector<i64>> accumulators;  // one rows x lanes array per context

  struct Flush {
    i64 due, rows;
  };
  std::deque<Flush> flushes;  // tiles that have ended and travel down the pipeline; due in cycles of its own clock
  i64 stalls = 0;             // cycles in which the pipeline stood still
  i64 stalled_since = -1;
  i64 clock = 0;              // now without the stalls
  i64 draining = 0;           // rows that the shadow accumulators still hold
  i64 tile = 0, m = 0, visit = 0, context = 0, beat = 0;

  Core(Sim& s, int i) : Unit(s, i) {}

  void tick() override {
    i64 now = sim.now;
    if (stalled_since >= 0) stalls += now - stalled_since;
    stalled_since = -1;
    clock = now - stalls;
    wait(IDLE, nullptr);
    out.drain(*this);
    if (draining > 0 && out.can(now)) {
      out.send(sim);
      draining--;
      moved = true;
    }
    if (!flushes.empty() && flushes.front().due <= clock) {
      if (draining == 0) {
        draining = flushes.front().rows;
        flushes.pop_front();
        moved = true;
      } else {
        stalled_since = now;
        return wait(WAIT_OUT, out.link);
      }
    }
    if (!flushes.empty()) at(now + flushes.front().due - clock);
    if (step < static_cast<i64>(steps.size())) return accept(now);
    if (draining > 0) wait(WAIT_OUT, out.link);
    finished = flushes.empty() && draining == 0 && out.empty();
  }

 private:
  void accept(i64 now) {
    if (sim.strict && (draining > 0 || !flushes.empty())) return wait(WAIT_OUT, out.link);
    if (!a->ready(now)) return wait(WAIT_IN, a);
    if (!w->ready(now)) return wait(WAIT_IN, w);
    const CoreStep& s = steps[static_cast<size_t>(step)];
    if (sim.values) multiply();
    a->pop(sim);
    w->pop(sim);
    touch(step);
    busy();
    bool last_visit = visit == s.visits - 1;
    if (++beat < (last_visit ? s.k_last : s.k)) return;
    beat = 0;
    if (last_visit) end_tile(m == s.m_tiles - 1 ? s.rows_last : s.rows);
    next(s);
  }

  void multiply() {
    std::vector<i64>& sums = accumulators[static_cast<size_t>(context)];
    if (visit == 0 && beat == 0) std::fill(sums.begin(), sums.end(), 0);
    const i64 *left = a->front(), *right = w->front();
    if (a_limit) check(left, rows * depth, a_limit);
    if (w_limit) check(right, lanes * depth, w_limit);
    for (i64 r = 0; r < rows; r++) {
      i64* sum = &sums[static_cast<size_t>(r * lanes)];
      for (i64 d = 0; d < depth; d++) {
        const i64 factor = left[r * depth + d];
        if (factor == 0) continue;
        for (i64 c = 0; c < lanes; c++) {
          sum[c] += static_cast<i64>(static_cast<int32_t>(factor)) *
                    static_cast<i64>(static_cast<int32_t>(right[c * depth + d]));
        }
      }
    }
  }

  /// The multipliers are as wide as the operands, not as the elements that bring them.
  static void check(const i64* operands, i64 count, i64 limit) {
    for (i64 n = 0; n < count; n++) {
      if (operands[n] < -limit || operands[n] >= limit) {
        throw Fault("operand " + std::to_string(operands[n]) + " exceeds the width of the multipliers");
      }
    }
  }

  void end_tile(i64 count) {
    flushes.push_back({clock + sim.timing.core, count});
    at(sim.now + sim.timing.core);
    if (!sim.values) return;
    const std::vector<i64>& sums = accumulators[static_cast<size_t>(context)];
    const i64 limit = i64{1} << (acc_bits - 1);
    for (i64 r = 0; r < count; r++) {
      i64* row = out.link->reserve();
      for (i64 c = 0; c < lanes; c++) {
        row[c] = sums[static_cast<size_t>(r * lanes + c)];
        if (row[c] < -limit || row[c] >= limit) {
          throw Fault("accumulator value " + std::to_string(row[c]) + " does not fit in " +
                      std::to_string(acc_bits) + " bits");
        }
      }
    }
  }

  void next(const CoreStep& s) {
    if (++context < s.contexts) return;
    context = 0;
    if (++visit < s.visits) return;
    visit = 0;
    if (++m < s.m_tiles) return;
    m = 0;
    if (++tile < s.tiles) return;
    tile = 0;
    step++;
  }
};

// ---------------------------------------------------------------- vector

struct VectorStep {
  i64 groups, beats, source, affine, per_channel, row, reduce, pool, mult, shift, bias, zero, lo, hi, binary, b_zx, b_zy, b_mx, b_my,
      b_shift, b_zero, b_lo, b_hi, table, load, rational, load_rational;

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
    if (sim.values) store_parameter(s);
    params->pop(sim);
    moved = true;
    if (++fetch_beat < (s.row ? (3 + lanes) / lanes : 4)) return;
    fetch_beat = 0;
    filled++;
    if (++fetch_group < s.groups) return;
    fetch_group = 0;
    fetch_step++;
  }

  /// Lane mode: one kind of parameter for every lane. Row mode: the elements are the four kinds, for all lanes.
  void store_parameter(const VectorStep& s) {
    const i64* value = params->front();
    for (i64 i = 0; i < lanes; i++) {
      if (!s.row) set_parameter(fetch_beat, static_cast<size_t>(i), value[i]);
      i64 kind = fetch_beat * lanes + i;
      if (s.row && kind < 4) {
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
        v = s.per_channel ? rescale(v + slot.bias[n], slot.mult[n], slot.shift[n]) : rescale(v + s.bias, s.mult, s.shift);
        v = clamp(v + s.zero, s.lo, s.hi);
      }
      if (s.binary == 1) {
        i64 sum = (v - s.b_zx) * s.b_mx + (second[i] - s.b_zy) * s.b_my;
        v = clamp(((sum + (i64{1} << (s.b_shift - 1))) >> s.b_shift) + s.b_zero, s.b_lo, s.b_hi);
      } else if (s.binary == 2) {
        i64 product = (v - s.b_zx) * (second[i] - s.b_zy);
        v = clamp(requantise(product, s.b_mx, s.b_shift) + s.b_zero, s.b_lo, s.b_hi);
      }
      i64 member = s.per_channel ? slot.group[n] : 0;
      if (s.rational >= 0) v = rationals.evaluate(s.rational, member, v);
      target[i] = s.table < 0 ? v : tables.look_up(s.table, member, v);
    }
  }
};

// ---------------------------------------------------------------- gather

struct GatherStep {
  WalkSpec walk;
  i64 row;
};

struct Gather : Unit {
  i64 lanes;
  Link* in = nullptr;
  Out out;
  std::vector<GatherStep> steps;
  WalkAt walk;
  std::vector<i64> packed;
  i64 filled = 0, in_row = 0;

  Gather(Sim& s, int i) : Unit(s, i) {}

  void begin() {
    packed.assign(static_cast<size_t>(lanes), 0);
    if (!steps.empty()) walk.begin(&steps[0].walk);
  }

  void tick() override {
    i64 now = sim.now;
    out.drain(*this);
    wait(IDLE, nullptr);
    if (step == static_cast<i64>(steps.size())) {
      finished = out.empty();
      return;
    }
    const GatherStep& s = steps[static_cast<size_t>(step)];
    bool completes = filled + 1 == lanes || in_row + 1 == s.row;
    if (!in->ready(now)) return wait(WAIT_IN, in);
    if (!out.can(now)) return wait(WAIT_OUT, out.link);
    if (sim.values) packed[static_cast<size_t>(filled)] = in->front()[((walk.address() % lanes) + lanes) % lanes];
    in->pop(sim);
    touch(step);
    filled++;
    if (++in_row == s.row) in_row = 0;
    bool ends = walk.next() == 2;
    if (completes) send();
    if (ends) {
      if (++step < static_cast<i64>(steps.size())) walk.begin(&steps[static_cast<size_t>(step)].walk);
      else if (filled || in_row) throw Fault("the program ends inside a row");
    }
    busy();
  }

 private:
  void send() {
    if (sim.values) {
      std::copy(packed.begin(), packed.end(), out.link->reserve());
      std::fill(packed.begin(), packed.end(), 0);
    }
    out.send(sim);
    filled = 0;
  }
};

// ---------------------------------------------------------------- argmax

struct ArgmaxStep {
  i64 rows, beats, last;
};

struct Argmax : Unit {
  i64 lanes;
  Link* in = nullptr;
  Out out;
  std::vector<ArgmaxStep> steps;
  i64 row = 0, beat = 0, top = 0, index = 0;
  i64 due = -1, found = 0;  // when the index of the row that has ended may go (-1: none waits), and which it is

  Argmax(Sim& s, int i) : Unit(s, i) {}

  void tick() override {
    i64 now = sim.now;
    const bool scanning = due >= 0;
    wait(IDLE, nullptr);
    if (scanning && due <= now && out.can(now)) {
      if (sim.values) *out.link->reserve() = found;
      out.send(sim);
      due = -1;
      busy();
    } else if (scanning) {
      if (due > now) at(due);
      due > now ? wait(BUSY, nullptr) : wait(WAIT_OUT, out.link);
    }
    if (step == static_cast<i64>(steps.size())) {
      finished = due < 0;
      return;
    }
    const ArgmaxStep& s = steps[static_cast<size_t>(step)];
    const bool ends = beat + 1 == s.beats;
    if (scanning && (ends || sim.strict)) return;
    if (!in->ready(now)) return scanning ? void() : wait(WAIT_IN, in);
    take(ends ? s.last : lanes);
    touch(step);
    busy();
    if (++beat < s.beats) return;
    due = now + (s.beats == 1 ? s.last : lanes) + 1;
    at(due);
    found = index;
    beat = 0;
    if (++row < s.rows) return;
    row = 0;
    step++;
  }

 private:
  void take(i64 count) {
    if (sim.values)
      for (i64 l = 0; l < count; l++) {
        const i64 value = in->front()[l];
        if ((beat == 0 && l == 0) || value > top) {
          top = value;
          index = beat * lanes + l;
        }
      }
    in->pop(sim);
  }
};

// ---------------------------------------------------------------- router

struct Leg {
  i64 source;
  std::vector<i64> targets;
};

struct RouterStep {
  i64 rounds, beats, period, beats_last;
  std::vector<Leg> legs;
};

struct Router : Unit {
  std::vector<Link*> in;
  std::vector<Out> out;
  std::vector<RouterStep> steps;
  i64 round = 0, beat = 0;
  size_t leg = 0;

  Router(Sim& s, int i) : Unit(s, i) {}

  i64 wanted() const {
    const RouterStep& s = steps[static_cast<size_t>(step)];
    return round % s.period == s.period - 1 ? s.beats_last : s.beats;
  }

  /// Goes to the next leg, round or step.
  void advance() {
    beat = 0;
    const RouterStep& s = steps[static_cast<size_t>(step)];
    if (++leg < s.legs.size()) return;
    leg = 0;
    if (++round < s.rounds) return;
    round = 0;
    step++;
  }

  bool asks(const Link* link) const override {
    if (!Unit::asks(link)) return false;
    const Leg& at = steps[static_cast<size_t>(step)].legs[leg];
    for (i64 target : at.targets) {
      if (sim.asked(out[static_cast<size_t>(target)].link)) return true;
    }
    return false;
  }

  void tick() override {
    i64 now = sim.now;
    bool empty = true;
    for (Out& port : out) {
      if (!port.link) continue;
      port.drain(*this);
      empty = empty && port.empty();
    }
    wait(IDLE, nullptr);
    if (step == static_cast<i64>(steps.size())) {
      finished = empty;
      return;
    }
    if (wanted() == 0) {  // costs a cycle
      busy();
      return advance();
    }
    const Leg& at = steps[static_cast<size_t>(step)].legs[leg];
    Link* source = in[static_cast<size_t>(at.source)];
    if (!source->ready(now)) return wait(WAIT_IN, source);
    for (i64 target : at.targets) {
      Out& port = out[static_cast<size_t>(target)];
      if (!port.can(now)) return wait(WAIT_OUT, port.link);
    }
    for (i64 target : at.targets) {
      Out& port = out[static_cast<size_t>(target)];
      if (sim.values) std::copy_n(source->front(), source->lanes, port.link->reserve());
      port.send(sim);
    }
    source->pop(sim);
    touch(step);
    busy();
    if (++beat == wanted()) advance();
  }
};

}  // namespace intar
