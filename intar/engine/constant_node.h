// Memories of constants: walks over an image, one beat a cycle, with the latency of a buffer's read side.
#pragma once
#include "memory_nodes.h"

namespace intar {

struct Constant : Unit {
  i64 depth = 0, lanes = 0, bits = 0;
  const uint8_t* image = nullptr;  // beats densely, from the least significant bit on
  std::vector<WalkSpec> steps;
  WalkAt place;
  Out out;

  Constant(Sim& s, int i) : Unit(s, i) {}

  void begin() {
    if (!steps.empty()) place.begin(&steps[0]);
  }

  void tick() override {
    out.drain(*this);
    wait(IDLE, nullptr);
    if (step == static_cast<i64>(steps.size())) {
      finished = out.empty();
      return;
    }
    if (!out.can(sim.now)) return wait(WAIT_OUT, out.link);
    touch(step);
    const i64 address = place.address();
    if (sim.values) {
      if (address < 0 || address >= depth) {
        throw Fault("address " + std::to_string(address) + " outside of the memory of " + std::to_string(depth) +
                    " beats");
      }
      unpack_elements(image, address * lanes * bits, bits, lanes, out.link->reserve());
    }
    out.send(sim);
    if (place.next() == 2 && ++step < static_cast<i64>(steps.size())) place.begin(&steps[static_cast<size_t>(step)]);
    busy();
  }
};

}  // namespace intar
