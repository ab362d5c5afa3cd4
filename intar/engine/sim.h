// The clockwork of the engine: simulation time, links, units that sleep until something concerns them.
//
// Every unit looks, in cycle `now`, at the state at the start of the cycle. Links keep the cycle of their last push
// and pop for that, so that the order in which units are visited inside a cycle does not matter.
#pragma once
#include <algorithm>
#include <cstdint>
#include <cstring>
#include <stdexcept>
#include <string>
#include <vector>

namespace intar {

using i64 = int64_t;
constexpr i64 NEVER = INT64_MAX / 4;

/// A rule of the program is broken (address out of range, accumulator overflow): reported with unit and step.
struct Fault : std::runtime_error {
  using std::runtime_error::runtime_error;
};

/// Latencies and sizes of the hardware; the order is that of `Timing` in timing.py.
struct Timing {
  i64 start, done, load_command, load_row, load_out, load_burst, load_fifo, load_outstanding, store_issue, store_burst,
      store_fifo, store_outstanding, token, buffer_read, image_read, buffer_post, buffer_step, feed, feed_out, core, core_out, vector,
      vector_affine, vector_binary, vector_rational, vector_table, vector_slopes, vector_curves, gather, router, rows_max, rows_sum, rows_divide,
      rows_root, rows_peak, rows_out, rows_norm;
};

struct Memory {
  i64 latency, words_num, words_den, write_latency;
};

/// Reads the int64 array that encode.py writes.
struct Reader {
  const i64* at;
  const i64* end;
  i64 get() {
    if (at >= end) throw Fault("encoded program is too short");
    return *at++;
  }
  template <class T>
  void record(T& target) {
    static_assert(sizeof(T) % sizeof(i64) == 0, "records are int64 fields only");
    for (size_t i = 0; i < sizeof(T) / sizeof(i64); i++) reinterpret_cast<i64*>(&target)[i] = get();
  }
  template <class T>
  std::vector<T> records() {
    std::vector<T> list(static_cast<size_t>(get()));
    for (T& item : list) record(item);
    return list;
  }
};

struct Sim;

/// First-in first-out queue with a ring of vectors of int64.
struct Link {
  i64 lanes = 0, bits = 0, depth = 0;
  int producer = -1, consumer = -1;
  i64 head = 0, tail = 0, reserved = 0;  // beats popped, pushed, and computed by the producer so far
  i64 last_push = -1, last_pop = -1;
  i64 high_water = 0, wait_in = 0, wait_out = 0;
  i64 mask = 0;
  std::vector<i64> data;

  void make(bool values, i64 in_flight) {
    i64 capacity = 1;
    while (capacity < depth + in_flight) capacity *= 2;
    mask = capacity - 1;
    if (values) data.assign(static_cast<size_t>(capacity * lanes), 0);
  }
  bool ready(i64 now) const { return tail - head > (last_push == now ? 1 : 0); }
  bool room(i64 now) const { return tail - head + (last_pop == now ? 1 : 0) < depth; }
  /// Place for the values of the next beat; called before or in the cycle of the push.
  i64* reserve() {
    if (reserved - head > mask) throw Fault("value ring overflow");
    return &data[static_cast<size_t>((reserved++ & mask) * lanes)];
  }
  const i64* front() const { return &data[static_cast<size_t>((head & mask) * lanes)]; }
  inline void push(Sim& sim);
  inline void pop(Sim& sim);
};

/// How merged buffers decide what comes next: as planned, or while a plan is looked for.
enum Policy : int { PLANNED, WRITES_FIRST, READS_FIRST, ON_DEMAND };

enum State : int { BUSY, WAIT_IN, WAIT_OUT, WAIT_TOKEN, IDLE, STATES };

struct Span {
  i64 first = -1, last = -1;
};

/// Something that acts once a cycle: a node, or one side of a buffer.
struct Unit {
  Sim& sim;
  int id;
  bool moved = false, finished = false;
  i64 timer = NEVER;  // when it wants to be looked at again although nothing around it changes
  State state = IDLE;
  Link* waits = nullptr;
  i64 need = 0, have = 0, step = 0;
  i64 counts[STATES] = {0, 0, 0, 0, 0};
  i64 since = 0;
  std::vector<Span> spans;

  Unit(Sim& s, int i) : sim(s), id(i) {}
  virtual ~Unit() = default;
  virtual void tick() = 0;
  /// It has nothing else to do than to take the next beat of `link`, and whoever gets it from there, too.
  virtual bool asks(const Link* link) const { return state == WAIT_IN && waits == link; }

  void account(i64 until) {
    i64 cycles = until - since;
    if (cycles <= 0) return;
    counts[state] += cycles;
    if (waits && state == WAIT_IN) waits->wait_in += cycles;
    if (waits && state == WAIT_OUT) waits->wait_out += cycles;
    since = until;
  }
  inline void wait(State why, Link* link);
  void wait_token(i64 wanted, i64 posted) {
    state = WAIT_TOKEN;
    waits = nullptr;
    need = wanted;
    have = posted;
  }
  void at(i64 time) { timer = std::min(timer, time); }
  inline void touch(i64 index);
  inline void busy();
};

struct Sim {
  /// The link is empty and its taker asks for a beat.
  bool asked(const Link* link) const {
    return link->tail == link->head && units[static_cast<size_t>(link->consumer)]->asks(link);
  }
  i64 now = 0;
  bool values = true, strict = false, merged = false, record = false;
  int policy = 0;
  Timing timing{};
  Memory memory{};
  std::vector<Link> links;
  std::vector<Unit*> units;
  std::vector<i64> wake_at, notified;

  void wake(int unit) {
    if (unit < 0) return;
    notified[static_cast<size_t>(unit)] = now + 1;
    i64& at = wake_at[static_cast<size_t>(unit)];
    at = std::min(at, now + 1);
  }
  Link* link(i64 index) { return index < 0 ? nullptr : &links[static_cast<size_t>(index)]; }
};

inline void Unit::touch(i64 index) {
  Span& span = spans[static_cast<size_t>(index)];
  if (span.first < 0) span.first = sim.now;
  span.last = sim.now;
}

inline void Unit::wait(State why, Link* link) {
  // Reads on demand look at who waits for them.
  if (why == WAIT_IN && link && sim.policy == ON_DEMAND) sim.wake(link->producer);
  state = why;
  waits = link;
}

inline void Unit::busy() {
  state = BUSY;
  waits = nullptr;
  moved = true;
}

inline void Link::push(Sim& sim) {
  tail++;
  last_push = sim.now;
  high_water = std::max(high_water, tail - head + (last_pop == sim.now ? 1 : 0));
  sim.wake(consumer);
}

inline void Link::pop(Sim& sim) {
  head++;
  last_pop = sim.now;
  sim.wake(producer);
}

/// Output port behind a pipeline of `latency` stages (0: straight into the link). Values go ahead into the link's ring.
struct Out {
  Link* link = nullptr;
  i64 latency = 0;
  std::vector<i64> due;
  size_t first = 0, count = 0;

  void make(Link* target, i64 stages) {
    link = target;
    latency = stages;
    due.assign(static_cast<size_t>(std::max<i64>(stages, 1)), 0);
  }
  /// Moves the oldest beat into the link when its time has come. Call once a cycle, before `can`.
  void drain(Unit& unit) {
    if (!count) return;
    if (due[first] > unit.sim.now) {
      unit.at(due[first]);
    } else if (link->room(unit.sim.now)) {
      link->push(unit.sim);
      first = first + 1 == due.size() ? 0 : first + 1;
      count--;
      unit.moved = true;
    }
  }
  bool can(i64 now) const { return latency == 0 ? link->room(now) : count < due.size(); }
  void send(Sim& sim, i64 extra = 0) {
    if (latency == 0) return link->push(sim);
    due[(first + count++) % due.size()] = sim.now + latency + extra;
  }
  bool empty() const { return count == 0; }
};

/// Output port behind a pipeline that stops as a whole while the beat in its last stage is not taken.
struct Pipe {
  Link* link = nullptr;
  i64 latency = 0, stalls = 0, stalled_since = -1, clock = 0;  // `clock`: now without the stalls
  std::vector<i64> due;
  size_t first = 0, count = 0;

  void make(Link* target, i64 stages) {
    link = target;
    latency = stages;
    due.assign(static_cast<size_t>(stages + 1), 0);
  }
  /// Call once a cycle, before anything else.
  void drain(Unit& unit) { drain(unit, *link); }
  /// The same into something else than the link.
  template <class Sink>
  void drain(Unit& unit, Sink& sink) {
    i64 now = unit.sim.now;
    if (stalled_since >= 0) stalls += now - stalled_since;
    stalled_since = -1;
    clock = now - stalls;
    if (!count) return;
    if (due[first] > clock) {
      unit.at(now + due[first] - clock);
    } else if (sink.room(now)) {
      sink.push(unit.sim);
      first = first + 1 == due.size() ? 0 : first + 1;
      count--;
      unit.moved = true;
    } else {
      stalled_since = now;
    }
  }
  bool can(i64 now) const { return latency == 0 ? link->room(now) : stalled_since < 0; }
  void send(Sim& sim) { send(sim, latency); }
  /// One that skips the first stages, so that `stages` are left.
  void send(Sim& sim, i64 stages) {
    if (stages == 0) return link->push(sim);
    due[(first + count++) % due.size()] = clock + stages;
  }
  /// Cycles, without stalls, until one with `stages` left may enter and not overtake the last one.
  i64 ahead(i64 stages) const {
    return count == 0 ? 0 : std::max<i64>(0, due[(first + count - 1) % due.size()] + 1 - clock - stages);
  }
  bool empty() const { return count == 0; }
  /// Nothing before the last stage.
  bool settled() const { return count == 0 || (count == 1 && due[first] <= clock); }
};

/// A count that others see `delay` cycles after the cycle of the post.
struct Tokens {
  i64 posted = 0, visible = 0;
  std::vector<i64> due;
  size_t first = 0;

  void post(i64 time) {
    posted++;
    if (first > 64) {
      due.erase(due.begin(), due.begin() + static_cast<std::ptrdiff_t>(first));
      first = 0;
    }
    due.push_back(time);
  }
  i64 seen(i64 now) {
    while (first < due.size() && due[first] <= now) {
      first++;
      visible++;
    }
    return visible;
  }
  i64 next() const { return first < due.size() ? due[first] : NEVER; }
};

/// Memory bandwidth as a token bucket: `words_num` tokens a cycle, a word costs `words_den` (as in sim/axi_mem.cpp).
struct Pace {
  i64 tokens = 0, since = -NEVER / 4;  // as of the cycle `since`; full at the start
  i64 next(const Memory& memory) const {
    if (tokens >= memory.words_den) return since;
    return since + (memory.words_den - tokens + memory.words_num - 1) / memory.words_num;
  }
  void use(const Memory& memory, i64 now) {
    i64 most = memory.words_num + memory.words_den - 1;
    i64 cycles = std::min(now - since, most);
    tokens = std::min(tokens + cycles * memory.words_num, most) - memory.words_den;
    since = now;
  }
};

/// The five nested loops of a walk, one address after the other.
struct WalkSpec {
  i64 base, wrap, counts[5], strides[5], ragged, last;
};

struct WalkAt {
  const WalkSpec* spec = nullptr;
  i64 index[5] = {0, 0, 0, 0, 0};
  i64 start = 0, inner = 0;

  void begin(const WalkSpec* walk) {
    spec = walk;
    std::fill(index, index + 5, 0);
    row();
  }
  void row() {
    i64 outer = index[0] * spec->strides[0];
    // Python's modulo: the result has the sign of the divisor, and wraps are positive.
    if (spec->wrap) outer = ((outer % spec->wrap) + spec->wrap) % spec->wrap;
    start = spec->base + outer;
    for (int d = 1; d < 4; d++) start += index[d] * spec->strides[d];
    bool is_last = spec->ragged >= 0 && index[spec->ragged] == spec->counts[spec->ragged] - 1;
    inner = is_last ? spec->last : spec->counts[4];
  }
  i64 address() const { return start + index[4] * spec->strides[4]; }
  /// Goes on by one address. Returns 0 inside an iteration of the outermost loop, 1 at its end, 2 at the walk's end.
  int next() {
    if (++index[4] < inner) return 0;
    index[4] = 0;
    int d = 3;
    while (d >= 0 && ++index[d] == spec->counts[d]) index[d--] = 0;
    if (d < 0) return 2;
    row();
    return d == 0 ? 1 : 0;
  }
};

}  // namespace intar
