// graft_inspect_json: models, tokenizers and GGUF files.
#include <map>

#include "core/api/inspect.hpp"
#include "core/model/checkpoint.hpp"
#include "core/model/decoder.hpp"
#include "core/tensor/dtype.hpp"
#include "core/text/chat_template.hpp"
#include "core/text/tokenizer.hpp"
#include "core/text/utf8.hpp"

namespace graft::core {
namespace {

std::int64_t elements(const std::vector<std::int64_t>& shape) {
  std::int64_t n = 1;
  for (const std::int64_t extent : shape) n *= extent;
  return n;
}

Json token(const Tokenizer& t, const std::optional<std::int32_t>& id) {
  if (!id) return nullptr;
  return {{"id", *id}, {"piece", utf8_lossy(t.piece(*id))}};
}

/// What the file calls its kind of tokenizer.
std::string tokenizer_kind(const fs::path& path) {
  if (!fs::is_directory(path)) {
    const Gguf file = Gguf::open(path);
    const std::string model(file.text("tokenizer.ggml.model", "none"));
    const std::string pre(file.text("tokenizer.ggml.pre", ""));
    return pre.empty() ? model : model + ", " + pre;
  }
  const fs::path file = path / "tokenizer.json";
  if (!fs::exists(file)) return "none";
  const Json json = parse_json(read_file(file), file.string());
  const auto model = json.find("model");
  return model != json.end() && model->is_object() ? model->value("type", "BPE") : "BPE";
}

/// A number, text, flag, or what an array is made of.
Json metadata_value(const Gguf& file, const std::string& key) {
  const Gguf::Value& value = *file.find(key);
  switch (value.type) {
    case GgufType::text:
      return utf8_lossy(value.bytes);
    case GgufType::boolean:
      return file.flag(key, false);
    case GgufType::f32:
    case GgufType::f64:
      return file.number(key);
    case GgufType::array:
      return cat("[", value.count, " values]");
    default:
      return file.integer(key);
  }
}

}  // namespace

Json inspect_tokenizer(const fs::path& path) {
  const Tokenizer t = Tokenizer::load(path);
  Json json = {{"kind", tokenizer_kind(path)}, {"size", t.size()},
               {"bos", token(t, t.bos())},     {"eos", token(t, t.eos())},
               {"pad", token(t, t.pad())},     {"unk", token(t, t.unk())}};
  const auto chat_template = ChatTemplate::load(path);
  json["template_hash"] = chat_template ? Json(chat_template->hash()) : Json();
  return json;
}

Json rope_json(const Rope& rope) {
  return {{"type", rope.type},
          {"theta", rope.theta},
          {"rotary_dim", rope.rotary_dim},
          {"attention_scaling", static_cast<double>(rope.attention_scaling)}};
}

Json inspect_model(const fs::path& path) {
  const Checkpoint checkpoint = Checkpoint::open(path);
  const DecoderConfig& c = checkpoint.config();
  std::int64_t parameters = 0;
  for (const TensorNeed& need : decoder_tensors(c)) parameters += elements(need.shape);
  std::uint64_t bytes = 0;
  std::map<std::string, std::int64_t> types;
  const std::vector<std::string> names = checkpoint.names();
  for (const std::string& name : names) {
    const HostTensor t = checkpoint.tensor(name);
    bytes += t.bytes.size();
    ++types[t.block_format.empty() ? std::string(dtype_name(t.dtype)) : t.block_format];
  }
  Json json = {{"kind", "model"},
               {"path", path.string()},
               {"family", std::string(c.family->type)},
               {"parameters", parameters},
               {"tensors", names.size()},
               {"bytes", bytes},
               {"dtypes", types},
               {"layers", c.layers},
               {"hidden", c.hidden},
               {"intermediate", c.intermediate},
               {"heads", c.heads},
               {"kv_heads", c.kv_heads},
               {"head_dim", c.head_dim},
               {"vocab", c.vocab},
               {"context", c.max_positions},
               {"window", c.window},
               {"tied_head", c.tied_head},
               {"norm_eps", c.norm_eps},
               {"activation", c.activation},
               {"rope", c.ropes.empty() ? Json() : rope_json(c.ropes[0])},
               {"eos", c.eos},
               {"fingerprint", checkpoint.fingerprint()}};
  if (c.ropes.size() > 1) json["local_rope"] = rope_json(c.ropes[1]);
  try {
    json["tokenizer"] = inspect_tokenizer(path);
  } catch (const Error& e) {
    json["tokenizer"] = nullptr;
    json["tokenizer_problem"] = e.what();
  }
  return json;
}

Json inspect_gguf(const fs::path& path) {
  const Gguf file = Gguf::open(path);
  Json metadata = Json::object(), tensors = Json::array();
  for (const std::string& key : file.keys()) metadata[utf8_lossy(key)] = metadata_value(file, key);
  std::int64_t count = 0;
  for (const Gguf::Tensor& t : file.tensors()) {
    count += elements(t.shape);
    tensors.push_back(
        {{"name", utf8_lossy(t.name)}, {"dtype", ggml_type_name(t.type)}, {"shape", t.shape}});
  }
  Json json = {{"kind", "gguf"},
               {"path", path.string()},
               {"bytes", fs::file_size(path)},
               {"version", file.version()},
               {"elements", count},
               {"metadata", metadata},
               {"tensors", tensors}};
  try {
    json["model"] = inspect_model(path);
  } catch (const Error& e) {
    json["model"] = nullptr;
    json["model_problem"] = e.what();
  }
  return json;
}

}  // namespace graft::core
