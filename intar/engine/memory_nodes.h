// Load and store nodes: AXI masters with credits and bursts, word FIFOs, gearboxes.
#pragma once
#include <deque>

#include "sim.h"

namespace intar {

/// Elements of `bits` bits starting at bit `offset` of `bytes`, sign-extended.
inline void unpack_elements(const uint8_t* bytes, i64 offset, i64 bits, i64 lanes, i64* out) {
  if (bits == 8) {
    for (i64 i = 0; i < lanes; i++) out[i] = static_cast<int8_t>(bytes[offset / 8 + i]);
  } else if (bits == 16 || bits == 32) {
    const uint8_t* at = bytes + offset / 8;
    for (i64 i = 0; i < lanes; i++, at += bits / 8) {
      int32_t wide = 0;
      int16_t half = 0;
      if (bits == 16) {
        std::memcpy(&half, at, 2);
        wide = half;
      } else {
        std::memcpy(&wide, at, 4);
      }
      out[i] = wide;
    }
  } else {
    for (i64 i = 0; i < lanes; i++) {
      uint64_t value = 0;
      for (i64 b = 0; b < bits; b++) {
        i64 bit = offset + i * bits + b;
        value |= static_cast<uint64_t>((bytes[bit / 8] >> (bit % 8)) & 1) << b;
      }
      uint64_t sign = uint64_t{1} << (bits - 1);
      out[i] = static_cast<i64>((value ^ sign) - sign);
    }
  }
}

/// The inverse; the target bits must be 0 before.
inline void pack_elements(const i64* in, i64 bits, i64 lanes, uint8_t* bytes, i64 offset) {
  if (bits % 8 == 0 && offset % 8 == 0) {
    uint8_t* at = bytes + offset / 8;
    for (i64 i = 0; i < lanes; i++, at += bits / 8) std::memcpy(at, &in[i], static_cast<size_t>(bits / 8));
    return;
  }
  for (i64 i = 0; i < lanes; i++)
    for (i64 b = 0; b < bits; b++) {
      i64 bit = offset + i * bits + b;
      bytes[bit / 8] = static_cast<uint8_t>(bytes[bit / 8] | (((in[i] >> b) & 1) << (bit % 8)));
    }
}

struct Burst {
  i64 time, address, words;
  bool last;
};

/// Cuts commands at multiples of the burst length, as the AXI masters do.
struct Splitter {
  i64 length = 1, address = 0, words = 0;
  bool valid = false;
  void make(i64 most, i64 fifo, i64 word_bytes) {
    i64 limit = std::min(std::min(most, fifo), std::min<i64>(256, 4096 / word_bytes));
    while (length * 2 <= limit) length *= 2;
  }
  void take(i64 base, i64 count) {
    valid = true;
    address = base;
    words = count;
  }
  i64 next() const { return std::min(words, length - address % length); }
  void advance(i64 taken) {
    address += taken;
    words -= taken;
    valid = words > 0;
  }
};

struct Store;

struct LoadStep {
  i64 base, beats, repeat, need, words, table, pitch;
};

struct Load : Unit {
  i64 word_bytes, ratio;  // ratio > 0: beats in a word; < 0: minus the words in a beat
  uint8_t* image;
  Out out;
  Link* ids = nullptr;  // what chooses rows of a table
  i64 row = 0, row_at = -1;  // the row chosen, and when its command is there (-1: no id is held)
  Store* after = nullptr;
  std::vector<LoadStep> steps;
  Splitter run;
  size_t command = 0;
  i64 command_repeat = 0, command_at = 0, requested = 0;
  i64 free_words, in_flight = 0;
  std::deque<Burst> bursts;
  Pace pace;
  i64 stored = 0, read_at = 0, write_at = 0;  // words in the FIFO, ring positions
  std::vector<uint8_t> fifo, gear;
  bool valid = false;  // the gearbox register
  i64 index = 0, done_repeat = 0, done_beats = 0;
  Tokens tokens;  // finished commands, for a store that takes turns with this load
  std::vector<int> listeners;

  Load(Sim& s, int i) : Unit(s, i) {}
  void tick() override;

 private:
  bool gearbox(i64 now);
  void emit(const uint8_t* bytes, i64 offset);
  void take_word();
  void receive(i64 now);
  void choose(i64 now);
  void request(i64 now, i64 free_before, i64 flight_before);
};

struct StoreStep {
  i64 base, beats, words, need;
};

struct Store : Unit {
  i64 word_bytes, ratio;
  uint8_t* image;
  Link* in = nullptr;
  std::vector<StoreStep> steps;
  std::vector<int> listeners;
  Splitter run;
  size_t command = 0;
  std::deque<Burst> to_send, answers;
  Pace pace;
  i64 stored = 0, unclaimed = 0, read_at = 0, write_at = 0, sent = 0, answered = 0, done_at = -1;
  std::vector<uint8_t> fifo, gear;
  bool valid = false;
  i64 index = 0, step_beats = 0;
  size_t step_in = 0;
  Tokens tokens;
  Load* before = nullptr;
  i64 held = -1;  // commands that `before` has finished, when more are needed

  Store(Sim& s, int i) : Unit(s, i) {}
  void tick() override;

 private:
  void respond(i64 now);
  void write(i64 now);
  void issue(i64 now, i64 unclaimed_before, size_t queued_before);
  bool accept(i64 now);
  void to_fifo(const uint8_t* word);
};

// ---------------------------------------------------------------- load

inline void Load::emit(const uint8_t* bytes, i64 offset) {
  if (sim.values) unpack_elements(bytes, offset, out.link->bits, out.link->lanes, out.link->reserve());
  out.send(sim);
  touch(step);
  LoadStep& at = steps[static_cast<size_t>(step)];
  if (++done_beats == at.beats) {
    done_beats = 0;
    if (++done_repeat == at.repeat) {
      done_repeat = 0;
      step++;
      if (!listeners.empty()) tokens.post(sim.now + 1 + sim.timing.token);
      for (int listener : listeners) sim.wake(listener);
    }
  }
  busy();
}

inline void Load::take_word() {
  const uint8_t* word = &fifo[static_cast<size_t>(read_at * word_bytes)];
  if (sim.values) {
    i64 place = ratio < 0 ? index * word_bytes : 0;
    std::memcpy(&gear[static_cast<size_t>(place)], word, static_cast<size_t>(word_bytes));
  }
  read_at = read_at + 1 == sim.timing.load_fifo ? 0 : read_at + 1;
  stored--;
  free_words++;
  moved = true;
}

/// Words to beats. Returns whether a finished beat waits for room in the link.
inline bool Load::gearbox(i64 now) {
  bool room = out.can(now);
  if (ratio == 1) {
    if (!stored) return false;
    if (!room) return true;
    take_word();
    emit(gear.data(), 0);
    return false;
  }
  bool leave = valid && room;
  if (leave && ratio > 1) {
    i64 place = index * out.link->lanes * out.link->bits;
    bool transfer_ends = done_beats + 1 == steps[static_cast<size_t>(step)].beats;
    emit(gear.data(), place);
    leave = transfer_ends || ++index == ratio;
  } else if (leave) {
    emit(gear.data(), 0);
  }
  bool blocked = valid && !room;
  if (valid && !leave) return blocked;
  valid = false;
  if (ratio > 1) index = 0;
  if (stored) {
    take_word();
    valid = ratio > 1 || ++index == -ratio;
    if (valid) index = 0;
  }
  return false;
}

inline void Load::receive(i64 now) {
  if (bursts.empty()) return;
  Burst& burst = bursts.front();
  i64 time = std::max(burst.time, pace.next(sim.memory));
  if (time > now) return at(time);
  pace.use(sim.memory, now);
  if (sim.values)
    std::memcpy(&fifo[static_cast<size_t>(write_at * word_bytes)], image + burst.address * word_bytes,
                static_cast<size_t>(word_bytes));
  write_at = write_at + 1 == sim.timing.load_fifo ? 0 : write_at + 1;
  stored++;
  burst.address++;
  if (--burst.words == 0) {
    bursts.pop_front();
    in_flight--;
  }
  moved = true;
}

/// Takes an id, holds it to the table and multiplies it by the pitch of its rows: one id at a time.
inline void Load::choose(i64 now) {
  if (row_at >= 0 || command == steps.size()) return;
  if (!ids->ready(now)) {
    if (stored == 0 && bursts.empty()) wait(WAIT_IN, ids);
    return;
  }
  row = sim.values ? std::min(std::max<i64>(ids->front()[0], 0), steps[command].table - 1) : 0;
  ids->pop(sim);
  row_at = now + sim.timing.load_row;
  moved = true;
}

inline void Load::request(i64 now, i64 free_before, i64 flight_before) {
  if (run.valid) {
    i64 beats = run.next();
    if (free_before < beats || flight_before >= sim.timing.load_outstanding) return;
    bursts.push_back({now + 1 + sim.memory.latency, run.address, beats, false});
    touch(requested);
    run.advance(beats);
    free_words -= beats;
    in_flight++;
    moved = true;
    if (run.valid) return;
  }
  if (command == steps.size()) return;
  if (command_at > now) return at(command_at);
  if (ids && row_at < 0) return;
  if (row_at > now) return at(row_at);
  LoadStep& next = steps[command];
  if (next.need > 0 && command_repeat == 0) {
    i64 posted = after->tokens.seen(now);
    if (posted < next.need) {
      if (stored == 0 && bursts.empty()) wait_token(next.need, posted);
      return at(after->tokens.next());
    }
  }
  run.take(next.base + row * next.pitch, next.words);
  row_at = -1;
  requested = static_cast<i64>(command);
  if (++command_repeat == next.repeat) {
    command_repeat = 0;
    command++;
  }
  moved = true;
}

inline void Load::tick() {
  i64 now = sim.now, free_before = free_words, flight_before = in_flight;
  wait(WAIT_IN, nullptr);
  out.drain(*this);
  if (step < static_cast<i64>(steps.size()) && gearbox(now)) wait(WAIT_OUT, out.link);
  receive(now);
  State before = state;
  if (ids) choose(now);
  request(now, free_before, flight_before);
  if (before == BUSY || before == WAIT_OUT) state = before;
  if (step == static_cast<i64>(steps.size())) {
    if (before != BUSY) state = IDLE;
    finished = out.empty();
  }
}

// ---------------------------------------------------------------- store

inline void Store::respond(i64 now) {
  if (answers.empty()) return;
  if (answers.front().time > now) return at(answers.front().time);
  if (answers.front().last) {
    touch(answered);
    answered++;
    tokens.post(now + 1 + sim.timing.token);
    for (int listener : listeners) sim.wake(listener);
    done_at = now;
  }
  answers.pop_front();
  moved = true;
}

inline void Store::write(i64 now) {
  if (to_send.empty()) return;
  Burst& burst = to_send.front();
  i64 time = std::max(burst.time, pace.next(sim.memory));
  if (time > now) return at(time);
  pace.use(sim.memory, now);
  if (sim.values)
    std::memcpy(image + burst.address * word_bytes, &fifo[static_cast<size_t>(read_at * word_bytes)],
                static_cast<size_t>(word_bytes));
  read_at = read_at + 1 == sim.timing.store_fifo ? 0 : read_at + 1;
  stored--;
  burst.address++;
  if (--burst.words == 0) {
    answers.push_back({now + sim.memory.write_latency, 0, 0, burst.last});
    to_send.pop_front();
  }
  moved = true;
}

inline void Store::issue(i64 now, i64 unclaimed_before, size_t queued_before) {
  if (run.valid) {
    i64 beats = run.next();
    if (unclaimed_before < beats || static_cast<i64>(queued_before) >= sim.timing.store_outstanding) return;
    to_send.push_back({now + sim.timing.store_issue, run.address, beats, beats == run.words});
    run.advance(beats);
    unclaimed -= beats;
    moved = true;
    if (run.valid) return;
  }
  if (command == steps.size()) return;
  run.take(steps[command].base, steps[command].words);
  command++;
  moved = true;
}

inline void Store::to_fifo(const uint8_t* word) {
  if (sim.values)
    std::memcpy(&fifo[static_cast<size_t>(write_at * word_bytes)], word, static_cast<size_t>(word_bytes));
  write_at = write_at + 1 == sim.timing.store_fifo ? 0 : write_at + 1;
  stored++;
  unclaimed++;
  moved = true;
}

/// Beats to words. Returns whether a beat could be taken if one were there.
inline bool Store::accept(i64 now) {
  bool room = stored < sim.timing.store_fifo, can = room;
  if (ratio > 1) {
    can = !valid || room;
    if (valid && room) {
      to_fifo(gear.data());
      valid = false;
    }
  } else if (ratio < 0) {
    can = !valid;
    if (valid && room) {
      to_fifo(&gear[static_cast<size_t>(index * word_bytes)]);
      if (++index == -ratio) {
        index = 0;
        valid = false;
        can = true;
      }
    }
  }
  held = -1;
  if (step_in == steps.size() || !can) return can;
  if (steps[step_in].need > 0 && step_beats == 0) {
    i64 posted = before->tokens.seen(now);
    if (posted < steps[step_in].need) {
      held = posted;
      at(before->tokens.next());
      return can;
    }
  }
  if (!in->ready(now)) return can;
  bool ends = ++step_beats == steps[step_in].beats;
  touch(static_cast<i64>(step_in));
  if (sim.values) {
    if (ratio < 0 || index == 0) std::fill(gear.begin(), gear.end(), uint8_t{0});
    i64 place = ratio > 1 ? index * in->lanes * in->bits : 0;
    pack_elements(in->front(), in->bits, in->lanes, gear.data(), place);
  }
  in->pop(sim);
  if (ratio == 1) {
    to_fifo(gear.data());
  } else if (ratio < 0) {
    valid = true;
  } else if (++index == ratio || ends) {
    valid = true;
    index = 0;
  }
  if (ends) {
    step_beats = 0;
    step_in++;
  }
  busy();
  return true;
}

inline void Store::tick() {
  i64 now = sim.now, unclaimed_before = unclaimed;
  size_t queued_before = to_send.size() + answers.size();
  wait(WAIT_IN, nullptr);
  respond(now);
  // Room in the FIFO is that at the start of the cycle, so beats are taken before words leave.
  bool can = accept(now);
  if (state != BUSY && step_in < steps.size()) {
    if (held >= 0) {
      wait_token(steps[step_in].need, held);
    } else {
      wait(can ? WAIT_IN : WAIT_OUT, can ? in : nullptr);
    }
  }
  write(now);
  issue(now, unclaimed_before, queued_before);
  step = static_cast<i64>(step_in < steps.size() ? step_in : static_cast<size_t>(answered));
  finished = answered == static_cast<i64>(steps.size());
}

}  // namespace intar
