// Reading JSON in place: for the parts of a file that are too large to become values.
#pragma once
#include <string>
#include <string_view>

#include "core/base/error.hpp"
#include "core/text/vocabulary.hpp"

namespace graft::core {

/// A place in a JSON text. Whatever is not as asked for throws GRAFT_E_INVALID with the byte.
class JsonCursor {
 public:
  /// Throws unless the text is UTF-8.
  JsonCursor(std::string_view text, std::string_view who);

  /// The next character that is not white space; '\0' at the end.
  char peek();
  /// Steps over `c`, where it is next.
  bool take(char c);
  void expect(char c);
  /// A string. It lies in the text itself, or where it has escapes, in `arena`.
  std::string_view text(TextArena& arena);
  /// A number. A whole one has no fraction and no exponent; beyond 64 bits it is the largest.
  struct Number {
    double value = 0;
    bool whole = false;
    std::int64_t integer = 0;
  };
  Number number();
  /// Steps over a value and returns it as it stands there. Only brackets and strings are checked.
  std::string_view value();
  /// Nothing may follow.
  void end();

  std::size_t at() const { return at_; }
  [[noreturn]] void fail(std::string_view what) const;

 private:
  void unescape(std::string& out);
  bool skip_digits();
  std::uint32_t hex4();
  /// The byte behind the string that begins at at_; whether it has escapes.
  std::size_t end_of_text(bool* escapes = nullptr) const;

  std::string_view text_, who_;
  std::size_t at_ = 0;
};

}  // namespace graft::core
