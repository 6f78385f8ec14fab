#include "cli/quantization.hpp"

#include <algorithm>

namespace cli {

Json quantization(const std::string& text, const std::string& option) {
  const std::size_t colon = std::min(text.find(':'), text.size());
  Json json = {{"format", text.substr(0, colon)}};
  for (std::size_t at = colon + 1; at < text.size();) {
    const std::size_t end = std::min(text.find(',', at), text.size());
    const std::string part = text.substr(at, end - at);
    const std::size_t equals = part.find('=');
    if (equals == std::string::npos || equals + 1 == part.size()) {
      throw UsageError("--" + option + " " + text + ": '" + part +
                       "' is not KEY=VALUE, as in nf4:block=128,double=false.");
    }
    const std::string key = part.substr(0, equals), value = part.substr(equals + 1);
    const bool number = value.size() < 10 && value.find_first_not_of("0123456789") == value.npos;
    if (key == "skip") {
      json[key].push_back(value);
    } else if (value == "true" || value == "false") {
      json[key] = value == "true";
    } else if (number) {
      json[key] = std::stol(value);
    } else {
      json[key] = value;
    }
    at = end + 1;
  }
  return json;
}

}  // namespace cli
