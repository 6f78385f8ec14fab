#include "core/infer/quantize_model.hpp"

#include <thread>

#include "core/base/error.hpp"
#include "core/infer/bnb_folder.hpp"
#include "core/infer/gguf_model.hpp"
#include "core/model/gguf_metadata.hpp"

namespace graft::core {
namespace {

/// The format of most of what is quantized already, or "".
std::string quantized_already(const Checkpoint& checkpoint) {
  for (const std::string& name : checkpoint.names()) {
    const HostTensor tensor = checkpoint.tensor(name);
    if (tensor.dtype == GRAFT_QUANT) return tensor.block_format;
  }
  return "";
}

}  // namespace

Json quantize_options_schema() {
  return parse_json(R"json({
    "type": "object", "additionalProperties": false, "required": ["format"], "properties": {
      "format": {"enum": ["nf4", "fp4", "int8", "q4_0", "q4_k_m", "q8_0", "f16", "bf16", "f32"]},
      "block": {"enum": [32, 64, 128, 256, 512, 1024, 2048, 4096]},
      "double": {"type": "boolean"},
      "skip": {"type": "array", "items": {"type": "string", "minLength": 1}},
      "threads": {"type": "integer", "minimum": 0, "default": 0}
    }})json",
                    "the schema of quantize options");
}

Json quantize_model(const fs::path& model, const fs::path& output, const Json& options,
                    const Log& log) {
  const std::string format = options.at("format");
  const bool to_gguf = is_gguf_kind(format);
  for (const char* key : {"block", "double", "skip"}) {
    const bool scaled = format == "nf4" || format == "fp4";
    const bool takes = std::string_view(key) == "skip" ? !to_gguf : scaled;
    if (options.contains(key) && !takes) {
      throw Error(GRAFT_E_CONFIG, cat("--format ", format, " has no option \"", key, "\"."));
    }
  }
  const Checkpoint checkpoint = Checkpoint::open(model);
  const std::string before = quantized_already(checkpoint);
  if (!before.empty()) {
    log.warning("quantize", cat("'", model.string(), "' is quantized already (", before,
                                "): quantizing what it was made from loses less."));
  }
  std::int64_t threads = options.at("threads");
  if (threads == 0) threads = std::max(1u, std::thread::hardware_concurrency());
  const ModelContent content{
      checkpoint, static_cast<int>(std::min<std::int64_t>(threads, 256)), false, {}, {}};
  Json answer;
  if (to_gguf) {
    answer = write_gguf_model(content, format, output, log);
  } else {
    if (checkpoint.is_gguf()) {
      throw Error(GRAFT_E_INVALID,
                  cat("quantize: '", model.string(), "' is a GGUF file, and ", format,
                      " is stored in a Hugging Face folder. Give the folder that the file was made "
                      "from, or --format q4_0, q4_k_m or q8_0."));
    }
    if (output.extension() == ".gguf") {
      throw Error(GRAFT_E_CONFIG, cat("--output: '", output.string(), "' names a GGUF file, but ",
                                      format, " is stored in a folder."));
    }
    Quantization quantization;
    quantization.format = format;
    quantization.block = options.value("block", quantization.block);
    quantization.nested = options.value("double", quantization.nested);
    if (options.contains("skip"))
      quantization.skip = options["skip"].get<std::vector<std::string>>();
    answer = write_hf_folder(content, quantization, output);
  }
  answer["format"] = format;
  return answer;
}

}  // namespace graft::core
