#include "core/infer/merge.hpp"

#include <algorithm>
#include <cmath>
#include <set>

#include "core/adapt/adapter_files.hpp"
#include "core/adapt/side.hpp"
#include "core/base/error.hpp"
#include "core/base/schema.hpp"
#include "core/plugin/host_config.hpp"
#include "core/tensor/dtype.hpp"
#include "core/tensor/expand.hpp"
#include "core/tensor/quantize.hpp"
#include "core/tensor/safetensors.hpp"
#include "core/train/run_config.hpp"

namespace graft::core {
namespace {

std::vector<float> floats(const HostTensor& tensor, int threads) {
  std::vector<float> values(static_cast<std::size_t>(tensor.elements()));
  expand(tensor, GRAFT_F32, values.data(), threads);
  return values;
}

/// What quantizing a merged weight as its base was would take from it.
class Requantization {
 public:
  void add(const std::string& name, const graft_quant& like, const std::vector<float>& values,
           int threads) {
    const bool nested = like.aux_bytes[1] > 0;
    graft_quant q =
        quantized_shape(like.format, like.rows, like.columns, like.block_elements, nested);
    std::vector<std::byte> memory(buffer_bytes(q));
    set_buffers(q, memory.data());
    quantize(q, values.data(), threads, name);
    std::vector<float> again(values.size());
    expand_rows(q, GRAFT_F32, again.data(), 0, q.rows);
    double largest = 0, sum = 0;
    for (std::size_t i = 0; i < values.size(); ++i) {
      const double error = std::fabs(static_cast<double>(again[i]) - values[i]);
      largest = std::max(largest, error);
      sum += error;
    }
    layers_.push_back({{"name", name},
                       {"format", q.format},
                       {"largest", largest},
                       {"mean", values.empty() ? 0 : sum / static_cast<double>(values.size())}});
  }
  const Json& layers() const { return layers_; }

 private:
  Json layers_ = Json::array();
};

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
    return model_.quant(tensor) ? model_.values(tensor) : floats(original(tensor), threads_);
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

void require_empty(const fs::path& output) {
  std::error_code ignored;
  if (!fs::exists(output) || fs::is_empty(output, ignored)) return;
  throw Error(GRAFT_E_BUSY, cat("--output: '", output.string(),
                                "' is there already. Name a folder that is not, or is empty."));
}

/// Everything but the weights; config.json says where the head is no longer tied.
void copy_other_files(const fs::path& from, const fs::path& to, bool untied) {
  for (const auto& item : fs::directory_iterator(from)) {
    const std::string name = item.path().filename().string();
    const bool weights = name.ends_with(".safetensors") || name.ends_with(".index.json") ||
                         name.ends_with(".bin") || name.ends_with(".gguf");
    if (!item.is_regular_file() || weights || name == "config.json") continue;
    fs::copy_file(item.path(), to / name);
  }
  Json config = parse_json(read_file(from / "config.json"), (from / "config.json").string());
  if (untied) config["tie_word_embeddings"] = false;
  config.erase("quantization_config");  // what is written is not quantized
  write_file_atomically(to / "config.json", config.dump(2) + "\n");
}

}  // namespace

Json merge_model(const fs::path& path, const fs::path& output, const InferenceOptions& options,
                 Registry& registry, const Log& log) {
  if (options.adapters.empty()) {
    throw Error(GRAFT_E_INVALID, "merge: no adapter is given. Name one with --adapter DIR.");
  }
  require_empty(output);
  const graft_backend_api& api =
      options.backend.empty() ? registry.default_backend() : registry.backend(options.backend);
  const Json backend = validate({{"type", api.name}, {"threads", options.threads}},
                                parse_json(api.config_schema, api.name), cat("backend ", api.name));
  const HostTable host(log);
  const HostConfig backend_config(backend);
  const Device device = Device::open(api, &host, &backend_config);
  Model model = Model::open(path, device, GRAFT_F32, options.quantization);
  const Checkpoint& checkpoint = model.checkpoint();
  if (checkpoint.is_gguf()) {
    throw Error(GRAFT_E_INVALID, cat("merge: '", path.string(),
                                     "' is a GGUF file, and no GGUF is written yet. Merge ",
                                     "into the Hugging Face folder that it was made from."));
  }
  const Text text = Text::open(path, {}, model.config().vocab, log);
  const int threads = std::max(1, static_cast<int>(device.info().threads));
  if (options.quantization.makes()) model.load(threads);
  std::vector<MethodEntry> entries;
  std::vector<double> strengths;
  for (const AdapterChoice& a : options.adapters) {
    entries.push_back(loaded_entry(a.folder, registry));
    tokenize_options(entries.back(), text);
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
  for (std::size_t e = 0; e < options.adapters.size(); ++e) {
    auto loaded = load_adapter(options.adapters[e].folder, set.parameters(), e,
                               computed_names(set.entries()[e]));
    for (std::size_t i = 0; i < loaded.size(); ++i) {
      if (!loaded[i].empty()) values[i] = std::move(loaded[i]);
    }
  }
  for (std::size_t i = 0; i < values.size(); ++i) {
    if (values[i].empty()) values[i] = initial_values(set.parameters()[i], 0, base);
  }
  const Merger merger(device, model, set, std::move(values), std::move(strengths), threads);
  const std::uint32_t stored = model.config().storage_dtype;
  Requantization requantization;

  std::vector<std::string> names = checkpoint.names();
  const std::string head = model.config().head_name(), table = model.config().embedding_name();
  const bool tied = model.config().tied_head;
  // A tied head stays as it is where only the embedding changes, and the other way round.
  const std::size_t *of_head = replaced_by(set, head), *of_table = replaced_by(set, table);
  const bool together = of_head && of_table && *of_head == *of_table;
  const bool untied = tied && !together && (merger.changes(head) || merger.changes(table));
  if (untied) names.push_back(head);
  std::int64_t changed = 0;
  std::vector<SafetensorsItem> items;
  for (const std::string& name : names) {
    const HostTensor tensor = merger.original(name);
    const bool changes = merger.changes(name);
    changed += changes ? 1 : 0;
    std::vector<std::int64_t> shape = tensor.shape;
    if (tensor.transposed) std::swap(shape[0], shape[1]);  // as it was
    // What is quantized is written in the dtype that the model had before.
    const std::uint32_t before = stored != 0 ? stored : std::uint32_t{GRAFT_F32};
    const std::uint32_t dtype = tensor.dtype == GRAFT_QUANT ? before : tensor.dtype;
    const std::string_view stored_head = model.config().names().stored_head;
    const std::string in_file =
        name == head && !stored_head.empty() ? cat(stored_head, ".weight") : name;
    items.push_back({in_file, dtype, shape, [&, tensor, name, changes, dtype](const Sink& sink) {
                       const graft_quant* quant = model.quant(name);
                       if (!changes && !quant)
                         return sink(tensor.bytes.data(), tensor.bytes.size());
                       std::vector<float> f32 = changes ? merger.changed(name) : model.values(name);
                       if (changes && quant) requantization.add(name, *quant, f32, threads);
                       if (tensor.transposed) f32 = transposed(f32, tensor.shape[0]);
                       std::vector<std::byte> bytes(f32.size() * dtype_size(dtype));
                       convert(dtype, bytes.data(), GRAFT_F32, f32.data(), f32.size());
                       sink(bytes.data(), bytes.size());
                     }});
  }
  fs::create_directories(output);
  write_safetensors(output / "model.safetensors", std::move(items), {{"format", "pt"}});
  copy_other_files(path, output, untied);
  Json answer = {{"path", output.string()}, {"tensors", changed}};
  if (!requantization.layers().empty()) answer["requantized"] = requantization.layers();
  return answer;
}

}  // namespace graft::core
