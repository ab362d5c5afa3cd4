// Declaration of hls::task for the linter.
#ifndef INTAR_LINT_HLS_TASK_H
#define INTAR_LINT_HLS_TASK_H

#include "hls_stream.h"

#define hls_thread_local thread_local

namespace hls {

class task {
public:
    template <typename Function, typename... Arguments>
    explicit task(Function&& function, Arguments&&... arguments);
    task(const task&) = delete;
};

}  // namespace hls

#endif  // INTAR_LINT_HLS_TASK_H
