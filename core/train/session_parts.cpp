#include "core/train/session_parts.hpp"

#include <optional>

#include "core/adapt/storage.hpp"
#include "core/base/config_error.hpp"
#include "core/base/json_path.hpp"
#include "core/model/decoder.hpp"
#include "core/plugin/texts.hpp"
#include "core/tensor/dtype.hpp"

namespace graft::core {

std::uint32_t choose_dtype(const std::string& name, const Device& device) {
  if (name == "auto" || name.empty()) return device.info().auto_dtype;
  const std::uint32_t dtype = of_the_config([&] { return parse_dtype(name, "model.dtype"); });
  const bool able = dtype == GRAFT_F32 || (dtype == GRAFT_BF16 && device.has(GRAFT_CAP_BF16)) ||
                    (dtype == GRAFT_F64 && device.has(GRAFT_CAP_F64));
  if (!able) {
    throw Error(GRAFT_E_CONFIG,
                cat("model.dtype: backend '", device.name(), "' (", device.info().name,
                    ") does not compute in ", name, ". Use \"auto\" or \"f32\"."));
  }
  return dtype;
}

std::vector<BaseTensor> base_tensors(const DecoderConfig& config) {
  std::vector<BaseTensor> tensors;
  for (const TensorNeed& need : decoder_tensors(config)) {
    tensors.push_back({need.name, need.shape, "", need.transposed});
  }
  // A tied head can be trained by itself: it then stops being the embedding.
  if (config.tied_head) {
    tensors.push_back({config.head_name(), {config.vocab, config.hidden}, config.embedding_name()});
  }
  return tensors;
}

Text Text::open(const fs::path& model, const fs::path& chat_template, std::int64_t vocab,
                const Log& log) {
  Text t;
  t.model_ = model;
  t.vocab_ = vocab;
  try {
    t.tokenizer_ = Tokenizer::load(model);
    for (const std::string& note : t.tokenizer_->notes()) log.warning("tokenizer", note);
  } catch (const Error& e) {
    if (e.status() != GRAFT_E_NOT_FOUND) throw;
  }
  if (t.tokenizer_ && t.tokenizer_->size() > vocab) {
    throw Error(GRAFT_E_INVALID, cat("model '", model.string(), "': the tokenizer has ",
                                     t.tokenizer_->size(), " tokens, but the model has rows for ",
                                     vocab, ". They do not belong together."));
  }
  t.template_ = ChatTemplate::load(chat_template.empty() ? model : chat_template);
  return t;
}

const Tokenizer& Text::tokenizer() const {
  if (!tokenizer_) {
    throw Error(GRAFT_E_NOT_FOUND, cat("model '", model_.string(), "' has no tokenizer (",
                                       "tokenizer.json), so text cannot be turned into tokens. ",
                                       "Give \"input_ids\" instead."));
  }
  return *tokenizer_;
}

const ChatTemplate& Text::chat_template() const {
  if (!template_) {
    throw Error(GRAFT_E_NOT_FOUND, cat("model '", model_.string(), "' has no chat template. Give ",
                                       "one with model.template, or prompts instead of messages."));
  }
  return *template_;
}

Encoder Text::encoder() const {
  Encoder e;
  e.vocabulary = vocab_;
  e.encode = [self = *this](std::string_view text, bool special) {
    return self.tokenizer().encode(text, special);
  };
  if (template_) {
    e.render = [self = *this](const Json& variables) {
      return self.chat_template().render(variables);
    };
    e.render_marked = [self = *this](const Json& variables) -> std::optional<RenderedChat> {
      const ChatTemplate& chat = self.chat_template();
      if (!chat.marks_generation(variables)) return std::nullopt;
      return chat.render_marked(variables);
    };
  }
  e.is_special = [self = *this](std::int32_t id) {
    return self.tokenizer_ && self.tokenizer_->is_special(id);
  };
  if (tokenizer_) e.eos = tokenizer_->eos();
  return e;
}

Json model_facts(const DecoderConfig& c) {
  return {{"type", std::string(c.family->type)},
          {"hidden", c.hidden},
          {"layers", c.layers},
          {"heads", c.heads},
          {"kv_heads", c.kv_heads},
          {"kv_features", c.kv_heads * c.head_dim},
          {"transposed", c.family->transposed}};
}

Json origin_of(const Quantization& quantization) {
  return quantization.makes() ? quantization.json() : Json();
}

void require_losses(const AdapterSet& adapters, const Quantization& quantization) {
  if (quantization.makes()) return;
  for (const Parameter& p : adapters.parameters()) {
    if (!p.base.ends_with(".lost")) continue;
    throw Error(
        GRAFT_E_CONFIG,
        cat("methods: ", adapters.entries()[p.entry].name, " begins from what quantizing ",
            "takes from the weights of the base, which is not quantized while it is loaded. ",
            "Give model.quantization (as qlora does), or another initialisation."));
  }
}

void warn_of_model(const Model& model, const Log& log) {
  std::string names;
  for (const std::string& name : model.not_read()) names += (names.empty() ? "" : ", ") + name;
  if (!names.empty()) {
    log.warning("model", cat("the backend does not read ", names,
                             ": such weights are expanded while they are loaded."));
  }
  if (const std::string beyond = model.checkpoint().beyond_layers(); !beyond.empty()) {
    log.warning("model", cat("'", model.checkpoint().path().string(), "' says that it has ",
                             model.config().layers, " layers; its files hold more, '", beyond,
                             "' among them, which are not used."));
  }
}

void tokenize_options(MethodEntry& entry, const Text& text) {
  const Json& schema = plugin_json(entry.api.config_schema, entry.api.name);
  const Json properties = schema.value("properties", Json::object());
  for (auto it = properties.begin(); it != properties.end(); ++it) {
    const auto given = entry.options.find(it.key());
    if (!it.value().contains("x-graft-tokens") || given == entry.options.end()) continue;
    const auto words = given->get<std::string>();
    entry.tokens[it.key()] =
        words.empty() ? Json::array() : Json(text.tokenizer().ids(words, true));
  }
}

namespace {

struct Difference {
  std::string where;  // a JSON pointer
  Json before, now;   // null: nothing
};

/// The first place where they differ, as deep as both have one; keys and elements of both count.
std::optional<Difference> first_difference(const Json& before, const Json& now,
                                           const std::string& where) {
  if (before == now) return std::nullopt;
  const bool objects = before.is_object() && now.is_object();
  const bool lists = before.is_array() && now.is_array() && before.size() == now.size();
  if (!objects && !lists) return Difference{where, before, now};
  for (const auto& [key, value] : now.items()) {
    const Json old = objects ? before.value(key, Json()) : before[std::stoul(key)];
    if (auto found = first_difference(old, value, pointer_to(where, key))) return found;
  }
  for (const auto& [key, value] : before.items()) {
    if (objects && !now.contains(key)) return Difference{pointer_to(where, key), value, Json()};
  }
  return std::nullopt;
}

}  // namespace

void require_same_run(Json before, Json now) {
  for (Json* run : {&before, &now}) {
    run->erase("output");
    run->erase("$schema");
    // Where states lie does not change what is computed.
    if (run->contains("optimizer")) (*run)["optimizer"].erase("paged");
  }
  const auto found = first_difference(before, now, "");
  if (!found) return;
  const auto shown = [](const Json& j) { return j.is_null() ? "nothing" : j.dump(); };
  throw Error(GRAFT_E_CONFIG, cat("--resume: ", found->where, " was ", shown(found->before),
                                  " when the run began and is ", shown(found->now),
                                  " now. Resume with the same run.json, or start anew."));
}

}  // namespace graft::core
