// Saturation counters of the C++ model of a kernel: one 64-bit count for each place that may clamp a value.
//
// Self-contained on purpose: it also compiles with Vitis' own csim headers (whose tasks are threads, hence the
// atomics), and in synthesis nothing of it is left.
#ifndef INTAR_COUNTERS_H
#define INTAR_COUNTERS_H

#ifdef __SYNTHESIS__

namespace intar {
inline void saturated(int) {
#pragma HLS INLINE
}
}  // namespace intar

#else

#include <atomic>
#include <cstdint>

namespace intar {

const int kSaturationCounters = 1 << 14;  // identifiers are 0 .. kSaturationCounters-1

namespace detail {
inline std::atomic<std::uint64_t>* saturation_counters() {
    static std::atomic<std::uint64_t> counters[kSaturationCounters];
    return counters;
}
}  // namespace detail

// Count one clamped value in counter `id`; identifiers out of range share the last counter.
inline void saturated(int id) {
    const int slot = id >= 0 && id < kSaturationCounters ? id : kSaturationCounters - 1;
    detail::saturation_counters()[slot].fetch_add(1, std::memory_order_relaxed);
}

// Values clamped so far in counter `id`.
inline std::uint64_t saturations(int id) {
    return detail::saturation_counters()[id].load(std::memory_order_relaxed);
}

// Set every counter to zero.
inline void reset_saturations() {
    for (int id = 0; id < kSaturationCounters; ++id) {
        detail::saturation_counters()[id].store(0, std::memory_order_relaxed);
    }
}

}  // namespace intar

#endif  // __SYNTHESIS__
#endif  // INTAR_COUNTERS_H
