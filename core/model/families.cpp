#include "core/model/families.hpp"

#include "core/base/error.hpp"

namespace graft::core {
namespace {

constexpr ModuleNames qk_norms = {.q_norm = "self_attn.q_norm", .k_norm = "self_attn.k_norm"};

constexpr ModuleNames gemma2_names = {.behind_attention = "post_attention_layernorm",
                                      .before_mlp = "pre_feedforward_layernorm",
                                      .behind_mlp = "post_feedforward_layernorm"};

constexpr ModuleNames gemma3_names = {.q_norm = "self_attn.q_norm",
                                      .k_norm = "self_attn.k_norm",
                                      .behind_attention = "post_attention_layernorm",
                                      .before_mlp = "pre_feedforward_layernorm",
                                      .behind_mlp = "post_feedforward_layernorm"};

constexpr ModuleNames phi3_names = {.q = "",
                                    .k = "",
                                    .v = "",
                                    .qkv = "self_attn.qkv_proj",
                                    .gate = "",
                                    .up = "",
                                    .gate_up = "mlp.gate_up_proj"};

constexpr ModuleNames gpt2_names = {.prefix = "transformer.",
                                    .embedding = "transformer.wte",
                                    .positions = "transformer.wpe",
                                    .layers = "transformer.h",
                                    .norm = "transformer.ln_f",
                                    .q = "",
                                    .k = "",
                                    .v = "",
                                    .qkv = "attn.c_attn",
                                    .o = "attn.c_proj",
                                    .gate = "",
                                    .up = "mlp.c_fc",
                                    .down = "mlp.c_proj",
                                    .before_attention = "ln_1",
                                    .before_mlp = "ln_2"};

constexpr ModuleNames neox_names = {.prefix = "gpt_neox.",
                                    .embedding = "gpt_neox.embed_in",
                                    .layers = "gpt_neox.layers",
                                    .norm = "gpt_neox.final_layer_norm",
                                    .stored_head = "embed_out",
                                    .q = "",
                                    .k = "",
                                    .v = "",
                                    .qkv = "attention.query_key_value",
                                    .o = "attention.dense",
                                    .gate = "",
                                    .up = "mlp.dense_h_to_4h",
                                    .down = "mlp.dense_4h_to_h"};

constexpr ModuleNames olmo2_names = {.q_norm = "self_attn.q_norm",
                                     .k_norm = "self_attn.k_norm",
                                     .before_attention = "",
                                     .behind_attention = "post_attention_layernorm",
                                     .before_mlp = "",
                                     .behind_mlp = "post_feedforward_layernorm"};

std::vector<Family> table() {
  const Family llama = {.type = "llama",
                        .architecture = "llama",
                        .intermediate = 11008,
                        .vocab = 32000,
                        .max_positions = 2048,
                        .bos = 1,
                        .eos = 2,
                        .qkv_bias = Bias::kKeyFalse,
                        .o_bias = Bias::kKeyFalse,
                        .mlp_bias = Bias::kKeyFalse,
                        .interleaved = true};
  // Stored in GGUF as llama, which config_gguf.cpp tells apart.
  const Family mistral = {.type = "mistral",
                          .architecture = "",
                          .kv_heads = 8,
                          .intermediate = 14336,
                          .vocab = 32000,
                          .max_positions = 131072,
                          .bos = 1,
                          .eos = 2,
                          .window = Window::kAll,
                          .interleaved = true};
  const Family qwen2 = {.type = "qwen2",
                        .architecture = "qwen2",
                        .kv_heads = 32,
                        .intermediate = 22016,
                        .vocab = 151936,
                        .max_positions = 32768,
                        .qkv_bias = Bias::kYes,
                        .window = Window::kFromLayer};
  const Family qwen3 = {.type = "qwen3",
                        .architecture = "qwen3",
                        .names = qk_norms,
                        .kv_heads = 32,
                        .head_dim = 128,
                        .intermediate = 22016,
                        .vocab = 151936,
                        .max_positions = 32768,
                        .qkv_bias = Bias::kKeyFalse,
                        .o_bias = Bias::kKeyFalse,
                        .window = Window::kFromLayer};
  const Family gemma = {.type = "gemma",
                        .architecture = "gemma",
                        .hidden = 3072,
                        .layers = 28,
                        .heads = 16,
                        .kv_heads = 16,
                        .head_dim = 256,
                        .intermediate = 24576,
                        .vocab = 256000,
                        .max_positions = 8192,
                        .bos = 2,
                        .eos = 1,
                        .pad = 0,
                        .tied = true,
                        .activation = "gelu_pytorch_tanh",
                        .qkv_bias = Bias::kKeyFalse,
                        .o_bias = Bias::kKeyFalse,
                        .norm_offset = 1,
                        .scaled_embedding = true};
  Family gemma2 = gemma;
  gemma2.type = gemma2.architecture = "gemma2";
  gemma2.names = gemma2_names;
  gemma2.hidden = 2304;
  gemma2.layers = 26;
  gemma2.heads = 8;
  gemma2.kv_heads = 4;
  gemma2.intermediate = 9216;
  gemma2.activation_key = "hidden_activation";
  gemma2.query_scalar = 256;
  gemma2.attention_softcap = 50;
  gemma2.final_softcap = 30;
  gemma2.window = Window::kPattern;
  gemma2.window_pattern = 2;
  Family gemma3 = gemma2;
  gemma3.type = "gemma3_text";
  gemma3.architecture = "gemma3";
  gemma3.names = gemma3_names;
  gemma3.vocab = 262208;
  gemma3.max_positions = 131072;
  gemma3.theta = 1000000;
  gemma3.local_theta = 10000;
  gemma3.attention_softcap = {};
  gemma3.final_softcap = 0;
  gemma3.window_pattern = 6;
  const Family phi3 = {.type = "phi3",
                       .architecture = "phi3",
                       .names = phi3_names,
                       .hidden = 3072,
                       .intermediate = 8192,
                       .vocab = 32064,
                       .max_positions = 4096,
                       .norm_eps = 1e-5,
                       .bos = 1,
                       .eos = 32000,
                       .pad = 32000,
                       .rotary = 1,
                       .original_length = 4096,
                       .window = Window::kAll,
                       .window_size = 0};
  const Family gpt2 = {.type = "gpt2",
                       .architecture = "gpt2",
                       .names = gpt2_names,
                       .hidden = 768,
                       .layers = 12,
                       .heads = 12,
                       .vocab = 50257,
                       .max_positions = 1024,
                       .norm_eps = 1e-5,
                       .bos = 50256,
                       .eos = 50256,
                       .tied = true,
                       .activation = "gelu_new",
                       .eps_key = "layer_norm_epsilon",
                       .activation_key = "activation_function",
                       .qkv_bias = Bias::kYes,
                       .o_bias = Bias::kYes,
                       .mlp_bias = Bias::kYes,
                       .layer_norm = true,
                       .transposed = true};
  const Family neox = {.type = "gpt_neox",
                       .architecture = "gptneox",
                       .names = neox_names,
                       .hidden = 6144,
                       .layers = 44,
                       .heads = 64,
                       .intermediate = 24576,
                       .vocab = 50432,
                       .max_positions = 2048,
                       .norm_eps = 1e-5,
                       .bos = 0,
                       .eos = 2,
                       .activation = "gelu",
                       .eps_key = "layer_norm_eps",
                       .theta_key = "rotary_emb_base",
                       .rotary_key = "rotary_pct",
                       .rotary = 0.25,
                       .qkv_bias = Bias::kKeyTrue,
                       .o_bias = Bias::kKeyTrue,
                       .mlp_bias = Bias::kYes,
                       .layer_norm = true,
                       .qkv_by_head = true,
                       .parallel = true};
  const Family olmo2 = {.type = "olmo2",
                        .architecture = "olmo2",
                        .names = olmo2_names,
                        .intermediate = 11008,
                        .vocab = 50304,
                        .max_positions = 2048,
                        .norm_eps = 1e-5,
                        .eos = 50279,
                        .pad = 1,
                        .qkv_bias = Bias::kKeyFalse,
                        .o_bias = Bias::kKeyFalse,
                        .whole_qk_norm = true};
  const Family smollm3 = {.type = "smollm3",
                          .architecture = "smollm3",
                          .hidden = 2048,
                          .layers = 36,
                          .heads = 16,
                          .kv_heads = 4,
                          .intermediate = 11008,
                          .vocab = 128256,
                          .max_positions = 32768,
                          .bos = 128000,
                          .eos = 128001,
                          .pad = 128004,
                          .tied = true,
                          .theta = 2000000,
                          .no_rope_interval = 4,
                          .qkv_bias = Bias::kKeyFalse,
                          .o_bias = Bias::kKeyFalse,
                          .mlp_bias = Bias::kKeyFalse,
                          .window = Window::kWithoutRope,
                          .window_size = 0,
                          .interleaved = true};
  return {llama, mistral, qwen2, qwen3, gemma, gemma2, gemma3, phi3, gpt2, neox, olmo2, smollm3};
}

}  // namespace

const std::vector<Family>& families() {
  static const std::vector<Family> all = table();
  return all;
}

std::string family_list() {
  std::string list;
  for (const Family& family : families()) list += cat(list.empty() ? "" : ", ", family.type);
  return list;
}

const Family* find_family(std::string_view type) {
  for (const Family& family : families()) {
    if (family.type == type) return &family;
  }
  return nullptr;
}

}  // namespace graft::core
