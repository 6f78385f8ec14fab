#include "core/plugin/texts.hpp"

#include <map>
#include <mutex>
#include <string>

namespace graft::core {

const Json& plugin_json(const char* text, std::string_view who) {
  static std::mutex mutex;
  static std::map<std::string, Json, std::less<>> known;
  const std::lock_guard lock(mutex);
  const auto found = known.find(std::string_view(text));
  if (found != known.end()) return found->second;
  return known.emplace(text, parse_json(text, who)).first->second;
}

}  // namespace graft::core
