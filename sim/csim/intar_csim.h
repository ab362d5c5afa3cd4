// The scheduler behind our hls::stream and hls::task: processes as coroutines of one thread.
//
// A process runs until it blocks on a stream, then the next runnable one goes on; so the order is deterministic, streams
// can be bounded as in hardware, and "no process can run" is an exact statement that a deadlock has happened.
//
// A generated sim_top.cpp runs one inference like this (the kernel's own source needs no change for it):
//
//     extern "C" void kernel_sim(const word_t* weights, word_t* result) {
//         hls_thread_local hls::stream<beat_t, 8> w("w"), y("y");
//         hls_thread_local hls::task core(compute_core, w, y);
//         intar::csim::Region region("kernel");
//         region.spawn("load_w", load_w, weights, w);
//         region.spawn("store_y", store_y, y, result);
//         region.run();
//     }
//
// Environment:
//     INTAR_SIM_DEPTH   overrides every stream's depth: a number, `inf`, or 0 for the declared depths
//     INTAR_SIM_SEED    takes runnable processes in a random order of this seed (the result must not change)
//     INTAR_SIM_STATS   file for JSON statistics, written after every run: depth, high-water mark, tokens, saturations
//     INTAR_SIM_REPORT  file for the JSON form of a deadlock or another fault
//     INTAR_SIM_STACK   stack of a process in MB (256; only the part that is used takes memory)
// Exit codes of faults: 40 deadlock, 41 tokens left over, 42 wrong use of a stream or of this library.
#ifndef INTAR_CSIM_H
#define INTAR_CSIM_H

#ifdef __SYNTHESIS__
#error "intar_csim.h is for simulation only; Vitis HLS has its own hls_stream.h and hls_task.h"
#endif

#include <dlfcn.h>
#include <sys/mman.h>
#include <ucontext.h>
#include <unistd.h>

#include <algorithm>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cxxabi.h>
#include <deque>
#include <exception>
#include <functional>
#include <memory>
#include <string>
#include <tuple>
#include <type_traits>
#include <utility>
#include <vector>

#include "intar_counters.h"

namespace intar {
namespace csim {

enum ExitCode { kExitDeadlock = 40, kExitLeftover = 41, kExitMisuse = 42 };
enum class Kind { host, control, task };
enum class Operation { none, read, write };

struct Channel;

// One coroutine: a control-driven process, a task, or the thread that called us (`host`).
struct Process {
    std::string name;
    Kind kind = Kind::host;
    bool finished = false;
    bool queued = false;            // in the queue of runnable processes
    bool in_call = false;           // task: touched a stream since its body was last entered
    std::uint64_t calls = 0;        // task: how often the body has been entered
    Operation operation = Operation::none;  // what it is blocked on
    Channel* channel = nullptr;
    std::function<void()> body;
    void* stack = nullptr;
    ucontext_t context;
};

// The state of one stream that does not depend on its element type; outlives the stream for the statistics.
struct Channel {
    std::string name;
    bool alive = true;
    std::uint64_t depth = 0;        // as simulated; kUnbounded without a bound
    std::uint64_t declared = 0;
    std::uint64_t written = 0;
    std::uint64_t read = 0;
    std::uint64_t high_water = 0;
    Process* reader = nullptr;      // the only process that may read, once it has done so
    Process* writer = nullptr;
    std::string reader_name, writer_name;
    std::uint64_t reader_run = 0, writer_run = 0;  // the run in which the side was taken
    Process* waiting_reader = nullptr;
    Process* waiting_writer = nullptr;
    std::vector<Process*> users;    // processes that were given the stream as an argument

    // Who is at the other end, seen from `process`: known for certain, or the other process that was given the stream.
    Process* peer(const Process* process, Operation operation) const {
        Process* known = operation == Operation::read ? writer : reader;
        if (known != nullptr || users.size() != 2) return known;
        return users[0] == process ? users[1] : users[1] == process ? users[0] : nullptr;
    }
    std::uint64_t fill() const { return written - read; }
};

const std::uint64_t kUnbounded = ~std::uint64_t(0);

// The name of a function if the linker kept it (-rdynamic), else `fallback`.
inline std::string function_name(void* function, const std::string& fallback) {
    Dl_info info;
    if (function == nullptr || dladdr(function, &info) == 0 || info.dli_sname == nullptr || info.dli_saddr != function) {
        return fallback;
    }
    int status = 0;
    std::unique_ptr<char, void (*)(void*)> plain(abi::__cxa_demangle(info.dli_sname, nullptr, nullptr, &status), std::free);
    std::string name = status == 0 ? plain.get() : info.dli_sname;
    const std::size_t arguments = name.find('(');
    if (arguments != std::string::npos) name.resize(arguments);
    const std::size_t result = name.find(' ');  // templates are demangled with their result type in front
    if (result != std::string::npos && name.find('<') > result) name.erase(0, result + 1);
    return name;
}

class Simulator {
public:
    // The simulator of this thread. Never destroyed, so that streams and tasks of any lifetime may refer to it.
    static Simulator& instance() {
        static thread_local Simulator* simulator = nullptr;
        if (simulator == nullptr) simulator = new Simulator;
        return *simulator;
    }

    // ---- streams ------------------------------------------------------------------------------------------------
    Channel& open_channel(const std::string& wanted, std::uint64_t declared) {
        const std::string name = wanted.empty() ? "stream" + std::to_string(channels_.size()) : wanted;
        Channel* channel = nullptr;
        for (auto& candidate : channels_) {  // a stream that is local to a function is the same one in every call
            if (!candidate->alive && candidate->name == name) channel = candidate.get();
        }
        if (channel == nullptr) {
            channels_.emplace_back(new Channel);
            channel = channels_.back().get();
            channel->name = name;
        }
        channel->alive = true;
        channel->declared = declared;
        channel->depth = forced_depth_ == 0 ? declared : forced_depth_;
        return *channel;
    }

    void close_channel(Channel& channel) {
        channel.alive = false;
        channel.reader = channel.writer = channel.waiting_reader = channel.waiting_writer = nullptr;
        channel.users.clear();
        channel.read = channel.written;
    }

    // Make the running process the only reader of `channel`.
    void claim_reader(Channel& channel) {
        claim(channel, channel.reader, channel.reader_name, channel.reader_run, "reader");
    }
    void claim_writer(Channel& channel) {
        claim(channel, channel.writer, channel.writer_name, channel.writer_run, "writer");
    }

    void wait_for_token(Channel& channel) {
        channel.waiting_reader = current_;
        block(Operation::read, channel, [&channel] { return channel.fill() == 0; });
        channel.waiting_reader = nullptr;
    }
    void wait_for_space(Channel& channel) {
        channel.waiting_writer = current_;
        block(Operation::write, channel, [&channel] { return channel.fill() >= channel.depth; });
        channel.waiting_writer = nullptr;
    }

    void wake(Process* process) {
        if (process->queued) return;
        process->queued = true;
        ready_.push_back(process);
    }

    Process* current() const { return current_; }

    // ---- processes ----------------------------------------------------------------------------------------------
    Process* spawn(Kind kind, const std::string& wanted, std::function<void()> body) {
        processes_.emplace_back(new Process);
        Process* process = processes_.back().get();
        process->name = unique_name(wanted, process);
        process->kind = kind;
        process->body = std::move(body);
        process->stack = take_stack();
        prepare_context(*process);
        wake(process);
        return process;
    }

    // Forget a process that will not run again; its stack is used for the next one.
    void retire(Process* process) {
        for (auto& channel : channels_) {
            if (channel->reader == process) channel->reader = nullptr;
            if (channel->writer == process) channel->writer = nullptr;
            if (channel->waiting_reader == process) channel->waiting_reader = nullptr;
            if (channel->waiting_writer == process) channel->waiting_writer = nullptr;
            auto& users = channel->users;
            users.erase(std::remove(users.begin(), users.end(), process), users.end());
        }
        ready_.erase(std::remove(ready_.begin(), ready_.end(), process), ready_.end());
        if (process->stack != nullptr) free_stacks_.push_back(process->stack);
        const auto same = [process](const std::unique_ptr<Process>& other) { return other.get() == process; };
        processes_.erase(std::remove_if(processes_.begin(), processes_.end(), same), processes_.end());
    }

    // Run until `processes` have finished and nothing else can move; then every stream must be empty.
    void run(const std::string& kernel, const std::vector<Process*>& processes) {
        if (current_ != host()) fail("a region was run from inside a process");
        kernel_ = kernel;
        while (!ready_.empty()) switch_to(next());
        for (Process* process : processes) {
            if (!process->finished) deadlock();
        }
        for (Process* process : processes) retire(process);
        check_empty();
        ++run_;
        if (!stats_file_.empty()) write_file(stats_file_, statistics());
    }

    std::uint64_t run_number() const { return run_; }

    // Report wrong use and end the program.
    [[noreturn]] void fail(const std::string& message) {
        finish("misuse", message, kExitMisuse, {});
    }

    std::string statistics() const;

private:
    Simulator() {
        page_ = static_cast<std::size_t>(sysconf(_SC_PAGESIZE));
        processes_.emplace_back(new Process);
        processes_.back()->name = "host";
        current_ = processes_.back().get();
        const char* stats = std::getenv("INTAR_SIM_STATS");
        const char* report = std::getenv("INTAR_SIM_REPORT");
        if (stats != nullptr) stats_file_ = stats;
        if (report != nullptr) report_file_ = report;
        const char* depth = std::getenv("INTAR_SIM_DEPTH");
        forced_depth_ = depth != nullptr && std::string(depth) == "inf" ? kUnbounded : number("INTAR_SIM_DEPTH", 0);
        random_ = std::getenv("INTAR_SIM_SEED") != nullptr;
        random_state_ = number("INTAR_SIM_SEED", 0);
        stack_bytes_ = static_cast<std::size_t>(number("INTAR_SIM_STACK", 256)) << 20;
        if (stack_bytes_ == 0) fail("INTAR_SIM_STACK must be at least 1 (MB)");
    }
    Simulator(const Simulator&) = delete;
    Simulator& operator=(const Simulator&) = delete;

    Process* host() const { return processes_.front().get(); }

    std::uint64_t number(const char* variable, std::uint64_t otherwise) {
        const char* text = std::getenv(variable);
        if (text == nullptr || *text == '\0') return otherwise;
        char* end = nullptr;
        const std::uint64_t value = std::strtoull(text, &end, 10);
        if (*end != '\0' || *text == '-') fail(std::string(variable) + "='" + text + "' is not a number");
        return value;
    }

    std::string unique_name(const std::string& wanted, const Process* self) const {
        std::string name = wanted;
        for (int copy = 2;; ++copy) {
            bool taken = false;
            for (auto& other : processes_) taken = taken || (other.get() != self && other->name == name);
            if (!taken) return name;
            name = wanted + "#" + std::to_string(copy);
        }
    }

    void claim(Channel& channel, Process*& side, std::string& name, std::uint64_t& run, const char* role) {
        const bool other = side != nullptr && side != current_;
        const bool other_before = side == nullptr && run == run_ && !name.empty() && name != current_->name;
        if (other || other_before) {
            fail("stream '" + channel.name + "' has two " + role + "s, '" + name + "' and '" + current_->name +
                 "'; a stream joins exactly one writer and one reader");
        }
        side = current_;
        name = current_->name;
        run = run_;
    }

    template <typename Blocked>
    void block(Operation operation, Channel& channel, Blocked blocked) {
        current_->operation = operation;
        current_->channel = &channel;
        while (blocked()) {
            if (!ready_.empty()) {
                switch_to(next());
            } else if (current_ != host()) {
                switch_to(host());  // it decides whether this is the end or a deadlock
            } else {
                deadlock();
            }
        }
        current_->operation = Operation::none;
        current_->channel = nullptr;
    }

    Process* next() {
        if (random_ && ready_.size() > 1) {
            random_state_ += 0x9e3779b97f4a7c15u;  // splitmix64
            std::uint64_t bits = random_state_;
            bits = (bits ^ (bits >> 30)) * 0xbf58476d1ce4e5b9u;
            bits = (bits ^ (bits >> 27)) * 0x94d049bb133111ebu;
            bits ^= bits >> 31;
            std::swap(ready_.front(), ready_[static_cast<std::size_t>(bits % ready_.size())]);
        }
        Process* process = ready_.front();
        ready_.pop_front();
        process->queued = false;
        return process;
    }

    void switch_to(Process* process) {
        if (process == current_) return;
        Process* previous = current_;
        current_ = process;
        if (swapcontext(&previous->context, &process->context) != 0) fail("swapcontext failed");
    }

    void prepare_context(Process& process) {
        if (getcontext(&process.context) != 0) fail("getcontext failed");
        process.context.uc_stack.ss_sp = static_cast<char*>(process.stack) + page_;
        process.context.uc_stack.ss_size = stack_bytes_;
        process.context.uc_link = nullptr;
        makecontext(&process.context, &Simulator::enter, 0);
    }

    // First function on every new stack.
    static void enter() {
        Simulator& simulator = instance();
        Process* self = simulator.current_;
        try {
            do {
                self->in_call = false;
                ++self->calls;
                self->body();
                if (self->kind == Kind::task && !self->in_call) {
                    simulator.fail("task '" + self->name + "' returned without reading or writing any stream; it would run for ever");
                }
            } while (self->kind == Kind::task);
        } catch (const std::exception& error) {
            simulator.fail("process '" + self->name + "' threw: " + error.what());
        } catch (...) {
            simulator.fail("process '" + self->name + "' threw");
        }
        self->finished = true;
        simulator.switch_to(simulator.ready_.empty() ? simulator.host() : simulator.next());
    }

    // Stacks are only reserved, page by page they come into being when used; the lowest page is a guard.
    void* take_stack() {
        if (!free_stacks_.empty()) {
            void* stack = free_stacks_.back();
            free_stacks_.pop_back();
            return stack;
        }
        const int flags = MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_STACK;
        void* stack = mmap(nullptr, stack_bytes_ + page_, PROT_READ | PROT_WRITE, flags, -1, 0);
        if (stack == MAP_FAILED) fail("no address space for a stack of " + std::to_string(stack_bytes_ >> 20) + " MB; set INTAR_SIM_STACK lower");
        mprotect(stack, page_, PROT_NONE);
        return stack;
    }

    void check_empty() {
        std::string message;
        std::vector<std::string> names;
        for (auto& channel : channels_) {
            if (!channel->alive || channel->fill() == 0) continue;
            message += (message.empty() ? "" : "; ") + std::string("stream '") + channel->name + "' still holds " +
                       std::to_string(channel->fill()) + (channel->fill() == 1 ? " token (" : " tokens (") +
                       std::to_string(channel->written) + " written by '" + channel->writer_name + "', " +
                       std::to_string(channel->read) + " read by '" + channel->reader_name + "')";
            names.push_back(channel->name);
        }
        if (names.empty()) return;
        finish("leftover", "tokens are left over after call " + std::to_string(run_ + 1) + " of '" + kernel_ +
               "' and would spoil the next one: " + message, kExitLeftover, names);
    }

    [[noreturn]] void deadlock();
    [[noreturn]] void finish(const char* status, const std::string& message, ExitCode code, const std::vector<std::string>& involved);
    std::vector<const Process*> waiting_cycle() const;
    std::string describe(const Process& process) const;
    std::string channels_json() const;
    std::string processes_json() const;
    static void write_file(const std::string& path, const std::string& text);

    std::vector<std::unique_ptr<Process>> processes_;
    std::vector<std::unique_ptr<Channel>> channels_;
    std::vector<void*> free_stacks_;
    std::deque<Process*> ready_;
    Process* current_ = nullptr;
    std::string kernel_ = "kernel";
    std::string stats_file_, report_file_;
    std::uint64_t run_ = 0;
    std::uint64_t forced_depth_ = 0;
    std::uint64_t random_state_ = 0;
    bool random_ = false;
    std::size_t stack_bytes_ = 0;
    std::size_t page_ = 0;
};

// Binds a function to its arguments: what was an lvalue is kept by reference, a temporary by value.
template <typename Function, typename... Arguments>
class Call {
public:
    Call(Function function, Arguments&&... arguments)
        : function_(function), arguments_(new std::tuple<Arguments...>(std::forward<Arguments>(arguments)...)) {}
    void operator()() const { invoke(std::index_sequence_for<Arguments...>()); }

private:
    template <std::size_t... I>
    void invoke(std::index_sequence<I...>) const {
        function_(std::get<I>(*arguments_)...);
    }
    Function function_;
    std::shared_ptr<std::tuple<Arguments...>> arguments_;
};

template <typename Function, typename... Arguments>
Call<std::decay_t<Function>, Arguments...> bind_call(Function&& function, Arguments&&... arguments) {
    return Call<std::decay_t<Function>, Arguments...>(std::forward<Function>(function), std::forward<Arguments>(arguments)...);
}

// Tell the streams among the arguments of a process who was given them.
template <typename Argument>
auto note_user(Process* process, Argument& argument, int) -> decltype(argument.intar_channel(), void()) {
    argument.intar_channel().users.push_back(process);
}
template <typename Argument>
void note_user(Process*, const Argument&, long) {}

inline void note_users(Process*) {}
template <typename First, typename... Rest>
void note_users(Process* process, First& first, Rest&... rest) {
    note_user(process, first, 0);
    note_users(process, rest...);
}

// One run of a DATAFLOW region: its control-driven processes, spawned in any order, run together with the tasks.
class Region {
public:
    explicit Region(const std::string& kernel) : kernel_(kernel), simulator_(Simulator::instance()) {}
    Region(const Region&) = delete;
    Region& operator=(const Region&) = delete;

    // Arguments that are lvalues must live until run() returns.
    template <typename Function, typename... Arguments>
    void spawn(const std::string& name, Function&& function, Arguments&&... arguments) {
        auto call = bind_call(std::forward<Function>(function), std::forward<Arguments>(arguments)...);
        processes_.push_back(simulator_.spawn(Kind::control, name, call));
        note_users(processes_.back(), arguments...);
    }

    void run() {
        simulator_.run(kernel_, processes_);
        processes_.clear();
    }

private:
    std::string kernel_;
    Simulator& simulator_;
    std::vector<Process*> processes_;
};

}  // namespace csim
}  // namespace intar

#include "intar_csim_report.h"

#endif  // INTAR_CSIM_H
