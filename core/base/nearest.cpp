#include "core/base/nearest.hpp"

#include <algorithm>
#include <numeric>

#include "core/base/error.hpp"

namespace graft::core {
namespace {

char lower(char c) {
  return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c;
}

}  // namespace

std::size_t edit_distance(std::string_view a, std::string_view b) {
  a = a.substr(0, 256);
  b = b.substr(0, 256);
  // Optimal string alignment: rows i-2, i-1 and i of the table.
  std::vector<std::size_t> older(b.size() + 1), old(b.size() + 1), now(b.size() + 1);
  std::iota(now.begin(), now.end(), std::size_t{0});
  for (std::size_t i = 1; i <= a.size(); ++i) {
    older.swap(old);
    old.swap(now);
    now[0] = i;
    for (std::size_t j = 1; j <= b.size(); ++j) {
      const bool same = lower(a[i - 1]) == lower(b[j - 1]);
      now[j] = std::min({old[j] + 1, now[j - 1] + 1, old[j - 1] + (same ? 0 : 1)});
      const bool swapped = i > 1 && j > 1 && lower(a[i - 1]) == lower(b[j - 2]) &&
                           lower(a[i - 2]) == lower(b[j - 1]);
      if (swapped) now[j] = std::min(now[j], older[j - 2] + 1);
    }
  }
  return now[b.size()];
}

std::vector<std::string> nearest(std::string_view word, const std::vector<std::string>& candidates,
                                 std::size_t how_many) {
  std::vector<std::pair<std::size_t, std::size_t>> order;  // distance, place
  for (std::size_t i = 0; i < candidates.size(); ++i) {
    order.emplace_back(edit_distance(word, candidates[i]), i);
  }
  std::sort(order.begin(), order.end());
  std::vector<std::string> result;
  for (std::size_t i = 0; i < order.size() && i < how_many; ++i) {
    result.push_back(candidates[order[i].second]);
  }
  return result;
}

std::optional<std::string> meant(std::string_view word,
                                 const std::vector<std::string>& candidates) {
  const std::vector<std::string> best = nearest(word, candidates, 1);
  if (best.empty()) return std::nullopt;
  const std::size_t allowed = std::max<std::size_t>(1, std::max(word.size(), best[0].size()) / 2);
  if (edit_distance(word, best[0]) > allowed) return std::nullopt;
  return best[0];
}

std::string hint(std::string_view word, const std::vector<std::string>& candidates,
                 std::string_view what) {
  if (candidates.empty()) return cat(what, ": none.");
  if (const auto best = meant(word, candidates)) return cat("Did you mean '", *best, "'?");
  std::string list;
  for (const std::string& name : nearest(word, candidates, 12)) {
    list += cat(list.empty() ? "" : ", ", name);
  }
  return cat(what, ": ", list, candidates.size() > 12 ? ", ..." : "", ".");
}

}  // namespace graft::core
