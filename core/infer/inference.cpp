#include "core/infer/inference.hpp"

#include <algorithm>
#include <cmath>

#include "core/adapt/adapter_files.hpp"
#include "core/base/config_error.hpp"
#include "core/base/schema.hpp"
#include "core/infer/engine.hpp"
#include "core/plugin/host_config.hpp"
#include "core/plugin/texts.hpp"
#include "core/tensor/dtype.hpp"
#include "core/text/detokenizer.hpp"
#include "core/train/default_targets.hpp"
#include "core/train/fused.hpp"
#include "core/train/run_config.hpp"

namespace graft::core {

struct Inference::State {
  HostTable host;
  HostConfig backend_config;
  Text text;
  std::unique_ptr<InferenceEngine> engine;
  Json adapters = Json::array();

  State(const Log& log, Json backend, Text t)
      : host(log), backend_config(std::move(backend)), text(std::move(t)) {}
};

namespace {

const Json& request_schema() {
  static const Json schema = parse_json(R"json({
    "type": "object", "additionalProperties": false,
    "properties": {
      "prompt": {"type": "string"},
      "messages": {"type": "array", "items": {"type": "object"}},
      "tools": {"type": "array"},
      "system": {"type": "string"},
      "input_ids": {"type": "array", "items": {"type": "integer"}},
      "adapter": {"anyOf": [{"type": "string"}, {"type": "array", "items": {"type": "string"}}],
                  "description": "which of the model's adapters; [] for none"},
      "chat": {"type": "boolean", "default": false},
      "max_new_tokens": {"type": "integer", "minimum": 0, "maximum": 16777216, "default": 128},
      "greedy": {"type": "boolean", "default": false},
      "temperature": {"type": "number", "minimum": 0, "default": 1,
                      "description": "0 is greedy"},
      "top_k": {"type": "integer", "minimum": 0, "default": 0},
      "top_p": {"type": "number", "exclusiveMinimum": 0, "maximum": 1, "default": 1},
      "min_p": {"type": "number", "minimum": 0, "maximum": 1, "default": 0},
      "repetition_penalty": {"type": "number", "exclusiveMinimum": 0, "default": 1},
      "seed": {"type": "integer", "minimum": 0, "default": 0},
      "stop": {"type": "array", "items": {"type": "string", "minLength": 1}, "default": []},
      "ignore_eos": {"type": "boolean", "default": false}
    }})json",
                                        "the schema of a generate request");
  return schema;
}

/// What a request begins with: the one of them that it has.
std::string beginning_of(const Json& request) {
  std::string found;
  for (const char* name : {"prompt", "messages", "input_ids"}) {
    if (!request.contains(name)) continue;
    if (!found.empty()) {
      throw Error(GRAFT_E_CONFIG, cat("generate request: there are both \"", found, "\" and \"",
                                      name, "\"; give one of them."));
    }
    found = name;
  }
  if (found.empty()) {
    throw Error(GRAFT_E_CONFIG,
                "a generate request needs \"prompt\", \"messages\" or \"input_ids\".");
  }
  return found;
}

std::vector<std::int32_t> given_ids(const Json& request, std::int64_t vocab) {
  std::vector<std::int32_t> ids;
  for (const Json& json : request["input_ids"]) {
    const auto id = json.get<std::int64_t>();
    if (id < 0 || id >= vocab) {
      throw Error(GRAFT_E_INVALID,
                  cat("generate request: token id ", id, " is outside of 0 to ", vocab - 1, "."));
    }
    ids.push_back(static_cast<std::int32_t>(id));
  }
  return ids;
}

std::vector<std::int32_t> prompt_ids(const Json& request, const Text& text, std::int64_t vocab) {
  const std::string beginning = beginning_of(request);
  const bool chat = request["chat"] || beginning == "messages" || request.contains("system") ||
                    request.contains("tools");
  if (beginning == "input_ids") {
    if (!chat) return given_ids(request, vocab);
    throw Error(GRAFT_E_CONFIG,
                "generate request: \"input_ids\" are taken as they are; \"chat\", \"system\" "
                "and \"tools\" need \"prompt\" or \"messages\".");
  }
  if (!chat) {
    return text.tokenizer().ids(request["prompt"].get<std::string>(), true);
  }
  Json messages = Json::array();
  if (request.contains("system")) {
    messages.push_back({{"role", "system"}, {"content", request["system"]}});
  }
  if (request.contains("messages")) {
    for (const Json& m : request["messages"]) messages.push_back(m);
  } else {
    messages.push_back({{"role", "user"}, {"content", request["prompt"]}});
  }
  // As transformers' pipelines: a last message of the assistant is gone on with.
  const Json& last = messages.empty() ? Json() : messages.back();
  const bool goes_on = last.is_object() && last.value("role", Json()) == "assistant";
  Json variables = {{"messages", messages},
                    {"add_generation_prompt", !goes_on},
                    {"continue_final_message", goes_on}};
  if (request.contains("tools")) variables["tools"] = request["tools"];
  return text.tokenizer().ids(text.chat_template().render(variables), false);
}

/// Whether a request's word means the adapter in this folder: as it was given, or its last part.
bool means(const std::string& word, const std::string& path) {
  const fs::path folder = fs::path(path).lexically_normal();
  const fs::path last = folder.has_filename() ? folder.filename() : folder.parent_path().filename();
  return word == path || word == last.string();
}

/// By adapter: all of them unless the request names some.
std::vector<bool> active_adapters(const Json& request, const Json& adapters) {
  if (!request.contains("adapter")) return std::vector<bool>(adapters.size(), true);
  std::vector<bool> active(adapters.size(), false);
  const Json& given = request["adapter"];
  for (const Json& word : given.is_string() ? Json::array({given}) : given) {
    bool known = false;
    std::string names;
    for (std::size_t i = 0; i < adapters.size(); ++i) {
      const std::string path = adapters[i]["path"];
      names += cat(names.empty() ? "" : ", ", path);
      if (!means(word.get<std::string>(), path)) continue;
      active[i] = known = true;
    }
    if (!known) {
      throw Error(GRAFT_E_INVALID,
                  cat("generate request: no adapter ", word.dump(), " is open. ",
                      names.empty() ? "Give it with --adapter." : cat("There are: ", names, ".")));
    }
  }
  return active;
}

}  // namespace

std::vector<MethodEntry> open_entries(std::vector<AdapterChoice>& choices, Registry& registry,
                                      const Text& text, const std::string& model_type) {
  std::vector<MethodEntry> entries;
  std::vector<fs::path> folders;
  for (const AdapterChoice& a : choices) {
    entries.push_back(loaded_entry(a.folder, registry));
    folders.push_back(a.folder);
  }
  const std::vector<bool> remains = fuse(entries, folders, registry);
  for (std::size_t i = remains.size(); i-- > 0;) {
    if (remains[i]) continue;
    if (choices[i].strength != 1) {
      throw Error(GRAFT_E_INVALID,
                  cat("the adapter '", folders[i].string(), "' is fused by another, so it has no ",
                      "strength of its own. Give the strength to the fusion."));
    }
    choices.erase(choices.begin() + static_cast<std::ptrdiff_t>(i));
    entries.erase(entries.begin() + static_cast<std::ptrdiff_t>(i));
  }
  for (MethodEntry& entry : entries) {
    tokenize_options(entry, text);
    settle_targets(entry, model_type);
  }
  return entries;
}

Inference::Inference(std::unique_ptr<State> state) : state_(std::move(state)) {}
Inference::~Inference() = default;
const Text& Inference::text() const {
  return state_->text;
}

std::unique_ptr<Inference> Inference::open(const fs::path& path, const InferenceOptions& options,
                                           Registry& registry, const Log& log) {
  const graft_backend_api& api = options.backend.empty()
                                     ? registry.default_backend()
                                     : of_the_config([&]() -> const graft_backend_api& {
                                         return registry.backend(options.backend);
                                       });
  const Json& schema = plugin_json(api.config_schema, api.name);
  const Json backend = of_the_config([&] {
    return validate({{"type", api.name}, {"threads", options.threads}}, schema,
                    cat("backend ", api.name));
  });
  auto state = std::make_unique<State>(log, backend, Text{});
  const Device device = Device::open(api, &state->host, &state->backend_config);
  const Model model =
      Model::open(path, device, choose_dtype(options.dtype, device), options.quantization);
  warn_of_model(model, log);
  state->text = Text::open(path, {}, model.config().vocab, log);
  const Origin origin = {path.string(), model.checkpoint().fingerprint(),
                         state->text.template_hash(), origin_of(options.quantization),
                         model_facts(model.config())};
  std::vector<AdapterChoice> choices = options.adapters;
  std::vector<MethodEntry> entries =
      open_entries(choices, registry, state->text, std::string(model.config().family->type));
  std::vector<double> strengths;
  for (const AdapterChoice& a : choices) {
    strengths.push_back(a.strength);
    compare_origin(a.folder, origin, log);
    state->adapters.push_back({{"path", a.folder.string()}, {"strength", a.strength}});
  }
  auto adapters = std::make_unique<AdapterSet>(decoder_sites(model.config()), std::move(entries),
                                               base_tensors(model.config()), log);
  std::vector<std::vector<float>> values(adapters->parameters().size());
  for (std::size_t e = 0; e < choices.size(); ++e) {
    auto loaded =
        load_adapter(choices[e].folder, adapters->parameters(), e, adapters->entries()[e]);
    for (std::size_t i = 0; i < loaded.size(); ++i) {
      if (!loaded[i].empty()) values[i] = std::move(loaded[i]);
    }
  }
  state->engine =
      std::make_unique<InferenceEngine>(device, model, std::move(adapters), values, strengths);
  return std::unique_ptr<Inference>(new Inference(std::move(state)));
}

Json Inference::info() const {
  const Model& model = state_->engine->model();
  const DecoderConfig& c = model.config();
  std::int64_t parameters = 0;
  for (const TensorNeed& need : decoder_tensors(c)) {
    std::int64_t n = 1;
    for (const std::int64_t d : need.shape) n *= d;
    parameters += n;
  }
  const Device& device = state_->engine->device();
  return {{"family", std::string(c.family->type)},
          {"parameters", parameters},
          {"layers", c.layers},
          {"hidden", c.hidden},
          {"vocab", c.vocab},
          {"context", c.max_positions},
          {"dtype", dtype_name(model.dtype())},
          {"weights", model.formats()},
          {"backend", device.name()},
          {"device", device.info().name},
          {"threads", device.info().threads},
          {"adapters", state_->adapters}};
}

Json Inference::score(const Json& request, std::int64_t top) {
  State& s = *state_;
  const Encoder encoder = s.text.encoder();
  LineReading reading;
  reading.add_eos = false;
  reading.format = detect_format(request, {}, "input");
  const Example example = encode_line(request, reading, encoder, "input");
  if (example.ids.empty()) {
    throw Error(GRAFT_E_INVALID, "input: the text has no tokens, so there is nothing to score.");
  }
  s.engine->use(std::vector<bool>(s.adapters.size(), true));
  const Scored scored = s.engine->score(example.ids, top > 0);
  Json logprobs = Json::array({nullptr});
  double sum = 0;
  std::int64_t n = 0;
  for (std::size_t i = 1; i < example.ids.size(); ++i) {
    const double logprob = static_cast<double>(scored.logprobs[i - 1]);
    if (std::isnan(logprob)) {
      throw Error(
          GRAFT_E_INVALID,
          cat("input: the log-probability of token ", i, " is not a number: the weights of ",
              "the model or of an adapter are damaged, or too large for their dtype."));
    }
    logprobs.push_back(logprob);
    if (example.labels[i] == kNoLabel) continue;
    sum -= logprob;
    ++n;
  }
  Json line = {{"input_ids", example.ids}, {"logprobs", logprobs}};
  line["loss"] = n > 0 ? Json(sum / static_cast<double>(n)) : Json(nullptr);
  if (n + 1 != static_cast<std::int64_t>(example.ids.size())) line["loss_tokens"] = n;
  if (top > 0) {
    Json next = Json::array();
    for (const auto& [id, logprob] : most_likely(scored.last_logits, top)) {
      next.push_back({id, static_cast<double>(logprob)});
    }
    line["next_top"] = next;
  }
  return line;
}

Json Inference::generate(const Json& raw, const TextSink& sink) {
  State& s = *state_;
  const Json request =
      of_the_config([&] { return validate(raw, request_schema(), "generate request"); });
  s.engine->use(active_adapters(request, s.adapters));
  GenerateRequest g;
  const DecoderConfig& config = s.engine->model().config();
  g.input_ids = prompt_ids(request, s.text, config.vocab);
  g.max_new_tokens = request["max_new_tokens"];
  const double temperature = request["temperature"];
  g.sampling = {request["greedy"] || temperature == 0,
                temperature == 0 ? 1 : temperature,
                request["top_p"],
                request["min_p"],
                request["repetition_penalty"],
                request["top_k"],
                request["seed"].get<std::uint64_t>()};
  check_sampling(g.sampling);
  g.stop = request["stop"].get<std::vector<std::string>>();
  g.ignore_eos = request["ignore_eos"];
  if (g.input_ids.empty()) {
    throw Error(GRAFT_E_INVALID, "generate request: the prompt has no tokens.");
  }
  for (const std::int32_t id : g.input_ids) {
    if (id < 0 || id >= config.vocab) {
      throw Error(GRAFT_E_INVALID, cat("generate request: token id ", id, " is outside of 0 to ",
                                       config.vocab - 1, "."));
    }
  }
  std::vector<std::int32_t> ends = config.eos;
  if (s.text.has_tokenizer() && s.text.tokenizer().eos()) {
    ends.push_back(*s.text.tokenizer().eos());
  }
  std::vector<std::int32_t> seen = g.input_ids, output;
  TextStream stream(g.stop, sink);
  std::optional<Detokenizer> texts;
  if (s.text.has_tokenizer()) texts.emplace(s.text.tokenizer());
  std::string stop = "length";
  if (g.max_new_tokens > 0) {
    s.engine->begin(static_cast<std::int64_t>(g.input_ids.size()) + g.max_new_tokens);
    std::vector<float> logits = s.engine->feed(g.input_ids);
    for (std::int64_t i = 0; i < g.max_new_tokens; ++i) {
      const std::int32_t id = choose_token(logits, g.sampling, seen, static_cast<std::uint64_t>(i));
      output.push_back(id);
      seen.push_back(id);
      if (!g.ignore_eos && std::find(ends.begin(), ends.end(), id) != ends.end()) {
        stop = "eos";
        break;
      }
      // A model may have more rows than its tokenizer has tokens.
      const bool known = texts && id < s.text.tokenizer().size();
      if (known && !stream.push(texts->push(id))) {
        stop = stream.stopped() ? "stop" : "callback";
        break;
      }
      if (i + 1 < g.max_new_tokens) logits = s.engine->feed({id});
    }
  }
  if (stop != "stop" && stop != "callback") {
    if (texts && !stream.push(texts->finish()) && stream.stopped()) stop = "stop";
    stream.finish();
  }
  return {
      {"input_ids", g.input_ids}, {"output_ids", output}, {"text", stream.text()}, {"stop", stop}};
}

}  // namespace graft::core
