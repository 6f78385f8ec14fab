// graft.h: inference.
#include "core/api/engine.hpp"
#include "core/api/guard.hpp"
#include "core/base/config_error.hpp"
#include "core/base/schema.hpp"
#include "core/infer/inference.hpp"
#include "core/infer/merge.hpp"
#include "core/infer/quantize_model.hpp"

using namespace graft::core;

struct graft_model {
  std::shared_ptr<EngineState> engine;
  std::unique_ptr<Inference> inference;
};

namespace {

/// With `format`, how a merged model is stored, where it is wanted.
InferenceOptions read_options(const char* options_json, std::string* format = nullptr) {
  Json schema = parse_json(R"json({
    "type": "object", "additionalProperties": false, "properties": {
      "backend": {"type": "string", "default": ""},
      "dtype": {"type": "string", "default": "auto"},
      "threads": {"type": "integer", "minimum": 0, "default": 0},
      "adapters": {"type": "array", "default": [], "items": {
        "type": "object", "additionalProperties": false, "required": ["path"], "properties": {
          "path": {"type": "string", "minLength": 1},
          "strength": {"type": "number", "default": 1}}}}}})json",
                           "the schema of model options");
  schema["properties"]["quantization"] = quantization_schema();
  if (format) schema["properties"]["format"] = {{"enum", {"keep", "none"}}, {"default", "keep"}};
  const Json json = of_the_config([&] {
    return validate(options_json ? parse_json(options_json, "model options") : Json::object(),
                    schema, "model options");
  });
  InferenceOptions options;
  options.backend = json["backend"];
  options.dtype = json["dtype"];
  options.threads = json["threads"];
  options.quantization = read_quantization(json.value("quantization", Json()));
  if (format) *format = json["format"];
  for (const Json& a : json["adapters"]) {
    options.adapters.push_back({a["path"].get<std::string>(), a["strength"]});
  }
  return options;
}

}  // namespace

graft_status graft_model_open(graft_engine* engine, const char* path, const char* options_json,
                              graft_model** out, graft_error* error) {
  return guard(error, [&] {
    require(out, "out");
    const auto& state = require(engine, "engine").state;
    *out = new graft_model{state,
                           Inference::open(require_text(path, "path"), read_options(options_json),
                                           state->registry, state->log)};
  });
}

void graft_model_destroy(graft_model* model) {
  delete model;
}

graft_status graft_model_info_json(graft_model* model, graft_text** out, graft_error* error) {
  return guard(error, [&] { give(out, to_text(require(model, "model").inference->info())); });
}

graft_status graft_score(graft_model* model, const char* request_json, int32_t top,
                         graft_text** out, graft_error* error) {
  return guard(error, [&] {
    const Json request = parse_json(require_text(request_json, "request_json"), "input");
    if (top < 0) {
      throw Error(GRAFT_E_INVALID, cat("the argument 'top' is ", top, "; it must be 0 or more."));
    }
    give(out, to_text(require(model, "model").inference->score(request, top)));
  });
}

graft_status graft_generate(graft_model* model, const char* request_json, graft_text_fn on_text,
                            void* user, graft_text** out, graft_error* error) {
  return guard(error, [&] {
    const std::string text = require_text(request_json, "request_json");
    const Json request = of_the_config([&] { return parse_json(text, "generate request"); });
    TextSink sink;
    if (on_text) {
      sink = [&](std::string_view piece) { return on_text(user, piece.data(), piece.size()) == 0; };
    }
    give(out, to_text(require(model, "model").inference->generate(request, sink)));
  });
}

graft_status graft_merge(graft_engine* engine, const char* path, const char* options_json,
                         const char* output, graft_text** out, graft_error* error) {
  return guard(error, [&] {
    require(out, "out");
    const auto& state = require(engine, "engine").state;
    std::string format;
    const InferenceOptions options = read_options(options_json, &format);
    give(out, to_text(merge_model(require_text(path, "path"), require_text(output, "output"),
                                  options, format == "keep", state->registry, state->log)));
  });
}

graft_status graft_quantize(graft_engine* engine, const char* path, const char* options_json,
                            const char* output, graft_text** out, graft_error* error) {
  return guard(error, [&] {
    require(out, "out");
    const auto& state = require(engine, "engine").state;
    const std::string text = require_text(options_json, "options_json");
    const Json options = of_the_config([&] {
      return validate(parse_json(text, "quantize options"), quantize_options_schema(),
                      "quantize options");
    });
    give(out, to_text(quantize_model(require_text(path, "path"), require_text(output, "output"),
                                     options, state->log)));
  });
}
