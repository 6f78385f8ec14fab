// Generated text on its way out.
#pragma once
#include <cstddef>
#include <functional>
#include <string>
#include <string_view>
#include <vector>

namespace graft::core {

/// Gets each piece of text as it comes; false stops.
using TextSink = std::function<bool(std::string_view piece)>;

/// Hands text on as soon as it is whole: no half characters, no beginnings of stop texts. What is no
/// UTF-8 becomes U+FFFD. `stop` and `sink` outlive it; the sink may be empty.
class TextStream {
 public:
  TextStream(const std::vector<std::string>& stop, const TextSink& sink)
      : stop_(stop), sink_(sink) {}

  /// The bytes of one more token. False when a stop text is complete or the sink wants no more.
  bool push(std::string_view bytes);
  /// Hands on what was held back.
  void finish() { send(text_.size()); }
  /// Whether a stop text ended it.
  bool stopped() const { return stopped_; }
  /// All of it, up to the stop text.
  std::string text() const;

 private:
  std::size_t possible_start(const std::string& stop) const;
  bool send(std::size_t to);

  const std::vector<std::string>& stop_;
  const TextSink& sink_;
  std::string text_;
  std::size_t sent_ = 0;
  bool stopped_ = false;
};

}  // namespace graft::core
