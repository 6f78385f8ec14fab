#include "core/infer/bnb_folder.hpp"

#include <algorithm>
#include <cstring>
#include <memory>

#include "core/adapt/parameters.hpp"
#include "core/base/error.hpp"
#include "core/model/decoder.hpp"
#include "core/tensor/dtype.hpp"
#include "core/tensor/expand.hpp"
#include "core/tensor/quantize.hpp"
#include "core/tensor/safetensors.hpp"

namespace graft::core {
namespace {

std::string_view dtype_in_json(std::uint32_t dtype) {
  if (dtype == GRAFT_BF16) return "bfloat16";
  return dtype == GRAFT_F16 ? "float16" : "float32";
}

/// The matrix that was quantized last: the parts of one follow one another in the file.
class Quantizer {
 public:
  explicit Quantizer(const ModelContent& content) : content_(content) {}

  /// `shape` is quantized_shape()'s.
  const graft_quant& get(const std::string& name, const graft_quant& shape) {
    if (name == name_) return quant_;
    name_.clear();
    memory_.clear();
    const std::vector<float> values = content_.floats(name);
    content_.checkpoint.forget();
    quant_ = shape;
    memory_.resize(buffer_bytes(quant_));
    set_buffers(quant_, memory_.data());
    quantize(quant_, values.data(), content_.threads, name);
    if (content_.changes(name) && lost_.count(name) == 0) {
      Loss loss;
      loss.add(quant_, values.data());
      lost_[name] = loss.json(name);
    }
    name_ = name;
    return quant_;
  }
  Json lost() const {
    Json list = Json::array();
    for (const auto& [name, loss] : lost_) list.push_back(loss);
    return list;
  }

 private:
  const ModelContent& content_;
  std::string name_;
  graft_quant quant_{};
  std::vector<std::byte> memory_;
  std::map<std::string, Json> lost_;
};

/// The description of 4-bit codes, with Python's separators.
std::string state_json(const graft_quant& q, std::string_view dtype) {
  std::string text =
      cat("{\"quant_type\": \"", q.format, "\", \"blocksize\": ", q.block_elements,
          ", \"dtype\": \"", dtype, "\", \"shape\": [", q.rows, ", ", q.columns, "]");
  if (q.aux[1]) {
    const double offset = static_cast<const float*>(q.aux[3])[256];
    text += cat(", \"nested_blocksize\": 256, \"nested_dtype\": \"float32\", \"nested_offset\": ",
                Json(offset).dump());
  }
  return text + "}";
}

class Folder {
 public:
  Folder(const ModelContent& content, const Quantization& quantization)
      : content_(content), quantization_(quantization), quantizer_(content) {
    for (const SiteInfo& site : decoder_sites(content.checkpoint.config())) {
      if (site.kind == GRAFT_SITE_LINEAR) linear_.push_back(site.name + ".weight");
    }
    std::sort(linear_.begin(), linear_.end());
  }

  void add(const std::string& name) {
    const HostTensor tensor = content_.original(name);
    if (const auto quantized = how(name, tensor)) {
      ++quantized_;
      format_ = quantized->format;
      nested_ = quantized->aux_bytes[1] > 0;
      add_quantized(name, *quantized, stored_in(tensor, *quantized));
      return;
    }
    const DecoderConfig& config = content_.checkpoint.config();
    const std::uint32_t before =
        config.storage_dtype != 0 ? config.storage_dtype : std::uint32_t{GRAFT_F32};
    const std::uint32_t dtype = tensor.dtype == GRAFT_QUANT ? before : tensor.dtype;
    std::vector<std::int64_t> shape = tensor.shape;
    const bool turned = tensor.transposed || (tensor.quant && transposed_in_folder(name));
    if (turned) std::swap(shape[0], shape[1]);  // as it was
    const bool raw = !content_.changes(name) && tensor.dtype != GRAFT_QUANT;
    items_.push_back(
        {in_file(name), dtype, shape, [this, tensor, name, dtype, raw, turned](const Sink& sink) {
           if (raw) {
             sink(tensor.bytes.data(), tensor.bytes.size());
           } else {
             std::vector<float> f32 = content_.floats(name);
             if (turned) f32 = transposed(f32, tensor.shape[0]);
             std::vector<std::byte> bytes(f32.size() * dtype_size(dtype));
             convert(dtype, bytes.data(), GRAFT_F32, f32.data(), f32.size());
             sink(bytes.data(), bytes.size());
           }
           content_.checkpoint.forget();
         }});
  }

  void write(const fs::path& file) {
    write_safetensors(file, std::move(items_), {{"format", "pt"}});
  }
  std::int64_t quantized() const { return quantized_; }
  Json lost() const { return quantizer_.lost(); }

  /// "quantization_config" of config.json; null where nothing is quantized.
  Json config() const {
    if (quantized_ == 0) return {};
    const bool eight = format_ == "int8";
    const bool usual = quantization_.skip == std::vector<std::string>{"lm_head"};
    return {{"_load_in_4bit", !eight},
            {"_load_in_8bit", eight},
            {"bnb_4bit_compute_dtype", dtype_in_json(content_.checkpoint.config().storage_dtype)},
            {"bnb_4bit_quant_storage", "uint8"},
            {"bnb_4bit_quant_type", eight ? "fp4" : format_},
            {"bnb_4bit_use_double_quant", nested_},
            {"llm_int8_enable_fp32_cpu_offload", false},
            {"llm_int8_has_fp16_weight", false},
            {"llm_int8_skip_modules", usual ? Json() : Json(quantization_.skip)},
            {"llm_int8_threshold", 6.0},
            {"load_in_4bit", !eight},
            {"load_in_8bit", eight},
            {"quant_method", "bitsandbytes"}};
  }

 private:
  using Get = std::function<const graft_quant&()>;

  bool transposed_in_folder(const std::string& name) const {
    return content_.checkpoint.config().family->transposed &&
           std::binary_search(linear_.begin(), linear_.end(), name);
  }

  std::string in_file(const std::string& name) const {
    const DecoderConfig& config = content_.checkpoint.config();
    const std::string_view stored = config.names().stored_head;
    return name == config.head_name() && !stored.empty() ? cat(stored, ".weight") : name;
  }

  /// Format and sizes of the tensor in the new folder, if it is quantized there.
  std::optional<graft_quant> how(const std::string& name, const HostTensor& tensor) const {
    if (quantization_.format == "keep" && tensor.quant) {
      const graft_quant& q = *tensor.quant;
      return quantized_shape(q.format, q.rows, q.columns, q.block_elements, q.aux_bytes[1] > 0);
    }
    const bool linear = std::binary_search(linear_.begin(), linear_.end(), name);
    const std::string module = name.substr(0, name.size() - std::string_view(".weight").size());
    if (!quantization_.makes() || !linear || quantization_.skips(module)) return std::nullopt;
    return quantized_shape(quantization_.format, tensor.shape[0], tensor.shape[1],
                           quantization_.block, quantization_.nested);
  }

  /// What the folder holds that way already is taken over as it is.
  Get stored_in(const HostTensor& tensor, const graft_quant& wanted) {
    const auto equal = [&](const graft_quant& q) {
      return std::strcmp(q.format, wanted.format) == 0 &&
             q.block_elements == wanted.block_elements &&
             std::equal(q.aux_bytes, q.aux_bytes + 4, wanted.aux_bytes);
    };
    if (!content_.changes(tensor.name) && tensor.quant && equal(*tensor.quant)) {
      return [tensor]() -> const graft_quant& { return *tensor.quant; };
    }
    return [this, name = tensor.name, wanted]() -> const graft_quant& {
      return quantizer_.get(name, wanted);
    };
  }

  void add_quantized(const std::string& name, const graft_quant& shape, const Get& get) {
    const std::string file = in_file(name);
    const auto part = [&](const std::string& key, std::uint32_t dtype, std::uint64_t bytes,
                          std::function<const void*(const graft_quant&)> data) {
      const auto n = static_cast<std::int64_t>(bytes / dtype_size(dtype));
      items_.push_back(
          {key, dtype, {n}, [get, bytes, data](const Sink& s) { s(data(get()), bytes); }});
    };
    const auto aux = [](std::size_t i) { return [i](const graft_quant& q) { return q.aux[i]; }; };
    const auto codes = [](const graft_quant& q) { return q.data; };
    if (std::strcmp(shape.format, "int8") == 0) {
      const std::string module = file.substr(0, file.size() - std::string_view(".weight").size());
      part(file, GRAFT_I8, shape.data_bytes, codes);
      items_.back().shape = {shape.rows, shape.columns};
      part(module + ".SCB", GRAFT_F32, shape.aux_bytes[0], aux(0));
      items_.push_back(
          {module + ".weight_format", GRAFT_U8, {}, [](const Sink& s) { s("\0", 1); }});
      return;
    }
    const bool nested = shape.aux_bytes[1] > 0;
    part(file, GRAFT_U8, shape.data_bytes, codes);
    items_.back().shape.push_back(1);
    part(file + ".absmax", nested ? std::uint32_t{GRAFT_U8} : std::uint32_t{GRAFT_F32},
         shape.aux_bytes[0], aux(0));
    part(file + ".quant_map", GRAFT_F32, 16 * sizeof(float), aux(2));
    if (nested) {
      part(file + ".nested_absmax", GRAFT_F32, shape.aux_bytes[1], aux(1));
      part(file + ".nested_quant_map", GRAFT_F32, 256 * sizeof(float), aux(3));
    }
    // Its length depends on the digits of the offset, so it is made now.
    const std::string state = state_json(nested ? get() : shape,
                                         dtype_in_json(content_.checkpoint.config().storage_dtype));
    items_.push_back({cat(file, ".quant_state.bitsandbytes__", shape.format),
                      GRAFT_U8,
                      {static_cast<std::int64_t>(state.size())},
                      [state](const Sink& s) { s(state.data(), state.size()); }});
  }

  const ModelContent& content_;
  const Quantization& quantization_;
  Quantizer quantizer_;
  std::vector<std::string> linear_;
  std::vector<SafetensorsItem> items_;
  std::int64_t quantized_ = 0;
  std::string format_;
  bool nested_ = false;
};

}  // namespace

Json write_hf_folder(const ModelContent& content, const Quantization& quantization,
                     const fs::path& output) {
  require_new(output);
  Folder folder(content, quantization);
  std::vector<std::string> names = content.checkpoint.names();
  if (content.untied) names.push_back(content.checkpoint.config().head_name());
  for (const std::string& name : names) folder.add(name);
  if (quantization.makes() && folder.quantized() == 0) {
    throw Error(GRAFT_E_INVALID,
                cat("no linear layer is left to quantize: \"skip\" names them all."));
  }
  const fs::path& from = content.checkpoint.path();
  write_folder(output, [&](const fs::path& to) {
    folder.write(to / "model.safetensors");
    copy_other_files(from, to);
    Json config = parse_json(read_file(from / "config.json"), (from / "config.json").string());
    if (content.untied) config["tie_word_embeddings"] = false;
    const bool kept = quantization.format == "keep" && folder.quantized() > 0;
    if (!kept) config.erase("quantization_config");
    if (!kept && folder.quantized() > 0) config["quantization_config"] = folder.config();
    write_file_atomically(to / "config.json", config.dump(2) + "\n");
  });
  Json answer = {{"path", output.string()}, {"tensors", folder.quantized()}};
  const Json lost = folder.lost();
  if (!lost.empty()) answer["requantized"] = lost;
  return answer;
}

}  // namespace graft::core
