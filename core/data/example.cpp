#include "core/data/example.hpp"

#include <algorithm>

#include "core/base/nearest.hpp"
#include "core/data/conversation.hpp"

namespace graft::core {
namespace {

const std::vector<std::string>& columns() {
  static const std::vector<std::string> names = {"text",  "prompt",    "completion", "messages",
                                                 "tools", "documents", "input_ids",  "labels"};
  return names;
}

std::string column_name(const Fields& fields, const std::string& column) {
  const auto found = fields.find(column);
  return found == fields.end() ? column : found->second;
}

const Json* find_column(const Json& line, const Fields& fields, const std::string& column) {
  const auto found = line.find(column_name(fields, column));
  return found == line.end() ? nullptr : &*found;
}

std::vector<std::string> keys_of(const Json& line) {
  std::vector<std::string> keys;
  for (const auto& [key, unused] : line.items()) keys.push_back(key);
  return keys;
}

std::string listed(const std::vector<std::string>& names) {
  std::string text;
  for (std::size_t i = 0; i < names.size() && i < 10; ++i) {
    text += cat(i == 0 ? "" : ", ", '"', names[i].substr(0, 40), '"');
  }
  return text.empty() ? "none" : text;
}

void check_object(const Json& line, std::string_view who) {
  if (line.is_object()) return;
  throw Error(GRAFT_E_INVALID,
              cat(who, ": is a JSON ", line.type_name(), ", but must be an object, one a line",
                  line.is_array() ? " (JSONL: no list around the lines)." : "."));
}

const Json& need_column(const Json& line, const LineReading& reading, const std::string& column,
                        std::string_view who) {
  if (const Json* found = find_column(line, reading.fields, column)) return *found;
  const std::string name = column_name(reading.fields, column);
  throw Error(GRAFT_E_INVALID,
              cat(who, ": there is no \"", name, "\", which format ", to_string(reading.format),
                  " needs; the columns are ", listed(keys_of(line)),
                  ". Name the column in data.fields: {\"", column, "\": ..}."));
}

const std::string& need_string(const Json& line, const LineReading& reading,
                               const std::string& column, std::string_view who) {
  const Json& value = need_column(line, reading, column, who);
  if (value.is_string()) return value.get_ref<const std::string&>();
  throw Error(GRAFT_E_INVALID, cat(who, ": \"", column_name(reading.fields, column), "\" is a ",
                                   value.type_name(), ", but must be a string."));
}

void check_ids(const Example& example, const Encoder& encoder, std::string_view who) {
  const auto check = [&](std::int32_t id) {
    if (id >= 0 && id < encoder.vocabulary) return;
    throw Error(GRAFT_E_INVALID,
                cat(who, ": token id ", id, " is out of range: the model's vocabulary has ",
                    encoder.vocabulary, " rows, ids go from 0 to ", encoder.vocabulary - 1, "."));
  };
  for (const std::int32_t id : example.ids) check(id);
  for (const std::int32_t label : example.labels) {
    if (label != kNoLabel) check(label);
  }
}

void end_with_eos(Example& example, const Encoder& encoder) {
  if (!encoder.eos || (!example.ids.empty() && example.ids.back() == *encoder.eos)) return;
  example.ids.push_back(*encoder.eos);
  example.labels.push_back(*encoder.eos);
}

Example encode_completion(const std::string& prompt, const std::string& completion, bool add_eos,
                          const Encoder& encoder) {
  Example example;
  bool inside = prompt.empty();
  for (const Token& token : encoder.encode(prompt + completion, true)) {
    inside = inside || static_cast<std::size_t>(token.end) > prompt.size();
    example.ids.push_back(token.id);
    example.labels.push_back(inside ? token.id : kNoLabel);
  }
  if (add_eos) end_with_eos(example, encoder);
  return example;
}

// Numbers of a list, checked one by one: a line may hold anything.
std::vector<std::int32_t> int_list(const Json& list, bool labels, const std::string& name,
                                   const Encoder& encoder, std::string_view who) {
  const auto refuse = [&](const std::string& what) {
    throw Error(GRAFT_E_INVALID, cat(who, ": \"", name, "\" ", what));
  };
  if (!list.is_array())
    refuse(cat("is a ", list.type_name(), ", but must be a list of token ids."));
  std::vector<std::int32_t> result;
  result.reserve(list.size());
  for (std::size_t i = 0; i < list.size(); ++i) {
    const Json& item = list[i];
    if (!item.is_number_integer()) {
      refuse(
          cat("holds ", to_text(item).substr(0, 40), " at place ", i, ", which is no token id."));
    }
    const bool huge = item.is_number_unsigned() && item.get<std::uint64_t>() > 0x7fffffff;
    const std::int64_t id = huge ? -1 : item.get<std::int64_t>();
    if (!(labels && id == kNoLabel) && (id < 0 || id >= encoder.vocabulary)) {
      refuse(cat("holds the token id ", to_text(item), " at place ", i,
                 ", which is out of range: the model's vocabulary has ", encoder.vocabulary,
                 " rows, ids go from 0 to ", encoder.vocabulary - 1,
                 labels ? "; -100 where no loss is taken." : "."));
    }
    result.push_back(static_cast<std::int32_t>(id));
  }
  return result;
}

Example encode_tokens(const Json& line, const LineReading& reading, const Encoder& encoder,
                      std::string_view who) {
  Example example;
  const std::string name = column_name(reading.fields, "input_ids");
  example.ids = int_list(need_column(line, reading, "input_ids", who), false, name, encoder, who);
  const Json* labels = find_column(line, reading.fields, "labels");
  if (labels == nullptr || labels->is_null()) {
    example.labels = example.ids;
    return example;
  }
  const std::string label_name = column_name(reading.fields, "labels");
  example.labels = int_list(*labels, true, label_name, encoder, who);
  if (example.labels.size() != example.ids.size()) {
    throw Error(GRAFT_E_INVALID,
                cat(who, ": \"", label_name, "\" has ", example.labels.size(), " entries, but \"",
                    name, "\" has ", example.ids.size(), ". Give one label for each token."));
  }
  return example;
}

}  // namespace

const char* to_string(Format format) {
  switch (format) {
    case Format::kText:
      return "text";
    case Format::kCompletion:
      return "completion";
    case Format::kMessages:
      return "messages";
    case Format::kTokens:
      return "tokens";
  }
  return "?";
}

Format parse_format(std::string_view name, std::string_view who) {
  for (const Format format :
       {Format::kText, Format::kCompletion, Format::kMessages, Format::kTokens}) {
    if (name == to_string(format)) return format;
  }
  if (name == "alpaca" || name == "sharegpt" || name == "preference") {
    throw Error(GRAFT_E_INVALID, cat(who, ": the format \"", name,
                                     "\" is not there yet. Rewrite the lines as text, ",
                                     "completion, messages or tokens."));
  }
  throw Error(GRAFT_E_INVALID,
              cat(who, ": \"", name, "\" is no data format. ",
                  hint(name, {"text", "completion", "messages", "tokens"}, "Formats")));
}

void check_fields(const Fields& fields, std::string_view who) {
  for (const auto& [column, name] : fields) {
    if (std::find(columns().begin(), columns().end(), column) != columns().end()) continue;
    throw Error(GRAFT_E_CONFIG, cat(who, ": no format has a column \"", column, "\". ",
                                    hint(column, columns(), "Columns"),
                                    " (Written as {\"the format's name\": \"the file's name\"}.)"));
  }
}

std::int64_t Example::supervised() const {
  if (labels.empty()) return 0;
  return static_cast<std::int64_t>(labels.size()) - 1 -
         std::count(labels.begin() + 1, labels.end(), kNoLabel);
}

bool Example::cut(std::int64_t max_length) {
  if (static_cast<std::int64_t>(ids.size()) <= max_length) return false;
  ids.resize(static_cast<std::size_t>(max_length));
  labels.resize(static_cast<std::size_t>(max_length));
  return true;
}

Format detect_format(const Json& line, const Fields& fields, std::string_view who) {
  check_object(line, who);
  const auto has = [&](const char* column) { return find_column(line, fields, column) != nullptr; };
  if (has("messages")) return Format::kMessages;
  if (has("input_ids")) return Format::kTokens;
  if (has("prompt") && has("completion")) return Format::kCompletion;
  if (has("text")) return Format::kText;
  if (has("chosen") && has("rejected")) return parse_format("preference", who);
  if (has("conversations")) return parse_format("sharegpt", who);
  if (has("instruction") && has("output")) return parse_format("alpaca", who);
  throw Error(
      GRAFT_E_INVALID,
      cat(who, ": ",
          line.empty() ? "there are no columns"
                       : cat("the columns ", listed(keys_of(line)), " are of no known format"),
          ". There are text (\"text\"), completion (\"prompt\", "
          "\"completion\"), messages (\"messages\") and tokens (\"input_ids\"); "
          "data.fields names columns that are called otherwise: {\"text\": \"..\"}."));
}

Example encode_text(std::string_view text, bool add_eos, const Encoder& encoder,
                    std::string_view who) {
  Example example;
  for (const Token& token : encoder.encode(text, true)) example.ids.push_back(token.id);
  example.labels = example.ids;
  if (add_eos) end_with_eos(example, encoder);
  check_ids(example, encoder, who);
  return example;
}

Example encode_line(const Json& line, const LineReading& reading, const Encoder& encoder,
                    std::string_view who) {
  check_object(line, who);
  if (reading.format == Format::kTokens) return encode_tokens(line, reading, encoder, who);
  if (reading.format == Format::kText) {
    return encode_text(need_string(line, reading, "text", who), reading.add_eos, encoder, who);
  }
  Example example;
  if (reading.format == Format::kCompletion) {
    example =
        encode_completion(need_string(line, reading, "prompt", who),
                          need_string(line, reading, "completion", who), reading.add_eos, encoder);
  } else {
    Json variables = Json::object();
    for (const char* column : {"tools", "documents"}) {
      if (const Json* value = find_column(line, reading.fields, column)) variables[column] = *value;
    }
    example =
        encode_conversation(need_column(line, reading, "messages", who), variables, encoder, who);
  }
  check_ids(example, encoder, who);
  return example;
}

}  // namespace graft::core
