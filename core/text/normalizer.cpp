#include "core/text/normalizer.hpp"

#include <vector>

#include "core/text/config.hpp"

namespace graft::core {

Normalizer make_normalizer(const Json& config, std::string_view who) {
  if (config.is_null()) return {};
  const std::string type = type_of(config, "normalizer", who);
  if (type == "NFC") return normalize_nfc;
  if (type == "Sequence") {
    std::vector<Normalizer> steps;
    for (const Json& step : member(config, "normalizers", Json::value_t::array, who)) {
      steps.push_back(make_normalizer(step, who));
    }
    return [steps](const TextView& in, AlignedText& out) {
      bool changed = false;
      for (const Normalizer& step : steps) {
        AlignedText next;
        if (!step(changed ? out.view() : in, next)) continue;
        out = std::move(next);
        changed = true;
      }
      return changed;
    };
  }
  refuse_kind("normalizer", type, "NFC, Sequence, null", who);
}

}  // namespace graft::core
