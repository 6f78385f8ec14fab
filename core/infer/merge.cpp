#include "core/infer/merge.hpp"

#include <algorithm>

#include "core/adapt/adapter_files.hpp"
#include "core/adapt/side.hpp"
#include "core/base/error.hpp"
#include "core/base/schema.hpp"
#include "core/infer/bnb_folder.hpp"
#include "core/infer/gguf_model.hpp"
#include "core/plugin/host_config.hpp"
#include "core/plugin/texts.hpp"
#include "core/tensor/expand.hpp"
#include "core/train/run_config.hpp"

namespace graft::core {
namespace {

/// Where a tensor comes from: the file, a parameter, or a merged module.
class Merger {
 public:
  Merger(const Device& device, const Model& model, AdapterSet& set, ParameterValues values,
         std::vector<double> strengths, int threads)
      : device_(device),
        model_(model),
        checkpoint_(model.checkpoint()),
        set_(set),
        values_(std::move(values)),
        strengths_(std::move(strengths)),
        threads_(threads) {
    for (std::size_t i = 0; i < set_.sites().size(); ++i) {
      if (!merges_at(set_, i)) continue;
      const std::string name = set_.sites()[i].name;
      merged_[name + ".weight"] = merged_[name + ".bias"] = i;
    }
  }

  bool changes(const std::string& tensor) const {
    return replaced_by(set_, tensor) != nullptr || merged_.count(tensor) > 0;
  }

  /// The tensor as the file has it, or, for a tied head, as the embedding is there.
  HostTensor original(const std::string& tensor) const {
    const DecoderConfig& config = checkpoint_.config();
    const bool tied = tensor == config.head_name() && !checkpoint_.has(tensor);
    return checkpoint_.tensor(tied ? config.embedding_name() : tensor);
  }

  std::vector<float> changed(const std::string& tensor) const {
    const auto found = merged_.find(tensor);
    if (found == merged_.end()) return replaced(tensor);
    const std::string module = set_.sites()[found->second].name;
    const std::string bias = module + ".bias";
    const bool has_bias = set_.sites()[found->second].has_bias;
    ModuleTensors tensors{original(module + ".weight").shape, replaced(module + ".weight"),
                          has_bias ? replaced(bias) : std::vector<float>()};
    tensors = merged(device_, set_, found->second, std::move(tensors), values_, strengths_);
    return tensor == bias ? std::move(tensors.bias) : std::move(tensors.weight);
  }

 private:
  std::vector<float> replaced(const std::string& tensor) const {
    const std::size_t* parameter = replaced_by(set_, tensor);
    if (parameter) return values_.at(*parameter);
    if (model_.quant(tensor)) return model_.values(tensor);
    const HostTensor found = original(tensor);
    std::vector<float> values(static_cast<std::size_t>(found.elements()));
    expand(found, GRAFT_F32, values.data(), threads_);
    return values;
  }

  Device device_;
  const Model& model_;
  const Checkpoint& checkpoint_;
  AdapterSet& set_;
  ParameterValues values_;
  std::vector<double> strengths_;
  int threads_;
  std::map<std::string, std::size_t> merged_;  // tensor: site
};

}  // namespace

Json merge_model(const fs::path& path, const fs::path& output, const InferenceOptions& options,
                 bool keep, Registry& registry, const Log& log) {
  if (options.adapters.empty()) {
    throw Error(GRAFT_E_INVALID, "merge: no adapter is given. Name one with --adapter DIR.");
  }
  require_new(output);
  const graft_backend_api& api =
      options.backend.empty() ? registry.default_backend() : registry.backend(options.backend);
  const Json backend =
      validate({{"type", api.name}, {"threads", options.threads}},
               plugin_json(api.config_schema, api.name), cat("backend ", api.name));
  const HostTable host(log);
  const HostConfig backend_config(backend);
  const Device device = Device::open(api, &host, &backend_config);
  Model model = Model::open(path, device, GRAFT_F32, options.quantization);
  const Checkpoint& checkpoint = model.checkpoint();
  const bool to_gguf = output.extension() == ".gguf";
  if (checkpoint.is_gguf() && !to_gguf) {
    throw Error(GRAFT_E_INVALID,
                cat("merge: '", path.string(), "' is a GGUF file, so --output must ",
                    "name one that ends in .gguf, not '", output.string(), "'."));
  }
  const Text text = Text::open(path, {}, model.config().vocab, log);
  const int threads = std::max(1, static_cast<int>(device.info().threads));
  if (options.quantization.makes()) model.load(threads);
  std::vector<AdapterChoice> choices = options.adapters;
  std::vector<MethodEntry> entries =
      open_entries(choices, registry, text, std::string(model.config().family->type));
  std::vector<double> strengths;
  for (const AdapterChoice& a : choices) {
    strengths.push_back(a.strength);
    compare_origin(a.folder,
                   {path.string(), checkpoint.fingerprint(), text.template_hash(),
                    origin_of(options.quantization), Json::object()},
                   log);
  }
  AdapterSet set(decoder_sites(model.config()), std::move(entries), base_tensors(model.config()),
                 log);
  const auto base = [&](const std::string& name) { return model.values(name); };
  ParameterValues values(set.parameters().size());
  for (std::size_t e = 0; e < choices.size(); ++e) {
    auto loaded = load_adapter(choices[e].folder, set.parameters(), e, set.entries()[e]);
    for (std::size_t i = 0; i < loaded.size(); ++i) {
      if (!loaded[i].empty()) values[i] = std::move(loaded[i]);
    }
  }
  for (std::size_t i = 0; i < values.size(); ++i) {
    if (values[i].empty()) values[i] = initial_values(set.parameters()[i], 0, base);
  }
  const Merger merger(device, model, set, std::move(values), std::move(strengths), threads);

  std::vector<std::string> names = checkpoint.names();
  const std::string head = model.config().head_name(), table = model.config().embedding_name();
  const bool tied = model.config().tied_head;
  // A tied head stays as it is where only the embedding changes, and the other way round.
  const std::size_t *of_head = replaced_by(set, head), *of_table = replaced_by(set, table);
  const bool together = of_head && of_table && *of_head == *of_table;
  const bool untied = tied && !together && (merger.changes(head) || merger.changes(table));
  if (untied) names.push_back(head);
  const bool makes = options.quantization.makes(), again = keep && !to_gguf;
  // Where the base was quantized while it was loaded, that is what is written, unless it is done again.
  const ModelContent content{
      checkpoint, threads, untied,
      [&](const std::string& name) {
        return merger.changes(name) || (makes && !again && model.quant(name));
      },
      [&](const std::string& name) {
        return merger.changes(name) ? merger.changed(name) : model.values(name);
      }};
  const auto changed = std::count_if(names.begin(), names.end(),
                                     [&](const std::string& name) { return merger.changes(name); });
  Json answer;
  if (to_gguf) {
    answer = write_gguf_model(content, checkpoint.is_gguf() && keep ? "keep" : "f16", output, log);
  } else {
    Quantization quantization;
    quantization.format = "none";
    if (keep) quantization.format = "keep";
    answer = write_hf_folder(content, keep && makes ? options.quantization : quantization, output);
  }
  answer["tensors"] = changed;
  return answer;
}

}  // namespace graft::core
