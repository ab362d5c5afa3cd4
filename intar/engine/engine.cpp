// The engine: reads an encoded program, runs it cycle by cycle, writes statistics. Called through ctypes by run.py.
#include <memory>

#include "array_nodes.h"
#include "buffer_node.h"
#include "constant_node.h"
#include "memory_nodes.h"
#include "mover_nodes.h"
#include "rows_node.h"
#include "sim.h"
#include "vector_node.h"

namespace intar {

enum Status : i64 { FINISHED = 0, STUCK = 1, LIMIT = 2, FAULT = 3 };

/// Where the results go; all arrays are allocated by the caller, sizes known from the program.
struct Results {
  i64* head;   // status, cycles, last cycle, faulty unit, length of `order`
  i64* units;  // per unit: finished, state, link waited for, need, have, step, cycles per state
  i64* links;  // per link: pops, pushes, high water, cycles the consumer waited, cycles the producer waited
  i64* spans;  // per unit and step: first cycle, last cycle
  uint8_t* order;  // per buffer: the sides of its iterations, as they finished
  char* message;
  i64 message_size;
};

class Machine {
 public:
  Machine(Reader& in, uint8_t** images) : images_(images) {
    in.record(sim.timing);
    in.record(sim.memory);
    sim.values = in.get();
    sim.merged = sim.strict = in.get();
    sim.policy = static_cast<int>(in.get());
    limit_ = in.get();
    read_links(in);
    for (i64 nodes = in.get(); nodes > 0; nodes--) read_node(in);
    for (auto& [load, store] : after_) {
      load->after = static_cast<Store*>(sim.units.at(static_cast<size_t>(store)));
      load->after->listeners.push_back(load->id);
    }
    for (auto& [store, load] : before_) {
      store->before = static_cast<Load*>(sim.units.at(static_cast<size_t>(load)));
      store->before->listeners.push_back(store->id);
    }
    finish_links();
  }

  void run(Results& results);

 private:
  Sim sim;
  uint8_t** images_;
  i64 limit_ = 0, faulty_ = -1, ap_done_ = -1, last_move_ = 0;
  std::vector<std::unique_ptr<Unit>> owned_;
  std::vector<std::unique_ptr<BufferMemory>> memories_;
  std::vector<Store*> stores_;
  std::vector<std::pair<Load*, i64>> after_;
  std::vector<std::pair<Store*, i64>> before_;
  std::vector<i64> in_flight_;

  template <class T>
  T* add(i64 spans) {
    auto unit = std::make_unique<T>(sim, static_cast<int>(sim.units.size()));
    unit->spans.resize(static_cast<size_t>(spans));
    T* raw = unit.get();
    sim.units.push_back(raw);
    owned_.push_back(std::move(unit));
    return raw;
  }
  Link* input(i64 index, Unit* unit) {
    if (index >= 0) sim.link(index)->consumer = unit->id;
    return sim.link(index);
  }
  Link* output(i64 index, Unit* unit, i64 in_flight) {
    if (index >= 0) {
      sim.link(index)->producer = unit->id;
      in_flight_[static_cast<size_t>(index)] = in_flight;
    }
    return sim.link(index);
  }
  void output(Out& out, i64 index, Unit* unit, i64 latency) { out.make(output(index, unit, latency + 2), latency); }

  void read_links(Reader& in) {
    sim.links.resize(static_cast<size_t>(in.get()));
    for (Link& link : sim.links) {
      link.lanes = in.get();
      link.bits = in.get();
      link.depth = in.get();
    }
    in_flight_.assign(sim.links.size(), 2);
  }
  void finish_links() {
    for (size_t i = 0; i < sim.links.size(); i++) sim.links[i].make(sim.values, in_flight_[i]);
    sim.wake_at.assign(sim.units.size(), sim.timing.start);
    sim.notified.assign(sim.units.size(), -1);
  }

  void read_node(Reader& in) {
    switch (in.get()) {
      case 0: return read_load(in);
      case 1: return read_store(in);
      case 2: return read_buffer(in, false);
      case 3: return read_feed(in);
      case 4: return read_core(in);
      case 5: return read_vector(in);
      case 6: return read_gather(in);
      case 7: return read_router(in);
      case 8: return read_buffer(in, true);
      case 9: return read_rows(in);
      case 10: return read_argmax(in);
      case 11: return read_constant(in);
      default: throw Fault("unknown node kind");
    }
  }
  void read_load(Reader& in);
  void read_store(Reader& in);
  void read_buffer(Reader& in, bool image);
  void read_constant(Reader& in);
  void read_feed(Reader& in);
  void read_core(Reader& in);
  void read_vector(Reader& in);
  i64 table_latency(const Tables& tables) const;
  void read_gather(Reader& in);
  void read_router(Reader& in);
  void read_rows(Reader& in);
  void read_argmax(Reader& in);

  Status loop();
  void cycle();
  bool call_over();
  void report(Status status, Results& results);
};

// ---------------------------------------------------------------- reading

void Machine::read_load(Reader& in) {
  i64 link = in.get(), image = in.get(), word_bytes = in.get(), ratio = in.get(), ids = in.get(), after = in.get();
  std::vector<LoadStep> steps = in.records<LoadStep>();
  Load* load = add<Load>(static_cast<i64>(steps.size()));
  load->steps = std::move(steps);
  load->image = images_[image];
  load->word_bytes = word_bytes;
  load->ratio = ratio;
  load->command_at = sim.timing.start + sim.timing.load_command;
  load->free_words = sim.timing.load_fifo;
  load->run.make(sim.timing.load_burst, sim.timing.load_fifo, word_bytes);
  load->ids = input(ids, load);
  output(load->out, link, load, sim.timing.load_out);
  if (after >= 0) after_.emplace_back(load, after);
  if (sim.values) load->fifo.resize(static_cast<size_t>(sim.timing.load_fifo * word_bytes));
  load->fifo.resize(std::max<size_t>(load->fifo.size(), 1));
  load->gear.resize(static_cast<size_t>(word_bytes * std::max<i64>(1, -ratio)));
}

void Machine::read_store(Reader& in) {
  i64 link = in.get(), image = in.get(), word_bytes = in.get(), ratio = in.get(), before = in.get();
  std::vector<StoreStep> steps = in.records<StoreStep>();
  Store* store = add<Store>(static_cast<i64>(steps.size()));
  store->steps = std::move(steps);
  store->image = images_[image];
  store->word_bytes = word_bytes;
  store->ratio = ratio;
  store->in = input(link, store);
  store->run.make(sim.timing.store_burst, sim.timing.store_fifo, word_bytes);
  if (sim.values) store->fifo.resize(static_cast<size_t>(sim.timing.store_fifo * word_bytes));
  store->gear.resize(static_cast<size_t>(word_bytes * std::max<i64>(1, -ratio)));
  if (before >= 0) before_.emplace_back(store, before);
  stores_.push_back(store);
}

void Machine::read_buffer(Reader& in, bool image) {
  i64 in_link = in.get(), out_link = in.get();
  auto memory = std::make_unique<BufferMemory>();
  memory->depth = in.get();
  memory->lanes = in.get();
  if (sim.values) memory->cells.assign(static_cast<size_t>(memory->depth * memory->lanes), 0);
  BufferSide write, read;
  write.steps = in.records<BufferStep>();
  if (image) {
    read.windows = in.records<WindowStep>();
  } else {
    read.steps = in.records<BufferStep>();
  }
  read.which = READ;
  std::vector<i64> order = in.records<i64>();
  if (image) {
    memory->taps = in.records<Tap>();
  }
  const i64 latency = image ? sim.timing.image_read : sim.timing.buffer_read;
  const i64 writes = static_cast<i64>(write.steps.size());
  const i64 reads = static_cast<i64>(read.steps.size() + read.windows.size());
  if (sim.merged) {
    MergedBuffer* unit = add<MergedBuffer>(writes + reads);
    unit->runs = std::move(order);
    unit->sides[WRITE] = std::move(write);
    unit->sides[READ] = std::move(read);
    unit->memory = memory.get();
    unit->sides[WRITE].in = input(in_link, unit);
    output(unit->sides[READ].out, out_link, unit, latency);
    for (BufferSide& side : unit->sides) side.begin();
  } else {
    // The read side is visited first: in a cycle in which both act, it sees the memory as it was.
    BufferUnit* reader = add<BufferUnit>(reads);
    BufferUnit* writer = add<BufferUnit>(writes);
    reader->side = std::move(read);
    writer->side = std::move(write);
    reader->memory = writer->memory = memory.get();
    reader->other = writer;
    writer->other = reader;
    output(reader->side.out, out_link, reader, latency);
    writer->side.in = input(in_link, writer);
    reader->side.begin();
    writer->side.begin();
  }
  memories_.push_back(std::move(memory));
}

void Machine::read_constant(Reader& in) {
  i64 out_link = in.get(), image = in.get(), depth = in.get(), lanes = in.get(), bits = in.get();
  std::vector<WalkSpec> steps = in.records<WalkSpec>();
  Constant* constant = add<Constant>(static_cast<i64>(steps.size()));
  constant->steps = std::move(steps);
  constant->image = images_[image];
  constant->depth = depth;
  constant->lanes = lanes;
  constant->bits = bits;
  output(constant->out, out_link, constant, sim.timing.buffer_read);
  constant->begin();
}

void Machine::read_feed(Reader& in) {
  i64 in_link = in.get(), out_link = in.get(), rows = in.get(), lanes = in.get();
  i64 depth = in.get(), by_channel = in.get();
  std::vector<FeedStep> steps = in.records<FeedStep>();
  Feed* feed = add<Feed>(static_cast<i64>(steps.size()));
  feed->steps = std::move(steps);
  feed->rows = rows;
  feed->lanes = lanes;
  feed->depth = depth;
  feed->by_channel = by_channel;
  feed->in = input(in_link, feed);
  output(feed->out, out_link, feed, sim.timing.feed_out);
  if (!sim.values) return;
  for (Feed::Bank& bank : feed->banks) bank.cells.resize(static_cast<size_t>(rows * lanes));
}

void Machine::read_core(Reader& in) {
  i64 a = in.get(), w = in.get(), out = in.get(), rows = in.get(), lanes = in.get(), depth = in.get();
  i64 acc_bits = in.get(), a_limit = in.get(), w_limit = in.get(), contexts = in.get();
  std::vector<CoreStep> steps = in.records<CoreStep>();
  Core* core = add<Core>(static_cast<i64>(steps.size()));
  core->steps = std::move(steps);
  core->rows = rows;
  core->lanes = lanes;
  core->depth = depth;
  core->acc_bits = acc_bits;
  core->a_limit = a_limit;
  core->w_limit = w_limit;
  core->a = input(a, core);
  core->w = input(w, core);
  core->out.make(output(out, core, rows * (sim.timing.core + sim.timing.core_out + 4)), sim.timing.core_out);
  if (!sim.values) return;
  core->accumulators.assign(static_cast<size_t>(contexts), std::vector<i64>(static_cast<size_t>(rows * lanes)));
}

i64 Machine::table_latency(const Tables& tables) const {
  const Timing& t = sim.timing;
  if (tables.specs.empty()) return 0;
  return tables.parts == 1 ? t.vector_table : tables.parts == 2 ? t.vector_slopes : t.vector_curves;
}

void Machine::read_vector(Reader& in) {
  i64 acc = in.get(), x = in.get(), y = in.get(), params = in.get(), out = in.get();
  i64 lanes = in.get(), rate = in.get(), affine = in.get(), value_bits = in.get(), shift_only = in.get();
  i64 binary = in.get();
  Tables tables;
  tables.read(in);
  Rationals rationals;
  rationals.read(in);
  i64 reduces = in.get(), pools = in.get();
  std::vector<VectorStep> steps = in.records<VectorStep>();
  Vector* vector = add<Vector>(static_cast<i64>(steps.size()));
  vector->lanes = lanes;
  vector->rate = rate;
  vector->value_limit = i64{1} << (value_bits - 1);
  vector->shift_only = shift_only;
  vector->acc = input(acc, vector);
  vector->x = input(x, vector);
  vector->y = input(y, vector);
  vector->params = input(params, vector);
  const Timing& t = sim.timing;
  i64 latency = t.vector + (affine ? t.vector_affine : 0) + (binary ? t.vector_binary : 0);
  if (!rationals.slots.empty()) latency += t.vector_rational;
  latency += table_latency(tables);
  vector->out.make(output(out, vector, latency + 2), latency);
  for (Vector::Slot& slot : vector->slots) {
    slot.mult.resize(static_cast<size_t>(lanes));
    slot.shift.resize(static_cast<size_t>(lanes));
    slot.bias.resize(static_cast<size_t>(lanes));
    slot.group.resize(static_cast<size_t>(lanes));
  }
  vector->tables = std::move(tables);
  vector->rationals = std::move(rationals);
  vector->steps = std::move(steps);
  vector->make_runs(reduces, pools);
}

void Machine::read_gather(Reader& in) {
  i64 in_link = in.get(), out_link = in.get(), lanes = in.get();
  std::vector<GatherStep> steps = in.records<GatherStep>();
  Gather* gather = add<Gather>(static_cast<i64>(steps.size()));
  gather->lanes = lanes;
  gather->steps = std::move(steps);
  gather->in = input(in_link, gather);
  output(gather->out, out_link, gather, sim.timing.gather);
  gather->begin();
}

void Machine::read_argmax(Reader& in) {
  i64 in_link = in.get(), out_link = in.get(), lanes = in.get();
  std::vector<ArgmaxStep> steps = in.records<ArgmaxStep>();
  Argmax* argmax = add<Argmax>(static_cast<i64>(steps.size()));
  argmax->lanes = lanes;
  argmax->steps = std::move(steps);
  argmax->in = input(in_link, argmax);
  output(argmax->out, out_link, argmax, 0);
}

void Machine::read_rows(Reader& in) {
  i64 in_link = in.get(), params = in.get(), table_link = in.get(), out_link = in.get();
  Tables tables;
  tables.read(in);
  std::vector<i64> loads = in.records<i64>();
  i64 lanes = in.get(), rate = in.get(), slots = in.get(), divisions = in.get(), norm = in.get();
  std::vector<i64> table = in.records<i64>();
  std::vector<RowsStep> steps = in.records<RowsStep>();
  Rows* rows = add<Rows>(static_cast<i64>(steps.size()));
  rows->lanes = lanes;
  rows->rate = rate;
  rows->slots.resize(static_cast<size_t>(slots));
  rows->dividers_free.resize(static_cast<size_t>(divisions));
  rows->table = std::move(table);
  rows->steps = std::move(steps);
  rows->in = input(in_link, rows);
  rows->params = input(params, rows);
  rows->table_beats = input(table_link, rows);
  rows->lookup_stages = table_latency(tables);
  i64 latency = sim.timing.rows_out + (norm ? sim.timing.rows_norm : 0) + rows->lookup_stages;
  rows->tables = std::move(tables);
  rows->loads = std::move(loads);
  rows->out.make(output(out_link, rows, latency + 2), latency);
}

void Machine::read_router(Reader& in) {
  std::vector<i64> inputs = in.records<i64>(), outputs = in.records<i64>();
  std::vector<RouterStep> steps(static_cast<size_t>(in.get()));
  for (RouterStep& step : steps) {
    step.rounds = in.get();
    step.beats = in.get();
    step.period = in.get();
    step.beats_last = in.get();
    step.legs.resize(static_cast<size_t>(in.get()));
    for (Leg& leg : step.legs) {
      leg.source = in.get();
      leg.targets = in.records<i64>();
    }
  }
  Router* router = add<Router>(static_cast<i64>(steps.size()));
  router->steps = std::move(steps);
  for (i64 link : inputs) router->in.push_back(input(link, router));
  router->out.resize(outputs.size());
  for (size_t i = 0; i < outputs.size(); i++) {
    if (outputs[i] >= 0) output(router->out[i], outputs[i], router, sim.timing.router);
  }
}

// ---------------------------------------------------------------- running

void Machine::cycle() {
  i64 now = sim.now;
  for (size_t i = 0; i < sim.units.size(); i++) {
    if (sim.wake_at[i] > now) continue;
    Unit& unit = *sim.units[i];
    faulty_ = static_cast<i64>(i);
    unit.account(now);
    unit.moved = false;
    unit.timer = NEVER;
    unit.tick();
    if (unit.moved) last_move_ = now;
    // A neighbour that acted earlier in this cycle may have changed what this unit sees in the next one.
    sim.wake_at[i] = unit.moved || sim.notified[i] > now ? now + 1 : std::max(unit.timer, now + 1);
  }
}

bool Machine::call_over() {
  i64 last = sim.timing.start;
  for (Store* store : stores_) {
    if (!store->finished) return false;
    last = std::max(last, store->done_at);
  }
  ap_done_ = last + sim.timing.done;
  return true;
}

Status Machine::loop() {
  i64 wake = sim.timing.start;
  while (wake < NEVER) {
    sim.now = wake;
    if (sim.now > limit_) return LIMIT;
    cycle();
    if (ap_done_ < 0) call_over();
    wake = NEVER;
    for (i64 time : sim.wake_at) wake = std::min(wake, time);
  }
  for (Unit* unit : sim.units) {
    if (!unit->finished) return STUCK;
  }
  for (const Link& link : sim.links) {
    if (link.tail != link.head) return STUCK;
  }
  ap_done_ = last_move_ + sim.timing.done;
  return FINISHED;
}

void Machine::run(Results& results) {
  Status status = FAULT;
  try {
    status = loop();
  } catch (const Fault& fault) {
    std::strncpy(results.message, fault.what(), static_cast<size_t>(results.message_size - 1));
  }
  report(status, results);
}

void Machine::report(Status status, Results& results) {
  i64 end = ap_done_ >= 0 ? ap_done_ : sim.now;
  results.head[0] = status;
  results.head[1] = std::max<i64>(ap_done_, 0);
  results.head[2] = sim.now;
  results.head[3] = status == FAULT ? faulty_ : -1;
  i64 *unit_at = results.units, *span_at = results.spans, *link_at = results.links;
  for (Unit* unit : sim.units) {
    unit->account(end);
    i64 link = unit->waits ? unit->waits - sim.links.data() : -1;
    for (i64 value : {i64{unit->finished}, i64{unit->state}, link, unit->need, unit->have, unit->step}) *unit_at++ = value;
    for (i64 count : unit->counts) *unit_at++ = count;
    for (const Span& span : unit->spans) {
      *span_at++ = span.first;
      *span_at++ = span.last;
    }
  }
  for (const Link& link : sim.links) {
    for (i64 value : {link.head, link.tail, link.high_water, link.wait_in, link.wait_out}) *link_at++ = value;
  }
  uint8_t* order_at = results.order;
  for (const auto& memory : memories_) order_at = std::copy(memory->order.begin(), memory->order.end(), order_at);
  results.head[4] = order_at - results.order;
}

}  // namespace intar

extern "C" int64_t intar_engine_run(const int64_t* program, int64_t length, uint8_t** images,
                                    intar::Results* results) {
  results->message[0] = 0;
  try {
    intar::Reader reader{program, program + length};
    intar::Machine machine(reader, images);
    machine.run(*results);
    return 0;
  } catch (const std::exception& error) {
    std::strncpy(results->message, error.what(), static_cast<size_t>(results->message_size - 1));
    return 1;
  }
}
