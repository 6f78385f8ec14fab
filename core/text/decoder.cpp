#include "core/text/decoder.hpp"

#include <algorithm>
#include <utility>

#include "core/text/byte_alphabet.hpp"
#include "core/text/config.hpp"
#include "core/text/regex.hpp"
#include "core/text/utf8.hpp"

namespace graft::core {
namespace {

constexpr int deepest_sequence = 16;

void replace_all(std::string& text, std::string_view from, std::string_view to) {
  if (from.empty()) return;
  std::string out;
  std::size_t at = 0;
  for (std::size_t found = text.find(from); found != text.npos; found = text.find(from, at)) {
    out.append(text, at, found - at).append(to);
    at = found + from.size();
  }
  if (at == 0) return;
  text = out.append(text, at);
}

/// The byte that a piece like <0x0A> stands for, or -1.
int byte_of_piece(std::string_view piece) {
  if (piece.size() != 6 || !piece.starts_with("<0x") || piece[5] != '>') return -1;
  int value = 0;
  for (const char c : piece.substr(3, 2)) {
    const int digit = c >= '0' && c <= '9'   ? c - '0'
                      : c >= 'A' && c <= 'F' ? c - 'A' + 10
                      : c >= 'a' && c <= 'f' ? c - 'a' + 10
                                             : -1;
    if (digit < 0) return -1;
    value = 16 * value + digit;
  }
  return value;
}

/// One text of all: bytes may be parts of a character that only together are one.
void bytes_of_alphabet(std::vector<std::string>& pieces) {
  std::string out;
  for (const std::string& piece : pieces) append_bytes_of_piece(out, piece);
  pieces.assign(1, utf8_lossy(out));
}

DecoderStep without_suffix(std::string suffix) {
  return [suffix = std::move(suffix)](std::vector<std::string>& pieces) {
    for (std::size_t i = 0; i < pieces.size(); ++i) {
      replace_all(pieces[i], suffix, i + 1 < pieces.size() ? " " : "");
    }
  };
}

/// Repeated pieces are one; padding separates them and vanishes.
DecoderStep ctc(std::string padding, std::string word_delimiter, bool cleanup) {
  return [=](std::vector<std::string>& pieces) {
    pieces.erase(std::unique(pieces.begin(), pieces.end()), pieces.end());
    std::vector<std::string> out;
    for (std::string& piece : pieces) {
      replace_all(piece, padding, "");
      if (cleanup) {
        piece = clean_up_spaces(std::move(piece));
        replace_all(piece, word_delimiter, " ");
      }
      if (!piece.empty()) out.push_back(std::move(piece));
    }
    pieces = std::move(out);
  };
}

DecoderStep replace_regex(Regex pattern, std::string by) {
  return [pattern = std::move(pattern), by = std::move(by)](std::vector<std::string>& pieces) {
    std::vector<TextRange> matches;
    for (std::string& piece : pieces) {
      matches.clear();
      pattern.matches(piece, matches, Regex::Empty::included);
      std::string out;
      std::size_t at = 0;
      for (const TextRange& match : matches) {
        out.append(piece, at, match.begin - at).append(by);
        at = match.end;
      }
      piece = out.append(piece, at);
    }
  };
}

std::size_t count_member(const Json& config, const char* key, std::string_view who) {
  const Json& value = member(config, key, Json::value_t::number_unsigned, who);
  return value.get<std::size_t>();
}

void add_steps(const Json& config, std::string_view who, int depth,
               std::vector<DecoderStep>& steps) {
  const std::string type = type_of(config, "decoder", who);
  if (type == "Sequence" && depth < deepest_sequence) {
    for (const Json& step : member(config, "decoders", Json::value_t::array, who)) {
      add_steps(step, who, depth + 1, steps);
    }
  } else if (type == "ByteLevel") {
    steps.emplace_back(bytes_of_alphabet);
  } else if (type == "ByteFallback") {
    steps.push_back(bytes_of_fallback());
  } else if (type == "Fuse") {
    steps.push_back(join_pieces());
  } else if (type == "WordPiece") {
    steps.push_back(
        word_pieces(text_member(config, "prefix", who), flag(config, "cleanup", true, who)));
  } else if (type == "Metaspace") {
    const std::string replacement = text_member(config, "replacement", who);
    const std::string scheme = text_member(config, "prepend_scheme", who);
    const bool never =
        scheme == "never" || (scheme.empty() && !flag(config, "add_prefix_space", true, who));
    steps.push_back(metaspaces(replacement.empty() ? "\u2581" : replacement, !never));
  } else if (type == "Replace") {
    const Json& pattern = member(config, "pattern", Json::value_t::object, who);
    const std::string by = text_member(config, "content", who);
    if (pattern.contains("String")) {
      steps.push_back(replace_in_pieces(text_member(pattern, "String", who), by));
    } else {
      steps.push_back(replace_regex(Regex(text_member(pattern, "Regex", who), who), by));
    }
  } else if (type == "Strip") {
    steps.push_back(strip_pieces(text_member(config, "content", who),
                                 count_member(config, "start", who),
                                 count_member(config, "stop", who)));
  } else if (type == "BPEDecoder") {
    steps.push_back(without_suffix(text_member(config, "suffix", who)));
  } else if (type == "CTC") {
    steps.push_back(ctc(text_member(config, "pad_token", who),
                        text_member(config, "word_delimiter_token", who),
                        flag(config, "cleanup", true, who)));
  } else {
    refuse_kind("decoder", type,
                "ByteLevel, WordPiece, Metaspace, Replace, ByteFallback, Fuse, Strip, BPEDecoder, "
                "CTC, Sequence, null",
                who);
  }
}

/// Steps in order, sequences unfolded.
void list_steps(const Json& config, std::vector<const Json*>& out) {
  if (config.at("type") != "Sequence") return out.push_back(&config);
  for (const Json& step : config.at("decoders")) list_steps(step, out);
}

Decoder::Streaming streaming_of(const Json& config) {
  std::vector<const Json*> steps;
  list_steps(config, steps);
  std::vector<std::string> kinds;
  for (const Json* step : steps) kinds.push_back(step->at("type"));
  if (config["type"] == "ByteLevel") return Decoder::Streaming::bytes;
  if (config["type"] != "Sequence") {
    const bool alone = kinds[0] == "WordPiece" || kinds[0] == "Metaspace" || kinds[0] == "Fuse" ||
                       kinds[0] == "ByteFallback";
    return alone ? Decoder::Streaming::pieces : Decoder::Streaming::no;
  }
  // The decoders of SentencePiece's models: text replaced in pieces, bytes joined, then a space
  // taken off the whole text's front.
  using Kinds = std::vector<std::string>;
  const bool known = kinds == Kinds{"Replace", "ByteFallback", "Fuse"} ||
                     kinds == Kinds{"Replace", "ByteFallback", "Fuse", "Strip"};
  const bool keeps_end = kinds.empty() || kinds.back() != "Strip" || steps.back()->at("stop") == 0;
  return known && keeps_end ? Decoder::Streaming::pieces : Decoder::Streaming::no;
}

}  // namespace

Decoder::Decoder(const Json& config, std::string_view who) {
  if (config.is_null()) return;
  joins_with_spaces_ = false;
  add_steps(config, who, 0, steps_);
  streaming_ = streaming_of(config);
}

Decoder Decoder::of(std::vector<DecoderStep> steps) {
  Decoder out;
  out.joins_with_spaces_ = false;
  out.steps_ = std::move(steps);
  return out;
}

Decoder Decoder::byte_level() {
  Decoder out = of({bytes_of_alphabet});
  out.streaming_ = Streaming::bytes;
  return out;
}

void Decoder::append_bytes(std::string& out, std::string_view piece) {
  append_bytes_of_piece(out, piece);
}

bool Decoder::is_byte(std::string_view piece) {
  return byte_of_piece(piece) >= 0;
}

std::string Decoder::text(const std::vector<std::string_view>& pieces) const {
  std::string out;
  if (streaming_ == Streaming::bytes) {
    for (const std::string_view piece : pieces) append_bytes_of_piece(out, piece);
    return utf8_lossy(out);
  }
  std::vector<std::string> texts(pieces.begin(), pieces.end());
  for (const DecoderStep& step : steps_) step(texts);
  for (std::size_t i = 0; i < texts.size(); ++i) {
    if (joins_with_spaces_ && i > 0) out += ' ';
    out += texts[i];
  }
  return out;
}

DecoderStep replace_in_pieces(std::string text, std::string by) {
  return [text = std::move(text), by = std::move(by)](std::vector<std::string>& pieces) {
    for (std::string& piece : pieces) replace_all(piece, text, by);
  };
}

DecoderStep bytes_of_fallback() {
  return [](std::vector<std::string>& pieces) {
    std::vector<std::string> out;
    std::string bytes;
    const auto end_bytes = [&] {
      if (is_utf8(bytes)) {
        if (!bytes.empty()) out.push_back(bytes);
      } else {
        for (std::size_t i = 0; i < bytes.size(); ++i) out.emplace_back(utf8_replacement);
      }
      bytes.clear();
    };
    for (std::string& piece : pieces) {
      const int byte = byte_of_piece(piece);
      if (byte >= 0) {
        bytes += static_cast<char>(byte);
        continue;
      }
      end_bytes();
      out.push_back(std::move(piece));
    }
    end_bytes();
    pieces = std::move(out);
  };
}

DecoderStep strip_pieces(std::string character, std::size_t from_start, std::size_t from_end) {
  if (character.empty()) from_start = from_end = 0;
  return [=](std::vector<std::string>& pieces) {
    for (std::string& piece : pieces) {
      std::string_view rest = piece;
      for (std::size_t i = 0; i < from_start && rest.starts_with(character); ++i) {
        rest.remove_prefix(character.size());
      }
      for (std::size_t i = 0; i < from_end && rest.ends_with(character); ++i) {
        rest.remove_suffix(character.size());
      }
      piece = std::string(rest);
    }
  };
}

DecoderStep join_pieces() {
  return [](std::vector<std::string>& pieces) {
    std::string out;
    for (const std::string& piece : pieces) out += piece;
    pieces.assign(1, std::move(out));
  };
}

DecoderStep word_pieces(std::string prefix, bool cleanup) {
  return [prefix = std::move(prefix), cleanup](std::vector<std::string>& pieces) {
    for (std::size_t i = 0; i < pieces.size(); ++i) {
      if (i > 0) {
        const bool goes_on = pieces[i].starts_with(prefix);
        pieces[i] = goes_on ? pieces[i].substr(prefix.size()) : " " + pieces[i];
      }
      if (!cleanup) continue;
      pieces[i] = clean_up_spaces(std::move(pieces[i]));
    }
  };
}

DecoderStep metaspaces(std::string replacement, bool drops_first) {
  return [replacement = std::move(replacement), drops_first](std::vector<std::string>& pieces) {
    for (std::size_t i = 0; i < pieces.size(); ++i) {
      replace_all(pieces[i], replacement, i == 0 && drops_first ? "" : " ");
    }
  };
}

std::string clean_up_spaces(std::string text) {
  constexpr std::pair<const char*, const char*> rules[] = {
      {" .", "."},   {" ?", "?"},     {" !", "!"},    {" ,", ","},
      {" ' ", "'"},  {" n't", "n't"}, {" 'm", "'m"},  {" do not", " don't"},
      {" 's", "'s"}, {" 've", "'ve"}, {" 're", "'re"}};
  for (const auto& [from, to] : rules) replace_all(text, from, to);
  return text;
}

}  // namespace graft::core
