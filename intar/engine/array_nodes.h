// Nodes of a core: feed and multiply-accumulate array.
#pragma once
#include <deque>

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

}  // namespace intar
