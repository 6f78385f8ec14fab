// tokenizer.model: the protocol buffer that SentencePiece writes.
#include <cstring>

#include "core/base/error.hpp"
#include "core/text/sentencepiece.hpp"

namespace graft::core {
namespace {

/// A field of a message: its number, and its value as far as its wire type tells.
struct Field {
  std::uint64_t number = 0;
  std::uint64_t value = 0;  // of varints and fixed-width values
  std::string_view bytes;   // of strings and messages
  bool is_bytes = false;

  bool flag() const { return value != 0; }
  float real() const {
    const auto bits = static_cast<std::uint32_t>(value);
    float out = 0;
    std::memcpy(&out, &bits, sizeof out);
    return out;
  }
};

class Fields {
 public:
  Fields(std::string_view bytes, std::string_view who) : bytes_(bytes), who_(who) {}

  bool next(Field& field) {
    if (at_ == bytes_.size()) return false;
    const std::uint64_t key = varint();
    field = {};
    field.number = key >> 3;
    switch (key & 7) {
      case 0:
        field.value = varint();
        return true;
      case 1:
        field.value = fixed(8);
        return true;
      case 2: {
        const std::uint64_t size = varint();
        if (size > bytes_.size() - at_) fail("a field reaches over its end");
        field.bytes = bytes_.substr(at_, size);
        field.is_bytes = true;
        at_ += size;
        return true;
      }
      case 5:
        field.value = fixed(4);
        return true;
      default:
        fail("a field has an unknown wire type");
    }
  }

 private:
  [[noreturn]] void fail(std::string_view what) const {
    throw Error(GRAFT_E_INVALID, cat(who_, ": no SentencePiece model: ", what, "."));
  }
  std::uint64_t varint() {
    std::uint64_t out = 0;
    for (int shift = 0; shift < 64; shift += 7) {
      if (at_ == bytes_.size()) fail("it ends inside a number");
      const auto byte = static_cast<unsigned char>(bytes_[at_++]);
      out |= static_cast<std::uint64_t>(byte & 0x7F) << shift;
      if (byte < 0x80) return out;
    }
    fail("a number is longer than 64 bits");
  }
  std::uint64_t fixed(std::size_t size) {
    if (size > bytes_.size() - at_) fail("it ends inside a number");
    std::uint64_t out = 0;
    std::memcpy(&out, bytes_.data() + at_, size);
    at_ += size;
    return out;
  }

  std::string_view bytes_, who_;
  std::size_t at_ = 0;
};

void read_piece(std::string_view bytes, std::string_view who, SentencePieceParts& out) {
  Fields fields(bytes, who);
  std::string_view piece;
  float score = 0;
  std::uint64_t type = 1;
  for (Field field; fields.next(field);) {
    if (field.number == 1) piece = field.bytes;
    if (field.number == 2) score = field.real();
    if (field.number == 3) type = field.value;
  }
  if (type < 1 || type > 6) {
    throw Error(GRAFT_E_INVALID,
                cat(who, ": the piece '", piece, "' has the type ", type, "; there are 1 to 6."));
  }
  out.pieces.push_back({piece, static_cast<std::int64_t>(out.pieces.size())});
  out.scores.push_back(score);
  out.types.push_back(static_cast<SentencePieceParts::Type>(type));
}

/// Ids of special pieces; negative ones say that there is none.
struct SpecialIds {
  std::int64_t unk = 0, bos = 1, eos = 2, pad = -1;
};

void read_trainer(std::string_view bytes, std::string_view who, SentencePieceParts& out,
                  SpecialIds& ids) {
  Fields fields(bytes, who);
  std::uint64_t model = 1;
  for (Field field; fields.next(field);) {
    const auto id = static_cast<std::int64_t>(static_cast<std::int32_t>(field.value));
    if (field.number == 3) model = field.value;
    if (field.number == 40) ids.unk = id;
    if (field.number == 41) ids.bos = id;
    if (field.number == 42) ids.eos = id;
    if (field.number == 43) ids.pad = id;
    if (field.number == 24 && field.flag()) {
      throw Error(GRAFT_E_INVALID, cat(who, ": white space as a suffix of words ",
                                       "(treat_whitespace_as_suffix) is not supported."));
    }
  }
  if (model != 1 && model != 2) {
    throw Error(GRAFT_E_INVALID, cat(who, ": the model type ", model, " is not supported; ",
                                     "supported are 1 (unigram) and 2 (BPE)."));
  }
  out.unigram = model == 1;
}

void read_normalizer(std::string_view bytes, std::string_view who, SentencePieceParts& out) {
  Fields fields(bytes, who);
  out.remove_extra_spaces = true;
  for (Field field; fields.next(field);) {
    if (field.number == 2) out.charsmap = field.bytes;
    if (field.number == 3) out.add_prefix = field.flag();
    if (field.number == 4) out.remove_extra_spaces = field.flag();
  }
}

}  // namespace

SentencePieceParts read_sentencepiece(std::string_view bytes, std::string_view who) {
  SentencePieceParts out;
  out.unigram = true;
  SpecialIds ids;
  Fields fields(bytes, who);
  for (Field field; fields.next(field);) {
    if (!field.is_bytes) continue;
    if (field.number == 1) read_piece(field.bytes, who, out);
    if (field.number == 2) read_trainer(field.bytes, who, out, ids);
    if (field.number == 3) read_normalizer(field.bytes, who, out);
  }
  if (out.pieces.empty()) {
    throw Error(GRAFT_E_INVALID, cat(who, ": no SentencePiece model: it holds no pieces."));
  }
  const auto known = [&](std::int64_t id) {
    const bool is = id >= 0 && id < static_cast<std::int64_t>(out.pieces.size());
    return is ? std::optional(static_cast<std::int32_t>(id)) : std::nullopt;
  };
  out.unk = known(ids.unk);
  out.bos = known(ids.bos);
  out.eos = known(ids.eos);
  out.pad = known(ids.pad);
  return out;
}

}  // namespace graft::core
