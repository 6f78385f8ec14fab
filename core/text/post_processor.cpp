#include "core/text/post_processor.hpp"

#include <algorithm>

#include "core/text/byte_alphabet.hpp"
#include "core/text/config.hpp"
#include "core/text/unicode.hpp"

namespace graft::core {
namespace {

constexpr int deepest_sequence = 16;

/// The ids of "special_tokens"[name].
std::vector<std::int32_t> ids_of(const Json& config, const std::string& name,
                                 std::string_view who) {
  const Json& tokens = member(config, "special_tokens", Json::value_t::object, who);
  std::vector<std::int32_t> out;
  const Json& token = member(tokens, name.c_str(), Json::value_t::object, who);
  for (const Json& id : member(token, "ids", Json::value_t::array, who)) {
    if (!id.is_number_unsigned() || id.get<std::uint64_t>() > (std::uint64_t{1} << 24)) {
      throw Error(GRAFT_E_INVALID, cat(who, ": the template's token '", name, "' has the id ",
                                       to_text(id), "; it must be 0 to ", 1 << 24, "."));
    }
    out.push_back(id.get<std::int32_t>());
  }
  return out;
}

PostProcessor make_template(const Json& config, std::string_view who) {
  std::vector<std::int32_t> before, after;
  int sequences = 0;
  for (const Json& item : member(config, "single", Json::value_t::array, who)) {
    if (item.contains("Sequence")) {
      ++sequences;
      continue;
    }
    const Json& special = member(item, "SpecialToken", Json::value_t::object, who);
    const std::vector<std::int32_t> ids = ids_of(config, text_member(special, "id", who), who);
    std::vector<std::int32_t>& side = sequences == 0 ? before : after;
    side.insert(side.end(), ids.begin(), ids.end());
  }
  if (sequences != 1) {
    throw Error(GRAFT_E_INVALID, cat(who, ": the post-processor's \"single\" holds ", sequences,
                                     " sequences; it must hold one."));
  }
  return frame(std::move(before), std::move(after));
}

PostProcessor make(const Json& config, std::string_view who, int depth) {
  const std::string type = type_of(config, "post-processor", who);
  if (type == "ByteLevel") {
    if (!flag(config, "trim_offsets", true, who)) return {};
    return trim_offsets(flag(config, "add_prefix_space", true, who));
  }
  if (type == "TemplateProcessing") return make_template(config, who);
  if (type == "Sequence" && depth < deepest_sequence) {
    std::vector<PostProcessor> steps;
    for (const Json& step : member(config, "processors", Json::value_t::array, who)) {
      if (PostProcessor made = make(step, who, depth + 1)) steps.push_back(std::move(made));
    }
    return [steps](std::vector<Token>& tokens, const PostContext& context) {
      for (const PostProcessor& step : steps) step(tokens, context);
    };
  }
  refuse_kind("post-processor", type, "ByteLevel, TemplateProcessing, Sequence, null", who);
}

bool is_space_in_piece(char32_t c) {
  return c == character_of_byte(' ') || is_white_space(c);
}

int spaces_before(std::string_view piece) {
  int count = 0;
  for (std::size_t at = 0; at < piece.size() && is_space_in_piece(utf8_next(piece, at));) ++count;
  return count;
}

int spaces_after(std::string_view piece) {
  int count = 0;
  std::size_t end = piece.size();
  while (end > 0 && is_space_in_piece(utf8_before(piece, end))) {
    do --end;
    while (is_utf8_continuation(piece[end]));
    ++count;
  }
  return count;
}

/// The place behind the character at `at`; a byte that is no UTF-8 is a character of its own.
std::int64_t next_character(std::string_view text, std::int64_t at) {
  std::size_t bad = 0;
  const std::size_t length = utf8_length_at(text, static_cast<std::size_t>(at), &bad);
  return at + static_cast<std::int64_t>(length != 0 ? length : bad);
}

std::int64_t character_before(std::string_view text, std::int64_t end) {
  std::int64_t at = end - 1;
  while (at > 0 && end - at < 4 && is_utf8_continuation(text[static_cast<std::size_t>(at)])) --at;
  return next_character(text, at) == end ? at : end - 1;
}

}  // namespace

PostProcessor make_post_processor(const Json& config, std::string_view who) {
  if (config.is_null()) return {};
  return make(config, who, 0);
}

PostProcessor frame(std::vector<std::int32_t> before, std::vector<std::int32_t> after) {
  return [before = std::move(before), after = std::move(after)](std::vector<Token>& tokens,
                                                                const PostContext& context) {
    if (!context.add_special) return;
    std::vector<Token> head;
    for (const std::int32_t id : before) head.push_back({id, 0, 0});
    tokens.insert(tokens.begin(), head.begin(), head.end());
    for (const std::int32_t id : after) tokens.push_back({id, 0, 0});
  };
}

PostProcessor trim_offsets(bool add_prefix_space) {
  return [add_prefix_space](std::vector<Token>& tokens, const PostContext& context) {
    for (std::size_t i = 0; i < tokens.size(); ++i) {
      Token& token = tokens[i];
      const std::string_view piece = context.text(token);
      int leading = spaces_before(piece);
      // A single space that add_prefix_space put there covers nothing.
      if ((i == 0 || token.begin == 0) && add_prefix_space && leading == 1) leading = 0;
      for (; leading > 0 && token.begin < token.end; --leading) {
        token.begin = next_character(context.input, token.begin);
      }
      for (int trailing = spaces_after(piece); trailing > 0 && token.begin < token.end;
           --trailing) {
        token.end = character_before(context.input, token.end);
      }
    }
  };
}

}  // namespace graft::core
