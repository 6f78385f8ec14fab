#include "core/text/detokenizer.hpp"

#include "core/text/tables.hpp"
#include "core/text/utf8.hpp"

namespace graft::core {

std::string Detokenizer::push(std::int32_t id) {
  tokenizer_.piece(id);  // throws where there is none
  if (skip_special_ && tokenizer_.is_special(id)) return {};
  const std::string_view piece = tokenizer_.tables().decoded(id);
  switch (tokenizer_.tables().decoder.streaming()) {
    case Decoder::Streaming::bytes: {
      Decoder::append_bytes(bytes_, piece);
      const std::size_t whole = bytes_.size() - utf8_unfinished(bytes_);
      std::string out = utf8_lossy(std::string_view(bytes_).substr(0, whole));
      bytes_.erase(0, whole);
      return out;
    }
    case Decoder::Streaming::pieces:
      waiting_.push_back(id);
      // Bytes in a row become characters only when the row is over.
      return Decoder::is_byte(piece) ? std::string() : settle();
    case Decoder::Streaming::no:
      waiting_.push_back(id);
      break;
  }
  return {};
}

std::string Detokenizer::finish() {
  std::string out = utf8_lossy(bytes_) + settle();
  bytes_.clear();
  told_.clear();
  return out;
}

std::string Detokenizer::settle() {
  if (waiting_.empty()) return {};
  // What the waiting tokens add depends on what stands before them, and the first token of a text
  // is special to some decoders: the ones told must have some text.
  const std::string before = tokenizer_.decode(told_, false);
  std::vector<std::int32_t> all = told_;
  all.insert(all.end(), waiting_.begin(), waiting_.end());
  const std::string text = tokenizer_.decode(all, false);
  told_ = tokenizer_.decode(waiting_, false).empty() ? std::move(all) : std::move(waiting_);
  waiting_.clear();
  return text.substr(before.size());
}

}  // namespace graft::core
