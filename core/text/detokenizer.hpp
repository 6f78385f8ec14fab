// Text of tokens that come one by one.
#pragma once
#include <string>
#include <vector>

#include "core/text/tokenizer.hpp"

namespace graft::core {

/// Gives out text as soon as no later token can change it: never half a character. All of it
/// together is what Tokenizer::decode() makes of all ids. Used by one thread at a time.
class Detokenizer {
 public:
  explicit Detokenizer(Tokenizer tokenizer, bool skip_special = true)
      : tokenizer_(std::move(tokenizer)), skip_special_(skip_special) {}
  /// The text that one more token settles; often empty. Throws as decode() does.
  std::string push(std::int32_t id);
  /// What is left when no token follows.
  std::string finish();

 private:
  std::string settle();

  Tokenizer tokenizer_;
  bool skip_special_;
  std::string bytes_;               // of a byte-level decoder: the beginning of a character
  std::vector<std::int32_t> told_;  // tokens before the waiting ones, as far as they matter
  std::vector<std::int32_t> waiting_;
};

}  // namespace graft::core
