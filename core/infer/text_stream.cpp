#include "core/infer/text_stream.hpp"

#include <algorithm>

#include "core/text/utf8.hpp"

namespace graft::core {
namespace {

/// How many bytes at the end of `s` are the beginning of a character that is not complete yet.
std::size_t incomplete_tail(const std::string& s) {
  for (std::size_t back = 1; back <= 3 && back <= s.size(); ++back) {
    const auto c = static_cast<unsigned char>(s[s.size() - back]);
    if ((c & 0xC0) == 0x80) continue;
    const std::size_t length = c >= 0xF0 ? 4 : c >= 0xE0 ? 3 : c >= 0xC0 ? 2 : 1;
    return length > back ? back : 0;
  }
  return 0;
}

}  // namespace

bool TextStream::push(std::string_view bytes) {
  text_ += bytes;
  // What is sent holds no beginning of a stop text.
  std::size_t end = std::string::npos;
  for (const std::string& s : stop_) end = std::min(end, text_.find(s, sent_));
  if (end != std::string::npos) {
    text_.resize(end);
    stopped_ = true;
    send(end);
    return false;
  }
  std::size_t safe = text_.size() - incomplete_tail(text_);
  for (const std::string& s : stop_) safe = std::min(safe, text_.size() - possible_start(s));
  return send(safe);
}

std::string TextStream::text() const {
  return utf8_lossy(text_);
}

/// The longest beginning of `stop` that the text ends with.
std::size_t TextStream::possible_start(const std::string& stop) const {
  for (std::size_t n = std::min(stop.size() - 1, text_.size()); n > 0; --n) {
    if (text_.compare(text_.size() - n, n, stop, 0, n) == 0) return n;
  }
  return 0;
}

bool TextStream::send(std::size_t to) {
  if (to <= sent_) return true;
  const std::string piece = utf8_lossy(std::string_view(text_).substr(sent_, to - sent_));
  sent_ = to;
  return !sink_ || sink_(piece);
}

}  // namespace graft::core
