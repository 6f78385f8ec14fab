// A tokenizer.model of SentencePiece.
#include <string_view>

#include "core/base/error.hpp"
#include "core/text/tables.hpp"

using namespace graft::core;

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string_view bytes(reinterpret_cast<const char*>(data), size);
  try {
    const Tokenizer tokenizer(tables_from_model_file(bytes, {}, {}, "fuzz"));
    tokenizer.decode(tokenizer.ids("The river \uFB01 12  caf\u00e9\n x", true), true);
  } catch (const Error&) {
    // What is wrong must be said; that it is wrong is no failure.
  }
  return 0;
}
