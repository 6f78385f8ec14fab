#include "core/model/checkpoint.hpp"

#include <algorithm>
#include <charconv>

#include "core/base/digest.hpp"
#include "core/base/nearest.hpp"
#include "core/model/decoder.hpp"
#include "core/model/prequantized.hpp"
#include "core/tensor/expand.hpp"

namespace graft::core {
namespace {

constexpr std::uint64_t max_config = 1 << 24, max_index = 1 << 28;

bool starts_with(std::string_view text, std::string_view start) {
  return text.substr(0, start.size()) == start;
}
bool ends_with(std::string_view text, std::string_view end) {
  return text.size() >= end.size() && text.substr(text.size() - end.size()) == end;
}

// Why `folder` is no model folder, as far as its files tell.
[[noreturn]] void not_a_model(const fs::path& folder, std::string_view missing) {
  std::string gguf, hint =
                        "Give a folder that has config.json and model.safetensors, or a .gguf "
                        "file.";
  std::error_code ignored;
  for (const fs::directory_entry& entry : fs::directory_iterator(folder, ignored)) {
    if (entry.path().extension() == ".gguf") gguf = entry.path().filename().string();
  }
  if (fs::exists(folder / "adapter_config.json")) {
    hint = "It holds an adapter: name its base model here and the folder as the adapter.";
  } else if (!gguf.empty()) {
    hint = cat("It holds a GGUF file: give '", (folder / gguf).string(), "' itself.");
  } else if (fs::exists(folder / "pytorch_model.bin") ||
             fs::exists(folder / "pytorch_model.bin.index.json")) {
    hint = "It holds pytorch_model.bin, which is not read: save the model again as safetensors.";
  }
  throw Error(GRAFT_E_NOT_FOUND, cat("model '", folder.string(), "' has no ", missing, ". ", hint));
}

Json read_json(const fs::path& path, std::uint64_t limit) {
  return parse_json(read_file(path, limit), path.string());
}

// The shard files by name, out of the index. A name must be that of a file beside the index.
std::vector<std::pair<std::string, std::string>> weight_map(const fs::path& path) {
  const Json index = read_json(path, max_index);
  const auto found = index.is_object() ? index.find("weight_map") : index.end();
  if (found == index.end() || !found->is_object()) {
    throw Error(GRAFT_E_INVALID,
                cat("'", path.string(), "': \"weight_map\" is missing or no object."));
  }
  if (found->empty()) {
    throw Error(GRAFT_E_INVALID, cat("'", path.string(), "': \"weight_map\" names no tensor; it ",
                                     "must give the file of each: {\"model.norm.weight\": ",
                                     "\"model-00001-of-00002.safetensors\", ..}."));
  }
  std::vector<std::pair<std::string, std::string>> result;
  for (const auto& [name, file] : found->items()) {
    if (!file.is_string()) {
      throw Error(GRAFT_E_INVALID,
                  cat("'", path.string(), "': the file of '", name, "' is no text."));
    }
    result.emplace_back(name, file.get<std::string>());
    const std::string& text = result.back().second;
    if (text.empty() || text == "." || text == ".." || text.find('/') != std::string::npos ||
        text.find('\\') != std::string::npos || text.find('\0') != std::string::npos) {
      throw Error(GRAFT_E_INVALID, cat("'", path.string(), "': ", to_text(file), ", the file of '",
                                       name, "', must be a plain file name."));
    }
  }
  return result;
}

}  // namespace

Checkpoint Checkpoint::open(const fs::path& path) {
  Checkpoint result;
  result.path_ = path;
  std::error_code error;
  const fs::file_status status = fs::status(path, error);
  if (!fs::exists(status)) {
    throw Error(GRAFT_E_NOT_FOUND, cat("model '", path.string(),
                                       "' does not exist. Give a model "
                                       "folder or a .gguf file."));
  }
  if (fs::is_directory(status)) {
    result.open_folder();
  } else if (ends_with(path.filename().string(), ".safetensors")) {
    throw Error(GRAFT_E_INVALID, cat("model '", path.string(),
                                     "' is a file of weights alone: give "
                                     "the folder that has it and its config.json."));
  } else {
    result.open_gguf();
  }
  result.check_tensors();
  if (result.config_.storage_dtype == 0) {
    const std::uint32_t dtype = result.tensor(result.config_.embedding_name()).dtype;
    if (dtype != GRAFT_QUANT) result.config_.storage_dtype = dtype;
  }
  return result;
}

void Checkpoint::open_folder() {
  const fs::path config = path_ / "config.json", generation = path_ / "generation_config.json";
  if (!fs::exists(config)) not_a_model(path_, "config.json");
  config_ = config_from_hf(
      read_json(config, max_config),
      fs::exists(generation) ? read_json(generation, max_config) : Json::object(), config.string());

  const fs::path single = path_ / "model.safetensors";
  const fs::path index = path_ / "model.safetensors.index.json";
  if (fs::exists(single)) {
    shards_.push_back(Safetensors::open(single));
    for (const std::string& name : shards_[0].names()) add(name, 0);
    return;
  }
  if (!fs::exists(index)) not_a_model(path_, "model.safetensors");
  std::map<std::string, std::size_t> files;
  for (const auto& [name, file] : weight_map(index)) {
    const auto [found, fresh] = files.emplace(file, shards_.size());
    if (fresh) shards_.push_back(Safetensors::open(path_ / file));
    if (!shards_[found->second].has(name)) {
      throw Error(GRAFT_E_INVALID, cat("'", index.string(), "' says that tensor '", name,
                                       "' is in '", file, "', which does not have it."));
    }
    add(name, found->second);
  }
}

void Checkpoint::open_gguf() {
  gguf_ = std::make_shared<const Gguf>(Gguf::open(path_));
  if (gguf_->integer("split.count", 1) > 1) {
    throw Error(GRAFT_UNSUPPORTED, cat("model '", path_.string(),
                                       "' is one of several parts of a "
                                       "split GGUF; merge them into one file first."));
  }
  if (gguf_->text("general.type", "model") != "model") {
    throw Error(GRAFT_E_INVALID, cat("GGUF file '", path_.string(),
                                     "' holds no model but: ", gguf_->text("general.type"), "."));
  }
  config_ = config_from_gguf(*gguf_);
  for (const Gguf::Tensor& info : gguf_->tensors()) {
    const std::string name = hf_name_of_gguf(info.name, config_.names());
    if (config_.tied_head && name == config_.head_name()) continue;
    if (!name.empty()) places_[name] = {0, info.name};
  }
}

void Checkpoint::add(const std::string& stored, std::size_t file) {
  // A checkpoint of the model without its head has no prefix.
  const ModuleNames& names = config_.names();
  bool bare = false;
  for (std::string_view part : {names.embedding, names.positions, names.layers, names.norm}) {
    if (part.empty()) continue;
    part.remove_prefix(names.prefix.size());
    bare = bare || starts_with(stored, cat(part, "."));
  }
  std::string name = bare ? cat(names.prefix, stored) : stored;
  if (name == cat(names.stored_head, ".weight")) name = config_.head_name();
  // Tables that transformers once saved: frequencies, masks.
  for (const char* table : {".rotary_emb.inv_freq", ".attn.bias", ".attn.masked_bias",
                            ".attention.bias", ".attention.masked_bias"}) {
    if (ends_with(name, table)) return;
  }
  if (config_.tied_head && name == config_.head_name()) return;
  constexpr std::string_view packed = ".qweight";
  if (config_.packing && ends_with(name, packed)) {
    places_.emplace(cat(name.substr(0, name.size() - packed.size()), ".weight"),
                    Place{file, stored});
  }
  if (!places_.emplace(name, Place{file, stored}).second) {
    throw Error(GRAFT_E_INVALID, cat("model '", path_.string(), "': tensor '", name,
                                     "' is there twice, with and without \"", names.prefix, "\"."));
  }
}

std::vector<std::string> Checkpoint::names() const {
  std::vector<std::string> result;
  for (const auto& [name, place] : places_) {
    if (!is_statistics(name) && !(config_.packing && is_packed_part(name))) result.push_back(name);
  }
  return result;
}

HostTensor Checkpoint::stored(const Place& place) const {
  return is_gguf() ? gguf_->tensor(place.name) : shards_[place.file].tensor(place.name);
}

HostTensor Checkpoint::tensor(std::string_view name) const {
  const auto found = places_.find(name);
  if (found == places_.end()) {
    std::string near;
    for (const std::string& other : nearest(name, names(), 3)) {
      near += cat(near.empty() ? "" : ", ", other);
    }
    throw Error(GRAFT_E_NOT_FOUND,
                cat("model '", path_.string(), "' has no tensor '", name, "'. ",
                    near.empty() ? "It has none." : cat("Nearest: ", near, ".")));
  }
  HostTensor result = stored(found->second);
  result.name = name;
  if (!is_gguf()) {
    const TensorLookup lookup = [&](const std::string& other) {
      const auto place = places_.find(other);
      return place == places_.end() ? std::nullopt : std::optional(stored(place->second));
    };
    const bool packed = config_.packing && ends_with(found->second.name, ".qweight");
    result = packed ? with_groups(std::move(result), *config_.packing, lookup)
                    : with_statistics(std::move(result), lookup);
  }
  if (is_gguf()) {
    undo_gguf(result);
  } else if (config_.family->transposed && result.dtype != GRAFT_QUANT &&
             ends_with(name, ".weight") &&
             is_layer_linear(name)) {  // quantized ones lie as in other families
    result.transposed = true;
    std::swap(result.shape.front(), result.shape.back());
  }
  return result;
}

bool Checkpoint::is_layer_linear(std::string_view name) const {
  const ModuleNames& names = config_.names();
  if (!starts_with(name, cat(names.layers, "."))) return false;
  for (const std::string_view module : {names.qkv, names.o, names.up, names.down}) {
    if (ends_with(name, cat(".", module, ".weight"))) return true;
  }
  return false;
}

// What llama.cpp's converter does to some families' tensors, to be undone.
void Checkpoint::undo_gguf(HostTensor& t) const {
  set_gguf_order(t, config_);
  const float offset = gguf_offset(t, config_);
  if (offset == 0 || !t.plain()) return;
  const auto values = std::make_shared<std::vector<float>>(static_cast<std::size_t>(t.elements()));
  expand(t, GRAFT_F32, values->data(), 1);
  for (float& w : *values) w -= offset;
  t.dtype = GRAFT_F32;
  t.bytes = std::as_bytes(std::span(*values));
  t.owner = values;
}

void Checkpoint::check_tensors() const {
  const char* source = is_gguf() ? "the metadata" : "config.json";
  for (const TensorNeed& need : decoder_tensors(config_)) {
    const HostTensor found = tensor(need.name);
    const std::string who =
        cat("model '", path_.string(), "': tensor '", need.name, "' in '",
            (is_gguf() ? path_ : shards_[places_.find(need.name)->second.file].path())
                .filename()
                .string(),
            "' is ");
    if (found.shape != need.shape) {
      throw Error(GRAFT_E_INVALID, cat(who, shape_text(found.shape), ", but ", source, " needs ",
                                       shape_text(need.shape), "."));
    }
    if (found.dtype != GRAFT_F32 && found.dtype != GRAFT_F16 && found.dtype != GRAFT_BF16 &&
        found.dtype != GRAFT_F64 && found.dtype != GRAFT_QUANT) {
      throw Error(GRAFT_E_INVALID, cat(who, "of integers; weights must be f32, f16 or bf16."));
    }
  }
}

std::string Checkpoint::beyond_layers() const {
  const std::string layers = cat(config_.names().layers, ".");
  for (const auto& [name, place] : places_) {
    if (!starts_with(name, layers)) continue;
    std::int64_t layer = -1;
    const char* digits = name.data() + layers.size();
    if (std::from_chars(digits, name.data() + name.size(), layer).ec != std::errc()) continue;
    if (layer >= config_.layers) return name;
  }
  return {};
}

std::string Checkpoint::fingerprint() const {
  constexpr std::size_t sample = 64;
  Sha256 digest;
  for (const std::string& name : names()) {
    const HostTensor found = tensor(name);
    digest.add(
        cat(name, " ", found.dtype, " ", found.block_format, " ", shape_text(found.shape), "\n"));
    const std::size_t size = found.bytes.size(), part = std::min(size, sample);
    for (const std::size_t at : {std::size_t{0}, (size - part) / 2, size - part}) {
      digest.add(found.bytes.subspan(at, part));
    }
  }
  forget();  // it would count as memory of the process beside that of the weights
  return digest.hex();
}

void Checkpoint::forget() const {
  for (const Safetensors& shard : shards_) shard.forget();
  if (gguf_) gguf_->forget();
}

}  // namespace graft::core
