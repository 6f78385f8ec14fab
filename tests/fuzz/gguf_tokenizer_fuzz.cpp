// A tokenizer in the metadata of a .gguf file, and a text through it and back.
#include <sys/mman.h>
#include <unistd.h>

#include <cstdlib>
#include <string>

#include "core/base/error.hpp"
#include "core/text/tables.hpp"

using namespace graft::core;

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size == 0) return 0;
  const int memory = ::memfd_create("fuzz", 0);
  if (memory < 0 || ::write(memory, data, size) != static_cast<ssize_t>(size)) std::abort();
  try {
    const Tokenizer tokenizer(tables_from_gguf("/proc/self/fd/" + std::to_string(memory)));
    tokenizer.decode(tokenizer.ids("The river <s> 12  caf\u00e9\n foo", true), false);
    tokenizer.encode_pair("a", "\xFF\xE4\xBD the", true);
  } catch (const Error&) {
    // What is wrong must be said; that it is wrong is no failure.
  }
  ::close(memory);
  return 0;
}
