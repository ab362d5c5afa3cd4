// Nodes that pass elements on, or pick among them: gather, argmax, router.
#pragma once
#include "sim.h"

namespace intar {

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
