// Buffer and image nodes: two sides over one memory, as two units (RTL) or as one unit in a static order (HLS).
// The sides walk; the read side of an image reads windows instead.
#pragma once
#include "sim.h"

namespace intar {

struct BufferStep {
  WalkSpec walk;
  i64 need, need_step, elements;
};

struct WindowStep {
  i64 first, stride, tiles, passes, pass_step, rows, columns, down, right, pitch, tap, taps, pad, need, need_step, need_limit;
};

struct Tap {
  i64 offset, dy, dx, height, width;
};

enum Side : int { WRITE = 0, READ = 1 };

struct BufferMemory {
  i64 depth, lanes;
  std::vector<i64> cells;
  std::vector<Tap> taps;
  std::vector<uint8_t> order;  // the sides of the iterations, as they finished

  i64* cell(i64 address) {
    if (address < 0 || address >= depth) {
      throw Fault("address " + std::to_string(address) + " outside of the memory of " + std::to_string(depth) +
                  " beats");
    }
    return &cells[static_cast<size_t>(address * lanes)];
  }
};

/// The state of one side; used by both kinds of units.
struct BufferSide {
  Side which = WRITE;
  std::vector<BufferStep> steps;
  std::vector<WindowStep> windows;  // the steps of an image's read side
  size_t step = 0;
  i64 iteration = 0, tap = 0;
  bool started = false;  // the current iteration has moved a beat
  WalkAt at;
  Link* in = nullptr;
  Out out;
  Tokens posted;

  bool done() const { return step == steps.size() + windows.size(); }
  i64 need() const {
    if (windows.empty()) return steps[step].need + iteration * steps[step].need_step;
    const WindowStep& now = windows[step];
    return std::min(now.need + iteration % now.tiles * now.need_step, now.need_limit);
  }
  void begin() {
    if (!steps.empty()) at.begin(&steps[0].walk);
  }
  bool ready(i64 now) const { return which == WRITE ? in->ready(now) : out.can(now); }

  /// Moves one beat; returns whether it ended an iteration. The caller has checked `ready`.
  bool move(Sim& sim, BufferMemory& memory) {
    started = true;
    int ended = windows.empty() ? walk(sim, memory) : window(sim, memory);
    if (!ended) return false;
    started = false;
    iteration++;
    posted.post(sim.now + 1 + sim.timing.buffer_post);
    memory.order.push_back(static_cast<uint8_t>(which));
    if (ended == 2) {
      iteration = 0;
      if (++step < steps.size()) at.begin(&steps[step].walk);
    }
    return true;
  }

 private:
  /// 0 inside an iteration, 1 at its end, 2 at the step's end.
  int walk(Sim& sim, BufferMemory& memory) {
    const BufferStep& now = steps[step];
    if (sim.values) {
      i64 address = at.address();
      if (now.elements) address = address >= 0 ? address / memory.lanes : -1;
      i64* cell = memory.cell(address);
      if (which == WRITE) {
        std::memcpy(cell, in->front(), static_cast<size_t>(memory.lanes) * sizeof(i64));
      } else {
        std::memcpy(out.link->reserve(), cell, static_cast<size_t>(memory.lanes) * sizeof(i64));
      }
    }
    if (which == WRITE) {
      in->pop(sim);
    } else {
      out.send(sim);
    }
    return at.next();
  }

  int window(Sim& sim, BufferMemory& memory) {
    const WindowStep& now = windows[step];
    if (sim.values) {
      const Tap& at = memory.taps[static_cast<size_t>(now.tap + tap)];
      const i64 first = (now.first + iteration % now.tiles * now.stride) * memory.lanes;
      const i64 offset = at.offset + iteration / now.tiles * now.pass_step * memory.lanes;
      i64* beat = out.link->reserve();
      for (i64 lane = 0; lane < memory.lanes; lane++) {
        const i64 row = (first + lane) / now.columns, column = (first + lane) % now.columns;
        const i64 y = row * now.down, x = column * now.right;  // the pixel's place
        const bool inside =
            row < now.rows && y + at.dy >= 0 && y + at.dy < at.height && x + at.dx >= 0 && x + at.dx < at.width;
        const i64 element = y * now.pitch + x + offset;
        beat[lane] = inside ? memory.cell(element >= 0 ? element / memory.lanes : -1)[element % memory.lanes] : now.pad;
      }
    }
    out.send(sim);
    if (++tap < now.taps) return 0;
    tap = 0;
    return iteration + 1 == now.tiles * now.passes ? 2 : 1;
  }
};

struct BufferUnit : Unit {
  BufferMemory* memory = nullptr;
  BufferSide side;
  BufferUnit* other = nullptr;
  i64 hold = 0;  // no beat before this cycle (switching steps)

  BufferUnit(Sim& s, int i) : Unit(s, i) {}

  void tick() override {
    i64 now = sim.now;
    side.out.drain(*this);
    wait(IDLE, nullptr);
    if (side.done()) {
      finished = side.out.empty();
      return;
    }
    if (hold > now) return at(hold);
    i64 wanted = side.need();
    if (!side.started && wanted > 0) {
      i64 posted = other->side.posted.seen(now);
      if (posted < wanted) {
        wait_token(wanted, posted);
        return at(other->side.posted.next());
      }
    }
    if (!side.ready(now)) {
      return side.which == WRITE ? wait(WAIT_IN, side.in) : wait(WAIT_OUT, side.out.link);
    }
    touch(step);
    if (side.move(sim, *memory)) sim.wake(other->id);
    if (static_cast<i64>(side.step) != step) {
      step = static_cast<i64>(side.step);
      hold = now + 1 + sim.timing.buffer_step;
    }
    busy();
  }
};

/// Both sides in one thread: iterations in the order of `runs`, or as they are possible: writes first, reads first, or reads on demand.
struct MergedBuffer : Unit {
  BufferMemory* memory = nullptr;
  BufferSide sides[2];
  std::vector<i64> runs;  // side, iterations, side, iterations, ...
  size_t run = 0;
  i64 left = 0;
  int current = -1;

  MergedBuffer(Sim& s, int i) : Unit(s, i) {}

  void tick() override {
    i64 now = sim.now;
    sides[READ].out.drain(*this);
    wait(IDLE, nullptr);
    if (current < 0 && !choose(now)) return;
    BufferSide& side = sides[current];
    if (!side.ready(now)) {
      return current == WRITE ? wait(WAIT_IN, side.in) : wait(WAIT_OUT, side.out.link);
    }
    // Steps of the write side come first in the list of spans.
    touch(step = static_cast<i64>(side.step + (current == READ ? sides[WRITE].steps.size() : 0)));
    if (side.move(sim, *memory)) current = -1;
    busy();
  }

 private:
  bool allowed(int which) const {
    return !sides[which].done() && sides[1 - which].posted.posted >= sides[which].need();
  }

  /// Decides whose iteration comes next; false when there is none (yet).
  bool choose(i64 now) {
    if (sides[WRITE].done() && sides[READ].done()) {
      finished = sides[READ].out.empty();
      return false;
    }
    if (sim.policy == PLANNED) return follow();
    int first = sim.policy == READS_FIRST ? READ : WRITE;
    for (int which : {first, 1 - first}) {
      bool alone = sides[1 - which].done();
      if (sim.policy == ON_DEMAND && which == READ && !sim.asked(sides[READ].out.link)) continue;
      if (allowed(which) && (alone || sides[which].ready(now))) {
        current = which;
        return true;
      }
    }
    int shown = allowed(WRITE) ? WRITE : READ;
    step = static_cast<i64>(sides[shown].step + (shown == READ ? sides[WRITE].steps.size() : 0));
    if (!allowed(shown)) {
      wait_token(sides[shown].done() ? 0 : sides[shown].need(), sides[1 - shown].posted.posted);
    } else {
      shown == WRITE ? wait(WAIT_IN, sides[WRITE].in) : wait(WAIT_OUT, sides[READ].out.link);
    }
    return false;
  }

  bool follow() {
    if (left == 0) {
      if (run + 1 >= runs.size()) throw Fault("the merged order ends before both sides have finished");
      left = runs[run + 1];
      run += 2;
    }
    int which = static_cast<int>(runs[run - 2]);
    if (sides[which].done()) throw Fault("the merged order has more iterations than the steps");
    if (!allowed(which)) throw Fault("the merged order starts an iteration before what it needs has been posted");
    left--;
    current = which;
    return true;
  }
};

}  // namespace intar
