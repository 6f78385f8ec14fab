#include "core/model/quantization.hpp"

namespace graft::core {

bool Quantization::skips(std::string_view module) const {
  for (const std::string& name : skip) {
    const bool at_end = module.size() > name.size() && module.ends_with(name) &&
                        module[module.size() - name.size() - 1] == '.';
    if (module == name || at_end) return true;
  }
  return false;
}

Json Quantization::json() const {
  if (!makes()) return {{"format", format}};
  Json all = {{"format", format}};
  if (format == "nf4" || format == "fp4") {
    all["block"] = block;
    all["double"] = nested;
  }
  all["skip"] = skip;
  return all;
}

Json quantization_schema() {
  return parse_json(R"json({
    "type": "object", "additionalProperties": false, "required": ["format"],
    "description": "how the base model's linear layers lie in memory",
    "properties": {
      "format": {"enum": ["keep", "none", "nf4", "fp4", "int8", "q8_0", "q4_0", "q4_1", "q5_0", "q5_1", "iq4_nl",
                          "q2_k", "q3_k", "q4_k", "q5_k", "q6_k"],
                 "description": "keep: as the file has them; none: expanded; else quantized while they are loaded"},
      "block": {"enum": [32, 64, 128, 256, 512, 1024, 2048, 4096], "default": 64,
                "description": "nf4, fp4: elements that share a scale"},
      "double": {"type": "boolean", "default": true, "description": "nf4, fp4: the scales are quantized too"},
      "skip": {"type": "array", "items": {"type": "string", "minLength": 1}, "default": ["lm_head"],
               "description": "modules that stay as they are, or ends of their names"}
    }})json",
                    "the schema of quantizations");
}

Quantization read_quantization(const Json& json) {
  Quantization q;
  if (!json.is_object()) return q;
  q.format = json.at("format").get<std::string>();
  q.block = json.at("block").get<std::int64_t>();
  q.nested = json.at("double").get<bool>();
  q.skip = json.at("skip").get<std::vector<std::string>>();
  return q;
}

}  // namespace graft::core
