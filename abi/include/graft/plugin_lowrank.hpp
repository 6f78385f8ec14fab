// graft/plugin_lowrank.hpp: what methods with a rank and a scaling factor share: options, their keys in
// PEFT's files, and the factor.
#ifndef GRAFT_PLUGIN_LOWRANK_HPP
#define GRAFT_PLUGIN_LOWRANK_HPP
#include <algorithm>
#include <cmath>
#include <vector>

#include "plugin.hpp"

/// Properties of a schema: rank, alpha and their patterns.
#define GRAFT_RANK_OPTIONS                                                                 \
  R"("rank": {"type": "integer", "minimum": 1, "default": 8, )"                            \
  R"("description": "Rows of A, columns of B: the size of the update"}, )"                 \
  R"("alpha": {"type": "number", "default": 16, )"                                         \
  R"("description": "The update is scaled by alpha / rank"}, )"                            \
  R"("rank_pattern": {"type": "object", "default": {}, "x-graft-overrides": "rank", )"     \
  R"("additionalProperties": {"type": "integer", "minimum": 1}, )"                         \
  R"("description": "Other ranks: module name (suffix or regular expression) to rank"}, )" \
  R"("alpha_pattern": {"type": "object", "default": {}, "x-graft-overrides": "alpha", )"   \
  R"("additionalProperties": {"type": "number"}, )"                                        \
  R"("description": "Other alphas: module name (suffix or regular expression) to alpha"})"
/// Another property: dropout in front of the update.
#define GRAFT_DROPOUT_OPTION                                                             \
  R"("dropout": {"type": "number", "minimum": 0, "exclusiveMaximum": 1, "default": 0, )" \
  R"("description": "Dropout on the input of A, in training"})"
/// Another: whether nothing changes at first; and its key in PEFT's files.
#define GRAFT_IDENTITY_OPTION(DESCRIPTION)                         \
  R"("init": {"type": "string", "enum": ["identity", "random"], )" \
  R"("default": "identity", "description": ")" DESCRIPTION R"("})"
#define GRAFT_IDENTITY_FIELD \
  R"("init": {"key": "init_weights", "values": {"identity": [true], "random": [false]}})"
/// Further properties of LoRA and its relatives.
#define GRAFT_LORA_OPTIONS                                                   \
  GRAFT_RANK_OPTIONS ", " GRAFT_DROPOUT_OPTION                               \
                     R"(, "rslora": {"type": "boolean", "default": false, )" \
                     R"("description": "Scale by alpha / sqrt(rank) instead"})"
/// Another property: which biases of the base are trained.
#define GRAFT_BIAS_OPTION                                                                          \
  R"("bias": {"type": "string", "enum": ["none", "all", "lora_only"], "default": "none", )"        \
  R"("x-graft-biases": true, "description": "Biases of the base that are trained: none, all, or )" \
  R"(those of targeted modules"})"
/// A member of a schema: PEFT's targets by the type of the model, where the user gives none.
#define GRAFT_LORA_TARGETS                                                                  \
  R"("x-graft-targets": {"llama": ["q_proj", "v_proj"], "mistral": ["q_proj", "v_proj"], )" \
  R"("qwen2": ["q_proj", "v_proj"], "qwen3": ["q_proj", "v_proj"], )"                       \
  R"("gemma": ["q_proj", "v_proj"], "gemma2": ["q_proj", "v_proj"], )"                      \
  R"("gemma3_text": ["q_proj", "v_proj"], "gpt2": ["c_attn"], )"                            \
  R"("gpt_neox": ["query_key_value"]})"
/// "fields" of a storage: rank, alpha and their patterns, as PEFT's LyCORIS methods call them.
#define GRAFT_RANK_FIELDS                                     \
  R"("rank": "r", "alpha": {"key": "alpha", "missing": 8}, )" \
  R"("rank_pattern": "rank_pattern", "alpha_pattern": "alpha_pattern")"
/// "fields" of the storage of LoRA and its relatives.
#define GRAFT_LORA_FIELDS                                          \
  R"("rank": "r", "alpha": {"key": "lora_alpha", "missing": 8}, )" \
  R"("dropout": "lora_dropout", "rslora": "use_rslora", )"         \
  R"("rank_pattern": "rank_pattern", "alpha_pattern": "alpha_pattern")"
/// "ignored" of the storage of LoRA and its relatives.
#define GRAFT_LORA_IGNORED                                                             \
  R"("revision", "auto_mapping", "peft_version", "runtime_config", "megatron_core", )" \
  R"("loftq_config", "eva_config", "corda_config", "lora_ga_config", "qalora_group_size")"

#pragma GCC visibility push(hidden)
namespace graft::plugin {

/// alpha / rank, or alpha / sqrt(rank): Kalajdzievski 2023 (arXiv:2312.03732).
inline double lora_scale(double alpha, std::int64_t rank, bool rslora) {
  const auto r = static_cast<double>(rank);
  return alpha / (rslora ? std::sqrt(r) : r);
}

/// The most inputs and the most outputs of linear layers, for what all of them take a part of.
struct Extents {
  std::int64_t in = 0, out = 0;
};
inline Extents largest(const std::vector<Site>& sites) {
  Extents most;
  for (const Site& site : sites) {
    most = {std::max(most.in, site.in_features()), std::max(most.out, site.out_features())};
  }
  return most;
}

/// v * (B (u * (A x))), with a vector beside each of a pair that layers share.
inline Value vector_update(Value x, Value a, Value u, Value b, Value v) {
  return (x.mmT(a) * u).mmT(b) * v;
}
/// diag(v) B diag(u) A
inline Value vector_matrix(Value a, Value u, Value b, Value v) {
  return (b * u).mm(a) * v.reshape({v.dim(0), 1});
}

}  // namespace graft::plugin
#pragma GCC visibility pop
#endif
