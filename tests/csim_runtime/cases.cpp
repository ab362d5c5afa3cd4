// Small regions that exercise the csim runtime; the first argument names the case, the second is its parameter.
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <stdexcept>

#include "hls_stream.h"
#include "hls_task.h"
#include "hls_vector.h"

using intar::csim::Region;

static int parameter = 0;

// Each side sends `parameter` tokens before it takes any: the streams must hold that many.
void exchange_left(hls::stream<int>& go, hls::stream<int>& from, hls::stream<int>& to) {
    go.read();
    for (int i = 0; i < parameter; ++i) to.write(i);
    for (int i = 0; i < parameter; ++i) from.read();
}
void exchange_right(hls::stream<int>& from, hls::stream<int>& to, hls::stream<int>& done) {
    int sum = 0;
    for (int i = 0; i < parameter; ++i) {
        if (i == 0) sum = from.read();
        to.write(i);
    }
    for (int i = 1; i < parameter; ++i) sum += from.read();
    done.write(sum);
}

namespace {

void count_up(int n, hls::stream<int>& out) {
    for (int i = 0; i < n; ++i) out.write(i);
}

void sum_up(int n, hls::stream<int>& in, long* sum) {
    for (int i = 0; i < n; ++i) *sum += in.read();
}

void twice(hls::stream<int>& in, hls::stream<int>& out) { out.write(2 * in.read()); }

// A chain of a source, two tasks and a sink; called three times with the same tasks.
int chain() {
    long total = 0;
    for (int call = 0; call < 3; ++call) {
        hls_thread_local hls::stream<int, 4> a("a"), b("b"), c("c");
        hls_thread_local hls::task first(twice, a, b), second(twice, b, c);
        long sum = 0;
        Region region("chain");
        region.spawn("sink", sum_up, 100, c, &sum);
        region.spawn("source", count_up, 100, a);
        region.run();
        total += sum;
    }
    printf("%ld\n", total);
    return 0;
}

int exchange() {
    hls_thread_local hls::stream<int, 8> there("there"), back("back");
    hls_thread_local hls::stream<int, 2> go("go"), done("done");
    hls_thread_local hls::task left(exchange_left, go, back, there), right(exchange_right, there, back, done);
    long sum = 0;
    Region region("exchange");
    region.spawn("start", count_up, 1, go);
    region.spawn("collect", sum_up, 1, done, &sum);
    region.run();
    printf("%ld\n", sum);
    return 0;
}

// Both sides read first: no depth helps.
void wait_first(hls::stream<int>& from, hls::stream<int>& to) { to.write(from.read()); }
int starved() {
    hls::stream<int> a("a"), b("b");
    Region region("starved");
    region.spawn("left", wait_first, a, b);
    region.spawn("right", wait_first, b, a);
    region.run();
    return 0;
}

int leftover() {
    hls::stream<int, 16> a("numbers");
    long sum = 0;
    Region region("leftover");
    region.spawn("source", count_up, 10, a);
    region.spawn("sink", sum_up, 7, a, &sum);
    region.run();
    return 0;
}

int two_readers() {
    hls::stream<int, 16> a("shared");
    long sum = 0;
    Region region("two_readers");
    region.spawn("source", count_up, 10, a);
    region.spawn("one", sum_up, 5, a, &sum);
    region.spawn("two", sum_up, 5, a, &sum);
    region.run();
    return 0;
}

void idle_task(hls::stream<int>&) {}
int idle() {
    hls::stream<int, 2> a("a");
    hls::task task(idle_task, a);
    Region region("idle");
    region.run();
    return 0;
}

void throwing() { throw std::runtime_error("out of cheese"); }
int thrown() {
    Region region("thrown");
    region.spawn("thrower", throwing);
    region.run();
    return 0;
}

// A local array of 64 MB, written at both ends.
void deep(hls::stream<int>& out) {
    volatile char big[64 << 20];
    big[0] = 3;
    big[sizeof big - 1] = 4;
    out.write(big[0] + big[sizeof big - 1]);
}
int stack() {
    hls::stream<int, 2> a("a");
    long sum = 0;
    Region region("stack");
    region.spawn("deep", deep, a);
    region.spawn("sink", sum_up, 1, a, &sum);
    region.run();
    printf("%ld\n", sum);
    return 0;
}

void clamping(hls::stream<int>& in, hls::stream<int>& out) {
    int value = in.read();
    if (value > 20) {
        intar::saturated(7);
        value = 20;
    }
    out.write(value);
}
int saturation() {
    hls_thread_local hls::stream<int, 4> a("a"), b("b");
    hls_thread_local hls::task clamp(clamping, a, b);
    long sum = 0;
    Region region("saturation");
    region.spawn("source", count_up, 30, a);
    region.spawn("sink", sum_up, 30, b, &sum);
    region.run();
    printf("%ld %llu %llu\n", sum, (unsigned long long)intar::saturations(7), (unsigned long long)intar::saturations(6));
    return 0;
}

int vectors() {
    typedef hls::vector<int8_t, 64> wide;
    typedef hls::vector<int32_t, 3> odd;
    static_assert(sizeof(wide) == 64 && sizeof(odd) == 12, "a vector is as large as its elements");
    static_assert(std::is_trivially_copyable<wide>::value, "vectors travel in streams");
    odd a = {1, 2, 3}, b(10), c;
    c = a + b * a - 1;
    printf("%d %d %d %d %d\n", c[0], c[1], c[2], c.reduce_add(), c == odd({10, 21, 32}));
    return 0;
}

// Reads scratchpad memory that the first call has filled and the second has not.
void careless(hls::stream<int>& in, hls::stream<int>& out) {
    int memory[4];
    const int fill = in.read();
    for (int i = 0; i < fill; ++i) memory[i] = 1;
    out.write(memory[3]);
}
int uninitialised() {
    hls_thread_local hls::stream<int, 2> a("a"), b("b");
    hls_thread_local hls::task task(careless, a, b);
    for (int fill = 4; fill >= 0; fill -= 4) {
        a.write(fill);
        printf("%d\n", b.read());
    }
    return 0;
}

int overflow() {
    hls::stream<int, 2> a("a");
    a.write(0x7fffffff);
    const int wrapped = a.read() + parameter;
    printf("%d\n", wrapped);
    return 0;
}

}  // namespace

int main(int argc, char** argv) {
    const struct {
        const char* name;
        int (*run)();
    } cases[] = {{"chain", chain},       {"exchange", exchange},     {"starved", starved},
                 {"leftover", leftover}, {"two_readers", two_readers}, {"idle", idle},
                 {"thrown", thrown},     {"stack", stack},           {"saturation", saturation},
                 {"vectors", vectors},   {"overflow", overflow},     {"uninitialised", uninitialised}};
    parameter = argc > 2 ? atoi(argv[2]) : 0;
    for (const auto& item : cases) {
        if (argc > 1 && strcmp(item.name, argv[1]) == 0) return item.run();
    }
    return 2;
}
