// Post-processors as tokenizer.json describes them.
#include <algorithm>

#include "core/text/config.hpp"
#include "core/text/post_processor.hpp"

namespace graft::core {
namespace {

constexpr int deepest_sequence = 16;
constexpr std::int64_t largest_number = std::int64_t{1} << 24;

std::int32_t number_of(const Json& value, std::string_view what, std::string_view who) {
  if (!value.is_number_unsigned() ||
      value.get<std::uint64_t>() > static_cast<std::uint64_t>(largest_number)) {
    throw Error(GRAFT_E_INVALID, cat(who, ": ", what, " is ", to_text(value), "; it must be 0 to ",
                                     largest_number, "."));
  }
  return value.get<std::int32_t>();
}

std::int32_t type_id(const Json& part, std::string_view who) {
  const auto found = part.find("type_id");
  return found == part.end() ? 0 : number_of(*found, "a type_id of the template", who);
}

std::vector<FramePart> template_parts(const Json& config, const char* key, std::string_view who) {
  const Json& tokens = member(config, "special_tokens", Json::value_t::object, who);
  std::vector<FramePart> out;
  for (const Json& item : member(config, key, Json::value_t::array, who)) {
    FramePart part;
    if (item.contains("Sequence")) {
      const Json& sequence = member(item, "Sequence", Json::value_t::object, who);
      part.what = text_member(sequence, "id", who) == "B" ? FramePart::What::second
                                                          : FramePart::What::first;
      part.type = type_id(sequence, who);
    } else {
      const Json& special = member(item, "SpecialToken", Json::value_t::object, who);
      const std::string name = text_member(special, "id", who);
      const Json& token = member(tokens, name.c_str(), Json::value_t::object, who);
      for (const Json& id : member(token, "ids", Json::value_t::array, who)) {
        part.ids.push_back(number_of(id, cat("an id of the template's token '", name, "'"), who));
      }
      part.type = type_id(special, who);
    }
    out.push_back(std::move(part));
  }
  return out;
}

Frame make_template(const Json& config, std::string_view who) {
  Frame out;
  out.single = template_parts(config, "single", who);
  const auto pair = config.find("pair");
  if (pair != config.end() && !pair->is_null()) out.pair = template_parts(config, "pair", who);
  const auto texts = std::count_if(out.single.begin(), out.single.end(), [](const FramePart& p) {
    return p.what == FramePart::What::first;
  });
  if (texts != 1) {
    throw Error(GRAFT_E_INVALID, cat(who, ": the post-processor's \"single\" holds ", texts,
                                     " sequences; it must hold one."));
  }
  return out;
}

/// [token, id]
std::int32_t id_of_pair(const Json& config, const char* key, std::string_view who) {
  const Json& pair = member(config, key, Json::value_t::array, who);
  return number_of(pair.size() == 2 ? pair[1] : Json(), cat("the id of \"", key, "\""), who);
}

/// cls A sep B sep. RoBERTa has two sep between them, and no types.
Frame bert_frame(const Json& config, bool roberta, std::string_view who) {
  const std::int32_t cls = id_of_pair(config, "cls", who), sep = id_of_pair(config, "sep", who);
  const std::int32_t second = roberta ? 0 : 1;
  using What = FramePart::What;
  Frame out;
  out.single = {{What::special, {cls}, 0}, {What::first, {}, 0}, {What::special, {sep}, 0}};
  out.pair = out.single;
  if (roberta) out.pair.push_back({What::special, {sep}, 0});
  out.pair.push_back({What::second, {}, second});
  out.pair.push_back({What::special, {sep}, second});
  return out;
}

void add(const Json& config, std::string_view who, int depth, PostProcessor& out) {
  const std::string type = type_of(config, "post-processor", who);
  const auto trims_too = [&] {
    if (!flag(config, "trim_offsets", true, who)) return;
    out.trims = true;
    out.trim.add_prefix_space = flag(config, "add_prefix_space", true, who);
  };
  const auto framed_by = [&](Frame frame) {
    if (out.frames) {
      throw Error(GRAFT_E_INVALID, cat(who, ": the post-processor '", type, "' is the second that ",
                                       "adds tokens; one is supported."));
    }
    out.frames = true;
    out.frame = std::move(frame);
  };
  if (type == "ByteLevel") {
    trims_too();
  } else if (type == "TemplateProcessing") {
    framed_by(make_template(config, who));
  } else if (type == "BertProcessing") {
    framed_by(bert_frame(config, false, who));
  } else if (type == "RobertaProcessing") {
    trims_too();
    framed_by(bert_frame(config, true, who));
  } else if (type == "Sequence" && depth < deepest_sequence) {
    for (const Json& step : member(config, "processors", Json::value_t::array, who)) {
      add(step, who, depth + 1, out);
    }
  } else {
    refuse_kind("post-processor", type,
                "ByteLevel, TemplateProcessing, BertProcessing, RobertaProcessing, Sequence, null",
                who);
  }
}

}  // namespace

PostProcessor make_post_processor(const Json& config, std::string_view who) {
  PostProcessor out;
  if (!config.is_null()) add(config, who, 0, out);
  return out;
}

}  // namespace graft::core
