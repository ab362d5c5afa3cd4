// hls::stream<T, DEPTH>: a bounded FIFO between two processes of the simulation (see intar_csim.h).
//
// Blocking access only: what depends on time (read_nb, write_nb) is not there. A function takes `hls::stream<T>&` and any
// stream<T, DEPTH> binds to it, as in Vitis. Without DEPTH a stream holds 2 tokens, the default of the hardware.
#ifndef INTAR_CSIM_HLS_STREAM_H
#define INTAR_CSIM_HLS_STREAM_H

#include <cstdlib>
#include <cstring>
#include <memory>

#include "intar_csim.h"

namespace hls {

template <typename T, int DEPTH = 0>
class stream;

template <typename T>
class stream<T, 0> {
    static_assert(std::is_trivially_copyable<T>::value, "elements of a stream must be trivially copyable");

public:
    using value_type = T;

    stream() : stream(std::string(), 2) {}
    explicit stream(const char* name) : stream(std::string(name), 2) {}
    stream(const stream&) = delete;
    stream& operator=(const stream&) = delete;
    ~stream() {
        simulator_.close_channel(channel_);
        std::free(ring_);
    }

    T read() {
        intar::csim::Process* process = simulator_.current();
        if (channel_.reader != process) simulator_.claim_reader(channel_);
        if (channel_.fill() == 0) simulator_.wait_for_token(channel_);
        process->in_call = true;
        const T value = ring_[channel_.read & mask_];
        ++channel_.read;
        if (channel_.waiting_writer != nullptr) simulator_.wake(channel_.waiting_writer);
        return value;
    }
    void read(T& value) { value = read(); }

    void write(const T& value) {
        intar::csim::Process* process = simulator_.current();
        if (channel_.writer != process) simulator_.claim_writer(channel_);
        if (channel_.fill() >= channel_.depth) simulator_.wait_for_space(channel_);
        process->in_call = true;
        if (channel_.fill() > mask_) grow();
        ring_[channel_.written & mask_] = value;
        ++channel_.written;
        if (channel_.fill() > channel_.high_water) channel_.high_water = channel_.fill();
        if (channel_.waiting_reader != nullptr) simulator_.wake(channel_.waiting_reader);
    }

    void operator>>(T& value) { value = read(); }
    void operator<<(const T& value) { write(value); }

    // For test benches; in a kernel the answers would depend on time.
    bool empty() const { return channel_.fill() == 0; }
    bool full() const { return channel_.fill() >= channel_.depth; }
    std::size_t size() const { return static_cast<std::size_t>(channel_.fill()); }
    std::size_t capacity() const { return static_cast<std::size_t>(channel_.depth); }
    const char* get_name() const { return channel_.name.c_str(); }
    intar::csim::Channel& intar_channel() { return channel_; }

protected:
    stream(const std::string& name, int depth)
        : simulator_(intar::csim::Simulator::instance()),
          channel_(simulator_.open_channel(name, static_cast<std::uint64_t>(depth))) {
        allocate(channel_.depth > 64 ? 64 : channel_.depth);
    }

private:

    // A ring of at least `items` places, a power of two.
    void allocate(std::uint64_t items) {
        std::uint64_t places = 1;
        while (places < items) places *= 2;
        if (places * sizeof(T) > kLimit) {
            simulator_.fail(std::string("stream '") + channel_.name + "' holds more than 1 GB; does anything read it?");
        }
        const std::size_t bytes = (places * sizeof(T) + 63) / 64 * 64;
        ring_ = static_cast<T*>(::aligned_alloc(64, bytes));
        if (ring_ == nullptr) simulator_.fail("no memory for stream '" + channel_.name + "'");
        mask_ = places - 1;
    }

    void grow() {
        T* old = ring_;
        const std::uint64_t old_mask = mask_;
        allocate((old_mask + 1) * 2);
        for (std::uint64_t i = channel_.read; i != channel_.written; ++i) ring_[i & mask_] = old[i & old_mask];
        std::free(old);
    }

    static constexpr std::uint64_t kLimit = std::uint64_t(1) << 30;
    intar::csim::Simulator& simulator_;
    intar::csim::Channel& channel_;
    T* ring_ = nullptr;
    std::uint64_t mask_ = 0;
};

template <typename T, int DEPTH>
class stream : public stream<T, 0> {
    static_assert(DEPTH > 0, "the depth of a stream is at least 1");

public:
    stream() : stream<T, 0>(std::string(), DEPTH) {}
    explicit stream(const char* name) : stream<T, 0>(std::string(name), DEPTH) {}
};

}  // namespace hls

#endif  // INTAR_CSIM_HLS_STREAM_H
