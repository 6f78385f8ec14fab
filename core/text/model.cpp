#include "core/text/model.hpp"

#include <cstring>

#include "core/text/byte_alphabet.hpp"

namespace graft::core {
namespace {

constexpr std::size_t cached = std::size_t{1} << 15;

}  // namespace

const std::vector<Unit>& ModelMemory::encode(const TextModel& model, const Vocabulary& vocabulary,
                                             std::string_view piece, bool byte_level) {
  units_.clear();
  if (piece.size() > Entry::longest) {
    encode_anew(model, vocabulary, piece, byte_level);
    return units_;
  }
  if (entries_.empty()) entries_.resize(cached);
  Entry& entry = entries_[text_hash(piece) % cached];
  if (entry.count != 0 && entry.size == piece.size() &&
      std::memcmp(entry.piece, piece.data(), piece.size()) == 0) {
    for (std::uint8_t i = 0; i < entry.count; ++i) {
      units_.push_back({entry.ids[i], i == 0 ? 0u : entry.ends[i - 1], entry.ends[i]});
    }
    return units_;
  }
  encode_anew(model, vocabulary, piece, byte_level);
  remember(entry, piece);
  return units_;
}

void ModelMemory::remember(Entry& entry, std::string_view piece) const {
  if (units_.empty() || units_.size() > Entry::most) return;
  std::uint32_t at = 0;
  for (const Unit& unit : units_) {
    if (unit.begin != at) return;
    at = unit.end;
  }
  entry.size = static_cast<std::uint8_t>(piece.size());
  entry.count = static_cast<std::uint8_t>(units_.size());
  std::memcpy(entry.piece, piece.data(), piece.size());
  for (std::size_t i = 0; i < units_.size(); ++i) {
    entry.ids[i] = units_[i].id;
    entry.ends[i] = static_cast<std::uint8_t>(units_[i].end);
  }
}

void ModelMemory::encode_anew(const TextModel& model, const Vocabulary& vocabulary,
                              std::string_view piece, bool byte_level) {
  if (const auto* bpe = std::get_if<Bpe>(&model)) {
    return bpe->encode(vocabulary, piece, byte_level, bpe_, units_);
  }
  // The others see the alphabet's characters themselves; offsets go back to the bytes.
  std::vector<std::uint32_t> byte_at;
  if (byte_level) {
    text_.clear();
    for (std::size_t i = 0; i < piece.size(); ++i) {
      text_ += text_of_byte(static_cast<unsigned char>(piece[i]));
      byte_at.resize(text_.size(), static_cast<std::uint32_t>(i));
    }
    piece = text_;
  }
  if (const auto* unigram = std::get_if<Unigram>(&model)) {
    unigram->encode(vocabulary, piece, unigram_, units_);
  } else if (const auto* words = std::get_if<WordPiece>(&model)) {
    words->encode(vocabulary, piece, bpe_.text, units_);
  } else {
    std::get<WordLevel>(model).encode(vocabulary, piece, units_);
  }
  for (Unit& unit : units_) {
    if (!byte_level) break;
    unit.begin = byte_at[unit.begin];
    unit.end = byte_at[unit.end - 1] + 1;
  }
}

}  // namespace graft::core
