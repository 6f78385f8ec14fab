// Pre-tokenizers as tokenizer.json describes them.
#include "core/text/config.hpp"
#include "core/text/pre_tokenizer.hpp"
#include "core/text/unicode.hpp"

namespace graft::core {
namespace {

constexpr int deepest_sequence = 16;

SplitBehavior behavior_named(const std::string& name, std::string_view who) {
  if (name == "Removed") return SplitBehavior::removed;
  if (name == "Isolated") return SplitBehavior::isolated;
  if (name == "MergedWithPrevious") return SplitBehavior::merged_with_previous;
  if (name == "MergedWithNext") return SplitBehavior::merged_with_next;
  if (name == "Contiguous") return SplitBehavior::contiguous;
  refuse_kind("split behavior", name,
              "Removed, Isolated, MergedWithPrevious, MergedWithNext, Contiguous", who);
}

/// `text` as an expression that matches just it.
std::string pattern_of_literal(std::string_view text) {
  std::string out;
  for (const char c : text) {
    if (std::string_view("\\^$.[]|()?*+{}#-").find(c) != std::string_view::npos) out += '\\';
    out += c;
  }
  return out;
}

Regex pattern_from(const Json& config, std::string_view who) {
  const Json& pattern = member(config, "pattern", Json::value_t::object, who);
  if (pattern.contains("String")) {
    return {pattern_of_literal(text_member(pattern, "String", who)), who};
  }
  return {member(pattern, "Regex", Json::value_t::string, who).get_ref<const std::string&>(), who};
}

PreTokenizer make_metaspace(const Json& config, std::string_view who) {
  const std::string scheme = text_member(config, "prepend_scheme", who);
  Prefix prefix = Prefix::always;
  if (scheme == "first") prefix = Prefix::first;
  if (scheme == "never") prefix = Prefix::never;
  if (!scheme.empty() && scheme != "always" && scheme != "first" && scheme != "never") {
    refuse_kind("prepend_scheme", scheme, "always, first, never", who);
  }
  // Older files have a flag in its place.
  if (scheme.empty() && !flag(config, "add_prefix_space", true, who)) prefix = Prefix::never;
  const std::string replacement = text_member(config, "replacement", who);
  return metaspace(replacement.empty() ? "\u2581" : replacement, prefix,
                   flag(config, "split", true, who));
}

/// Words, and runs of what is neither word nor white space.
void words_and_signs(Pieces& pieces) {
  std::vector<TextRange> out;
  for (const TextRange& range : pieces.ranges) {
    int last = 0;  // 0 white space, 1 word, 2 signs
    for (std::size_t at = range.begin; at < range.end;) {
      const std::size_t begin = at;
      const char32_t c = utf8_next(pieces.text.text, at);
      const int kind = is_word_character(c) ? 1 : is_white_space(c) ? 0 : 2;
      if (kind != 0 && kind == last) {
        out.back().end = at;
      } else if (kind != 0) {
        out.push_back({begin, at});
      }
      last = kind;
    }
  }
  pieces.ranges = std::move(out);
}

/// A piece for each run of one script. What goes with any script stays with what is before it; at
/// the beginning of a piece it vanishes.
void runs_of_scripts(Pieces& pieces) {
  std::vector<TextRange> out;
  for (const TextRange& range : pieces.ranges) {
    int last = 0;  // none yet
    for (std::size_t at = range.begin; at < range.end;) {
      const std::size_t begin = at;
      const int script = script_of(utf8_next(pieces.text.text, at));
      if (script != 0 && script != last) {
        out.push_back({begin, at});
        last = script;
      } else if (last != 0) {
        out.back().end = at;
      }
    }
  }
  pieces.ranges = std::move(out);
}

PreTokenizer fixed_length(std::size_t length) {
  return [length](Pieces& pieces) {
    std::vector<TextRange> out;
    for (const TextRange& range : pieces.ranges) {
      for (std::size_t at = range.begin; at < range.end;) {
        const std::size_t begin = at;
        for (std::size_t i = 0; i < length && at < range.end; ++i) utf8_next(pieces.text.text, at);
        out.push_back({begin, at});
      }
    }
    pieces.ranges = std::move(out);
  };
}

PreTokenizer make_fixed_length(const Json& config, std::string_view who) {
  const Json& length = member(config, "length", Json::value_t::number_unsigned, who);
  if (length.get<std::uint64_t>() == 0) {
    throw Error(GRAFT_E_INVALID,
                cat(who, ": the pre-tokenizer FixedLength needs a length of at ", "least 1."));
  }
  return fixed_length(length.get<std::size_t>());
}

PreTokenizer make(const Json& config, std::string_view who, int depth) {
  const std::string type = type_of(config, "pre-tokenizer", who);
  if (type == "ByteLevel") {
    return byte_level(flag(config, "add_prefix_space", true, who),
                      flag(config, "use_regex", true, who));
  }
  if (type == "Digits") {
    return split_at_class(is_number, flag(config, "individual_digits", false, who)
                                         ? SplitBehavior::isolated
                                         : SplitBehavior::contiguous);
  }
  if (type == "Split") {
    return split_at(pattern_from(config, who),
                    behavior_named(text_member(config, "behavior", who), who),
                    flag(config, "invert", false, who));
  }
  if (type == "Metaspace") return make_metaspace(config, who);
  if (type == "BertPreTokenizer") return bert_words();
  if (type == "Whitespace") return words_and_signs;
  if (type == "WhitespaceSplit") return split_at_class(is_white_space, SplitBehavior::removed);
  if (type == "UnicodeScripts") return runs_of_scripts;
  if (type == "FixedLength") return make_fixed_length(config, who);
  if (type == "Punctuation") {
    const std::string behavior = text_member(config, "behavior", who);
    return split_at_class(
        is_punctuation, behavior.empty() ? SplitBehavior::isolated : behavior_named(behavior, who));
  }
  if (type == "CharDelimiterSplit") {
    const std::string delimiter = text_member(config, "delimiter", who);
    return split_at(Regex(pattern_of_literal(delimiter), who), SplitBehavior::removed, false);
  }
  if (type == "Sequence" && depth < deepest_sequence) {
    std::vector<PreTokenizer> steps;
    for (const Json& step : member(config, "pretokenizers", Json::value_t::array, who)) {
      steps.push_back(make(step, who, depth + 1));
    }
    return in_sequence(std::move(steps));
  }
  refuse_kind("pre-tokenizer", type,
              "ByteLevel, Split, Digits, Metaspace, BertPreTokenizer, Whitespace, WhitespaceSplit, "
              "Punctuation, CharDelimiterSplit, FixedLength, UnicodeScripts, Sequence, null",
              who);
}

}  // namespace

PreTokenizer make_pre_tokenizer(const Json& config, std::string_view who) {
  return config.is_null() ? PreTokenizer() : make(config, who, 0);
}

}  // namespace graft::core
