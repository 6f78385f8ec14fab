#include "core/model/checkpoint.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstring>

#include "core/tensor/expand.hpp"
#include "tests/unit/base/expect_error.hpp"
#include "tests/unit/tensor/scratch.hpp"

namespace graft::core {
namespace {

const fs::path data = fs::path(GRAFT_SOURCE_DIR) / "tests/golden/data";

fs::path model_folder(const std::string& name) {
  return data / "cases" / name / "model";
}

std::vector<float> values(const Checkpoint& checkpoint, const std::string& name) {
  const HostTensor tensor = checkpoint.tensor(name);
  std::vector<float> result(static_cast<std::size_t>(tensor.elements()));
  expand(tensor, GRAFT_F32, result.data(), 2);
  return result;
}

class CheckpointTest : public testing::Test {
 protected:
  // A copy of a golden model whose files may be changed.
  fs::path copy(const std::string& name) const {
    fs::remove_all(scratch_ / "model");
    fs::copy(model_folder(name), scratch_ / "model");
    return scratch_ / "model";
  }
  // The model with its tensors changed by `edit`, in one file.
  template <class Edit>
  fs::path edited(const std::string& name, const Edit& edit) const {
    const fs::path folder = copy(name);
    std::vector<HostTensor> tensors;
    {
      const Safetensors file = Safetensors::open(model_folder(name) / "model.safetensors");
      for (const std::string& key : file.names()) tensors.push_back(file.tensor(key));
    }
    edit(tensors);
    write_safetensors(folder / "model.safetensors", std::span<const HostTensor>(tensors), {});
    return folder;
  }
  void change_config(const char* key, const Json& value) const {
    const fs::path path = scratch_ / "model/config.json";
    Json config = parse_json(read_file(path), "config");
    config[key] = value;
    scratch_.write("model/config.json", to_text(config));
  }

  Scratch scratch_{"checkpoint"};
};

TEST_F(CheckpointTest, OpensFolders) {
  const Checkpoint tied = Checkpoint::open(model_folder("llama-gqa-tied"));
  EXPECT_FALSE(tied.is_gguf());
  EXPECT_EQ(tied.names().size(), 2u + 2 * 9);
  EXPECT_TRUE(tied.has("model.norm.weight"));
  EXPECT_FALSE(tied.has("lm_head.weight"));
  EXPECT_EQ(tied.tensor("model.embed_tokens.weight").shape, (std::vector<std::int64_t>{83, 24}));
  EXPECT_ERROR_STATUS(tied.tensor("model.layers.1.self_attn.q_prj.weight"), GRAFT_E_NOT_FOUND,
                      "Nearest: model.layers.1.self_attn.q_proj.weight");
  const Checkpoint bf16 = Checkpoint::open(model_folder("llama-bf16"));
  EXPECT_EQ(bf16.tensor("model.norm.weight").dtype, std::uint32_t{GRAFT_BF16});
  EXPECT_EQ(bf16.config().storage_dtype, std::uint32_t{GRAFT_BF16});
  const fs::path silent = copy("llama-bf16");
  change_config("dtype", nullptr);
  EXPECT_EQ(Checkpoint::open(silent).config().storage_dtype, std::uint32_t{GRAFT_BF16});
}

TEST_F(CheckpointTest, ReadsShardsAsOneFile) {
  const Checkpoint sharded = Checkpoint::open(model_folder("llama-sharded"));
  EXPECT_EQ(sharded.names().size(), 3u + 2 * 9);
  std::vector<HostTensor> tensors;
  for (const std::string& name : sharded.names()) tensors.push_back(sharded.tensor(name));
  const fs::path folder = copy("llama-gqa-tied");
  fs::copy_file(model_folder("llama-sharded") / "config.json", folder / "config.json",
                fs::copy_options::overwrite_existing);
  write_safetensors(folder / "model.safetensors", std::span<const HostTensor>(tensors), {});
  const Checkpoint single = Checkpoint::open(folder);
  EXPECT_EQ(single.names(), sharded.names());
  for (const std::string& name : single.names()) {
    EXPECT_EQ(values(single, name), values(sharded, name)) << name;
  }
  EXPECT_EQ(single.fingerprint(), sharded.fingerprint());
}

TEST_F(CheckpointTest, TakesNamesWithoutPrefixAndIgnoresBuffers) {
  const fs::path folder = edited("llama-gqa-tied", [](std::vector<HostTensor>& tensors) {
    HostTensor extra = tensors[0];
    for (HostTensor& tensor : tensors) tensor.name = tensor.name.substr(strlen("model."));
    extra.name = "layers.0.self_attn.rotary_emb.inv_freq";
    tensors.push_back(extra);
    extra.name = "lm_head.weight";
    tensors.push_back(extra);
  });
  const Checkpoint bare = Checkpoint::open(folder);
  const Checkpoint full = Checkpoint::open(model_folder("llama-gqa-tied"));
  EXPECT_EQ(bare.names(), full.names());
  EXPECT_EQ(bare.tensor("model.norm.weight").name, "model.norm.weight");
  EXPECT_EQ(bare.fingerprint(), full.fingerprint());
}

TEST_F(CheckpointTest, FingerprintTellsModelsApart) {
  const std::string original = Checkpoint::open(model_folder("llama-gqa-tied")).fingerprint();
  EXPECT_NE(Checkpoint::open(model_folder("llama-bf16")).fingerprint(), original);
  const fs::path folder = copy("llama-gqa-tied");
  std::string bytes = read_file(folder / "model.safetensors");
  bytes.back() = static_cast<char>(bytes.back() ^ 1);
  scratch_.write("model/model.safetensors", bytes);
  EXPECT_NE(Checkpoint::open(folder).fingerprint(), original);
}

TEST_F(CheckpointTest, SaysWhatIsMissing) {
  EXPECT_ERROR_STATUS(Checkpoint::open(scratch_ / "nowhere"), GRAFT_E_NOT_FOUND, "does not exist");
  const fs::path folder = copy("llama-gqa-tied");
  EXPECT_ERROR(Checkpoint::open(folder / "model.safetensors"), "give the folder");
  fs::rename(folder / "model.safetensors", folder / "pytorch_model.bin");
  EXPECT_ERROR_STATUS(Checkpoint::open(folder), GRAFT_E_NOT_FOUND,
                      "has no model.safetensors. It holds pytorch_model.bin");
  fs::remove(folder / "config.json");
  fs::remove(folder / "pytorch_model.bin");
  EXPECT_ERROR_STATUS(Checkpoint::open(folder), GRAFT_E_NOT_FOUND, "has no config.json. Give");
  scratch_.write("model/a.gguf", "x");
  EXPECT_ERROR_STATUS(Checkpoint::open(folder), GRAFT_E_NOT_FOUND, "a.gguf' itself");
  scratch_.write("model/adapter_config.json", "{}");
  EXPECT_ERROR_STATUS(Checkpoint::open(folder), GRAFT_E_NOT_FOUND, "It holds an adapter");
  EXPECT_ERROR(Checkpoint::open(folder / "a.gguf"), "does not begin with 'GGUF'");
}

TEST_F(CheckpointTest, SaysWhichTensorIsWrong) {
  fs::path folder = copy("llama-gqa-tied");
  change_config("intermediate_size", 41);
  EXPECT_ERROR(Checkpoint::open(folder),
               "tensor 'model.layers.0.mlp.gate_proj.weight' in 'model.safetensors' is [40, 24], "
               "but config.json needs [41, 24].");
  change_config("intermediate_size", 40);
  change_config("num_hidden_layers", 3);
  EXPECT_ERROR_STATUS(Checkpoint::open(folder), GRAFT_E_NOT_FOUND,
                      "has no tensor 'model.layers.2.self_attn.q_proj.weight'. Nearest: ");
  folder = edited("llama-gqa-tied", [](std::vector<HostTensor>& tensors) {
    for (HostTensor& tensor : tensors) {
      if (tensor.name == "model.norm.weight") tensor.dtype = GRAFT_I32;
    }
  });
  EXPECT_ERROR(Checkpoint::open(folder),
               "'model.norm.weight' in 'model.safetensors' is of integers");
}

TEST_F(CheckpointTest, RefusesABrokenIndex) {
  const fs::path folder = copy("llama-sharded");
  const std::string index = "model/model.safetensors.index.json";
  const auto refused = [&](const std::string& text, graft_status status, const char* part) {
    scratch_.write(index, text);
    EXPECT_ERROR_STATUS(Checkpoint::open(folder), status, part);
  };
  refused("[]", GRAFT_E_INVALID, "\"weight_map\" is missing");
  refused(R"({"weight_map": {"a": 1}})", GRAFT_E_INVALID, "the file of 'a' is no text");
  for (const char* name : {"../a", "/etc/passwd", "..", "", "a\\\\b", "a\\u0000b"}) {
    refused(cat(R"({"weight_map": {"a": ")", name, "\"}}"), GRAFT_E_INVALID, "plain file name");
  }
  refused(R"({"weight_map": {"a": "model-00009.safetensors"}})", GRAFT_E_NOT_FOUND,
          "model-00009.safetensors");
  refused(R"({"weight_map": {"a": "model-00001-of-00003.safetensors"}})", GRAFT_E_INVALID,
          "tensor 'a' is in 'model-00001-of-00003.safetensors', which does not have it");
}

TEST_F(CheckpointTest, RefusesACutFile) {
  const fs::path folder = copy("llama-gqa-tied");
  const std::string bytes = read_file(folder / "model.safetensors");
  scratch_.write("model/model.safetensors", std::string_view(bytes).substr(0, bytes.size() - 1));
  EXPECT_ERROR(Checkpoint::open(folder), "cut off");
  const std::string gguf = read_file(data / "gguf/llama-gqa-tied.gguf");
  const fs::path cut =
      scratch_.write("cut.gguf", std::string_view(gguf).substr(0, gguf.size() / 2));
  EXPECT_ERROR(Checkpoint::open(cut), "cut off");
}

// What a damaged model gives: an error, or a model whose tensors can all be read.
bool readable(const fs::path& path) {
  try {
    const Checkpoint checkpoint = Checkpoint::open(path);
    for (const std::string& name : checkpoint.names()) {
      const HostTensor tensor = checkpoint.tensor(name);
      EXPECT_EQ(expanded(tensor, GRAFT_F32, 1).elements(), tensor.elements());
    }
    EXPECT_FALSE(checkpoint.fingerprint().empty());
    return true;
  } catch (const Error& error) {
    EXPECT_GT(std::string(error.what()).size(), 20u);
    return false;
  }
}

TEST_F(CheckpointTest, SurvivesADamagedGguf) {
  const fs::path path = data / "gguf/qwen2-tied.gguf";
  const std::string whole = read_file(path);
  // Metadata and descriptions; behind them are numbers alone.
  const std::size_t start = Gguf::open(path).tensors()[0].begin;
  ASSERT_GT(start, 1000u);
  for (std::size_t at = 0; at < start; ++at) {
    for (const int change : {0x01, 0x40, 0xff}) {
      std::string damaged = whole;
      damaged[at] = static_cast<char>(damaged[at] ^ change);
      readable(scratch_.write("damaged.gguf", damaged));
    }
    EXPECT_FALSE(readable(scratch_.write("cut.gguf", std::string_view(whole).substr(0, at)))) << at;
  }
}

TEST_F(CheckpointTest, SurvivesADamagedConfig) {
  const fs::path folder = copy("llama-llama3-v4");
  const std::string whole = read_file(folder / "config.json");
  EXPECT_TRUE(readable(folder));
  for (std::size_t at = 0; at < whole.size(); ++at) {
    for (const int change : {0x01, 0x04, 0x10, 0xff}) {
      std::string damaged = whole;
      damaged[at] = static_cast<char>(damaged[at] ^ change);
      scratch_.write("model/config.json", damaged);
      readable(folder);
    }
    scratch_.write("model/config.json", std::string_view(whole).substr(0, at));
    EXPECT_EQ(readable(folder), at + 1 == whole.size()) << at;  // without the last line break
  }
}

TEST_F(CheckpointTest, SurvivesADamagedIndex) {
  const fs::path folder = copy("llama-sharded");
  const std::string index = "model/model.safetensors.index.json";
  const std::string whole = read_file(scratch_ / index);
  EXPECT_TRUE(readable(folder));
  for (std::size_t at = 0; at < whole.size(); ++at) {
    std::string damaged = whole;
    damaged[at] = static_cast<char>(damaged[at] ^ 1);
    scratch_.write(index, damaged);
    readable(folder);
  }
}

class GgufCheckpointTest : public testing::TestWithParam<const char*> {};

// The GGUF files are made of the folders: names, rows of q and k, and settings must come back.
TEST_P(GgufCheckpointTest, IsTheFolderItWasMadeOf) {
  const std::string name = GetParam();
  const Checkpoint folder = Checkpoint::open(model_folder(name));
  const Checkpoint file = Checkpoint::open(data / "gguf" / (name + ".gguf"));
  EXPECT_TRUE(file.is_gguf());
  EXPECT_EQ(file.names(), folder.names());
  for (const std::string& tensor : folder.names()) {
    EXPECT_EQ(file.tensor(tensor).shape, folder.tensor(tensor).shape) << tensor;
    const std::vector<float> found = values(file, tensor), want = values(folder, tensor);
    ASSERT_EQ(found.size(), want.size()) << tensor;
    // Gemma's norms have 1 added and taken off again.
    const bool exact = name.find("gemma") != 0;
    for (std::size_t i = 0; i < want.size(); ++i) {
      ASSERT_NEAR(found[i], want[i], exact ? 0 : 1e-6) << tensor << " " << i;
    }
  }
  const ModuleNames& names = folder.config().names();
  const std::string q =
      cat(names.layers, ".1.", names.qkv.empty() ? names.q : names.qkv, ".weight");
  const bool reordered = name.find("llama") == 0 || name == "smollm3" || name == "gpt_neox";
  EXPECT_EQ(file.tensor(q).plain(), !reordered);

  const DecoderConfig &a = file.config(), &b = folder.config();
  EXPECT_EQ(a.family, b.family);
  EXPECT_EQ(a.head_dim, b.head_dim);
  EXPECT_EQ(a.kv_heads, b.kv_heads);
  EXPECT_EQ(a.norm_eps, b.norm_eps);
  EXPECT_EQ(a.vocab, b.vocab);
  EXPECT_EQ(a.window, b.window);
  EXPECT_EQ((std::vector{a.q_bias, a.k_bias, a.v_bias, a.o_bias, a.mlp_bias, a.parallel_residual,
                         a.tied_head}),
            (std::vector{b.q_bias, b.k_bias, b.v_bias, b.o_bias, b.mlp_bias, b.parallel_residual,
                         b.tied_head}));
  EXPECT_EQ(a.activation, b.activation);
  EXPECT_EQ(a.attention_scale, b.attention_scale);
  EXPECT_EQ(a.attention_softcap, b.attention_softcap);
  EXPECT_EQ(a.final_softcap, b.final_softcap);
  EXPECT_EQ(a.embedding_scale, b.embedding_scale);
  EXPECT_EQ(a.layer_rope, b.layer_rope);
  EXPECT_EQ(a.eos, b.eos);
  EXPECT_EQ(a.bos, b.bos);
  ASSERT_EQ(a.ropes.size(), b.ropes.size());
  for (std::size_t k = 0; k < a.ropes.size(); ++k) {
    EXPECT_EQ(a.ropes[k].type, b.ropes[k].type);
    EXPECT_EQ(a.ropes[k].original_length, b.ropes[k].original_length);
    EXPECT_NEAR(a.ropes[k].attention_scaling, b.ropes[k].attention_scaling, 1e-6);
    for (const auto part : {&Rope::inv_freq, &Rope::long_inv_freq}) {
      const std::vector<float>&x = a.ropes[k].*part, &y = b.ropes[k].*part;
      ASSERT_EQ(x.size(), y.size());
      for (std::size_t i = 0; i < x.size(); ++i) EXPECT_NEAR(x[i], y[i], 1e-6 * y[i]) << i;
    }
  }
  if (name.find("llama") != 0 && name.find("qwen") != 0) return;
  // The config.json made of the metadata says the same.
  ASSERT_TRUE(a.hf.is_object());
  const DecoderConfig again = config_from_hf(a.hf, Json::object(), "made");
  EXPECT_EQ(again.family, b.family);
  EXPECT_EQ(again.norm_eps, b.norm_eps);
  EXPECT_EQ(again.tied_head, b.tied_head);
  EXPECT_EQ(again.q_bias, b.q_bias);
  EXPECT_EQ(again.o_bias, b.o_bias);
  EXPECT_EQ(again.mlp_bias, b.mlp_bias);
  EXPECT_EQ(again.head_dim, b.head_dim);
  EXPECT_EQ(again.eos, b.eos);
  EXPECT_EQ(again.ropes[0].theta, b.ropes[0].theta);
  const std::vector<float>&x = again.ropes[0].inv_freq, &y = b.ropes[0].inv_freq;
  for (std::size_t i = 0; i < y.size(); ++i) EXPECT_NEAR(x[i], y[i], 1e-5 * y[i]) << i;
}

INSTANTIATE_TEST_SUITE_P(Models, GgufCheckpointTest,
                         testing::Values("llama-gqa-tied", "llama-biases-v4", "llama-head-dim",
                                         "llama-llama3-v4", "llama-llama3", "qwen2-tied",
                                         "qwen3-tied", "gemma-mqa", "gemma2", "gemma3-v4",
                                         "phi3-longrope", "phi3-window", "gpt2-tied", "gpt_neox",
                                         "olmo2", "smollm3"));

TEST(GgufNamesTest, AreThoseOfHuggingFace) {
  const ModuleNames names;
  const ModuleNames& gpt2 = find_family("gpt2")->names;
  EXPECT_EQ(hf_name_of_gguf("position_embd.weight", gpt2), "transformer.wpe.weight");
  EXPECT_EQ(hf_name_of_gguf("position_embd.weight", names), "");
  EXPECT_EQ(hf_name_of_gguf("blk.1.ffn_gate.weight", gpt2), "");
  EXPECT_EQ(hf_name_of_gguf("blk.1.ffn_up.bias", gpt2), "transformer.h.1.mlp.c_fc.bias");
  EXPECT_EQ(hf_name_of_gguf("blk.1.ffn_up.weight", find_family("phi3")->names),
            "model.layers.1.mlp.gate_up_proj.weight");
  EXPECT_EQ(hf_name_of_gguf("token_embd.weight", names), "model.embed_tokens.weight");
  EXPECT_EQ(hf_name_of_gguf("output.weight", names), "lm_head.weight");
  EXPECT_EQ(hf_name_of_gguf("output_norm.weight", names), "model.norm.weight");
  EXPECT_EQ(hf_name_of_gguf("blk.29.attn_q.bias", names), "model.layers.29.self_attn.q_proj.bias");
  EXPECT_EQ(hf_name_of_gguf("blk.0.ffn_norm.weight", names),
            "model.layers.0.post_attention_layernorm.weight");
  for (const char* other : {"", "weight", "rope_freqs.weight", "blk.0.attn_q", "blk..attn_q.weight",
                            "blk.01.attn_q.weight", "blk.x.attn_q.weight", "blk.1.ffn_x.weight",
                            "blk.9999999.attn_q.weight", "blk.1.weight"}) {
    EXPECT_EQ(hf_name_of_gguf(other, names), "") << other;
  }
}

}  // namespace
}  // namespace graft::core
