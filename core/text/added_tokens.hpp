// Tokens that are found in the text before anything else: special tokens and those added later.
#pragma once
#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "core/text/normalizer.hpp"
#include "core/text/trie.hpp"
#include "core/text/vocabulary.hpp"

namespace graft::core {

struct AddedToken {
  std::int32_t id = -1;
  std::string content;
  bool single_word = false;             // not when a word character stands next to it
  bool lstrip = false, rstrip = false;  // takes the white space on that side
  bool normalized = true;               // looked for in the normalised text
  bool special = false;
  std::string normal;  // the content's normal form, where `normalized` and not the content itself

  /// What goes to the decoder.
  std::string_view decoded() const { return normal.empty() ? content : normal; }
};

/// A stretch of text, or the added token found there.
struct Segment {
  TextRange range;
  const AddedToken* token = nullptr;
};

class AddedTokens {
 public:
  AddedTokens() = default;
  /// Gives each token its id: that of the model's vocabulary, else the next free one, in order.
  /// Throws GRAFT_E_INVALID when two tokens end up with one id.
  AddedTokens(std::vector<AddedToken> tokens, const Vocabulary& model, const Normalizer& normalizer,
              std::string_view who);

  /// Cuts `text` at the tokens that are looked for before (`normalized` false) or after (true) it
  /// is normalised, left to right, longest first.
  void split(std::string_view text, bool normalized, std::vector<Segment>& out) const;
  /// In order of ids.
  std::vector<const AddedToken*> all() const;

  const AddedToken* find(std::string_view content) const;
  const AddedToken* find(std::int64_t id) const;
  /// One more than the largest id; 0 without tokens.
  std::int64_t size() const { return by_id_.empty() ? 0 : by_id_.rbegin()->first + 1; }

 private:
  std::vector<AddedToken> tokens_;
  std::map<std::int64_t, std::size_t> by_id_;
  std::map<std::string, std::size_t, std::less<>> by_content_;
  /// What is looked for in one of the two texts.
  struct Finder {
    Trie trie;
    bool begins[256] = {};  // bytes that some content begins with
  };
  Finder raw_, normalized_;
};

}  // namespace graft::core
