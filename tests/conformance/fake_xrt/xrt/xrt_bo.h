// XRT's buffers on no device: each has a copy for the host and one for the device, and nothing but sync moves bytes.
#ifndef FAKE_XRT_BO_H
#define FAKE_XRT_BO_H

#include <cstddef>
#include <cstring>
#include <stdexcept>
#include <vector>

#include "xrt/xrt_device.h"

enum xclBOSyncDirection { XCL_BO_SYNC_BO_TO_DEVICE, XCL_BO_SYNC_BO_FROM_DEVICE };

namespace xrt {

class bo {
 public:
  bo(const device&, size_t bytes, int) : host(bytes), there(bytes + 4096, static_cast<char>(0xA5)), size(bytes) {}

  template <typename T>
  T map() {
    return reinterpret_cast<T>(host.data());
  }
  void sync(xclBOSyncDirection direction) {
    if (direction == XCL_BO_SYNC_BO_TO_DEVICE) {
      std::memcpy(memory(), host.data(), size);
    } else {
      std::memcpy(host.data(), memory(), size);
    }
  }
  // What the kernel is given: aligned as on a board.
  template <typename T>
  operator T*() const {
    return reinterpret_cast<T*>(memory());
  }

 private:
  char* memory() const {
    const size_t at = reinterpret_cast<size_t>(there.data());
    return const_cast<char*>(there.data()) + (4096 - at % 4096);
  }
  std::vector<char> host, there;
  size_t size;
};

}  // namespace xrt

#endif
