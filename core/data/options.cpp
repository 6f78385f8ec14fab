#include <cmath>

#include "core/data/dataset.hpp"

namespace graft::core {
namespace {

std::optional<Format> format_of(const Json& object, const char* who) {
  if (!object.contains("format")) return std::nullopt;
  return parse_format(object.at("format").get<std::string>(), who);
}

}  // namespace

Json data_schema() {
  return parse_json(R"json({
    "type": "object",
    "description": "what to learn from",
    "additionalProperties": false,
    "required": ["train"],
    "properties": {
      "train": {
        "description": "a file of examples (.jsonl, or .txt), or a list of files to mix",
        "oneOf": [
          {"type": "string", "minLength": 1, "description": "the path of a file"},
          {"type": "array", "minItems": 1, "description": "a list of {\"path\", \"weight\", \"format\"}",
           "items": {
            "type": "object", "additionalProperties": false, "required": ["path"],
            "properties": {
              "path": {"type": "string", "minLength": 1},
              "weight": {"type": "number", "exclusiveMinimum": 0,
                         "description": "this file's share of the examples, relative to the others' weights"},
              "format": {"type": "string"}}}}]
      },
      "eval": {"type": "string", "minLength": 1, "description": "a file of examples to evaluate on"},
      "eval_fraction": {"type": "number", "exclusiveMinimum": 0, "exclusiveMaximum": 1,
                        "description": "the part of the training examples to hold out for evaluation"},
      "format": {"enum": ["text", "completion", "messages", "tokens", "preference", "alpaca", "sharegpt"],
                 "description": "what the lines hold; found out from the first line when not given"},
      "max_length": {"type": "integer", "minimum": 2, "default": 1024,
                     "description": "tokens after which an example is cut"},
      "fields": {"type": "object", "additionalProperties": {"type": "string"},
                 "description": "columns that the file calls otherwise: {\"prompt\": \"question\"}"},
      "shuffle": {"type": "boolean", "default": true,
                  "description": "another order in each epoch; false: file order"}
    }})json",
                    "the schema of data");
}

DataOptions data_options(const Json& data, const fs::path& folder, std::uint64_t seed) {
  DataOptions options;
  options.seed = seed;
  const std::optional<Format> format = format_of(data, "data.format");
  const Json& train = data.at("train");
  if (train.is_string()) {
    options.train.push_back({folder / train.get<std::string>(), format, std::nullopt});
  } else {
    for (const Json& item : train) {
      DataFile file{folder / item.at("path").get<std::string>(), format, std::nullopt};
      if (const auto own = format_of(item, "data.train: format")) file.format = own;
      if (item.contains("weight")) file.weight = item.at("weight").get<double>();
      options.train.push_back(std::move(file));
    }
  }
  if (data.contains("eval")) {
    options.eval = DataFile{folder / data.at("eval").get<std::string>(), format, std::nullopt};
  }
  if (data.contains("eval_fraction"))
    options.eval_fraction = data.at("eval_fraction").get<double>();
  if (data.contains("max_length")) options.max_length = data.at("max_length").get<std::int64_t>();
  if (data.contains("fields")) {
    for (const auto& [column, name] : data.at("fields").items()) {
      options.fields[column] = name.get<std::string>();
    }
  }
  return options;
}

}  // namespace graft::core
