// XRT's device where there is none.
#ifndef FAKE_XRT_DEVICE_H
#define FAKE_XRT_DEVICE_H

#include <string>

namespace xrt {

struct device {
  explicit device(unsigned) {}
  int load_xclbin(const std::string&) { return 1; }
};

}  // namespace xrt

#endif
