// Benchmark: a perceptron 256-1024-2048-256 (2.9 M multiply-accumulates), three cores in a row, 16 lanes.
// Arguments: number of inferences. Prints the time of one inference in ms and how many outputs are wrong.
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <chrono>
#include <vector>

#include "hls_stream.h"
#include "hls_task.h"
#include "hls_vector.h"

namespace {

const int LANES = 16;
typedef hls::vector<int16_t, LANES> beat_t;

void load(const beat_t* memory, int beats, hls::stream<beat_t>& out) {
    for (int i = 0; i < beats; ++i) out.write(memory[i]);
}

void store(hls::stream<beat_t>& in, int beats, beat_t* memory) {
    for (int i = 0; i < beats; ++i) memory[i] = in.read();
}

// y = (x * w) >> 8, wrapping at 16 bits; weights arrive column tile by column tile.
template <int IN, int OUT>
void layer(hls::stream<beat_t>& x, hls::stream<beat_t>& w, hls::stream<beat_t>& y) {
    int16_t row[IN];
    for (int b = 0; b < IN / LANES; ++b) {
        const beat_t beat = x.read();
        for (int l = 0; l < LANES; ++l) row[b * LANES + l] = beat[l];
    }
    for (int t = 0; t < OUT / LANES; ++t) {
        int32_t acc[LANES] = {0};
        for (int k = 0; k < IN; ++k) {
            const beat_t weights = w.read();
            for (int l = 0; l < LANES; ++l) acc[l] += row[k] * weights[l];
        }
        beat_t result;
        for (int l = 0; l < LANES; ++l) result[l] = (int16_t)(acc[l] >> 8);
        y.write(result);
    }
}

void mlp(const beat_t* x, const beat_t* w0, const beat_t* w1, const beat_t* w2, beat_t* y) {
    hls_thread_local hls::stream<beat_t, 8> s_x("x"), s_h0("h0"), s_h1("h1"), s_y("y"), s_w0("w0"), s_w1("w1"), s_w2("w2");
    hls_thread_local hls::task t0(layer<256, 1024>, s_x, s_w0, s_h0);
    hls_thread_local hls::task t1(layer<1024, 2048>, s_h0, s_w1, s_h1);
    hls_thread_local hls::task t2(layer<2048, 256>, s_h1, s_w2, s_y);
    intar::csim::Region region("mlp");
    region.spawn("load_x", load, x, 256 / LANES, s_x);
    region.spawn("load_w0", load, w0, 256 * 1024 / LANES, s_w0);
    region.spawn("load_w1", load, w1, 1024 * 2048 / LANES, s_w1);
    region.spawn("load_w2", load, w2, 2048 * 256 / LANES, s_w2);
    region.spawn("store_y", store, s_y, 256 / LANES, y);
    region.run();
}

std::vector<int16_t> plain(const std::vector<int16_t>& x, const std::vector<beat_t>& w, int out) {
    const int in = (int)x.size();
    std::vector<int16_t> y(out);
    for (int o = 0; o < out; ++o) {
        int32_t sum = 0;
        for (int k = 0; k < in; ++k) sum += x[k] * w[(o / LANES) * in + k][o % LANES];
        y[o] = (int16_t)(sum >> 8);
    }
    return y;
}

std::vector<beat_t> noise(int elements, uint32_t seed) {
    std::vector<beat_t> data(elements / LANES);
    for (beat_t& beat : data) {
        for (int l = 0; l < LANES; ++l) beat[l] = (int16_t)((int)((seed = seed * 1664525u + 1013904223u) >> 25) - 64);
    }
    return data;
}

}  // namespace

int main(int argc, char** argv) {
    const int inferences = argc > 1 ? atoi(argv[1]) : 1;
    const std::vector<beat_t> w0 = noise(256 * 1024, 1), w1 = noise(1024 * 2048, 2), w2 = noise(2048 * 256, 3);
    const std::vector<beat_t> x = noise(256, 4);
    std::vector<beat_t> y(256 / LANES);
    const auto start = std::chrono::steady_clock::now();
    for (int i = 0; i < inferences; ++i) mlp(x.data(), w0.data(), w1.data(), w2.data(), y.data());
    const std::chrono::duration<double, std::milli> spent = std::chrono::steady_clock::now() - start;
    std::vector<int16_t> row;
    for (const beat_t& beat : x) row.insert(row.end(), beat.begin(), beat.end());
    const std::vector<int16_t> expected = plain(plain(plain(row, w0, 1024), w1, 2048), w2, 256);
    int wrong = 0;
    for (int o = 0; o < 256; ++o) wrong += y[o / LANES][o % LANES] != expected[o];
    printf("%.2f %d\n", spent.count() / inferences, wrong);
    return wrong != 0;
}
