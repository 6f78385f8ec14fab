// A file of torch.save, and the pickle in it by itself: the zip's checksums would let no change through to
// it.
#include <sys/mman.h>
#include <unistd.h>

#include <cstdlib>
#include <string>
#include <string_view>

#include "core/base/error.hpp"
#include "core/tensor/expand.hpp"
#include "core/tensor/torch_file.hpp"
#include "core/tensor/torch_pickle.hpp"

using namespace graft::core;

namespace {

void read_all(const MappedFile& mapped) {
  const TorchFile file = TorchFile::parse(mapped);
  for (const std::string& name : file.names()) {
    const HostTensor tensor = file.tensor(name);
    if (tensor.elements() > 4096) continue;
    std::vector<float> values(static_cast<std::size_t>(tensor.elements()));
    expand(tensor, GRAFT_F32, values.data(), 1);
  }
}

template <class F>
void told(F&& f) {
  try {
    f();
  } catch (const Error&) {
    // What is wrong must be said; that it is wrong is no failure.
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string_view bytes(reinterpret_cast<const char*>(data), size);
  told([&] { torch::read_pickle(bytes, "fuzz"); });
  if (size == 0) return 0;
  const int memory = ::memfd_create("fuzz", 0);
  if (memory < 0 || ::write(memory, data, size) != static_cast<ssize_t>(size)) std::abort();
  told([&] { read_all(MappedFile::open("/proc/self/fd/" + std::to_string(memory))); });
  ::close(memory);
  return 0;
}
