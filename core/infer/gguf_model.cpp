#include "core/infer/gguf_model.hpp"

#include <unistd.h>

#include <algorithm>
#include <cmath>
#include <numeric>

#include "core/base/error.hpp"
#include "core/model/decoder.hpp"
#include "core/model/gguf_metadata.hpp"
#include "core/tensor/dtype.hpp"
#include "core/tensor/expand.hpp"
#include "core/tensor/quantize.hpp"
#include "core/text/tokenizer.hpp"
#include "core/text/tokenizer_to_gguf.hpp"

namespace graft::core {
namespace {

constexpr std::int64_t piece_elements = 1 << 22;  // 16 MiB of f32

/// Rows of a tensor as they lie in a GGUF.
class Rows {
 public:
  Rows(const ModelContent& content, const std::string& name)
      : tensor_(content.original(name)),
        offset_(gguf_offset(tensor_, content.checkpoint.config())) {
    if (content.changes(name)) changed_ = content.values(name);
    HostTensor order;
    order.name = name;
    order.shape = tensor_.shape;
    set_gguf_order(order, content.checkpoint.config());
    vector_ = tensor_.shape.size() == 1;
    count_ = vector_ ? tensor_.shape[0] : tensor_.rows();
    columns_ = vector_ ? 1 : tensor_.columns();
    logical_.resize(static_cast<std::size_t>(count_));
    std::iota(logical_.begin(), logical_.end(), 0);
    if (order.rows_in_order()) return;
    for (std::int64_t row = 0; row < count_; ++row) {
      logical_[static_cast<std::size_t>(order.source_row(row))] = row;
    }
  }

  std::int64_t count() const { return count_; }
  std::int64_t columns() const { return columns_; }
  bool has_other_values() const { return !changed_.empty(); }

  /// Rows [begin, end) of the file.
  void read(std::int64_t begin, std::int64_t end, float* out) const {
    if (vector_ && changed_.empty() && all_.empty()) {
      all_.resize(static_cast<std::size_t>(count_));
      expand(tensor_, GRAFT_F32, all_.data(), 1);
    }
    for (std::int64_t row = begin; row < end;) {
      const std::int64_t first = logical_[static_cast<std::size_t>(row)];
      std::int64_t n = 1;  // rows that follow one another in the tensor too
      while (row + n < end && logical_[static_cast<std::size_t>(row + n)] == first + n) ++n;
      const std::vector<float>& held = changed_.empty() ? all_ : changed_;
      float* target = out + (row - begin) * columns_;
      if (!held.empty()) {
        std::copy_n(held.begin() + first * columns_, n * columns_, target);
      } else {
        expand_rows(tensor_, GRAFT_F32, target, first, first + n);
      }
      row += n;
    }
    if (offset_ == 0) return;
    for (std::int64_t i = 0; i < (end - begin) * columns_; ++i) out[i] += offset_;
  }

 private:
  HostTensor tensor_;
  float offset_ = 0;
  bool vector_ = false;
  std::vector<float> changed_;
  mutable std::vector<float> all_;  // of a vector
  std::vector<std::int64_t> logical_;
  std::int64_t count_ = 0, columns_ = 0;
};

std::uint32_t plain_dtype(const std::string& type) {
  if (type == "f32") return GRAFT_F32;
  if (type == "f16") return GRAFT_F16;
  return type == "bf16" ? std::uint32_t{GRAFT_BF16} : 0;
}

class Job {
 public:
  Job(const ModelContent& content, const std::string& kind)
      : content_(content), config_(content.checkpoint.config()), kind_(kind) {}

  void add(const std::string& name, const std::string& gguf_name,
           const std::vector<std::int64_t>& shape) {
    const Gguf* source = content_.checkpoint.gguf();
    const bool there = source && source->has_tensor(gguf_name);
    const bool keeps = kind_ == "keep";
    if (keeps && !there && !source)
      throw Error(GRAFT_E_INTERNAL, "keep: no GGUF to keep types of.");
    std::string type =
        keeps ? ggml_type_name(source->tensor_info(there ? gguf_name : "token_embd.weight").type)
              : gguf_type_of(kind_, gguf_name, shape, config_);
    ++types_[type];
    const bool as_is = there && !content_.changes(name) &&
                       ggml_type_name(source->tensor_info(gguf_name).type) == type;
    writer_.add_tensor(gguf_name, ggml_type(type), shape,
                       [this, name, gguf_name, type, as_is](const Sink& sink) {
                         if (as_is) {
                           const HostTensor stored = content_.checkpoint.gguf()->tensor(gguf_name);
                           sink(stored.bytes.data(), stored.bytes.size());
                         } else {
                           write(name, type, sink);
                         }
                         content_.checkpoint.forget();
                       });
  }

  /// A tensor that is not the family's, as it is.
  void copy(const Gguf::Tensor& info) {
    writer_.add_tensor(info.name, info.type, info.shape,
                       [this, name = info.name](const Sink& sink) {
                         const HostTensor stored = content_.checkpoint.gguf()->tensor(name);
                         sink(stored.bytes.data(), stored.bytes.size());
                       });
  }

  GgufWriter& writer() { return writer_; }
  const std::map<std::string, std::int64_t>& types() const { return types_; }
  const Json& lost() const { return lost_; }

 private:
  void write(const std::string& name, const std::string& type, const Sink& sink) {
    const Rows rows(content_, name);
    const std::int64_t columns = rows.columns();
    const std::int64_t step =
        std::max<std::int64_t>(1, piece_elements / std::max<std::int64_t>(columns, 1));
    Loss loss;
    const std::uint32_t dtype = plain_dtype(type);
    for (std::int64_t begin = 0; begin < rows.count(); begin += step) {
      const std::int64_t end = std::min(rows.count(), begin + step);
      std::vector<float> values(static_cast<std::size_t>((end - begin) * columns));
      rows.read(begin, end, values.data());
      if (dtype != 0) {
        const auto fits = [](float x) { return !(std::fabs(x) > 65504); };
        if (dtype == GRAFT_F16 && !std::all_of(values.begin(), values.end(), fits)) {
          throw Error(GRAFT_E_INVALID,
                      cat(name, ": a value is above 65504, which f16 cannot hold."));
        }
        std::vector<std::byte> bytes(values.size() * dtype_size(dtype));
        convert(dtype, bytes.data(), GRAFT_F32, values.data(), values.size());
        sink(bytes.data(), bytes.size());
        continue;
      }
      graft_quant q = quantized_shape(type, end - begin, columns, 0, false);
      std::vector<std::byte> memory(buffer_bytes(q));
      set_buffers(q, memory.data());
      quantize(q, values.data(), content_.threads, name);
      sink(q.data, q.data_bytes);
      if (rows.has_other_values()) loss.add(q, values.data());
    }
    if (dtype == 0 && rows.has_other_values()) lost_.push_back(loss.json(name));
  }

  const ModelContent& content_;
  const DecoderConfig& config_;
  std::string kind_;
  GgufWriter writer_;
  std::map<std::string, std::int64_t> types_;
  Json lost_ = Json::array();
};

/// Tokens that end a text besides the tokenizer's own.
void add_ends(GgufWriter& writer, const DecoderConfig& config, std::optional<std::int32_t> known) {
  const char* const keys[] = {"tokenizer.ggml.eos_token_id", "tokenizer.ggml.eot_token_id",
                              "tokenizer.ggml.eom_token_id"};
  std::size_t next = known ? 1 : 0;
  for (const std::int32_t id : config.eos) {
    if (known && id == *known) continue;
    if (next < std::size(keys)) writer.add(keys[next++], static_cast<std::uint32_t>(id));
  }
  if (config.bos && !writer.has("tokenizer.ggml.bos_token_id")) {
    writer.add("tokenizer.ggml.bos_token_id", static_cast<std::uint32_t>(*config.bos));
  }
}

void from_folder(Job& job, const ModelContent& content, const fs::path& scratch, const Log& log) {
  const DecoderConfig& config = content.checkpoint.config();
  const fs::path& folder = content.checkpoint.path();
  GgufWriter& writer = job.writer();
  add_model_metadata(writer, config);
  const fs::path named = fs::absolute(folder).lexically_normal();
  writer.add("general.name",
             (named.has_filename() ? named : named.parent_path()).filename().string());
  for (const std::string& note : add_tokenizer(writer, folder, config.vocab, scratch)) {
    log.warning("gguf", note);
  }
  std::optional<std::int32_t> eos;
  if (fs::exists(folder / "tokenizer.json") || fs::exists(folder / "tokenizer.model")) {
    eos = Tokenizer::load(folder).eos();
  }
  add_ends(writer, config, eos);
  std::vector<TensorNeed> needs = decoder_tensors(config);
  if (content.untied) needs.push_back({config.head_name(), {config.vocab, config.hidden}});
  for (const TensorNeed& need : needs) {
    const std::string name = gguf_name_of_hf(need.name, config.names());
    if (name.empty()) {
      throw Error(GRAFT_UNSUPPORTED, cat("a GGUF file has no name for tensor '", need.name, "'."));
    }
    job.add(need.name, name, need.shape);
  }
}

void from_gguf(Job& job, const ModelContent& content) {
  const Gguf& file = *content.checkpoint.gguf();
  const DecoderConfig& config = content.checkpoint.config();
  for (const std::string& key : file.keys()) {
    const bool ours = key == "general.file_type" || key == "general.quantization_version" ||
                      key == "general.alignment";
    if (!ours) job.writer().add(key, *file.find(key));
  }
  for (const Gguf::Tensor& info : file.tensors()) {
    const std::string name = hf_name_of_gguf(info.name, config.names());
    const bool family = !name.empty() && (content.checkpoint.has(name));
    if (family) {
      job.add(name, info.name, info.shape);
    } else if (info.name != "output.weight") {  // a tied head's copy
      job.copy(info);
    }
  }
  if (content.untied) job.add(config.head_name(), "output.weight", {config.vocab, config.hidden});
}

}  // namespace

Json write_gguf_model(const ModelContent& content, const std::string& kind, const fs::path& output,
                      const Log& log) {
  if (output.extension() != ".gguf") {
    throw Error(GRAFT_E_CONFIG, cat("--output: '", output.string(), "' must end in .gguf: ", kind,
                                    " is a format of GGUF files."));
  }
  require_new(output);
  fs::path unfinished = output;
  unfinished.replace_extension(cat("tmp-", ::getpid(), ".gguf"));
  Job job(content, kind);
  const Gguf* source = content.checkpoint.gguf();
  if (source) {
    from_gguf(job, content);
  } else {
    from_folder(job, content, unfinished, log);
  }
  const bool plain = std::all_of(job.types().begin(), job.types().end(),
                                 [](const auto& t) { return plain_dtype(t.first) != 0; });
  if (!plain) job.writer().add("general.quantization_version", std::uint32_t{2});
  if (kind != "keep") {
    job.writer().add("general.file_type", gguf_file_type(kind));
  } else if (source && source->has("general.file_type")) {
    job.writer().add("general.file_type", *source->find("general.file_type"));
  }
  std::error_code ignored;
  try {
    job.writer().write(unfinished);
    DecoderConfig wanted = content.checkpoint.config();
    wanted.tied_head = wanted.tied_head && !content.untied;
    require_same_model(wanted, Checkpoint::open(unfinished).config());
    fs::rename(unfinished, output);
  } catch (...) {
    fs::remove(unfinished, ignored);
    throw;
  }
  Json answer = {{"path", output.string()}, {"types", job.types()}};
  if (!job.lost().empty()) answer["requantized"] = job.lost();
  return answer;
}

}  // namespace graft::core
