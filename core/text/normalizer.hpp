// First stage of a tokenizer: text to normal form, with the way back to the input's bytes.
#pragma once
#include <functional>
#include <string_view>

#include "core/base/json.hpp"
#include "core/text/aligned.hpp"

namespace graft::core {

/// Writes the normal form to `out` and returns true, or returns false where `in` is normal already.
using Normalizer = std::function<bool(const TextView& in, AlignedText& out)>;

/// From the "normalizer" of a tokenizer.json; null gives an empty function. Throws
/// GRAFT_E_INVALID with the name of a kind that is not supported.
Normalizer make_normalizer(const Json& config, std::string_view who);

/// Unicode's canonical composition.
bool normalize_nfc(const TextView& in, AlignedText& out);

}  // namespace graft::core
