// Tables of a unit's lanes: loading them from beats of parameters, looking them up.
#pragma once
#include "sim.h"

namespace intar {

struct TableSpec {
  i64 first, in_bits, log_entries, groups, q, lo, hi;
};

inline i64 clamp(i64 v, i64 lo, i64 hi) { return v < lo ? lo : v > hi ? hi : v; }

struct Tables {
  i64 lanes = 0, parts = 0, entry_bits = 0;
  std::vector<TableSpec> specs;
  std::vector<i64> cells[3];  // bases, slopes and curves of all tables
  i64 limit[3];
  i64 entry = 0;  // of the table that is being loaded, all parts

  void read(Reader& in) {
    lanes = in.get();
    parts = in.get();
    for (i64& most : limit) most = i64{1} << (in.get() - 1);
    entry_bits = in.get();
    const i64 entries = in.get();
    for (auto& made : cells) made.assign(static_cast<size_t>(entries), 0);
    specs = in.records<TableSpec>();
  }

  /// One cycle of a load: as many numbers as divide a beat, four at most; bases, slopes, curves. True with the last ones.
  bool load(Sim& sim, Link* from, i64 slot) {
    const TableSpec& table = specs[static_cast<size_t>(slot)];
    const i64 entries = table.groups << table.log_entries, place = entry % entries, per_number = 32 / entry_bits;
    const i64 numbers = lanes % 4 == 0 ? 4 : lanes % 2 == 0 ? 2 : 1, lane = place / per_number % lanes;
    const i64 count = numbers * per_number;
    if (sim.values) {
      const i64 most = limit[entry / entries];
      i64* target = &cells[entry / entries][static_cast<size_t>(table.first)];
      for (i64 i = 0; i < count && place + i < entries; i++) {
        i64 number = from->front()[lane + i / per_number], above = 64 - entry_bits * (1 + i % per_number);
        i64 value = static_cast<i64>(static_cast<uint64_t>(number) << above) >> (64 - entry_bits);
        if (value < -most || value >= most) {
          throw Fault("table entry " + std::to_string(value) + " exceeds the width of the unit");
        }
        target[place + i] = value;
      }
    }
    if (lane + numbers == lanes || place + count == entries) from->pop(sim);
    entry += count;
    if (entry < entries * parts) return false;
    entry = 0;
    return true;
  }

  i64 look_up(i64 slot, i64 group, i64 t) const {
    const TableSpec& table = specs[static_cast<size_t>(slot)];
    i64 shifted = t + (i64{1} << (table.in_bits - 1));
    if (shifted < 0 || shifted >> table.in_bits) throw Fault("table input " + std::to_string(t) + " out of range");
    if (group >= table.groups) throw Fault("the table has no group " + std::to_string(group));
    i64 fine = table.in_bits - table.log_entries, fraction = shifted & ((i64{1} << fine) - 1);
    size_t place = static_cast<size_t>(table.first + (group << table.log_entries) + (shifted >> fine));
    auto part = [&](int role) { return cells[role][place]; };
    i64 value = part(0);
    if (parts == 2) value += part(1) * fraction;
    if (parts == 3) value += (part(1) + (part(2) * fraction >> 8)) * fraction;
    if (table.q) value = (value + (i64{1} << (table.q - 1))) >> table.q;
    return clamp(value, table.lo, table.hi);
  }
};

}  // namespace intar
