// Text to token ids and back.
#pragma once
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "core/base/file.hpp"

namespace graft::core {

/// One token of an encoded text. `begin` and `end` are byte offsets into the UTF-8 input; a special
/// token that the tokenizer added by itself has begin == end.
struct Token {
  std::int32_t id = 0;
  std::int64_t begin = 0, end = 0;
  std::int32_t type = 0;  // of the text, where a tokenizer tells two of them apart
  bool added = false;     // by the tokenizer itself
};

/// A tokenizer as the model's files describe it. Immutable after loading; any number of threads may
/// use one at a time. Copies share the tables.
class Tokenizer {
 public:
  /// From a folder with tokenizer.json or tokenizer.model (and tokenizer_config.json), or from a
  /// .gguf file. Throws GRAFT_E_NOT_FOUND, GRAFT_E_INVALID, or GRAFT_E_INVALID with the name of the
  /// kind of tokenizer that is not supported.
  static Tokenizer load(const fs::path& model);

  /// Ids of `text`; `add_special` adds what the post-processor adds (BOS, EOS), as
  /// `tokenizers.encode(add_special_tokens=True)` does. Special tokens written out in the text are
  /// recognised. Invalid UTF-8 is replaced by U+FFFD before anything else.
  std::vector<Token> encode(std::string_view text, bool add_special) const;
  std::vector<std::int32_t> ids(std::string_view text, bool add_special) const;
  /// Two texts as one input. Offsets refer to the text that a token is of.
  std::vector<Token> encode_pair(std::string_view first, std::string_view second,
                                 bool add_special) const;

  /// Text of ids; an id without a token throws GRAFT_E_INVALID. `skip_special` leaves out special
  /// tokens. Invalid UTF-8 at a cut becomes U+FFFD, as in Hugging Face's decode.
  std::string decode(const std::vector<std::int32_t>& ids, bool skip_special) const;
  /// Whether transformers would clean up spaces after decoding; see clean_up_spaces().
  bool cleans_up_spaces() const;

  /// The piece as the vocabulary writes it ("Ġthe", "<|im_end|>").
  std::string_view piece(std::int32_t id) const;
  std::optional<std::int32_t> id_of(std::string_view piece) const;
  bool is_special(std::int32_t id) const;
  /// One more than the largest id.
  std::int64_t size() const;
  std::optional<std::int32_t> bos() const, eos() const, pad() const, unk() const;
  /// What in the files is not followed, in sentences for the user.
  const std::vector<std::string>& notes() const;

  struct Tables;
  Tokenizer() = default;
  explicit Tokenizer(std::shared_ptr<const Tables> tables) : tables_(std::move(tables)) {}
  const Tables& tables() const { return *tables_; }

 private:
  std::shared_ptr<const Tables> tables_;
};

}  // namespace graft::core
