// A tokenizer.json, and a text through it and back.
#include <string_view>

#include "core/base/error.hpp"
#include "core/text/tables.hpp"

using namespace graft::core;

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  try {
    const Tokenizer tokenizer(tables_from_json(text, {}, {}, "fuzz"));
    for (const std::string_view sample :
         {"The river 12 <note> caf\u00e9\n  x", "\xFF\xE4\xBD a", ""}) {
      tokenizer.decode(tokenizer.ids(sample, true), false);
      tokenizer.encode_pair(sample, "b", true);
    }
  } catch (const Error&) {
    // What is wrong must be said; that it is wrong is no failure.
  }
  return 0;
}
