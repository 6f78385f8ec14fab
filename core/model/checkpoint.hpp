// A model on disk, a Hugging Face folder or a GGUF file, by the tensor names of Hugging Face.
#pragma once
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "core/base/file.hpp"
#include "core/model/config.hpp"
#include "core/model/gguf_names.hpp"
#include "core/tensor/gguf.hpp"
#include "core/tensor/safetensors.hpp"

namespace graft::core {

class Checkpoint {
 public:
  /// `path` is a folder with config.json and safetensors (one file, or shards with an index), or a
  /// GGUF file. Files are mapped, not read. Checks that every tensor of the family is there, has
  /// the shape that the configuration gives it, and a type that can be expanded.
  static Checkpoint open(const fs::path& path);

  const DecoderConfig& config() const { return config_; }
  const fs::path& path() const { return path_; }
  bool is_gguf() const { return gguf_ != nullptr; }
  /// The GGUF file, for its tokenizer metadata; null for a folder.
  const Gguf* gguf() const { return gguf_.get(); }

  /// Names as transformers gives them ("model.layers.0.mlp.up_proj.weight"), sorted, also where the
  /// file leaves out "model." or has names of its own. Without rotary buffers, and without the head
  /// where it is tied.
  std::vector<std::string> names() const;
  bool has(std::string_view name) const { return places_.count(name) != 0; }
  /// Throws GRAFT_E_NOT_FOUND with the nearest names. Weights are [out, in] also where a folder has
  /// them the other way round. Such ones, and those whose rows llama.cpp's converter reorders, say
  /// so; expand() puts them in order.
  HostTensor tensor(std::string_view name) const;

  /// A digest of the names, shapes and types of the family's tensors and of samples of their bytes,
  /// for telling bases apart. It is the same for one file and for shards of it.
  std::string fingerprint() const;
  /// A tensor of a layer that the configuration does not have; empty if there is none.
  std::string beyond_layers() const;
  /// See MappedFile.
  void forget() const;

 private:
  struct Place {
    std::size_t file = 0;  // index of shards_
    std::string name;      // in the file
  };
  void open_folder();
  void open_gguf();
  void add(const std::string& stored, std::size_t file);
  HostTensor stored(const Place& place) const;
  void check_tensors() const;
  bool is_layer_linear(std::string_view name) const;
  void undo_gguf(HostTensor& tensor) const;

  fs::path path_;
  DecoderConfig config_;
  std::vector<Safetensors> shards_;
  std::shared_ptr<const Gguf> gguf_;
  std::map<std::string, Place, std::less<>> places_;
};

}  // namespace graft::core
