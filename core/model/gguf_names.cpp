#include "core/model/gguf_names.hpp"

#include <algorithm>
#include <vector>

#include "core/base/error.hpp"

namespace graft::core {
namespace {

struct Pair {
  std::string_view gguf, hf;
};

std::vector<Pair> whole_model(const ModuleNames& names) {
  return {{"token_embd", names.embedding},
          {"position_embd", names.positions},
          {"output_norm", names.norm},
          {"output", names.head}};
}

std::vector<Pair> in_layer(const ModuleNames& names) {
  return {{"attn_norm", names.before_attention},
          {"attn_q", names.q},
          {"attn_k", names.k},
          {"attn_v", names.v},
          {"attn_qkv", names.qkv},
          {"attn_output", names.o},
          {"attn_q_norm", names.q_norm},
          {"attn_k_norm", names.k_norm},
          {"post_attention_norm", names.behind_attention},
          {"ffn_norm", names.before_mlp},
          {"ffn_gate", names.gate},
          {"ffn_up", names.gate_up.empty() ? names.up : names.gate_up},
          {"ffn_down", names.down},
          {"post_ffw_norm", names.behind_mlp}};
}

/// "a.b.weight" as "a.b" and ".weight"; nothing for other ends.
struct Split {
  std::string_view module, suffix;
};
Split split(std::string_view name) {
  const std::size_t dot = name.rfind('.');
  if (dot == name.npos) return {};
  const std::string_view suffix = name.substr(dot);
  if (suffix != ".weight" && suffix != ".bias") return {};
  return {name.substr(0, dot), suffix};
}

/// "12.rest" behind the name of the layers: number and rest, both empty where it is none.
Split layer(std::string_view text) {
  const std::size_t end = text.find('.');
  const std::string_view number = text.substr(0, end);
  if (end == text.npos || number.empty() || number.size() > 6 ||
      (number.size() > 1 && number[0] == '0') ||
      number.find_first_not_of("0123456789") != number.npos) {
    return {};
  }
  return {text.substr(end + 1), number};
}

bool ends_with_module(std::string_view name, std::string_view module) {
  return !module.empty() &&
         (name.ends_with(cat(".", module, ".weight")) || name.ends_with(cat(".", module, ".bias")));
}

}  // namespace

std::string hf_name_of_gguf(std::string_view name, const ModuleNames& names) {
  auto [module, suffix] = split(name);
  for (const Pair& pair : whole_model(names)) {
    if (!module.empty() && module == pair.gguf && !pair.hf.empty()) return cat(pair.hf, suffix);
  }
  if (!module.starts_with("blk.")) return "";
  const auto [rest, number] = layer(module.substr(4));
  for (const Pair& pair : in_layer(names)) {
    if (!rest.empty() && rest == pair.gguf && !pair.hf.empty()) {
      return cat(names.layers, ".", number, ".", pair.hf, suffix);
    }
  }
  return "";
}

std::string gguf_name_of_hf(std::string_view name, const ModuleNames& names) {
  const auto [module, suffix] = split(name);
  for (const Pair& pair : whole_model(names)) {
    if (!module.empty() && module == pair.hf) return cat(pair.gguf, suffix);
  }
  const std::string start = cat(names.layers, ".");
  if (!module.starts_with(start)) return "";
  const auto [rest, number] = layer(module.substr(start.size()));
  for (const Pair& pair : in_layer(names)) {
    if (!rest.empty() && rest == pair.hf) return cat("blk.", number, ".", pair.gguf, suffix);
  }
  return "";
}

void set_gguf_order(HostTensor& tensor, const DecoderConfig& config) {
  const ModuleNames& names = config.names();
  const Family& family = *config.family;
  const auto is = [&](std::string_view module) { return ends_with_module(tensor.name, module); };
  if (family.interleaved && is(names.q)) tensor.interleaved_heads = config.heads;
  if (family.interleaved && is(names.k)) tensor.interleaved_heads = config.kv_heads;
  if (family.qkv_by_head && is(names.qkv)) tensor.concatenated_heads = config.heads;
}

float gguf_offset(const HostTensor& tensor, const DecoderConfig& config) {
  const bool norm = tensor.shape.size() == 1 && tensor.name.find("norm.") != tensor.name.npos;
  return norm ? static_cast<float>(config.family->norm_offset) : 0;
}

}  // namespace graft::core
