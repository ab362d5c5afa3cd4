// intar_router.h: the pattern of a static switch.  The generated node function has the ports; this says which of them
// the next beat uses.  One beat a cycle, no gap between legs, rounds and steps.
#ifndef INTAR_ROUTER_H
#define INTAR_ROUTER_H

#include <stdint.h>

namespace intar {

// `rounds` times over the `legs` legs from `first` on; each leg moves `beats` beats, in every `period`-th round
// `beats_last`.  Neither is 0.
struct router_step {
  int32_t rounds, first, legs, beats, period, beats_last;
};

// From input `source` to the outputs whose bits are set in `targets`, 64 of them in a word.
struct router_leg {
  int32_t source;
  uint64_t targets[2];
};

class router_walker {
 public:
  explicit router_walker(int32_t first) : step_(first), round_(0), phase_(0), leg_(0), beat_(0) {}

  // The leg of the next beat.
  template <int STEPS, int LEGS>
  router_leg next(const router_step (&steps)[STEPS], const router_leg (&legs)[LEGS]) {
#pragma HLS INLINE
    const router_step step = steps[step_];
    const router_leg leg = legs[step.first + leg_];
    const bool long_round = phase_ == step.period - 1;
    const bool leg_end = beat_ == (long_round ? step.beats_last : step.beats) - 1;
    const bool round_end = leg_end && leg_ == step.legs - 1;
    const bool step_end = round_end && round_ == step.rounds - 1;
    beat_ = leg_end ? 0 : beat_ + 1;
    leg_ = round_end ? 0 : leg_end ? leg_ + 1 : leg_;
    round_ = step_end ? 0 : round_end ? round_ + 1 : round_;
    phase_ = step_end || (round_end && long_round) ? 0 : round_end ? phase_ + 1 : phase_;
    step_ = step_end ? (step_ == STEPS - 1 ? 0 : step_ + 1) : step_;
    return leg;
  }

 private:
  int32_t step_, round_, phase_, leg_, beat_;
};

}  // namespace intar

#endif
