#include "core/train/session_parts.hpp"

#include "core/adapt/storage.hpp"
#include "core/base/config_error.hpp"
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

void warn_of_expanded(const Model& model, const Log& log) {
  std::string names;
  for (const std::string& name : model.not_read()) names += (names.empty() ? "" : ", ") + name;
  if (!names.empty()) {
    log.warning("model", cat("the backend does not read ", names,
                             ": such weights are expanded while they are loaded."));
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

void require_same_run(Json before, Json now) {
  // Where states lie does not change what is computed.
  for (Json* run : {&before, &now}) {
    if (run->contains("optimizer")) (*run)["optimizer"].erase("paged");
  }
  for (auto it = now.begin(); it != now.end(); ++it) {
    if (it.key() == "output" || it.key() == "$schema") continue;
    const auto old = before.find(it.key());
    if (old != before.end() && *old == it.value()) continue;
    std::string where = it.key(), was = "nothing", is = it.value().dump();
    if (old != before.end() && old->is_object() && it.value().is_object()) {
      for (auto inner = it.value().begin(); inner != it.value().end(); ++inner) {
        if (old->contains(inner.key()) && old->at(inner.key()) == inner.value()) continue;
        where += "/" + inner.key();
        was = old->contains(inner.key()) ? old->at(inner.key()).dump() : "nothing";
        is = inner.value().dump();
        break;
      }
    } else if (old != before.end()) {
      was = old->dump();
    }
    throw Error(GRAFT_E_CONFIG,
                cat("--resume: /", where, " was ", was, " when the run began and is ", is,
                    " now. Resume with the same run.json, or start anew."));
  }
}

}  // namespace graft::core
