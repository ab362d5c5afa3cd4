// XRT's kernel: a call runs the generated C++, FAKE_KERNEL, on our simulator.
#ifndef FAKE_XRT_KERNEL_H
#define FAKE_XRT_KERNEL_H

#include <string>

#include "fake_kernel.h"
#include "xrt/xrt_bo.h"
#include "xrt/xrt_device.h"

enum ert_cmd_state { ERT_CMD_STATE_COMPLETED = 4 };

namespace xrt {

struct run {
  ert_cmd_state wait() { return ERT_CMD_STATE_COMPLETED; }
};

class kernel {
 public:
  enum class cu_access_mode { exclusive, shared };
  kernel(const device&, int, const std::string&, cu_access_mode) {}
  int group_id(int) const { return 0; }
  template <typename... Arguments>
  run operator()(const Arguments&... arguments) {
    FAKE_KERNEL(arguments...);
    return run();
  }
};

}  // namespace xrt

#endif
