// A base model with adapters, for scoring and generating.
#pragma once
#include <memory>
#include <string>
#include <vector>

#include "core/base/json.hpp"
#include "core/base/log.hpp"
#include "core/infer/sampling.hpp"
#include "core/infer/text_stream.hpp"
#include "core/plugin/registry.hpp"
#include "core/train/session_parts.hpp"

namespace graft::core {

struct AdapterChoice {
  fs::path folder;
  double strength = 1;
};

struct InferenceOptions {
  std::string backend;  ///< empty: the default
  std::string dtype = "auto";
  std::int64_t threads = 0;
  Quantization quantization;
  std::vector<AdapterChoice> adapters;  ///< active together, outermost last
};

/// The entries of the adapters that are given. Those that a later one fuses take no part by themselves
/// and leave `choices`.
std::vector<MethodEntry> open_entries(std::vector<AdapterChoice>& choices, Registry& registry,
                                      const Text& text, const std::string& model_type);

/// What generate() is asked for.
struct GenerateRequest {
  std::vector<std::int32_t> input_ids;
  std::int64_t max_new_tokens = 128;
  Sampling sampling;
  std::vector<std::string> stop;
  bool ignore_eos = false;
};

class Inference {
 public:
  static std::unique_ptr<Inference> open(const fs::path& model, const InferenceOptions& options,
                                         Registry& registry, const Log& log);
  ~Inference();
  Inference(const Inference&) = delete;
  Inference& operator=(const Inference&) = delete;

  Json info() const;
  const Text& text() const;
  /// An input line of `graft score` -> its output line.
  Json score(const Json& request, std::int64_t top);
  /// A request of graft_generate -> its answer.
  Json generate(const Json& request, const TextSink& sink);

  struct State;

 private:
  explicit Inference(std::unique_ptr<State> state);
  std::unique_ptr<State> state_;
};

}  // namespace graft::core
