// hls::task: a process that is called again and again for ever; it lives as long as the object.
//
// Arguments are streams only (the portable rule of Vitis). Tasks that are blocked when a region is done simply wait on.
#ifndef INTAR_CSIM_HLS_TASK_H
#define INTAR_CSIM_HLS_TASK_H

#include "hls_stream.h"
#include "intar_csim.h"

// As in Vitis csim: at block scope the object persists over the calls of the kernel.
#define hls_thread_local thread_local

namespace hls {

namespace detail {
template <typename T>
struct is_stream : std::false_type {};
template <typename T, int DEPTH>
struct is_stream<stream<T, DEPTH>&> : std::true_type {};

template <typename... T>
struct all_streams : std::true_type {};
template <typename First, typename... Rest>
struct all_streams<First, Rest...>
    : std::integral_constant<bool, is_stream<First>::value && all_streams<Rest...>::value> {};
}  // namespace detail

class task {
public:
    template <typename Function, typename... Streams>
    explicit task(Function&& function, Streams&&... streams) : simulator_(intar::csim::Simulator::instance()) {
        static_assert(detail::all_streams<Streams...>::value, "the arguments of a task are streams only");
        std::decay_t<Function> pointer = function;
        process_ = simulator_.spawn(intar::csim::Kind::task,
                                    intar::csim::function_name(address(pointer), "task"),
                                    intar::csim::bind_call(pointer, std::forward<Streams>(streams)...));
        intar::csim::note_users(process_, streams...);
    }
    ~task() { simulator_.retire(process_); }
    task(const task&) = delete;
    task& operator=(const task&) = delete;

private:
    template <typename Result, typename... Parameters>
    static void* address(Result (*function)(Parameters...)) {
        return reinterpret_cast<void*>(function);
    }
    template <typename Callable>
    static void* address(const Callable&) {
        return nullptr;
    }

    intar::csim::Simulator& simulator_;
    intar::csim::Process* process_;
};

}  // namespace hls

#endif  // INTAR_CSIM_HLS_TASK_H
