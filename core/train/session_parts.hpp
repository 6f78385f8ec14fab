// What training and inference open in the same way: dtype, tokenizer and template.
#pragma once
#include <optional>
#include <string>

#include "core/adapt/attach.hpp"
#include "core/data/example.hpp"
#include "core/graph/device.hpp"
#include "core/model/model.hpp"
#include "core/text/chat_template.hpp"
#include "core/text/tokenizer.hpp"

namespace graft::core {

/// The compute dtype that a name means on this device. Throws GRAFT_E_INVALID for one that the device
/// cannot compute in.
std::uint32_t choose_dtype(const std::string& name, const Device& device);

/// What adapter files tell of the base model: hidden, layers, heads, kv_heads, kv_features.
Json model_facts(const DecoderConfig& config);

/// The tensors of a decoder, for modules_to_save.
std::vector<BaseTensor> base_tensors(const DecoderConfig& config);

/// Tokenizer and chat template of a model. A model without tokenizer files works with token data.
class Text {
 public:
  /// `chat_template`: a file instead of the model's own, or empty. Throws GRAFT_E_INVALID when the
  /// tokenizer has more tokens than the model has rows. What of the tokenizer's files is not followed goes to the log.
  static Text open(const fs::path& model, const fs::path& chat_template, std::int64_t vocab,
                   const Log& log);

  bool has_tokenizer() const { return tokenizer_.has_value(); }
  /// Throws GRAFT_E_NOT_FOUND where there is none, saying what is missing.
  const Tokenizer& tokenizer() const;
  const ChatTemplate& chat_template() const;
  bool has_template() const { return template_.has_value(); }
  std::string template_hash() const { return template_ ? template_->hash() : std::string(); }
  /// For core/data. Keeps copies of what it needs.
  Encoder encoder() const;

 private:
  fs::path model_;
  std::int64_t vocab_ = 0;
  std::optional<Tokenizer> tokenizer_;
  std::optional<ChatTemplate> template_;
};

/// What an adapter's folder tells of how the base was quantized; null where the host did not.
Json origin_of(const Quantization& quantization);

/// Throws GRAFT_E_CONFIG where parameters begin from what quantizing takes from the base's weights, and
/// it takes nothing.
void require_losses(const AdapterSet& adapters, const Quantization& quantization);

/// Tells by name of the formats that the device does not read and that are expanded therefore, and of
/// layers that the files hold and the configuration does not have.
void warn_of_model(const Model& model, const Log& log);

/// Turns the texts of options that the method's schema marks "x-graft-tokens" into token ids.
void tokenize_options(MethodEntry& entry, const Text& text);

/// Throws GRAFT_E_INVALID naming the first place in which two resolved run.json differ; "output" and
/// "optimizer.paged" may.
void require_same_run(Json before, Json now);

}  // namespace graft::core
