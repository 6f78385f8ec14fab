#include "core/text/aligned.hpp"

#include <algorithm>

#include "core/text/utf8.hpp"

namespace graft::core {
namespace {

std::int64_t signed_of(std::size_t n) {
  return static_cast<std::int64_t>(n);
}

}  // namespace

std::size_t TextView::run_at(std::size_t at) const {
  const std::vector<AlignedRun>& runs = *runs_;
  std::size_t i = last_run_;
  for (int steps = 0; steps < 4; ++steps, ++i) {
    if (i >= runs.size() || runs[i].begin > at) break;
    if (i + 1 == runs.size() || runs[i + 1].begin > at) return last_run_ = i;
  }
  const auto after = std::upper_bound(
      runs.begin(), runs.end(), at, [](std::size_t p, const AlignedRun& r) { return p < r.begin; });
  return last_run_ = static_cast<std::size_t>(after - runs.begin()) - 1;
}

SourceSpan TextView::source(std::size_t begin, std::size_t end) const {
  // Whole characters; text is cut between characters only.
  while (begin > 0 && is_utf8_continuation(text[begin])) --begin;
  while (end < text.size() && is_utf8_continuation(text[end])) ++end;
  begin += offset_;
  end += offset_;
  if (runs_ == nullptr) return {signed_of(begin), signed_of(end)};
  const AlignedRun& first = (*runs_)[run_at(begin)];
  const AlignedRun& last = (*runs_)[run_at(end - 1)];
  return {first.source.begin + (first.copied ? signed_of(begin - first.begin) : 0),
          last.copied ? last.source.begin + signed_of(end - last.begin) : last.source.end};
}

void Rewriter::keep(std::size_t begin, std::size_t end) {
  if (begin >= end) return;
  const std::string_view bytes = in_.text.substr(begin, end - begin);
  std::size_t to = out_.text.size();
  out_.text.append(bytes);
  begin += in_.offset_;
  end += in_.offset_;
  const auto add = [&](SourceSpan source, bool copied, std::size_t size) {
    // A copy that goes on where the last one ended is the same copy.
    const bool joins =
        copied && !out_.runs.empty() && out_.runs.back().copied &&
        out_.runs.back().source.begin + signed_of(to - out_.runs.back().begin) == source.begin;
    if (!joins) out_.runs.push_back({to, source, copied});
    to += size;
  };
  if (in_.runs_ == nullptr) return add({signed_of(begin), signed_of(end)}, true, end - begin);
  const std::vector<AlignedRun>& runs = *in_.runs_;
  for (std::size_t i = in_.run_at(begin); begin < end; ++i) {
    const std::size_t stop = i + 1 < runs.size() ? std::min(end, runs[i + 1].begin) : end;
    SourceSpan source = runs[i].source;
    if (runs[i].copied) source.begin += signed_of(begin - runs[i].begin);
    add(source, runs[i].copied, stop - begin);
    begin = stop;
  }
}

void Rewriter::put(std::string_view bytes, SourceSpan source) {
  if (bytes.empty()) return;
  out_.runs.push_back({out_.text.size(), source, false});
  out_.text.append(bytes);
}

AlignedText repair_utf8(std::string_view text) {
  AlignedText out;
  // The view only lends its bytes: what they stand for is said here.
  const TextView in(text);
  Rewriter writer(in, out);
  std::size_t kept = 0;
  for (std::size_t at = 0; at < text.size();) {
    std::size_t bad = 0;
    const std::size_t length = utf8_length(text.substr(at), &bad);
    if (length != 0) {
      at += length;
      continue;
    }
    writer.keep(kept, at);
    writer.put(utf8_replacement, {signed_of(at), signed_of(at + bad)});
    kept = at += bad;
  }
  writer.keep(kept, text.size());
  return out;
}

}  // namespace graft::core
