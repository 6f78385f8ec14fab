#include "core/text/pre_tokenizer.hpp"

#include "core/text/config.hpp"
#include "core/text/split.hpp"

namespace graft::core {
namespace {

constexpr int deepest_sequence = 16;

SplitBehavior behavior_from(const Json& config, std::string_view who) {
  const std::string name = text_member(config, "behavior", who);
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
  if (pattern.contains("String"))
    return {pattern_of_literal(text_member(pattern, "String", who)), who};
  return {member(pattern, "Regex", Json::value_t::string, who).get_ref<const std::string&>(), who};
}

/// Puts a space in front of every piece that does not begin with one. It stands for what the
/// piece's first character stands for.
void add_prefix_spaces(Pieces& pieces) {
  AlignedText out;
  std::vector<TextRange> ranges;
  for (const TextRange& range : pieces.ranges) {
    const std::size_t begin = out.text.size();
    if (pieces.text.text[range.begin] != ' ') {
      std::size_t next = range.begin + 1;
      while (next < range.end && (pieces.text.text[next] & 0xC0) == 0x80) ++next;
      out.append(" ", pieces.text.source(range.begin, next));
    }
    for (std::size_t i = range.begin; i < range.end; ++i) {
      out.append(pieces.text.text.substr(i, 1), pieces.text.source(i, i + 1));
    }
    ranges.push_back({begin, out.text.size()});
  }
  pieces.storage = std::move(out);
  pieces.text = pieces.storage.view();
  pieces.ranges = std::move(ranges);
}

PreTokenizer make(const Json& config, std::string_view who, int depth) {
  const std::string type = type_of(config, "pre-tokenizer", who);
  if (type == "ByteLevel") {
    return byte_level(flag(config, "add_prefix_space", true, who),
                      flag(config, "use_regex", true, who));
  }
  if (type == "Digits") return split_digits(flag(config, "individual_digits", false, who));
  if (type == "Split") {
    return split_at(pattern_from(config, who), behavior_from(config, who),
                    flag(config, "invert", false, who));
  }
  if (type == "Sequence" && depth < deepest_sequence) {
    const Json& list = member(config, "pretokenizers", Json::value_t::array, who);
    std::vector<PreTokenizer> steps;
    for (std::size_t i = 0; i < list.size(); ++i) {
      if (type_of(list[i], "pre-tokenizer", who) == "ByteLevel" && i + 1 < list.size()) {
        throw Error(GRAFT_E_INVALID,
                    cat(who, ": the pre-tokenizer '", type_of(list[i + 1], "pre-tokenizer", who),
                        "' after ByteLevel is not supported; ByteLevel must come last."));
      }
      steps.push_back(make(list[i], who, depth + 1));
    }
    return in_sequence(std::move(steps));
  }
  refuse_kind("pre-tokenizer", type, "ByteLevel, Digits, Split, Sequence, null", who);
}

}  // namespace

PreTokenizer make_pre_tokenizer(const Json& config, std::string_view who) {
  if (config.is_null()) return {};
  return make(config, who, 0);
}

PreTokenizer split_at(Regex pattern, SplitBehavior behavior, bool invert) {
  return [pattern = std::move(pattern), behavior, invert](Pieces& pieces) {
    std::vector<TextRange> out, matches;
    for (const TextRange& range : pieces.ranges) {
      const std::string_view text = pieces.text.text.substr(range.begin, range.end - range.begin);
      matches.clear();
      pattern.matches(text, matches);
      const std::size_t first = out.size();
      split_range(text.size(), matches, behavior, invert, out);
      for (std::size_t i = first; i < out.size(); ++i) {
        out[i].begin += range.begin;
        out[i].end += range.begin;
      }
    }
    pieces.ranges = std::move(out);
  };
}

PreTokenizer split_digits(bool individual) {
  // Unicode 17's digits are in this class, though not yet in that of regular expressions.
  return split_at(Regex("[\\p{N}\\x{11DE0}-\\x{11DE9}\\x{16FF4}-\\x{16FF6}]", "Digits"),
                  individual ? SplitBehavior::isolated : SplitBehavior::contiguous, false);
}

PreTokenizer byte_level(bool add_prefix_space, bool use_regex) {
  const PreTokenizer split =
      use_regex ? split_at(Regex(gpt2_pattern, "ByteLevel"), SplitBehavior::isolated, false)
                : PreTokenizer();
  return [=](Pieces& pieces) {
    if (add_prefix_space) add_prefix_spaces(pieces);
    if (split) split(pieces);
    pieces.byte_level = true;
  };
}

PreTokenizer in_sequence(std::vector<PreTokenizer> steps) {
  return [steps = std::move(steps)](Pieces& pieces) {
    for (const PreTokenizer& step : steps) step(pieces);
  };
}

}  // namespace graft::core
