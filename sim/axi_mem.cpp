// The memory behind intar_axi_mem: regions of host memory seen through AXI4 ports, with a timing model.
//
// A region is a piece of the caller's own memory (a numpy array): nothing is copied. An access outside of all regions, a write
// to a read-only region, and a violation of the AXI4 rules below are errors; the first one is kept as text.
//
// Timing of a port, each direction for itself: a read burst whose address is taken in cycle t shows its first word in t + latency at
// the earliest; words_num / words_den words per cycle leave or enter (token bucket); a write response is shown latency cycles
// after the last word. With probability `stall` a channel does nothing in a cycle (seeded, one random stream per
// channel: the same call gives the same simulation).
#include <algorithm>
#include <cstdint>
#include <cstdio>
#include <cstring>
#include <deque>
#include <map>
#include <string>
#include <vector>

#include "svdpi.h"

namespace {

constexpr int kMaxBursts = 64;       // bursts a port accepts before it stops taking addresses
constexpr int kMaxWordBytes = 128;   // 1024 bits
constexpr uint64_t kPage = 4096;     // no burst may cross a multiple of this

struct Region {
    uint64_t base, size;
    uint8_t *data;
    bool writable;
};

struct Model {
    uint64_t latency = 1, words_num = 1, words_den = 1;
    uint32_t stall = 0;  // probability in units of 2^-32
    uint64_t seed = 0;
};

struct Random {
    uint64_t state = 1;
    void seed(uint64_t value) {  // splitmix64, so that neighbouring seeds give unrelated streams
        value += 0x9e3779b97f4a7c15ull;
        value = (value ^ (value >> 30)) * 0xbf58476d1ce4e5b9ull;
        value = (value ^ (value >> 27)) * 0x94d049bb133111ebull;
        state = (value ^ (value >> 31)) | 1;
    }
    uint32_t next() {  // xorshift64*
        state ^= state >> 12;
        state ^= state << 25;
        state ^= state >> 27;
        return uint32_t((state * 0x2545f4914f6cdd1dull) >> 32);
    }
};

struct Burst {
    uint64_t address;
    int words;
    uint64_t ready;  // first cycle in which the answer may be shown
};

struct Word {
    uint8_t data[kMaxWordBytes];
    uint8_t strobes[kMaxWordBytes / 8];
    bool last;
};

struct Held {  // what valid promised in the last cycle without being taken
    bool pending = false;
    uint64_t address = 0;
    int length = 0;
};

struct Counts {
    uint64_t read_words = 0, read_bursts = 0, write_words = 0, write_bursts = 0;
};

struct Direction {
    std::deque<Burst> bursts;
    uint64_t cycle = 0, tokens = 0;
    int done = 0;  // words of the front burst that have moved
    Held held;
    Random address_stall, data_stall, response_stall;
};

struct Port {
    bool seeded = false;
    Direction read, write;
    const uint8_t *next_word = nullptr;   // the read word that is shown next
    int word_bytes = 0;
    std::deque<Word> words;               // written words that wait for their address
    std::deque<uint64_t> responses;       // cycle from which each may be shown
    Counts counts;
    size_t last_region = 0;
};

std::vector<Region> regions;
Model model;
std::map<int, Port> ports;
std::string error_text;

void fail(int port, const std::string &text) {
    if (error_text.empty()) error_text = "port " + std::to_string(port) + ": " + text;
}

std::string hex(uint64_t value) {
    char text[24];
    std::snprintf(text, sizeof text, "0x%llx", static_cast<unsigned long long>(value));
    return text;
}

Port &port_of(int number) {
    Port &port = ports[number];
    if (!port.seeded) {
        Random *streams[] = {&port.read.address_stall, &port.read.data_stall, &port.write.address_stall,
                             &port.write.data_stall, &port.write.response_stall};
        for (uint64_t i = 0; i < 5; ++i) streams[i]->seed(model.seed * 1000003 + uint64_t(number) * 5 + i);
        port.seeded = true;
    }
    return port;
}

bool stalled(Random &random) { return model.stall != 0 && random.next() < model.stall; }

// The bucket holds what is left over when a word is one token short: with less, 2/3 would turn out as 1/2.
void refill(Direction &side) {
    side.tokens = std::min(side.tokens + model.words_num, model.words_num + model.words_den - 1);
}

uint8_t *locate(int number, Port &port, uint64_t address, uint64_t bytes, bool write) {
    for (size_t i = 0; i < regions.size(); ++i) {
        const size_t at = (port.last_region + i) % regions.size();
        const Region &region = regions[at];
        if (address < region.base || address + bytes > region.base + region.size) continue;
        port.last_region = at;
        if (write && !region.writable) {
            fail(number, "write to the input buffer at " + hex(address));
            return nullptr;
        }
        return region.data + (address - region.base);
    }
    fail(number, std::string(write ? "write" : "read") + " outside of every buffer at " + hex(address));
    return nullptr;
}

// Address channel of either direction: rules, then the burst joins the queue.
void take_address(int number, Direction &side, const char *name, int word_bytes, bool valid, bool ready, uint64_t address,
                  int length) {
    if (side.held.pending && (!valid || address != side.held.address || length != side.held.length))
        fail(number, std::string(name) + "VALID or its address changed before " + name + "READY");
    side.held = {valid && !ready, address, length};
    if (!valid || !ready) return;
    const int words = length + 1;
    if (address % uint64_t(word_bytes)) fail(number, std::string(name) + "ADDR " + hex(address) + " is not aligned to a word");
    if (address / kPage != (address + uint64_t(words) * word_bytes - 1) / kPage)
        fail(number, "burst of " + std::to_string(words) + " words at " + hex(address) + " crosses 4 KiB");
    side.bursts.push_back({address, words, side.cycle + model.latency - 1});
}

void clear(Direction &side) {
    side.bursts.clear();
    side.done = 0;
    side.tokens = 0;
    side.held = {};
}

// Written words meet their addresses.
void drain(int number, Port &port, int word_bytes) {
    Direction &side = port.write;
    while (!side.bursts.empty() && !port.words.empty()) {
        Burst &burst = side.bursts.front();
        const Word &word = port.words.front();
        uint8_t *to = locate(number, port, burst.address + uint64_t(side.done) * word_bytes, word_bytes, true);
        for (int i = 0; to && i < word_bytes; ++i)
            if (word.strobes[i / 8] >> (i % 8) & 1) to[i] = word.data[i];
        side.done++;
        const bool last = side.done == burst.words;
        if (word.last != last) fail(number, "WLAST at word " + std::to_string(side.done) + " of a burst of " + std::to_string(burst.words));
        port.words.pop_front();
        if (last) {
            port.responses.push_back(side.cycle + model.latency - 1);
            side.bursts.pop_front();
            side.done = 0;
            port.counts.write_bursts++;
        }
    }
}

}  // namespace

extern "C" {

// ---- the Python side (ctypes)
void intar_sim_reset_regions() { regions.clear(); }

void intar_sim_add_region(uint64_t base, uint64_t size, uint8_t *data, int writable) {
    regions.push_back({base, size, data, writable != 0});
}

void intar_sim_configure(uint64_t latency, uint64_t words_num, uint64_t words_den, uint32_t stall, uint64_t seed) {
    model = {std::max<uint64_t>(latency, 1), words_num, words_den, stall, seed};
    ports.clear();
}

const char *intar_sim_error() { return error_text.c_str(); }

void intar_sim_counts(int port, uint64_t *four) {
    const Counts &counts = ports[port].counts;
    four[0] = counts.read_words;
    four[1] = counts.read_bursts;
    four[2] = counts.write_words;
    four[3] = counts.write_bursts;
}

// ---- the SystemVerilog side
// Returns what the slave shows in the next cycle: bit 0 arready, 1 rvalid, 2 rlast, 3 "rdata is new: fetch it".
int intar_sim_read_step(int number, int word_bytes, svBit rst_n, svBit arvalid, svBit arready, long long araddr, int arlen, svBit rvalid,
                        svBit rready) {
    Port &port = port_of(number);
    Direction &side = port.read;
    port.word_bytes = word_bytes;
    side.cycle++;
    if (!rst_n) {
        clear(side);
        return 0;
    }
    refill(side);
    take_address(number, side, "AR", word_bytes, arvalid, arready, uint64_t(araddr), arlen);
    int shown = int(side.bursts.size()) < kMaxBursts && !stalled(side.address_stall) ? 1 : 0;
    if (rvalid && !rready) {  // keep the word; the front burst is the one it belongs to, one word further
        const bool last = side.done == 0;
        return shown | 2 | (last ? 4 : 0);
    }
    if (side.bursts.empty() || side.cycle < side.bursts.front().ready || side.tokens < model.words_den || stalled(side.data_stall))
        return shown;
    Burst &burst = side.bursts.front();
    static const uint8_t nothing[kMaxWordBytes] = {};
    port.next_word = locate(number, port, burst.address + uint64_t(side.done) * word_bytes, word_bytes, false);
    if (!port.next_word) port.next_word = nothing;
    side.tokens -= model.words_den;
    port.counts.read_words++;
    shown |= 2 | 8;
    if (++side.done == burst.words) {
        shown |= 4;
        side.done = 0;
        side.bursts.pop_front();
        port.counts.read_bursts++;
    }
    return shown;
}

void intar_sim_read_data(int number, svBitVecVal *data) {
    const Port &port = ports[number];
    std::memcpy(data, port.next_word, size_t(port.word_bytes));
}

// Returns what the slave shows in the next cycle: bit 0 awready, 1 wready, 2 bvalid.
int intar_sim_write_step(int number, int word_bytes, svBit rst_n, svBit awvalid, svBit awready, long long awaddr, int awlen, svBit wvalid,
                         svBit wready, svBit bvalid, svBit bready) {
    Port &port = port_of(number);
    Direction &side = port.write;
    side.cycle++;
    if (!rst_n) {
        clear(side);
        port.words.clear();
        port.responses.clear();
        return 0;
    }
    take_address(number, side, "AW", word_bytes, awvalid, awready, uint64_t(awaddr), awlen);
    if (wvalid && wready) {
        side.tokens -= std::min(side.tokens, model.words_den);
        port.counts.write_words++;
    }
    refill(side);  // after the word of the last cycle is paid for: what counts now is the next cycle
    drain(number, port, word_bytes);
    const bool room = side.bursts.size() + port.responses.size() < size_t(kMaxBursts);
    int shown = room && !stalled(side.address_stall) ? 1 : 0;
    // Words may run ahead of their address, as AXI4 allows, but not without bound.
    if (side.tokens >= model.words_den && port.words.size() < 16 && !stalled(side.data_stall)) shown |= 2;
    if (bvalid && !bready) {
        shown |= 4;
    } else if (!port.responses.empty() && side.cycle >= port.responses.front() && !stalled(side.response_stall)) {
        port.responses.pop_front();
        shown |= 4;
    }
    return shown;
}

void intar_sim_write_data(int number, const svBitVecVal *data, const svBitVecVal *strobes, svBit last) {
    Word word;
    std::memcpy(word.data, data, sizeof word.data);
    std::memcpy(word.strobes, strobes, sizeof word.strobes);
    word.last = last;
    ports[number].words.push_back(word);
}

}  // extern "C"
